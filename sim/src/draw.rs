//! Draws a plan from a seed, by swarm selection: first which kinds of fault exist at all, then how many and when.
//!
//! With all kinds in every run, each run looks the same, and one kind hides what another would have shown.

use crate::{
    dice::Dice,
    plan::{Change, Fault, Link, Load, Plan, Rude, Timed, Weather},
};

/// Kinds of fault.
const KINDS: usize = 16;
/// ms before which nothing goes wrong: clients are at work by then.
const FIRST_MS: u64 = 500;

impl Plan {
    /// The plan of a seed.
    pub fn drawn(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x6b72_6f78_7973_696d);
        let clusters = if dice.per_mille(250) { 2 } else { 1 };
        let nodes = *dice.pick(&[1, 2, 3, 3]);
        let partitions = *dice.pick(&[1, 2, 4]);
        let heal_at_ms = dice.between(4_000..=15_000);
        let mut plan = Self {
            seed,
            clusters,
            nodes,
            partitions,
            weather: weather(&mut dice),
            load: load(&mut dice),
            faults: Vec::new(),
            heal_at_ms,
        };
        let swarm: Vec<usize> = (0..KINDS).filter(|_| dice.per_mille(300)).collect();
        if swarm.is_empty() {
            return plan;
        }
        for _ in 0..dice.between(1..=12) {
            let at_ms = dice.between(FIRST_MS..=heal_at_ms - 1);
            let kind = *dice.pick(&swarm);
            plan.faults.push(Timed { at_ms, fault: fault(kind, &plan, &mut dice) });
        }
        plan.faults.sort_by_key(|timed| timed.at_ms);
        plan
    }
}

fn weather(dice: &mut Dice) -> Weather {
    match dice.between(0..=3) {
        0 => Weather::FAIR,
        1 => Weather::ROUGH,
        _ => Weather {
            latency_ms: (dice.between(0..=2), dice.between(3..=60)),
            short_per_mille: *dice.pick(&[0, 50, 300, 700]),
            stall_per_mille: *dice.pick(&[0, 5, 30]),
            stall_max_ms: dice.between(1..=100),
            window: *dice.pick(&[4 << 10, 32 << 10, 256 << 10]),
        },
    }
}

fn load(dice: &mut Dice) -> Load {
    let most = *dice.pick(&[100, 1_000, 1_000, 20_000]);
    Load {
        idempotent: *dice.pick(&[1, 1, 2]),
        acks_one: *dice.pick(&[0, 1, 1]),
        acks_none: *dice.pick(&[0, 1]),
        consumers: *dice.pick(&[1, 2, 2, 3]),
        pace_ms: *dice.pick(&[10, 30, 100]),
        record_bytes: (40, most),
    }
}

fn fault(kind: usize, plan: &Plan, dice: &mut Dice) -> Fault {
    let mut below = |n: u8| u8::try_from(dice.between(0..=u64::from(n) - 1)).expect("a small number");
    let (cluster, node, partition) = (below(plan.clusters), below(plan.nodes), below(plan.partitions));
    let mut link = || if below(2) == 0 { Link::Clients } else { Link::Upstream(cluster) };
    let link = link();
    let ms = |dice: &mut Dice| *dice.pick(&[50, 300, 1_000, 3_000]) + dice.between(0..=200);
    match kind {
        0 => Fault::BrokerBounce { cluster, node, down_ms: ms(dice) },
        1 => Fault::BrokerHangs { cluster, node, for_ms: ms(dice) },
        2 => Fault::LeaderMove { cluster, partition, to: node },
        3 => Fault::CoordinatorMove { cluster, to: node },
        4 => Fault::WrongCorrelation { cluster },
        5 => Fault::CutAnswer { cluster },
        6 => Fault::Partition { link, for_ms: ms(dice) },
        7 => Fault::Hold { link, for_ms: ms(dice) },
        8 => Fault::Latency { link, ms: dice.between(10..=400), for_ms: ms(dice) },
        9 | 10 => {
            let all = [Rude::HalfRequest, Rude::Garbage, Rude::Deaf, Rude::Silent, Rude::Dribble, Rude::Impatient];
            Fault::Client { cluster, rude: *dice.pick(&all) }
        }
        11 => Fault::ProxyRestart { down_ms: ms(dice) },
        12 => Fault::ProxyCrash { down_ms: ms(dice) },
        13 => {
            let all = [Change::Limits, Change::Upstream, Change::Grow, Change::Unreadable, Change::TakenPort];
            Fault::Reload { change: *dice.pick(&all) }
        }
        14 => Fault::Drain { cluster, retry_after_ms: ms(dice) },
        _ => Fault::PortTaken { cluster, for_ms: ms(dice) + 2_000 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_plan_again_and_its_text_reads_back() {
        for seed in 0..50 {
            let plan = Plan::drawn(seed);
            assert_eq!(plan, Plan::drawn(seed));
            assert_eq!(Plan::from_ron(&plan.to_ron()).as_ref(), Ok(&plan));
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let drawn: std::collections::BTreeSet<_> =
            (0..300).flat_map(|seed| Plan::drawn(seed).faults).map(|timed| timed.fault.kind()).collect();
        assert_eq!(drawn.len(), 15, "{drawn:?}");
    }
}
