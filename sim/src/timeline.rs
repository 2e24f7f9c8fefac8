//! A plan as what is to be done at which moment.

use crate::{
    clients::admin::Demand,
    hosts::{brokers, proxy},
    limits,
    plan::{Change, Fault, Link, Plan, Rude, Way, Wrong},
    topology,
};
use std::collections::BTreeMap;

/// ms after a reload that wants a taken port until the port is free again: the reload has failed by then.
const SQUAT_MS: u64 = 6_000;

/// Something that is done to the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Brokers(u8, brokers::Order),
    Hang {
        cluster: u8,
        node: u8,
        on: bool,
    },
    /// Gives a broker another name.
    Move {
        cluster: u8,
        node: u8,
    },
    Spoil(u8, Wrong),
    Partition(Link, bool),
    PartitionOneWay(Link, Way, bool),
    /// All connections are lost.
    Lose(Link),
    Hold(Link, bool),
    /// `None` is what it was.
    Latency(Link, Option<u64>),
    Rude(u8, Rude),
    /// What an operator asks over HTTP.
    Demand(Demand),
    Proxy(proxy::Order),
    Crash,
    Revive,
    /// The proxy's machine is there or not.
    Power(bool),
    ClockJump(i64),
}

/// What is to be done and to which proxy, by ms and in order.
pub(crate) type Timeline = BTreeMap<(u64, usize), (u8, Action)>;

/// Everything that a plan's faults come to; what lasts ends when the plan heals at the latest.
pub(crate) fn of(plan: &Plan) -> Timeline {
    let mut timeline = Timeline::new();
    for timed in plan.faults.iter().filter(|timed| timed.at_ms < plan.heal_at_ms) {
        for (after_ms, action) in actions(&timed.fault) {
            let at_ms = (timed.at_ms + after_ms).min(plan.heal_at_ms);
            timeline.insert((at_ms, timeline.len()), (timed.proxy, action));
        }
    }
    keep_taken(&mut timeline);
    timeline
}

/// A port that is taken twice at a time is given back once, at the later end: whoever took it last relies on it until then.
fn keep_taken(timeline: &mut Timeline) {
    let mut taken = BTreeMap::<_, u32>::new();
    timeline.retain(|_, (proxy, action)| {
        let Action::Proxy(proxy::Order::Squat { port, on }) = action else { return true };
        let times = taken.entry((*proxy, *port)).or_default();
        *times = if *on { *times + 1 } else { *times - 1 };
        *on || *times == 0
    });
}

fn actions(fault: &Fault) -> Vec<(u64, Action)> {
    use Action::{Brokers, Crash, Hang, Hold, Latency, Lose, Partition, PartitionOneWay, Power, Proxy, Revive, Spoil};
    use proxy::Order::{Reload, Shutdown, Squat, Start};
    match *fault {
        Fault::BrokerBounce { cluster, node, down_ms } => vec![
            (0, Brokers(cluster, brokers::Order::Stop(node))),
            (down_ms, Brokers(cluster, brokers::Order::Start(node))),
        ],
        Fault::BrokerHangs { cluster, node, for_ms } => {
            vec![(0, Hang { cluster, node, on: true }), (for_ms, Hang { cluster, node, on: false })]
        }
        Fault::LeaderMove { cluster, partition, to } => {
            vec![(0, Brokers(cluster, brokers::Order::MoveLeader { partition: i32::from(partition), to }))]
        }
        Fault::CoordinatorMove { cluster, to } => vec![(0, Brokers(cluster, brokers::Order::MoveCoordinator { to }))],
        Fault::BrokerMoves { cluster, node } => vec![(0, Action::Move { cluster, node })],
        Fault::WrongAnswer { cluster, how } => vec![(0, Spoil(cluster, how))],
        Fault::Partition { link, for_ms } => vec![(0, Partition(link, true)), (for_ms, Partition(link, false))],
        Fault::OneWayPartition { link, way, for_ms } => {
            vec![(0, PartitionOneWay(link, way, true)), (for_ms, PartitionOneWay(link, way, false))]
        }
        // To connect across a partition is refused at once; what is held back is neither answered nor refused.
        Fault::BlackHole { link, for_ms } => {
            vec![(0, Hold(link, true)), (for_ms, Lose(link)), (for_ms, Hold(link, false))]
        }
        Fault::Hold { link, for_ms } => vec![(0, Hold(link, true)), (for_ms, Hold(link, false))],
        Fault::Latency { link, ms, for_ms } => vec![(0, Latency(link, Some(ms))), (for_ms, Latency(link, None))],
        Fault::Client { cluster, rude } => vec![(0, Action::Rude(cluster, rude))],
        Fault::ProxyRestart { down_ms } => {
            let drained_ms = u64::try_from(limits::DRAIN.as_millis()).expect("a few seconds");
            vec![(0, Proxy(Shutdown)), (drained_ms + down_ms, Proxy(Start))]
        }
        Fault::ShutdownOverHttp { down_ms } => {
            let drained_ms = u64::try_from(limits::DRAIN.as_millis()).expect("a few seconds");
            vec![(0, Action::Demand(Demand::Shutdown)), (drained_ms + down_ms, Proxy(Start))]
        }
        Fault::ProxyCrash { down_ms } => vec![(0, Crash), (down_ms, Revive)],
        Fault::PowerLoss { down_ms } => vec![(0, Power(false)), (down_ms, Power(true))],
        Fault::ClockJump { by_ms } => vec![(0, Action::ClockJump(by_ms))],
        Fault::Reload { change } => reload(change, Proxy(Reload(change))),
        Fault::ReloadOverHttp { change } => reload(change, Action::Demand(Demand::Reload(change))),
        Fault::Drain { cluster, retry_after_ms } => {
            vec![(0, Action::Demand(Demand::Drain(cluster))), (retry_after_ms, Action::Demand(Demand::Retry(cluster)))]
        }
        Fault::PortTaken { cluster, for_ms } => {
            let port = topology::bootstrap_port(cluster);
            vec![
                (0, Proxy(Shutdown)),
                (0, Proxy(Squat { port, on: true })),
                (0, Proxy(Start)),
                (for_ms, Proxy(Squat { port, on: false })),
            ]
        }
    }
}

/// A reload, where it needs it with somebody who holds a port meanwhile.
fn reload(change: Change, reload: Action) -> Vec<(u64, Action)> {
    let squat = |on| Action::Proxy(proxy::Order::Squat { port: topology::TAKEN, on });
    match change {
        Change::HalfBad => vec![(0, squat(true)), (0, reload), (SQUAT_MS, squat(false))],
        Change::Limits
        | Change::Upstream
        | Change::Grow
        | Change::Unreadable
        | Change::TakenAddress
        | Change::Renewed
        | Change::Broken
        | Change::Expired
        | Change::ForeignCa
        | Change::WrongPassword
        | Change::NoUsers => vec![(0, reload)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Timed;

    #[test]
    fn a_port_that_is_taken_twice_is_given_back_once() {
        let taken = |at_ms| Timed { at_ms, proxy: 0, fault: Fault::Reload { change: Change::HalfBad } };
        let faults = vec![taken(500), taken(500 + SQUAT_MS - 1), taken(500 + 3 * SQUAT_MS)];
        let timeline = of(&Plan { faults, heal_at_ms: 100 * SQUAT_MS, ..Plan::drawn(1) });
        let freed = timeline.iter().filter(|(_, (_, action))| {
            matches!(action, Action::Proxy(proxy::Order::Squat { port: topology::TAKEN, on: false }))
        });
        let at: Vec<_> = freed.map(|((at_ms, _), _)| *at_ms).collect();
        assert_eq!(at, [500 + 2 * SQUAT_MS - 1, 500 + 4 * SQUAT_MS]);
    }
}
