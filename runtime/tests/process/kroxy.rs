//! A `kroxy serve` of a test's own, and commands that talk to it.

use crate::ports::free_port;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// Long enough for a machine under load, short enough to notice what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_kroxy");

/// Virtual clusters of one node each, with ports that stay the same while the configuration is written anew.
pub(crate) struct Clusters(Vec<(&'static str, u16, u16)>);

impl Clusters {
    pub(crate) fn new(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, free_port(), free_port())).collect())
    }

    /// Where the clients of one of them begin.
    pub(crate) fn bootstrap(&self, place: usize) -> String {
        format!("127.0.0.1:{}", self.0[place].1)
    }

    /// The configuration, with an upstream for all of them and more settings.
    pub(crate) fn with(&self, upstream: &str, more: &str) -> String {
        let clusters = self.0.iter().map(|(name, port, node)| {
            format!(
                r#"(name: "{name}", upstream: (bootstrap_servers: ["{upstream}"]), gateways: [(name: "g", port_per_broker:
                (bind: "127.0.0.1", advertised_host: "localhost", bootstrap_port: {port}, nodes: [(ids: (0, 0), first_port: {node})]))])"#
            )
        });
        let clusters = clusters.collect::<Vec<_>>().join(",\n");
        let admin = if more.contains("admin:") { "" } else { r#"admin: (bind: "127.0.0.1:0"),"# };
        format!("({admin} {more}\n virtual_clusters: [\n{clusters}\n])\n")
    }
}

/// A proxy in a process of its own, killed when its test ends.
pub(crate) struct Kroxy {
    child: Child,
    log: Receiver<Value>,
    /// What was heard of the log so far.
    heard: String,
    admin: Option<String>,
}

impl Kroxy {
    /// Starts with the configuration in a file, and waits until it has started.
    pub(crate) fn serve(file: &Path) -> Self {
        let mut kroxy = Self::spawn(file, &[]);
        kroxy.hear("the proxy is started");
        kroxy
    }

    /// The same with so many file descriptors at the most.
    pub(crate) fn serve_within(file: &Path, descriptors: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), PROGRAM]);
        let mut kroxy = Self::start(shell, file, &[]);
        kroxy.hear("the proxy is started");
        kroxy
    }

    /// Starts with further variables in its environment, and waits for nothing.
    pub(crate) fn spawn(file: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start(Command::new(PROGRAM), file, environment)
    }

    fn start(mut command: Command, file: &Path, environment: &[(&str, &str)]) -> Self {
        command.args(["--log-format", "json", "serve"]).arg(file).env_remove("RUST_LOG");
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (tell, log) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, log, heard: String::new(), admin: None }
    }

    /// Waits for a line of the log with these words.
    pub(crate) fn hear(&mut self, words: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|e| panic!("nothing about {words:?}: {e}"));
            self.heard += &line.to_string();
            if let Some(address) = line["address"].as_str() {
                self.admin = Some(address.to_owned());
            }
            if line["message"].as_str().or(line.as_str()).is_some_and(|message| message.contains(words)) {
                return line;
            }
        }
    }

    /// Whether a line with these words has come; waits for none.
    pub(crate) fn has_said(&mut self, words: &str) -> bool {
        for line in self.log.try_iter() {
            self.heard += &line.to_string();
        }
        self.heard.contains(words)
    }

    /// Where its admin API listens.
    pub(crate) fn admin(&self) -> &str {
        self.admin.as_deref().expect("it has said so before it started")
    }

    /// Asks it there from now on.
    pub(crate) fn reach(&mut self, admin: &str) {
        self.admin = Some(admin.to_owned());
    }

    /// What was heard of the log so far.
    pub(crate) fn heard(&self) -> &str {
        &self.heard
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent =
            Command::new("kill").args(["-s", signal, &self.process_id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "it runs");
    }

    /// A command that asks this proxy: `kroxy WORDS --connect …`.
    pub(crate) fn ask(&self, words: &[&str]) -> Answer {
        run(&[words, &["--connect", self.admin()]].concat())
    }

    pub(crate) fn status(&self) -> Value {
        self.ask(&["status", "-o", "json"]).json()
    }

    /// Waits until it has ended, and says with which code.
    pub(crate) fn ended(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        // The log ends when the process does.
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard += &line.to_string(),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        self.child.wait().expect("it is ours").code().expect("it was not killed")
    }
}

impl Drop for Kroxy {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, as a rule
        let _ = self.child.wait(); // likewise
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs `kroxy` with these arguments.
pub(crate) fn run(words: &[&str]) -> Answer {
    let Output { status, stdout, stderr } = Command::new(PROGRAM).args(words).output().expect("the program was built");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code: status.code().expect("it was not killed"), out: text(stdout), errors: text(stderr) }
}
