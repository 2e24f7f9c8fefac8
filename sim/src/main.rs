//! `kroxy-sim`: plays simulations, one or many, and writes down what a failure needs to be seen again.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use sim::{journal::Journal, plan::Plan, world};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// kroxy under injected faults, in simulated time.
#[derive(Parser)]
#[command(name = "kroxy-sim", version)]
struct Args {
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
    /// Plays many seeds, each in a process of its own.
    Sweep {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// Plays a plan from a file.
    Replay {
        /// The file.
        plan: PathBuf,
        /// Writes every event here.
        #[arg(long)]
        journal: Option<PathBuf>,
    },
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    sim::may_run()?;
    if let Some(filter) = &args.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter).context("--log")?;
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    match args.what {
        What::Run { seed, show: true, .. } => {
            println!("{}", Plan::drawn(seed).to_ron());
            Ok(ExitCode::SUCCESS)
        }
        What::Run { seed, journal, show: false } => {
            let again = format!("cargo run -p sim -- run --seed {seed}");
            play(&Plan::drawn(seed), journal.as_deref(), &format!("seed {seed}"), &again)
        }
        What::Replay { plan, journal } => {
            let text = fs::read_to_string(&plan).with_context(|| plan.display().to_string())?;
            let read = Plan::from_ron(&text).with_context(|| plan.display().to_string())?;
            let again = format!("cargo run -p sim -- replay {}", plan.display());
            play(&read, journal.as_deref(), &plan.display().to_string(), &again)
        }
        What::Sweep { from, count } => sweep(from, count),
    }
}

fn play(plan: &Plan, to: Option<&Path>, name: &str, again: &str) -> Result<ExitCode> {
    let journal = if to.is_some() { Journal::whole() } else { Journal::default() };
    let began = Instant::now();
    let report = world::run(plan, &journal)?;
    if let (Some(to), Some(text)) = (to, journal.text()) {
        fs::write(to, text).with_context(|| to.display().to_string())?;
    }
    let took = began.elapsed();
    let faster = report.simulated.as_secs_f64() / took.as_secs_f64().max(1e-3);
    print!("{name}\n{plan}{report}");
    if report.is_clean() {
        println!("clean, in {:.1} s ({faster:.0} times real time)", took.as_secs_f64());
        Ok(ExitCode::SUCCESS)
    } else {
        println!("\nsee it again: {again}");
        Ok(ExitCode::FAILURE)
    }
}

fn sweep(from: u64, count: u64) -> Result<ExitCode> {
    let me = std::env::current_exe()?;
    let began = Instant::now();
    let mut failed = BTreeMap::new();
    let (mut simulated, mut faults) = (Duration::ZERO, BTreeMap::<&'static str, usize>::new());
    for seed in from..from + count {
        let played = Command::new(&me).args(["run", "--seed", &seed.to_string()]).output()?;
        let text = String::from_utf8_lossy(&played.stdout).into_owned();
        let seconds =
            text.lines().find_map(|line| line.strip_prefix("simulated")?.split_whitespace().next()?.parse().ok());
        simulated += Duration::from_secs_f64(seconds.unwrap_or(0.0));
        Plan::drawn(seed).faults.iter().for_each(|timed| *faults.entry(timed.fault.kind()).or_default() += 1);
        if !played.status.success() {
            let why = text.lines().skip_while(|line| *line != "wrong:").nth(1).unwrap_or("it died").trim().to_owned();
            println!("seed {seed}: {why}");
            failed.insert(seed, why);
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!("{count} seeds in {took:.0} s, {:.0} simulated s", simulated.as_secs_f64());
    faults.iter().for_each(|(kind, n)| println!("  {n:>6} {kind}"));
    match failed.first_key_value() {
        None => Ok(ExitCode::SUCCESS),
        Some((seed, _)) => {
            println!("{} failed; the first again: cargo run -p sim -- run --seed {seed}", failed.len());
            Ok(ExitCode::FAILURE)
        }
    }
}
