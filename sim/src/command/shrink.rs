//! Takes out of a failing plan what it fails without, by delta debugging.

use super::{
    children::{Played, Player},
    one,
};
use anyhow::{Context, Result, bail};
use sim::{
    findings::Checker,
    plan::{Plan, Weather},
};
use std::{fs, path::Path, process::ExitCode};

/// ms behind the last fault at which everything may be healed.
const AFTER_LAST_MS: u64 = 500;

/// What a plan fails with. A smaller one has to fail in the same way: another bug is another plan.
#[derive(PartialEq, Eq)]
struct Failure {
    checker: Option<Checker>,
    /// Panics are told apart by what they say.
    text: Option<String>,
}

/// Shrinks the plan in `file` and writes what is left to `out`.
pub(super) fn shrink(file: &Path, out: &Path) -> Result<ExitCode> {
    let (player, plan) = (Player::this()?, one::read(file)?);
    let Some(mut shrinker) = Shrinker::new(plan, |plan| Failure::of(&player.play(plan))) else {
        bail!("{} is clean: there is nothing to shrink", file.display())
    };
    println!("{} faults to begin with", shrinker.plan.faults.len());
    shrinker.run();
    fs::write(out, shrinker.plan.to_ron()).with_context(|| out.display().to_string())?;
    println!(
        "{} faults are left after {} tries:\n{}",
        shrinker.plan.faults.len(),
        shrinker.tried,
        shrinker.plan.to_ron()
    );
    println!("\nsee it again: cargo run -p sim -- replay {}", out.display());
    Ok(ExitCode::SUCCESS)
}

impl Failure {
    fn of(played: &Played) -> Option<Self> {
        match played {
            Ok(report) => report.violations.first().map(|first| Self {
                checker: Some(first.checker),
                text: (first.checker == Checker::Panics).then(|| first.what.clone()),
            }),
            Err(_) => Some(Self { checker: None, text: None }),
        }
    }
}

struct Shrinker<F> {
    /// Plays a plan; what it fails with.
    play: F,
    failure: Failure,
    /// The smallest plan so far that fails.
    plan: Plan,
    tried: u32,
}

impl<F: Fn(&Plan) -> Option<Failure>> Shrinker<F> {
    /// `None` if there is nothing wrong with the plan.
    fn new(plan: Plan, play: F) -> Option<Self> {
        let failure = play(&plan)?;
        Some(Self { play, failure, plan, tried: 0 })
    }

    fn run(&mut self) {
        loop {
            let before = self.plan.clone();
            self.take_faults_out();
            while simpler(&self.plan).into_iter().any(|plan| self.still_fails(plan)) {}
            if self.plan == before {
                return;
            }
        }
    }

    /// First large parts of the list, then smaller ones, then one by one.
    fn take_faults_out(&mut self) {
        let mut size = self.plan.faults.len();
        while size > 0 {
            let mut at = 0;
            while at < self.plan.faults.len() {
                let mut plan = self.plan.clone();
                plan.faults.drain(at..(at + size).min(plan.faults.len()));
                if !self.still_fails(plan) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn still_fails(&mut self, plan: Plan) -> bool {
        self.tried += 1;
        let fails = (self.play)(&plan).is_some_and(|failure| failure == self.failure);
        if fails {
            self.plan = plan;
        }
        fails
    }
}

/// Plans that are a little simpler than this one.
fn simpler(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut simpler = plan.clone();
        change(&mut simpler);
        if simpler != *plan {
            all.push(simpler);
        }
    };
    with(&|plan| plan.proxies = plan.proxies.saturating_sub(1).max(1));
    with(&|plan| plan.clusters = 1);
    with(&|plan| plan.tls.clear());
    with(&|plan| plan.load.transactional = 0);
    with(&|plan| plan.load.operators = 0);
    with(&|plan| plan.load.acks_all = 0);
    with(&|plan| plan.weather = Weather::FAIR);
    with(&|plan| plan.weather.short_per_mille = 0);
    with(&|plan| plan.weather.stall_per_mille = 0);
    with(&|plan| plan.load.consumers = 0);
    with(&|plan| plan.load.idempotent = 0);
    with(&|plan| plan.load.acks_one = 0);
    with(&|plan| plan.load.acks_none = 0);
    with(&|plan| plan.load.consumers = plan.load.consumers.min(1));
    with(&|plan| plan.load.idempotent = plan.load.idempotent.min(1));
    with(&|plan| plan.load.record_bytes.1 = plan.load.record_bytes.0);
    with(&|plan| plan.partitions = 1);
    with(&|plan| plan.nodes = plan.nodes.saturating_sub(1).max(1));
    let last = plan.faults.last().map_or(0, |timed| timed.at_ms);
    with(&|plan| plan.heal_at_ms = plan.heal_at_ms.min(last + AFTER_LAST_MS));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::plan::{Fault, Link, Load};

    const BUG: Fault = Fault::PowerLoss { down_ms: 300 };

    /// A bug that needs a power loss, a proxy beside it and some producer with acks=1.
    fn play(plan: &Plan) -> Option<Failure> {
        let lost = plan.faults.iter().any(|timed| timed.fault == BUG);
        let found = lost && plan.proxies > 1 && plan.load.acks_one > 0;
        // With a crash in it another bug comes first.
        let other = plan.faults.iter().any(|timed| timed.fault == Fault::ProxyCrash { down_ms: 1 });
        let checker = if other { Checker::Leaks } else { Checker::Logs };
        found.then_some(Failure { checker: Some(checker), text: None })
    }

    #[test]
    fn what_is_left_of_a_plan_fails_in_the_same_way_and_without_any_of_it_does_not() {
        let link = Link::Clients;
        let noise = (0..9).map(|n| (1_000 + 100 * n, Fault::Hold { link, for_ms: 50 }));
        let mut plan = Plan::quiet(1).with(noise).with([(2_000, BUG)]);
        (plan.proxies, plan.clusters, plan.weather) = (3, 2, Weather::ROUGH);
        let mut shrinker = Shrinker::new(plan, play).expect("it fails");
        shrinker.run();
        let left = shrinker.plan;
        assert_eq!(left.faults.iter().map(|timed| &timed.fault).collect::<Vec<_>>(), [&BUG]);
        let Load { idempotent, acks_one, acks_none, acks_all, transactional, operators, consumers, .. } = left.load;
        assert_eq!((idempotent, acks_none, acks_all, transactional, operators, consumers), (0, 0, 0, 0, 0, 0));
        assert_eq!((acks_one, left.proxies, left.clusters, left.weather), (1, 2, 1, Weather::FAIR));
    }

    #[test]
    fn a_clean_plan_is_not_shrunk_and_another_bug_is_another_plan() {
        assert!(Shrinker::new(Plan::quiet(1), play).is_none());
        let mut plan = Plan::quiet(1).with([(1_000, Fault::ProxyCrash { down_ms: 1 }), (2_000, BUG)]);
        plan.proxies = 2;
        let mut shrinker = Shrinker::new(plan, play).expect("it fails");
        shrinker.run();
        assert_eq!(shrinker.plan.faults.len(), 2, "without the crash it would be the other one");
    }
}
