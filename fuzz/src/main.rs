//! Draws cases from seeds and judges them, or judges cases that were kept.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use fuzz::{
    case::Case,
    runner::{judge, smallest},
};
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often a long run says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

#[derive(Parser)]
#[command(name = "kroxy-fuzz", about = "Hostile bytes for everything of kroxy that reads bytes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge the cases of seeds, one after the other
    Run {
        /// The first seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many
        #[arg(long, default_value_t = u64::MAX)]
        count: u64,
        /// Begin no further one after so many minutes
        #[arg(long)]
        minutes: Option<u64>,
        /// Write a case that fails, made small, to this file
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Show the case of a seed, as it is kept in a file
    Show {
        /// The seed
        seed: u64,
    },
    /// Judge cases that were kept
    Replay {
        /// Their files
        files: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run { seed, count, minutes, keep } => run(seed, count, minutes, keep),
        Command::Show { seed } => {
            println!("{}", Case::draw(seed));
            Ok(())
        }
        Command::Replay { files } => files.iter().try_for_each(|file| {
            let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            let case: Case = text.parse()?;
            judge(&case).map_err(anyhow::Error::msg).with_context(|| format!("{} fails", file.display()))?;
            println!("{}: holds", file.display());
            Ok(())
        }),
    }
}

/// What the cases of one reader took.
#[derive(Default)]
struct Tally {
    cases: u64,
    memory: usize,
    slowest: Duration,
    slowest_seed: u64,
}

fn run(first: u64, count: u64, minutes: Option<u64>, keep: Option<PathBuf>) -> anyhow::Result<()> {
    let began = Instant::now();
    let until = minutes.map(|minutes| began + Duration::from_secs(60 * minutes));
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut said = began;
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            println!("at seed {seed} after {:.0?}", began.elapsed());
        }
        let case = Case::draw(seed);
        match judge(&case) {
            Ok(cost) => {
                let tally = tallies.entry(case.reader()).or_default();
                tally.cases += 1;
                tally.memory = tally.memory.max(cost.memory);
                if cost.took > tally.slowest {
                    (tally.slowest, tally.slowest_seed) = (cost.took, seed);
                }
            }
            Err(why) => return failed(seed, case, &why, keep),
        }
    }
    for (reader, Tally { cases, memory, slowest, slowest_seed }) in &tallies {
        let memory = memory >> 10;
        println!(
            "{reader}: {cases} cases hold, {memory} KiB of memory and {slowest:.1?} at the most (seed {slowest_seed})"
        );
    }
    println!(
        "{} cases in {:.0?}, from seed {first}",
        tallies.values().map(|tally| tally.cases).sum::<u64>(),
        began.elapsed()
    );
    Ok(())
}

fn failed(seed: u64, case: Case, why: &str, keep: Option<PathBuf>) -> anyhow::Result<()> {
    let small = smallest(case, why);
    if let Some(file) = keep {
        fs::write(&file, small.to_string()).with_context(|| format!("{} cannot be written", file.display()))?;
    } else {
        println!("{small}");
    }
    bail!("seed {seed} fails ({}): {why}\nagain: kroxy-fuzz run --seed {seed} --count 1", small.reader())
}
