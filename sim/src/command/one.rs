//! One plan in this process.

use anyhow::{Context, Result, bail};
use sim::{journal::Journal, plan::Plan, report::Report, world};
use std::{
    fs,
    io::Read,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Shows the plan of a seed.
pub(super) fn show(seed: u64) -> Result<ExitCode> {
    println!("{}", Plan::drawn(seed).to_ron());
    Ok(ExitCode::SUCCESS)
}

/// Plays the plan of a seed.
pub(super) fn seed(seed: u64, journal: Option<&Path>) -> Result<ExitCode> {
    tell(&Plan::drawn(seed), journal, &format!("seed {seed}"), &format!("cargo run -p sim -- run --seed {seed}"))
}

/// Plays the plan in a file.
pub(super) fn file(plan: &Path, journal: Option<&Path>) -> Result<ExitCode> {
    let name = plan.display();
    tell(&read(plan)?, journal, &name.to_string(), &format!("cargo run -p sim -- replay {name}"))
}

/// Plays the plan in a file and prints the report as a value.
pub(super) fn value(plan: &Path) -> Result<ExitCode> {
    let report = world::run(&read(plan)?, &Journal::default())?;
    println!("{}", ron::to_string(&report)?);
    Ok(ExitCode::SUCCESS)
}

/// The plan in a file; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<Plan> {
    let name = file.display();
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = fs::read_to_string(file).with_context(|| name.to_string())?;
    }
    Plan::from_ron(&text).with_context(|| name.to_string())
}

/// Plays a plan for somebody who reads what came of it; `again` is the line that shows the same again.
fn tell(plan: &Plan, file: Option<&Path>, name: &str, again: &str) -> Result<ExitCode> {
    let journal = if file.is_some() { Journal::whole() } else { Journal::default() };
    let began = Instant::now();
    let report = world::run(plan, &journal)?;
    let took = began.elapsed();
    if let Some(file) = file {
        let Some(text) = journal.text() else { bail!("a journal that is to be written is kept whole") };
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    print!("{name}\n{plan}{report}");
    if report.is_clean() {
        println!("clean, in {:.1} s ({:.0} times real time)", took.as_secs_f64(), faster(&report, took));
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nthe plan:\n{}\n\nsee it again: {again}", plan.to_ron());
    Ok(ExitCode::FAILURE)
}

fn faster(report: &Report, took: Duration) -> f64 {
    report.simulated.as_secs_f64() / took.as_secs_f64().max(1e-3)
}
