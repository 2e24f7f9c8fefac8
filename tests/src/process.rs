//! Other programs: run to their end within a limit, or waited for.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; 124 or 137 after the limit.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// The standard output of a program that succeeded.
    ///
    /// # Panics
    /// With everything that it said, when it failed.
    pub fn demand(self, what: &str) -> String {
        assert!(
            self.status.success(),
            "{what}: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            tail(&self.stdout),
            tail(&self.stderr)
        );
        self.stdout
    }
}

/// The end of a long text: where programs say why they gave up.
pub fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(4000);
    let start = (start..text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
    &text[start..]
}

/// The same command under coreutils' `timeout`: whatever it starts ends with it, so that no test can hang.
pub fn limited(limit: Duration, command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=10", &limit.as_secs().to_string()]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited.stdin(Stdio::null());
    limited
}

/// The same program where the names of a file with the form of `/etc/hosts` are known, and nowhere else. Needs `unshare` of
/// util-linux.
pub fn knowing(hosts: &Path, command: &Command) -> Command {
    let mut inner = Command::new("unshare");
    inner.args(["--map-root-user", "--mount", "sh", "-c", r#"mount --bind "$HOSTS" /etc/hosts && exec "$@""#, "sh"]);
    inner.arg(command.get_program()).args(command.get_args()).env("HOSTS", hosts);
    for (name, value) in command.get_envs() {
        inner.env(name, value.unwrap_or_default());
    }
    inner
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(limit: Duration, command: &Command) -> Finished {
    let out = limited(limit, command).output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    Finished {
        status: out.status,
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// Asks again and again until the answer is yes: other processes have no event that we could wait for.
///
/// # Panics
/// When the answer is still no at the end of the limit.
pub fn wait_until(what: &str, limit: Duration, mut yes: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !yes() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
