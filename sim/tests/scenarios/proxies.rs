//! Several proxies before the same brokers, and operators who steer them over HTTP.

use super::{life, play};
use kroxy_core::status::{
    ClusterState::{Draining, Initializing, Serving},
    ReloadOutcome,
};
use sim::plan::{Change, Fault, Load, Plan};
use std::time::Duration;

/// Three proxies before one cluster, with much going on.
fn three_proxies(seed: u64) -> Plan {
    let mut plan = Plan::quiet(seed);
    plan.proxies = 3;
    plan.heal_at_ms = 9_000;
    plan.load = Load { idempotent: 3, acks_all: 2, acks_one: 2, acks_none: 2, transactional: 2, ..Load::ONE_OF_EACH };
    plan
}

#[test]
fn three_proxies_restart_one_after_the_other_under_load_and_nothing_is_lost() {
    let mut plan = three_proxies(60);
    for proxy in 0..3 {
        let at = 1_500 + 2_400 * u64::from(proxy);
        plan = plan.with_at(proxy, [(at, Fault::ProxyRestart { down_ms: 100 })]);
    }
    let report = play(&plan);
    for fate in &report.proxies {
        assert_eq!(fate.lives, [Ok(()), Ok(())]);
        assert_eq!(fate.states_of(0), [life(&[]), life(&[])].concat());
    }
    // Somebody serves at all times: whoever loses one proxy goes on at the next.
    let longest =
        |(name, (longest, _)): (&String, &(Duration, usize))| (!name.contains("idempotent")).then_some(*longest);
    let longest = report.slowest.iter().filter_map(longest).max().expect("producers");
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

#[test]
fn a_proxy_that_dies_or_loses_power_leaves_its_neighbours_at_work() {
    let plan = three_proxies(61)
        .with_at(1, [(1_500, Fault::ProxyCrash { down_ms: 2_000 })])
        .with_at(2, [(4_000, Fault::PowerLoss { down_ms: 1_000 })]);
    let report = play(&plan);
    let lives: Vec<_> = report.proxies.iter().map(|fate| fate.lives.len()).collect();
    assert_eq!(lives, [1, 1, 1], "a crash is no end");
    assert_eq!(report.states_of(0), life(&[]), "the first one notices nothing");
}

#[test]
fn proxies_are_drained_and_reloaded_each_for_itself() {
    let plan = three_proxies(62)
        .with_at(0, [(1_500, Fault::Drain { cluster: 0, retry_after_ms: 1_000 })])
        .with_at(1, [(3_500, Fault::ReloadOverHttp { change: Change::Upstream })]);
    let report = play(&plan);
    let between = [Draining, Initializing, Serving];
    let states: Vec<_> = report.proxies.iter().map(|fate| fate.states_of(0)).collect();
    assert_eq!(states, [life(&between), life(&between), life(&[])]);
}

#[test]
fn an_operator_reloads_and_shuts_down_over_http() {
    let faults = [
        (1_000, Fault::ReloadOverHttp { change: Change::Upstream }),
        (2_500, Fault::ReloadOverHttp { change: Change::Unreadable }),
        (3_000, Fault::ShutdownOverHttp { down_ms: 200 }),
    ];
    let mut plan = Plan::quiet(63).with(faults);
    plan.heal_at_ms = 7_000;
    let report = play(&plan);
    let outcomes = [(Change::Upstream, ReloadOutcome::Applied), (Change::Unreadable, ReloadOutcome::Rejected)];
    assert_eq!(report.proxies[0].reloads, outcomes);
    assert_eq!(report.proxies[0].lives, [Ok(()), Ok(())]);
}
