//! Logins of clients at the proxy, and of the proxy at brokers.

use super::{life, play};
use kroxy_core::status::{
    ClusterState::{Draining, Initializing, Serving},
    ReloadOutcome,
};
use sim::plan::{Change, Fault, Load, Plan, Rude, Sasl, Tls, Weather};

/// One cluster where everybody logs in, the proxy again every two seconds.
fn with_logins(seed: u64) -> Plan {
    let mut plan = Plan::quiet(seed);
    plan.sasl = vec![Sasl::BOTH];
    plan
}

#[test]
fn credentials_are_swapped_and_sessions_renewed_without_a_request_lost() {
    let mut plan = with_logins(70);
    // Long enough for many sessions, and for a broker to notice one that was not renewed.
    plan.heal_at_ms = 14_000;
    let report = play(&plan);
    assert!(report.operations.0 > 500, "{report}");
    assert_eq!(report.operations.1, 0, "{report}");
    assert_eq!(report.states_of(0), life(&[]));
}

#[test]
fn one_cluster_has_its_clients_log_in_and_the_other_its_proxy() {
    let mut plan = Plan::quiet(71);
    plan.clusters = 2;
    plan.sasl = vec![
        Sasl { clients: true, upstream: false, session_ms: None },
        Sasl { clients: false, upstream: true, session_ms: None },
    ];
    plan.tls = vec![Tls { clients: true, upstream: false }, Tls { clients: false, upstream: true }];
    plan.weather = Weather::ROUGH;
    play(&plan);
}

#[test]
fn nobody_who_has_not_logged_in_is_answered_drain_or_not() {
    let intruders = (0..30).map(|n| (1_000 + 50 * n, Fault::Client { cluster: 0, rude: Rude::Intruder }));
    let drain = (1_700, Fault::Drain { cluster: 0, retry_after_ms: 500 });
    let report = play(&with_logins(72).with(intruders).with([drain]));
    assert_eq!(report.states_of(0), life(&[Draining, Initializing, Serving]));
    let seen = |mark: &str| report.marks.iter().any(|reached| reached.contains(mark));
    assert!(seen("authentication_failed") && seen("client_misbehaved"), "{:?}", report.marks);
}

#[test]
fn a_drain_under_load_loses_nothing_where_everybody_logs_in() {
    let mut plan = with_logins(73).with([(1_500, Fault::Drain { cluster: 0, retry_after_ms: 1_000 })]);
    plan.load = Load { pace_ms: 10, pipeline: 8, ..Load::ONE_OF_EACH };
    let report = play(&plan);
    assert_eq!(report.states_of(0), life(&[Draining, Initializing, Serving]));
    assert_eq!(report.cut_answers, 0, "{report}");
}

#[test]
fn wrong_credentials_keep_newcomers_out_until_they_are_mended_and_drain_nobody() {
    let reload = |at, change| (at, Fault::Reload { change });
    let newcomers = [(2_050, Rude::Dribble), (3_100, Rude::Impatient)];
    let newcomers = newcomers.map(|(at, rude)| (at, Fault::Client { cluster: 0, rude }));
    let changes = [(2_000, Change::WrongPassword), (3_000, Change::NoUsers), (4_000, Change::Limits)];
    let plan = with_logins(74).with(changes.map(|(at, change)| reload(at, change))).with(newcomers);
    let report = play(&plan);
    let outcomes = changes.map(|(_, change)| (change, ReloadOutcome::Applied));
    assert_eq!(report.proxies[0].reloads, outcomes);
    assert_eq!(report.states_of(0), life(&[]), "connections stay");
    let seen = |mark: &str| report.marks.iter().any(|reached| reached.contains(mark));
    assert!(seen("upstream_login_failed") && seen("authentication_failed"), "{:?}", report.marks);
}
