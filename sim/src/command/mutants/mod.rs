//! Seeded defects: each has to be found by a sweep, or the checkers and faults have a hole.
//!
//! A mutant is a search and replacement in `sim/mutants/*.ron`. All of them are applied to one copy of the workspace, each
//! behind a switch that an environment variable turns on: one build serves all, and the product knows nothing of it.
//!
//! A hunt goes through the seeds from 0 on. Which seed was the first to find a mutant is kept in `sim/mutants/found.ron`, so
//! that whether it still does can be asked cheaply.

mod copy;
mod table;

use self::copy::Workspace;
use super::children::Player;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sim::plan::Plan;
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Turns a mutant on, in the copy.
const SWITCH: &str = "KROXY_MUTANT";

/// A seeded defect.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// Unique, and what turns it on.
    name: String,
    /// What is wrong with it, in a few words.
    what: String,
    /// What makes it, each of which has to fit exactly once.
    edits: Vec<Edit>,
}

/// A change of a source file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// From the root of the workspace.
    file: String,
    /// Occurs exactly once in it.
    find: String,
    /// Goes in its place; `MUTATED` says whether the mutant is alive.
    replace: String,
}

/// By mutant: the seed that found it first.
type Known = BTreeMap<String, u64>;

/// Where that is kept, from the root of the workspace.
const KNOWN: &str = "sim/mutants/found.ron";

/// How a mutant was found.
struct Found {
    seed: u64,
    by: String,
    what: String,
}

/// What is asked of the check.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds, from 0 on, may pass until a mutant is found.
    #[arg(long, default_value_t = 1500)]
    seeds: u64,
    /// Only mutants whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Begins no further mutant after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Only checks that every mutant still fits the sources.
    #[arg(long)]
    check: bool,
    /// Tries the seed that has found a mutant before, and hunts only where that finds it no more.
    #[arg(long)]
    known: bool,
    /// Writes what was found into docs/simulation.md and sim/mutants/found.ron.
    #[arg(long, conflicts_with_all = ["known", "minutes"])]
    write: bool,
}

/// Builds all mutants and has each be found.
pub(super) fn mutants(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::of_this_build()?;
    let all = read(&workspace.root.join("sim/mutants"))?;
    let sources = workspace.mutated(&all)?;
    println!("{} mutants fit the sources", all.len());
    if options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let program = workspace.build(&sources)?;
    println!("built in {:.0} s", began.elapsed().as_secs_f64());
    let known = known(&workspace.root.join(KNOWN))?;
    let (mut hunt, began) = (Hunt { player: Player::of(program), clean: BTreeMap::new() }, Instant::now());
    let (mut lines, mut survivors) = (Vec::new(), Vec::new());
    let wanted = |mutant: &&Mutant| options.only.as_ref().is_none_or(|part| mutant.name.contains(part.as_str()));
    for mutant in all.iter().filter(wanted) {
        if options.minutes.is_some_and(|minutes| began.elapsed() >= Duration::from_secs(60 * minutes)) {
            println!("no time left for {} and what follows it: nothing is said of them", mutant.name);
            break;
        }
        let before = known.get(&mutant.name).filter(|_| options.known);
        let mut found = before.and_then(|seed| hunt.through(mutant, *seed..seed + 1));
        if found.is_none() {
            found = hunt.through(mutant, 0..options.seeds);
        }
        match found {
            Some(found) => {
                println!("{:<32} seed {:>4}  {}: {}", mutant.name, found.seed, found.by, found.what);
                lines.push((mutant, found));
            }
            None => {
                println!("{:<32} SURVIVES {} seeds: {}", mutant.name, options.seeds, mutant.what);
                survivors.push(&mutant.name);
            }
        }
    }
    println!("{} found, {} survived, in {:.0} s", lines.len(), survivors.len(), began.elapsed().as_secs_f64());
    if options.write {
        table::write(&workspace.root, &all, known, lines)?;
    }
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn known(file: &Path) -> Result<Known> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    ron::from_str(&text).with_context(|| file.display().to_string())
}

/// All mutants, in the order of their files.
fn read(folder: &Path) -> Result<Vec<Mutant>> {
    let files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<_> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut all: Vec<Mutant> = Vec::new();
    let is_list = |file: &&PathBuf| file.extension().is_some_and(|e| e == "ron") && !file.ends_with(KNOWN);
    for file in files.iter().filter(is_list) {
        let of_file: Vec<Mutant> =
            ron::from_str(&fs::read_to_string(file)?).with_context(|| file.display().to_string())?;
        all.extend(of_file);
    }
    for (place, mutant) in all.iter().enumerate() {
        ensure!(all[..place].iter().all(|other| other.name != mutant.name), "two mutants are called {}", mutant.name);
    }
    if all.is_empty() {
        bail!("there are no mutants in {}", folder.display());
    }
    Ok(all)
}

/// Plays seeds with mutants.
struct Hunt {
    player: Player,
    /// Seeds that have found a mutant, and whether they are clean without any.
    clean: BTreeMap<u64, bool>,
}

impl Hunt {
    /// Plays seeds until one finds the mutant. A seed that fails without it as well says nothing about it.
    fn through(&mut self, mutant: &Mutant, seeds: Range<u64>) -> Option<Found> {
        let Self { player, clean } = self;
        let mut findings = BTreeMap::new();
        let done = AtomicBool::new(false);
        let plans = seeds.map(|seed| (seed, Plan::drawn(seed)));
        player.clone().with(SWITCH, &mutant.name).play_all(
            plans,
            || done.load(Relaxed),
            |seed, plan, played| {
                let (by, what) = match played {
                    Ok(report) => match report.violations.into_iter().next() {
                        Some(first) => (first.checker.to_string(), first.what),
                        None => return,
                    },
                    Err(why) => ("process".to_owned(), why),
                };
                let is_clean =
                    *clean.entry(seed).or_insert_with(|| player.play(plan).is_ok_and(|report| report.is_clean()));
                if is_clean {
                    done.store(true, Relaxed);
                    findings.insert(seed, Found { seed, by, what });
                } else {
                    println!("seed {seed} fails without any mutant");
                }
            },
        );
        // Those that were under way go on: the first in order is the first of all.
        findings.into_values().next()
    }
}
