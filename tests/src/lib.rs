//! What the end-to-end tests share: a real Kafka, kroxy's own binary in front of it, and clients in other languages.
//!
//! Nothing here knows kroxy from inside: it is started, killed and talked to as a user would. The tests need Java, Go,
//! Node.js and Python, so they run only when asked for, and say so when they do not: see [`asked_for`].

pub mod admin;
#[path = "../../runtime/tests/cargo/mod.rs"]
mod cargo;
pub mod cluster;
pub mod configuration;
pub mod issuer;
pub mod java;
pub mod library;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod terminal;
pub mod wire;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A first build compiles everything.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// The variable that asks for the tests with a real Kafka.
pub const ASK: &str = "KROXY_REAL_KAFKA";

/// What `KROXY_REAL_KAFKA` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `1`: clients talk to kroxy, kroxy to Kafka.
    Proxied,
    /// `direct`: clients talk to Kafka itself. What fails then is no proxy's fault.
    Direct,
}

/// One story at a time: they share ports, and the machine is small.
static TURN: Mutex<()> = Mutex::new(());

/// The right to run a story with a real Kafka, held while it runs.
#[derive(Debug)]
pub struct Turn {
    /// Whether kroxy takes part.
    pub mode: Mode,
    story: &'static str,
    _alone: MutexGuard<'static, ()>,
}

/// Waits for this story's turn; `None`, and a line on standard error, when nobody asked for a real Kafka.
pub fn asked_for(story: &'static str) -> Option<Turn> {
    let mode = match env::var(ASK).as_deref() {
        Ok("1") => Mode::Proxied,
        Ok("direct") => Mode::Direct,
        Ok(_) | Err(_) => {
            say(&format!("{story}: not run: set {ASK}=1 to start a real Kafka and its clients"));
            return None;
        }
    };
    let alone = TURN.lock().unwrap_or_else(PoisonError::into_inner); // a failed story harms no other
    say(&format!("{story}: begins"));
    Some(Turn { mode, story, _alone: alone })
}

/// Writes a line to standard error, past the test runner, which would keep it to itself when the test passes.
pub fn say(line: &str) {
    // Nobody reads standard error: then there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// A binary of the workspace, in the profile of what runs and with the features that tests give to dependencies.
///
/// # Panics
/// When it cannot be built.
pub fn built(binary: &str) -> PathBuf {
    let with_tests = ["--workspace", "--bin", binary, "--test", "console"];
    process::run(BUILD_LIMIT, &cargo::build(&with_tests)).demand("cargo build");
    cargo::profile_folder().join(binary)
}

/// The proxy's program, in the profile of what runs and for the rest as its users have it.
///
/// # Panics
/// When it cannot be built.
pub fn built_for_users() -> PathBuf {
    process::run(BUILD_LIMIT, &cargo::build(&["--bin", "kroxy"])).demand("cargo build");
    cargo::profile_folder().join("kroxy")
}

/// Where a story leaves configuration and logs, in cargo's output folder.
pub fn scratch(name: &str) -> PathBuf {
    let folder = cargo::profile_folder().join("real-kafka").join(name);
    std::fs::create_dir_all(&folder).expect("cargo's output folder is writable");
    folder
}
