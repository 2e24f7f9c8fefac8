//! The commands of `kroxy-sim`.

mod children;
mod meta;
mod mutants;
mod one;
mod progress;
mod shrink;
mod sweep;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// kroxy under injected faults, in simulated time.
#[derive(Parser)]
#[command(name = "kroxy-sim", version)]
pub(crate) struct Args {
    /// What the runtime logs, such as `runtime=debug`; to standard error.
    #[arg(long, global = true)]
    log: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Plays the plan that a seed draws.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Writes every event here.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// Shows the plan and plays nothing.
        #[arg(long)]
        show: bool,
    },
    /// Plays a plan from a file.
    Replay {
        /// The file; `-` is standard input.
        plan: PathBuf,
        /// Writes every event here.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// Prints the report as a value, for another program.
        #[arg(long, hide = true)]
        ron: bool,
    },
    /// Plays many seeds, each in a process of its own, on every core.
    Sweep {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// Begins no further seed after so many minutes.
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Plays a seed in two fresh processes: their journals must not differ in a single byte.
    Meta {
        /// The seed; several are tried one after the other.
        #[arg(long, required = true)]
        seed: Vec<u64>,
    },
    /// Takes out of a failing plan what it fails without.
    Shrink {
        /// The file.
        plan: PathBuf,
        /// Where the plan that is left goes.
        #[arg(long, default_value = "shrunk.ron")]
        out: PathBuf,
    },
    /// Has every seeded defect be found by a sweep.
    Mutants(mutants::Options),
}

/// Carries out a command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if let Some(filter) = &args.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter).context("--log")?;
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    match args.what {
        What::Run { seed, show: true, .. } => one::show(seed),
        What::Run { seed, journal, show: false } => one::seed(seed, journal.as_deref()),
        What::Replay { plan, ron: true, .. } => one::value(&plan),
        What::Replay { plan, journal, ron: false } => one::file(&plan, journal.as_deref()),
        What::Sweep { from, count, minutes } => sweep::sweep(from, count, minutes),
        What::Meta { seed } => meta::meta(&seed),
        What::Shrink { plan, out } => shrink::shrink(&plan, &out),
        What::Mutants(options) => mutants::mutants(&options),
    }
}
