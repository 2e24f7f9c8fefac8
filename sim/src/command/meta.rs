//! The test of the simulation itself: without it no seed is worth anything.

use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

/// Plays each seed in two fresh processes and compares their journals byte for byte.
pub(super) fn meta(seeds: &[u64]) -> Result<ExitCode> {
    let mut ended = ExitCode::SUCCESS;
    for seed in seeds {
        let (one, two) = (journal(*seed, "one")?, journal(*seed, "two")?);
        if one == two {
            let lines = one.iter().filter(|byte| **byte == b'\n').count();
            println!("seed {seed}: {} bytes of journal in {lines} lines, the same twice", one.len());
        } else {
            println!("seed {seed} differs from itself{}", first_difference(&one, &two));
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
}

fn journal(seed: u64, which: &str) -> Result<Vec<u8>> {
    let file: PathBuf = env::temp_dir().join(format!("kroxy-sim-{}-{seed}-{which}", std::process::id()));
    // Whether the run is clean is not the question here.
    Command::new(env::current_exe()?)
        .args(["run", "--seed", &seed.to_string(), "--journal"])
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .context("kroxy-sim can be started")?;
    let journal = fs::read(&file).with_context(|| format!("seed {seed} has left no journal"))?;
    fs::remove_file(&file)?;
    ensure!(!journal.is_empty(), "the journal of seed {seed} is empty: nothing was compared");
    Ok(journal)
}

fn first_difference(one: &[u8], two: &[u8]) -> String {
    let lines = one.split(|byte| *byte == b'\n').zip(two.split(|byte| *byte == b'\n')).zip(1..);
    let text = String::from_utf8_lossy;
    lines.into_iter().find(|((a, b), _)| a != b).map_or_else(
        || ", in length".to_owned(),
        |((a, b), line)| format!(", in line {line}:\n  {}\n  {}", text(a), text(b)),
    )
}
