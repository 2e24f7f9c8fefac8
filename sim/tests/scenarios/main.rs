//! Named scenarios: one story each, told by a plan and by what must come of it.

mod proxies;
mod sasl;
mod tls;

use kroxy_core::status::{
    ClusterState::{self, Draining, Failed, Initializing, Serving, Stopped},
    ReloadOutcome,
};
use sim::{
    journal::Journal,
    plan::{Change, Fault, Link, Load, Plan, Rude, Way, Weather, Wrong},
    report::Report,
    world,
};
use std::time::Duration;

/// Plays a plan, which must be clean.
fn play(plan: &Plan) -> Report {
    let report = world::run(plan, &Journal::default()).expect("this build is deterministic");
    assert!(
        report.is_clean(),
        "{report}\nsee it again: write this to plan.ron, then cargo run -p sim -- replay plan.ron\n{}",
        plan.to_ron()
    );
    report
}

/// The life of a virtual cluster that starts, does this, and stops with the proxy.
fn life(between: &[ClusterState]) -> Vec<ClusterState> {
    [&[Initializing, Serving], between, &[Draining, Stopped]].concat()
}

#[test]
fn relay_works() {
    let report = play(&Plan::quiet(1));
    assert!(report.operations.0 > 300, "{report}");
    assert_eq!(report.operations.1, 0, "{report}");
    assert_eq!(report.states_of(0), life(&[]));
    assert_eq!(report.proxies[0].lives, [Ok(())]);
}

#[test]
fn relay_works_byte_by_byte() {
    let mut plan = Plan::quiet(2);
    plan.weather =
        Weather { short_per_mille: 900, stall_per_mille: 5, stall_max_ms: 20, window: 4_096, ..Weather::FAIR };
    plan.load.pace_ms = 100;
    play(&plan);
}

#[test]
fn two_clusters_share_a_proxy_and_nothing_else() {
    let mut plan = Plan::quiet(3);
    plan.clusters = 2;
    let report = play(&plan);
    assert_eq!(report.states_of(1), life(&[]));
}

#[test]
fn a_broker_bounces_under_load() {
    let bounce = |node| Fault::BrokerBounce { cluster: 0, node, down_ms: 800 };
    let report = play(&Plan::quiet(4).with([(1_000, bounce(0)), (3_000, bounce(1))]));
    assert_eq!(report.states_of(0), life(&[]), "what upstream does is no concern of the cluster's life");
}

#[test]
fn leaders_move_under_load() {
    let moves = (0..8_u8).map(|n| {
        let (partition, to) = (n % 2, (n / 2) % 2);
        (1_000 + 300 * u64::from(n), Fault::LeaderMove { cluster: 0, partition, to })
    });
    let report = play(&Plan::quiet(5).with(moves));
    assert!(report.operations.0 > 300, "{report}");
}

#[test]
fn the_coordinator_moves_while_a_group_reads() {
    let moves = [(1_000, 1), (2_000, 0), (2_100, 1)].map(|(at, to)| (at, Fault::CoordinatorMove { cluster: 0, to }));
    play(&Plan::quiet(6).with(moves));
}

#[test]
fn the_proxy_restarts_under_load_and_nothing_is_lost() {
    let report = play(&Plan::quiet(7).with([(1_500, Fault::ProxyRestart { down_ms: 200 })]));
    assert_eq!(report.proxies[0].lives, [Ok(()), Ok(())]);
}

#[test]
fn the_proxy_dies_under_load_and_nothing_acknowledged_is_lost() {
    let report = play(&Plan::quiet(8).with([(1_500, Fault::ProxyCrash { down_ms: 500 })]));
    assert_eq!(report.proxies[0].lives, [Ok(())], "a crash is no end");
}

#[test]
fn slow_and_rude_clients_slow_nobody_else() {
    let all = [Rude::Deaf, Rude::Dribble, Rude::Silent, Rude::HalfRequest, Rude::Garbage, Rude::Impatient];
    let faults = all
        .iter()
        .cycle()
        .take(30)
        .zip(0..)
        .map(|(rude, n)| (1_000 + 20 * n, Fault::Client { cluster: 0, rude: *rude }));
    let mut plan = Plan::quiet(9);
    plan.load = Load { acks_one: 3, ..Load::ONE_OF_EACH };
    let slowest = |report: &Report| {
        let plain = report.slowest.iter().filter(|(name, _)| name.contains("-one-"));
        plain
            .map(|(_, (longest, count))| {
                assert!(*count > 50, "{report}");
                *longest
            })
            .max()
            .expect("three of them")
    };
    let alone = slowest(&play(&plan));
    let beside = slowest(&play(&plan.clone().with(faults)));
    assert!(beside <= alone + Duration::from_millis(20), "{beside:?} beside the rude, {alone:?} alone");
}

#[test]
fn one_bad_cluster_harms_no_other_and_comes_back_by_itself() {
    let mut plan = Plan::quiet(10).with([(500, Fault::PortTaken { cluster: 0, for_ms: 4_000 })]);
    plan.clusters = 2;
    plan.heal_at_ms = 6_000;
    let report = play(&plan);
    assert!(report.states_of(0).contains(&Failed), "{:?}", report.states_of(0));
    assert!(!report.states_of(1).contains(&Failed), "{:?}", report.states_of(1));
    assert_eq!(report.proxies[0].lives, [Ok(()), Ok(())]);
}

#[test]
fn a_shutdown_while_initializing_ends_well() {
    let report = play(&Plan::quiet(11).with([(0, Fault::ProxyRestart { down_ms: 10 })]));
    assert_eq!(report.proxies[0].lives.len(), 2);
}

#[test]
fn a_shutdown_while_draining_and_twice_ends_well() {
    let drain = Fault::Drain { cluster: 0, retry_after_ms: 60_000 };
    let restart = Fault::ProxyRestart { down_ms: 100 };
    let hold = Fault::Hold { link: Link::Upstream(0), for_ms: 1_500 };
    // With upstream held back requests stay in flight, and the drain lasts.
    let report =
        play(&Plan::quiet(12).with([(1_000, hold), (1_200, drain), (1_300, restart.clone()), (1_400, restart)]));
    assert_eq!(report.proxies[0].lives, [Ok(()), Ok(())]);
}

#[test]
fn an_operator_drains_a_cluster_and_brings_it_back() {
    let report = play(&Plan::quiet(13).with([(1_500, Fault::Drain { cluster: 0, retry_after_ms: 1_500 })]));
    assert_eq!(report.states_of(0), life(&[Draining, Initializing, Serving]));
}

#[test]
fn a_drain_cuts_no_answer_even_where_clients_read_slowly() {
    let drains = (0..4).map(|n| (1_000 + 2_500 * n, Fault::Drain { cluster: 0, retry_after_ms: 600 }));
    let mut plan = Plan::quiet(20).with(drains);
    plan.heal_at_ms = 11_500;
    plan.weather = Weather { window: 4_096, stall_per_mille: 100, stall_max_ms: 5, ..Weather::FAIR };
    plan.load = Load { record_bytes: (10_000, 30_000), ..Load::ONE_OF_EACH };
    let report = play(&plan);
    assert!(report.states_of(0).iter().filter(|state| **state == Draining).count() == 5, "{report}");
    assert_eq!(report.cut_answers, 0, "{report}");
}

#[test]
fn a_drain_that_cannot_finish_is_cut_at_its_deadline() {
    let hang = |node| (1_000, Fault::BrokerHangs { cluster: 0, node, for_ms: 3_900 });
    let mut plan = Plan::quiet(14).with([hang(0), hang(1), (1_500, Fault::ProxyRestart { down_ms: 1_000 })]);
    plan.heal_at_ms = 5_000;
    let report = play(&plan);
    let draining = report.proxies[0].transitions.iter().find(|(.., to)| *to == Draining).expect("it drains").0;
    let stopped = report.proxies[0].transitions.iter().find(|(.., to)| *to == Stopped).expect("it stops").0;
    let took = stopped - draining;
    let (least, most) = (Duration::from_millis(1_990), Duration::from_millis(2_200));
    assert!((least..=most).contains(&took), "a drain of 2 s took {took:?}");
}

#[test]
fn a_reload_that_changes_limits_keeps_connections() {
    let report = play(&Plan::quiet(15).with([(1_500, Fault::Reload { change: Change::Limits })]));
    assert_eq!(report.proxies[0].reloads, [(Change::Limits, ReloadOutcome::Applied)]);
    assert_eq!(report.states_of(0), life(&[]));
}

#[test]
fn a_reload_that_changes_upstream_drains_and_serves_again() {
    let report = play(&Plan::quiet(16).with([(1_500, Fault::Reload { change: Change::Upstream })]));
    assert_eq!(report.proxies[0].reloads, [(Change::Upstream, ReloadOutcome::Applied)]);
    assert_eq!(report.states_of(0), life(&[Draining, Initializing, Serving]));
}

#[test]
fn a_reload_that_cannot_work_goes_back_to_what_was() {
    let faults =
        [(1_000, Change::Unreadable), (1_500, Change::HalfBad)].map(|(at, change)| (at, Fault::Reload { change }));
    let mut plan = Plan::quiet(17).with(faults);
    plan.heal_at_ms = 9_000;
    let report = play(&plan);
    let outcomes: Vec<_> = report.proxies[0].reloads.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(outcomes[0], ReloadOutcome::Rejected);
    assert!(matches!(outcomes[1], ReloadOutcome::Failed | ReloadOutcome::Partial), "{outcomes:?}");
    assert_eq!(report.states_of(0).last(), Some(&Stopped));
}

#[test]
fn a_reload_that_fails_behind_its_drain_goes_back_to_what_was() {
    // Between them there is time for a whole drain.
    let twice = [1_000, 4_500].map(|at| (at, Fault::Reload { change: Change::TakenAddress }));
    let mut plan = Plan::quiet(22).with(twice);
    plan.heal_at_ms = 9_000;
    let report = play(&plan);
    assert_eq!(report.proxies[0].reloads, [(Change::TakenAddress, ReloadOutcome::Failed); 2]);
    let there_and_back = [Draining, Initializing, Failed, Initializing, Serving];
    assert_eq!(report.states_of(0), life(&there_and_back.repeat(2)));
}

#[test]
fn a_wrong_or_cut_answer_reaches_no_client() {
    let all = [Wrong::Correlation, Wrong::Cut, Wrong::Truncated, Wrong::Garbage, Wrong::OutOfOrder];
    let faults = (0..10_u8)
        .map(|n| (1_000 + 300 * u64::from(n), Fault::WrongAnswer { cluster: 0, how: all[usize::from(n) % all.len()] }));
    play(&Plan::quiet(18).with(faults));
}

#[test]
fn upstream_goes_away_and_comes_back() {
    let faults = [
        (1_000, Fault::Partition { link: Link::Upstream(0), for_ms: 2_500 }),
        (4_000, Fault::Hold { link: Link::Upstream(0), for_ms: 1_500 }),
        (6_000, Fault::Partition { link: Link::Clients, for_ms: 1_500 }),
    ];
    let mut plan = Plan::quiet(19).with(faults);
    plan.heal_at_ms = 8_000;
    let report = play(&plan);
    assert_eq!(report.states_of(0), life(&[]));
}

#[test]
fn who_was_led_to_a_stand_in_is_led_to_the_broker_itself_once_that_is_back() {
    let faults = [
        (1_000, Fault::BrokerBounce { cluster: 0, node: 1, down_ms: 2_000 }),
        // A proxy that has just begun knows no node, and nobody tells it of one that is away.
        (1_005, Fault::ProxyCrash { down_ms: 300 }),
        (3_500, Fault::CoordinatorMove { cluster: 0, to: 1 }),
        (3_500, Fault::LeaderMove { cluster: 0, partition: 0, to: 1 }),
        (3_500, Fault::LeaderMove { cluster: 0, partition: 1, to: 1 }),
    ];
    play(&Plan::quiet(21).with(faults));
}

/// A drain in the middle of each kind of load, all of it pipelined, with `also` at the same time.
fn drained_under_load(seed: u64, load: Load, also: impl IntoIterator<Item = (u64, Fault)>) -> Report {
    let mut plan = Plan::quiet(seed).with([(1_500, Fault::Drain { cluster: 0, retry_after_ms: 1_000 })]).with(also);
    plan.load = Load { pace_ms: 10, pipeline: 8, ..load };
    let report = play(&plan);
    assert_eq!(report.states_of(0), life(&[Draining, Initializing, Serving]));
    assert_eq!(report.cut_answers, 0, "{report}");
    report
}

/// Consumers only.
const NOBODY: Load = Load {
    idempotent: 0,
    acks_one: 0,
    acks_none: 0,
    acks_all: 0,
    transactional: 0,
    operators: 0,
    consumers: 2,
    ..Load::ONE_OF_EACH
};

#[test]
fn a_drain_under_idempotent_producers_loses_and_repeats_nothing() {
    drained_under_load(30, Load { idempotent: 3, ..NOBODY }, []);
}

#[test]
fn a_drain_under_pipelined_producers_with_acks_all_and_one_answers_what_it_took() {
    let report = drained_under_load(31, Load { acks_one: 2, acks_all: 2, ..NOBODY }, []);
    let (ok, refused, unknown) = report.operations;
    // In doubt is only what crossed a FIN on its way: one pipeline of each connection at most.
    assert!(ok > 500 && unknown <= 4 * 2 * 8, "{ok} acknowledged, {refused} refused, {unknown} unknown");
}

#[test]
fn a_drain_under_producers_with_acks_none_brings_every_record_that_was_sent_to_the_log() {
    drained_under_load(32, Load { acks_none: 3, ..NOBODY }, []);
}

#[test]
fn a_drain_under_transactions_leaves_each_whole() {
    let report = drained_under_load(33, Load { transactional: 3, ..NOBODY }, []);
    assert!(report.transactions.0 > 20 && report.transactions.1 > 2, "{report}");
}

#[test]
fn a_drain_under_operators_leaves_topics_as_they_were_told() {
    drained_under_load(34, Load { operators: 4, ..NOBODY }, []);
}

#[test]
fn a_drain_waits_for_no_long_poll() {
    // Nobody produces, so that all that is in flight are the consumers' long polls of 500 ms.
    let report = drained_under_load(35, NOBODY, []);
    let at = |n: usize| {
        report.proxies[0].transitions.iter().filter(|(_, name, _)| name == "tenant-0").nth(n).expect("a transition").0
    };
    let took = at(3) - at(2) - Duration::from_secs(1);
    assert!(took < Duration::from_millis(400), "drained and served again after {took:?}");
}

#[test]
fn leaders_move_during_a_drain() {
    let moves = (0..8_u8)
        .map(|n| (1_490 + 5 * u64::from(n), Fault::LeaderMove { cluster: 0, partition: n % 2, to: n / 2 % 2 }));
    let hold = (1_490, Fault::Latency { link: Link::Upstream(0), ms: 60, for_ms: 200 });
    drained_under_load(36, Load::ONE_OF_EACH, moves.chain([hold]));
}

#[test]
fn the_coordinator_moves_during_a_rebalance() {
    // Whoever crashes takes its clients' members with it; they join again, and while they do the coordinator moves.
    let moves = (0..6_u8).map(|n| (1_520 + 40 * u64::from(n), Fault::CoordinatorMove { cluster: 0, to: n % 2 }));
    let mut plan = Plan::quiet(37).with([(1_500, Fault::ProxyCrash { down_ms: 5 })]).with(moves);
    plan.load.transactional = 2;
    play(&plan);
}

#[test]
fn transactions_survive_a_bouncing_broker_and_a_moving_coordinator() {
    let faults = [
        (1_000, Fault::BrokerBounce { cluster: 0, node: 0, down_ms: 700 }),
        (2_000, Fault::CoordinatorMove { cluster: 0, to: 1 }),
        (2_300, Fault::ProxyCrash { down_ms: 200 }),
        (3_000, Fault::CoordinatorMove { cluster: 0, to: 0 }),
    ];
    let mut plan = Plan::quiet(38).with(faults);
    plan.load = Load { transactional: 3, ..Load::ONE_OF_EACH };
    let report = play(&plan);
    assert!(report.transactions.0 > 50, "{report}");
}

#[test]
fn brokers_move_to_other_addresses() {
    let moves = (0..4_u8).map(|n| (1_000 + 700 * u64::from(n), Fault::BrokerMoves { cluster: 0, node: n % 2 }));
    let report = play(&Plan::quiet(39).with(moves));
    assert_eq!(report.states_of(0), life(&[]), "where upstream is, is no concern of the cluster's life");
}

#[test]
fn the_network_fails_in_one_direction_or_swallows_everything() {
    let link = |n: u64| if n.is_multiple_of(2) { Link::Clients } else { Link::Upstream(0) };
    let one_way = |way| move |n| (1_000 + 600 * n, Fault::OneWayPartition { link: link(n), way, for_ms: 300 });
    let faults = (0..2).map(one_way(Way::Requests)).chain((2..4).map(one_way(Way::Answers)));
    let holes = (0..2).map(|n| (4_000 + 1_500 * n, Fault::BlackHole { link: link(n), for_ms: 1_200 }));
    let mut plan = Plan::quiet(40).with(faults).with(holes);
    plan.heal_at_ms = 8_000;
    play(&plan);
}

#[test]
fn the_proxys_machine_loses_power_and_its_clock_comes_back_wrong() {
    let faults = [
        (1_200, Fault::PowerLoss { down_ms: 600 }),
        (1_300, Fault::ClockJump { by_ms: -86_400_000 }),
        (3_000, Fault::PowerLoss { down_ms: 100 }),
        (3_050, Fault::ClockJump { by_ms: 90_000_000 }),
    ];
    play(&Plan::quiet(41).with(faults));
}

#[test]
fn a_reload_that_fails_in_one_cluster_comes_into_force_in_the_other() {
    let mut plan = Plan::quiet(42).with([(1_500, Fault::Reload { change: Change::HalfBad })]);
    (plan.clusters, plan.heal_at_ms) = (2, 9_000);
    let report = play(&plan);
    assert_eq!(report.proxies[0].reloads, [(Change::HalfBad, ReloadOutcome::Partial)]);
    assert_eq!(report.states_of(0), life(&[]), "what cannot be prepared disturbs nobody");
    // Once for the change, and once for putting it right when all is healed.
    assert_eq!(report.states_of(1), life(&[Draining, Initializing, Serving].repeat(2)));
}

#[test]
fn a_cluster_that_cannot_start_does_so_as_soon_as_it_can() {
    let mut plan = Plan::quiet(43).with([(500, Fault::PortTaken { cluster: 0, for_ms: 3_000 })]);
    plan.heal_at_ms = 6_000;
    let report = play(&plan);
    let failures = report.states_of(0).iter().filter(|state| **state == Failed).count();
    assert!(failures > 0, "{:?}", report.states_of(0));
    assert_eq!(report.states_of(0)[report.states_of(0).len() - 3..], [Serving, Draining, Stopped]);
}

#[test]
fn a_storm_of_2000_connections_is_served_and_slows_nobody_for_long() {
    let mut plan = Plan::quiet(44).with([(1_000, Fault::Client { cluster: 0, rude: Rude::Storm })]);
    plan.heal_at_ms = 12_000;
    plan.load = Load { acks_one: 2, ..NOBODY };
    let report = play(&plan);
    // Each connection has four ends, two of them at the proxy.
    assert!(report.streams > 4 * 2_000, "{report}");
    let longest = report.slowest.values().map(|(longest, _)| *longest).max().expect("two producers");
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

#[test]
fn an_operator_drains_and_retries_over_http_and_every_refusal_says_why() {
    let drain = |at| (at, Fault::Drain { cluster: 0, retry_after_ms: 700 });
    // The second drain comes while the first one lasts, the last one while the proxy is away.
    let faults = [drain(1_000), drain(1_010), drain(3_000), drain(4_480)];
    let mut plan = Plan::quiet(45).with(faults).with([(4_500, Fault::ProxyRestart { down_ms: 300 })]);
    plan.heal_at_ms = 8_000;
    let report = play(&plan);
    let drained = report.states_of(0).iter().filter(|state| **state == Draining).count();
    assert!(drained >= 3, "{:?}", report.states_of(0));
}
