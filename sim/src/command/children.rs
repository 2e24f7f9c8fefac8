//! Plans in processes of their own, on every core.
//!
//! A fresh process for each, because tokio numbers its tasks through the whole process: what fails here fails again in
//! `kroxy-sim run`.

use anyhow::{Context, Result};
use sim::{plan::Plan, report::Report};
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How long a world may take in real time: a hundred times the usual. One that stands still in simulated time never ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a child is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// A program that plays plans.
#[derive(Clone, Debug)]
pub(super) struct Player {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

/// What came of a plan: what the process said, or how it died.
pub(super) type Played = Result<Report, String>;

impl Player {
    /// This program.
    pub(super) fn this() -> Result<Self> {
        Ok(Self::of(std::env::current_exe().context("this program has no path")?))
    }

    /// Another program that takes the same commands.
    pub(super) const fn of(program: PathBuf) -> Self {
        Self { program, environment: Vec::new() }
    }

    /// The same with an environment variable.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Plays a plan in a fresh process.
    pub(super) fn play(&self, plan: &Plan) -> Played {
        let mut child = Command::new(&self.program)
            .args(["replay", "--ron", "-"])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{} does not start: {e}", self.program.display()))?;
        let mut input = child.stdin.take().expect("it is piped");
        // A child that died early says so below.
        let _ = input.write_all(plan.to_ron().as_bytes());
        drop(input);
        let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let ended = await_end(&mut child);
        let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
        let last = err.lines().last().unwrap_or("it says nothing");
        match ended {
            Some(status) if status.success() => {
                ron::from_str(&out).map_err(|e| format!("it says what is no report: {e}: {last}"))
            }
            Some(status) => Err(format!("it died ({status}): {last}")),
            None => Err(format!("it does not end within {PATIENCE:?} of real time")),
        }
    }

    /// Plays plans on every core, in their order as far as that goes, and tells of each as it ends. Begins no further one
    /// once `enough` says so.
    pub(super) fn play_all<K: Send>(
        &self,
        plans: impl Iterator<Item = (K, Plan)> + Send,
        enough: impl Fn() -> bool + Sync,
        mut tell: impl FnMut(K, &Plan, Played),
    ) {
        let plans = Mutex::new(plans);
        let (results, arrived) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                let (results, plans, enough) = (results.clone(), &plans, &enough);
                scope.spawn(move || {
                    while !enough() {
                        let next = plans.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((key, plan)) = next else { break };
                        let played = self.play(&plan);
                        if results.send((key, plan, played)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(results);
            arrived.iter().for_each(|(key, plan, played)| tell(key, &plan, played));
        });
    }
}

/// Reads all that a child says, so that it never waits for us.
fn drain(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut text); // what came until then is what there is
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn await_end(child: &mut Child) -> Option<std::process::ExitStatus> {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(LOOK);
    }
    let _ = child.kill(); // it may just have ended
    let _ = child.wait();
    None
}
