//! Draws a plan from a seed, by swarm selection: first which kinds of fault exist at all and how often, then when.
//!
//! With all kinds in every run, each run looks the same, and one kind hides what another would have shown. Plans are
//! strategies of proptest, so that a plan that fails can be shrunk: to fewer faults, to simpler weather, to less load.

use crate::plan::{Change, Fault, Link, Load, Plan, Rude, Sasl, Timed, Tls, Way, Weather, Wrong};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// ms before which nothing goes wrong: clients are at work by then.
const FIRST_MS: u64 = 500;
/// How probable it is that a plan knows a kind of fault.
const KNOWN: f64 = 0.25;
/// The same where only the proxy itself ends connections: there are fewer kinds.
const KNOWN_GENTLE: f64 = 0.6;
/// ms in which certificates expire.
const YEARS_MS: i64 = 2 * 365 * 86_400_000;
/// Bytes of a window below which the way has to be short.
const NARROW: u32 = 32 << 10;
/// ms that a message takes at most on a short way.
const SHORT_WAY_MS: u64 = 15;
/// Pauses in 1,000 that a narrow way has at most.
const FEW_STALLS: u16 = 5;
/// Most faults of a plan.
const FAULTS: usize = 14;

/// What a plan's faults have to fit.
#[derive(Clone, Copy, Debug)]
struct Shape {
    clusters: u8,
    nodes: u8,
    partitions: u8,
    proxies: u8,
    heal_at_ms: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn drawn(seed: u64) -> Self {
        tree(seed).current()
    }
}

/// The plan of a seed, and all that is simpler than it.
pub fn tree(seed: u64) -> impl ValueTree<Value = Plan> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    plans(seed).new_tree(&mut TestRunner::new_with_rng(Config::default(), chance)).expect("nothing is filtered out")
}

/// All plans.
pub fn plans(seed: u64) -> impl Strategy<Value = Plan> {
    // What faults have to fit, and which kinds there are, stays as it is while a plan is shrunk.
    (shapes(), swarm()).no_shrink().prop_flat_map(move |(shape, swarm)| {
        let parts = (weather(), load(), tls(shape.clusters), faults(shape, &swarm), logins(shape));
        parts.prop_map(move |(weather, load, tls, mut faults, (sasl, more))| {
            let Shape { clusters, nodes, partitions, proxies, heal_at_ms } = shape;
            faults.extend(more);
            faults.sort_by_key(|timed| timed.at_ms);
            Plan { seed, proxies, clusters, nodes, partitions, weather, load, tls, sasl, faults, heal_at_ms }
        })
    })
}

/// How often each kind of fault comes, of those that exist. In some worlds nothing but the proxy itself ends connections:
/// much more can be demanded of it there.
fn swarm() -> impl Strategy<Value = Vec<Option<u32>>> {
    let any = vec(prop::option::weighted(KNOWN, 1_u32..=4), KINDS.len());
    let gentle = vec(prop::option::weighted(KNOWN_GENTLE, 1_u32..=4), KINDS.len()).prop_map(|mut swarm| {
        swarm.iter_mut().zip(KINDS).filter(|(_, (gentle, _))| !gentle).for_each(|(known, _)| *known = None);
        swarm
    });
    prop_oneof![3 => any, 1 => gentle]
}

fn shapes() -> impl Strategy<Value = Shape> {
    let parts = (select(vec![1, 1, 1, 2]), select(vec![1, 2, 3, 3]), select(vec![1, 2, 4]), 4_000..=15_000_u64);
    // Every host makes a world slower, and most of what can be wrong is wrong in one proxy.
    let proxies = prop_oneof![14 => Just(1), 1 => 2..=3_u8];
    (parts, proxies).prop_map(|((clusters, nodes, partitions, heal_at_ms), proxies)| Shape {
        clusters,
        nodes,
        partitions,
        proxies,
        heal_at_ms,
    })
}

fn weather() -> impl Strategy<Value = Weather> {
    let any = (
        (0..=2_u64, 3..=60_u64),
        select(vec![0, 50, 300, 700]),
        select(vec![0, 5, 30]),
        1..=100_u64,
        select(vec![256 << 10, 32 << 10, 4 << 10]),
    );
    let any = any.prop_map(|((least, most), short_per_mille, stall_per_mille, stall_max_ms, window)| {
        // Through a small window, over a long way or with many pauses, a client gives up what it fetches before it has come, for ever.
        let is_narrow = window < NARROW;
        let latency_ms = (least, if is_narrow { most.min(SHORT_WAY_MS) } else { most });
        let stall_per_mille = if is_narrow { stall_per_mille.min(FEW_STALLS) } else { stall_per_mille };
        Weather { latency_ms, short_per_mille, stall_per_mille, stall_max_ms, window }
    });
    prop_oneof![1 => Just(Weather::FAIR), 1 => Just(Weather::ROUGH), 2 => any]
}

fn load() -> impl Strategy<Value = Load> {
    let producers = (select(vec![1, 1, 2]), 0..=1_u8, 0..=1_u8, 0..=1_u8, select(vec![0, 0, 1, 1, 2]));
    let others = (select(vec![0, 0, 1]), select(vec![1, 2, 2, 3]));
    let how = (select(vec![100, 30, 10]), select(vec![100, 1_000, 1_000, 20_000]), select(vec![1, 3, 8]));
    (producers, others, how).prop_map(|(producers, (operators, consumers), (pace_ms, most, pipeline))| {
        let (idempotent, acks_one, acks_none, acks_all, transactional) = producers;
        let record_bytes = (40, most);
        Load {
            idempotent,
            acks_one,
            acks_none,
            acks_all,
            transactional,
            operators,
            pipeline,
            consumers,
            pace_ms,
            record_bytes,
        }
    })
}

/// Most worlds speak none, and in the others not all clusters do.
fn tls(clusters: u8) -> impl Strategy<Value = Vec<Tls>> {
    let any = (any::<bool>(), any::<bool>()).prop_map(|(clients, upstream)| Tls { clients, upstream });
    prop_oneof![5 => Just(Vec::new()), 2 => vec(any, usize::from(clusters))]
}

/// In most worlds nobody has to log in, and in the others not everywhere. There intruders come, and in some of them files have
/// wrong credentials for a while.
fn logins(shape: Shape) -> impl Strategy<Value = (Vec<Sasl>, Vec<Timed>)> {
    let one = (any::<bool>(), any::<bool>(), prop::option::of(1_000..=3_000_u64));
    let one = one.prop_map(|(clients, upstream, session_ms)| Sasl { clients, upstream, session_ms });
    let intruders = (0..shape.clusters).prop_map(|cluster| Fault::Client { cluster, rude: Rude::Intruder });
    let intruders = move || vec(timed(shape, intruders.clone()), 0..=3);
    let spoiled = select(vec![Change::WrongPassword, Change::NoUsers]).prop_map(|change| Fault::Reload { change });
    let spoiled = (intruders(), vec(timed(shape, spoiled), 1..=2)).prop_map(|(some, others)| [some, others].concat());
    let faults = prop_oneof![2 => intruders(), 1 => spoiled];
    prop_oneof![5 => Just(Default::default()), 2 => (vec(one, usize::from(shape.clusters)), faults)]
}

/// Faults of the kinds that the swarm knows, each as often as it says, in the order of their times.
fn faults(shape: Shape, swarm: &[Option<u32>]) -> BoxedStrategy<Vec<Timed>> {
    let known: Vec<_> =
        KINDS.iter().zip(swarm).filter_map(|((_, kind), often)| often.map(|often| (often, kind(shape)))).collect();
    if known.is_empty() {
        return Just(Vec::new()).boxed();
    }
    vec(timed(shape, Union::new_weighted(known)), 1..=FAULTS)
        .prop_map(|mut faults| {
            faults.sort_by_key(|timed| timed.at_ms);
            faults
        })
        .boxed()
}

/// Faults, each at any time and at any proxy.
fn timed(shape: Shape, faults: impl Strategy<Value = Fault>) -> impl Strategy<Value = Timed> {
    let timed = (FIRST_MS..shape.heal_at_ms, 0..shape.proxies, faults);
    timed.prop_map(|(at_ms, proxy, fault)| Timed { at_ms, proxy, fault })
}

/// How a kind of fault is drawn for a world.
type Draw = fn(Shape) -> BoxedStrategy<Fault>;

/// All kinds: whether it leaves it to the proxy when connections end, and how it is drawn.
const KINDS: &[(bool, Draw)] = &[
    (false, |s| {
        let bounces = (s.node(), lasts());
        bounces.prop_map(|((cluster, node), down_ms)| Fault::BrokerBounce { cluster, node, down_ms }).boxed()
    }),
    (false, |s| {
        (s.node(), lasts()).prop_map(|((cluster, node), for_ms)| Fault::BrokerHangs { cluster, node, for_ms }).boxed()
    }),
    (false, |s| {
        let moves = (s.node(), 0..s.partitions);
        moves.prop_map(|((cluster, to), partition)| Fault::LeaderMove { cluster, partition, to }).boxed()
    }),
    (true, |s| s.node().prop_map(|(cluster, to)| Fault::CoordinatorMove { cluster, to }).boxed()),
    (false, |s| s.node().prop_map(|(cluster, node)| Fault::BrokerMoves { cluster, node }).boxed()),
    (false, |s| (0..s.clusters, wrong()).prop_map(|(cluster, how)| Fault::WrongAnswer { cluster, how }).boxed()),
    (false, |s| (s.link(), lasts()).prop_map(|(link, for_ms)| Fault::Partition { link, for_ms }).boxed()),
    (false, |s| {
        let ways = select(vec![Way::Requests, Way::Answers]);
        let parts = (s.link(), ways, lasts());
        parts.prop_map(|(link, way, for_ms)| Fault::OneWayPartition { link, way, for_ms }).boxed()
    }),
    (false, |s| (s.link(), lasts()).prop_map(|(link, for_ms)| Fault::BlackHole { link, for_ms }).boxed()),
    (false, |s| (s.link(), lasts()).prop_map(|(link, for_ms)| Fault::Hold { link, for_ms }).boxed()),
    (false, |s| {
        let slow = (s.link(), 10..=400_u64, lasts());
        slow.prop_map(|(link, ms, for_ms)| Fault::Latency { link, ms, for_ms }).boxed()
    }),
    (true, |s| (0..s.clusters, rude()).prop_map(|(cluster, rude)| Fault::Client { cluster, rude }).boxed()),
    // A storm takes longer to play than all the rest of most plans.
    (false, |s| {
        let storm = (0..s.clusters, prop_oneof![9 => rude(), 1 => Just(Rude::Storm)]);
        storm.prop_map(|(cluster, rude)| Fault::Client { cluster, rude }).boxed()
    }),
    (true, |_| lasts().prop_map(|down_ms| Fault::ProxyRestart { down_ms }).boxed()),
    (true, |_| lasts().prop_map(|down_ms| Fault::ShutdownOverHttp { down_ms }).boxed()),
    (false, |_| lasts().prop_map(|down_ms| Fault::ProxyCrash { down_ms }).boxed()),
    (false, |_| lasts().prop_map(|down_ms| Fault::PowerLoss { down_ms }).boxed()),
    (false, |_| {
        let jumps = vec![-86_400_000, -1_500, 700, 3_600_000, -YEARS_MS, YEARS_MS];
        select(jumps).prop_map(|by_ms| Fault::ClockJump { by_ms }).boxed()
    }),
    (true, |_| change().prop_map(|change| Fault::Reload { change }).boxed()),
    (true, |_| change().prop_map(|change| Fault::ReloadOverHttp { change }).boxed()),
    (false, |_| {
        let spoiled = vec![Change::Broken, Change::Expired, Change::ForeignCa];
        select(spoiled).prop_map(|change| Fault::Reload { change }).boxed()
    }),
    (true, |s| {
        let drains = (0..s.clusters, lasts());
        drains.prop_map(|(cluster, retry_after_ms)| Fault::Drain { cluster, retry_after_ms }).boxed()
    }),
    (true, |s| {
        let taken = (0..s.clusters, lasts());
        taken.prop_map(|(cluster, ms)| Fault::PortTaken { cluster, for_ms: ms + 2_000 }).boxed()
    }),
];

impl Shape {
    /// A cluster and one of its nodes.
    fn node(self) -> impl Strategy<Value = (u8, u8)> {
        (0..self.clusters, 0..self.nodes)
    }

    fn link(self) -> impl Strategy<Value = Link> {
        prop_oneof![Just(Link::Clients), (0..self.clusters).prop_map(Link::Upstream)]
    }
}

/// How many ms something lasts.
fn lasts() -> impl Strategy<Value = u64> {
    (select(vec![50, 300, 1_000, 3_000]), 0..=200_u64).prop_map(|(about, more)| about + more)
}

fn wrong() -> impl Strategy<Value = Wrong> {
    select(vec![Wrong::Correlation, Wrong::Cut, Wrong::Truncated, Wrong::Garbage, Wrong::OutOfOrder])
}

fn rude() -> impl Strategy<Value = Rude> {
    select(vec![
        Rude::HalfRequest,
        Rude::Garbage,
        Rude::Deaf,
        Rude::Silent,
        Rude::Dribble,
        Rude::Impatient,
        Rude::Flood,
        Rude::Patient,
    ])
}

fn change() -> impl Strategy<Value = Change> {
    select(vec![
        Change::Limits,
        Change::Upstream,
        Change::Grow,
        Change::Unreadable,
        Change::TakenAddress,
        Change::HalfBad,
        Change::Renewed,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_draws_the_same_plan_again_and_its_text_reads_back() {
        for seed in 0..50 {
            let plan = Plan::drawn(seed);
            assert_eq!(plan, Plan::drawn(seed));
            assert_eq!(Plan::from_ron(&plan.to_ron()).as_ref(), Ok(&plan));
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_none_by_most_seeds() {
        let drawn: Vec<BTreeSet<_>> =
            (0..400).map(|seed| Plan::drawn(seed).faults.iter().map(|timed| timed.fault.kind()).collect()).collect();
        let kinds: BTreeSet<_> = drawn.iter().flatten().collect();
        assert_eq!(kinds.len(), 32, "{kinds:?}");
        for kind in kinds {
            let known = drawn.iter().filter(|drawn| drawn.contains(kind)).count();
            assert!(known > 3 && known < 250, "{known} of 400 seeds know {kind:?}");
        }
    }

    #[test]
    fn a_plan_shrinks_to_the_fault_that_matters() {
        let matters = |plan: &Plan| plan.faults.iter().any(|timed| matches!(timed.fault, Fault::PowerLoss { .. }));
        let seed = (0..).find(|seed| matters(&Plan::drawn(*seed)) && Plan::drawn(*seed).faults.len() > 5);
        let mut tree = tree(seed.expect("some seed loses power"));
        while tree.simplify() {
            while !matters(&tree.current()) && tree.complicate() {}
        }
        let plan = tree.current();
        assert_eq!((plan.faults.len(), plan.weather), (1, Weather::FAIR), "{plan:?}");
    }
}
