//! Many seeds.

use super::{children::Player, progress::Progress};
use anyhow::Result;
use sim::{plan::Plan, report::Report};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Failed seeds that are named one by one.
const NAMED: usize = 10;

/// What many runs come to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    simulated: Duration,
    operations: (usize, usize, usize),
    faults: BTreeMap<String, usize>,
    marks: BTreeMap<String, usize>,
    /// By seed: what was found first.
    failed: BTreeMap<u64, String>,
}

/// Plays so many seeds, and says what was found.
pub(super) fn sweep(from: u64, count: u64, minutes: Option<u64>) -> Result<ExitCode> {
    let player = Player::this()?;
    let (began, mut sum, mut progress) = (Instant::now(), Sum::default(), Progress::new(count));
    let enough = || minutes.is_some_and(|minutes| began.elapsed() >= Duration::from_secs(60 * minutes));
    player.play_all((from..from + count).map(|seed| (seed, Plan::drawn(seed))), enough, |seed, _, played| {
        let found = match &played {
            Ok(report) => {
                sum.add(report);
                report.violations.first().map(ToString::to_string)
            }
            Err(why) => Some(why.clone()),
        };
        sum.seeds += 1;
        progress.step(found.is_some());
        if let Some(found) = found {
            progress.clear();
            println!("seed {seed}: {found}");
            sum.failed.insert(seed, found);
        }
    });
    progress.clear();
    sum.show(from, began.elapsed());
    Ok(if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.simulated += report.simulated;
        let (ok, failed, unknown) = &mut self.operations;
        *ok += report.operations.0;
        *failed += report.operations.1;
        *unknown += report.operations.2;
        for (kind, count) in &report.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for mark in &report.marks {
            *self.marks.entry(mark.clone()).or_default() += 1;
        }
    }

    fn show(&self, from: u64, took: Duration) {
        let (seconds, simulated) = (took.as_secs_f64(), self.simulated.as_secs_f64());
        let (ok, failed, unknown) = self.operations;
        println!("seeds       {} from {from} on, in {seconds:.0} s", self.seeds);
        println!("simulated   {:.1} h, {:.0} times real time", simulated / 3_600.0, simulated / seconds.max(1e-3));
        println!("operations  {ok} acknowledged, {failed} refused, {unknown} of unknown fate");
        println!("faults      {} of {} kinds", self.faults.values().sum::<usize>(), self.faults.len());
        table(&self.faults, "");
        println!("marks       {} reached, with the number of seeds that did", self.marks.len());
        table(&self.marks, "seeds");
        println!("failed      {}", self.failed.len());
        for (seed, found) in self.failed.iter().take(NAMED) {
            println!("  {found}\n    see it again: cargo run -p sim -- run --seed {seed}");
        }
    }
}

fn table(counts: &BTreeMap<String, usize>, unit: &str) {
    counts.iter().for_each(|(what, count)| println!("  {}", format!("{count:>7} {unit:<5} {what}").trim_end()));
}
