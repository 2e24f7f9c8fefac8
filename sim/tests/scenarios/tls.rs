//! TLS with clients and with brokers, and what becomes of certificates.

use super::{life, play};
use kroxy_core::status::{
    ClusterState::{Draining, Failed, Serving, Stopped},
    ReloadOutcome,
};
use sim::plan::{Change, Fault, Load, Plan, Rude, Tls, Weather};
/// One cluster that speaks TLS everywhere.
fn over_tls(seed: u64) -> Plan {
    let mut plan = Plan::quiet(seed);
    plan.tls = vec![Tls::BOTH];
    plan
}

/// What clients were shown, in the words of a report's marks.
fn edition(number: u32) -> String {
    format!("gateway certificate {number} shown")
}

#[test]
fn relay_works_over_tls_on_both_sides() {
    let report = play(&over_tls(50));
    assert!(report.operations.0 > 300, "{report}");
    assert_eq!(report.operations.1, 0, "{report}");
    assert!(report.marks.contains(&edition(0)), "{:?}", report.marks);
}

#[test]
fn one_cluster_speaks_tls_with_its_clients_and_the_other_with_its_brokers() {
    let mut plan = Plan::quiet(51);
    plan.clusters = 2;
    plan.tls = vec![Tls { clients: true, upstream: false }, Tls { clients: false, upstream: true }];
    plan.weather = Weather::ROUGH;
    play(&plan);
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_no_connection_ends_for_it() {
    let renew = |at| (at, Fault::Reload { change: Change::Renewed });
    // Whoever is new is shown the new one; the others know of nothing.
    let newcomer = (2_500, Fault::Client { cluster: 0, rude: Rude::Impatient });
    let report = play(&over_tls(52).with([renew(1_000), renew(2_000), newcomer]));
    assert_eq!(report.proxies[0].reloads, [(Change::Renewed, ReloadOutcome::Applied); 2]);
    assert_eq!(report.states_of(0), life(&[]));
    assert!(report.marks.contains(&edition(2)), "{:?}", report.marks);
    assert_eq!((report.operations.1, report.redelivered), (0, 0), "{report}");
}

#[test]
fn a_broken_or_expired_certificate_does_not_come_into_force() {
    let reload = |at, change| (at, Fault::Reload { change });
    let mut plan = over_tls(53).with([reload(1_000, Change::Broken), reload(3_000, Change::Expired)]);
    plan.heal_at_ms = 6_000;
    let report = play(&plan);
    let outcomes: Vec<_> = report.proxies[0].reloads.iter().map(|(_, outcome)| *outcome).collect();
    let failed = |outcome: &ReloadOutcome| matches!(outcome, ReloadOutcome::Failed | ReloadOutcome::Rejected);
    assert!(outcomes.len() == 2 && outcomes.iter().all(failed), "{outcomes:?}");
    assert_eq!(report.states_of(0).last(), Some(&Stopped));
}

#[test]
fn brokers_that_somebody_else_vouches_for_are_not_trusted_until_the_ca_is_put_right() {
    let mut plan = over_tls(54).with([(1_500, Fault::Reload { change: Change::ForeignCa })]);
    plan.heal_at_ms = 6_000;
    let report = play(&plan);
    assert_eq!(report.states_of(0).last(), Some(&Stopped));
    // Between the reload and the healing nothing gets through: what is acknowledged was so in the first quarter.
    let (_, acknowledged) = report.slowest["c0-all-0"];
    assert!((50..100).contains(&acknowledged), "{report}");
}

#[test]
fn certificates_expire_when_the_clock_jumps_and_are_good_again_when_it_is_right() {
    const YEARS_MS: i64 = 2 * 365 * 86_400_000;
    // While it runs brokers are not trusted any more; a process that starts then has nothing that it could show.
    let faults = [
        (1_200, Fault::ClockJump { by_ms: YEARS_MS }),
        (1_500, Fault::BrokerBounce { cluster: 0, node: 0, down_ms: 50 }),
        (3_000, Fault::ProxyCrash { down_ms: 100 }),
    ];
    let mut plan = over_tls(55).with(faults);
    plan.heal_at_ms = 6_000;
    let report = play(&plan);
    let states = report.states_of(0);
    assert!(states.contains(&Failed), "{states:?}");
    assert_eq!(states[states.len() - 3..], [Serving, Draining, Stopped], "{states:?}");
}

#[test]
fn a_drain_over_tls_cuts_nothing_and_loses_nothing() {
    let drains = (0..4).map(|n| (1_000 + 1_500 * n, Fault::Drain { cluster: 0, retry_after_ms: 600 }));
    let mut plan = over_tls(56).with(drains);
    plan.heal_at_ms = 8_000;
    plan.load = Load { pace_ms: 10, pipeline: 8, ..Load::ONE_OF_EACH };
    let report = play(&plan);
    assert_eq!(report.cut_answers, 0, "{report}");
}
