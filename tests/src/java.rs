//! Kafka's own clients: the lab's probe as a producer, and the consumer of Kafka's system tests.

use crate::cluster::{Cluster, Listener};
use crate::process::{limited, tail, wait_until};
use crate::scratch;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);
const START_LIMIT: Duration = Duration::from_secs(60);

/// Short-lived programs on a small machine.
const QUICK_START: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

/// A producer that sends so many records a second, whatever the answers do, and then compares the log, read past kroxy, with
/// what it was told.
#[derive(Debug)]
pub struct Probe {
    name: String,
    program: Program,
}

/// What a probe has seen, and found in the log.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Records sent.
    pub sent: u64,
    /// Of them acknowledged; with `acks=0`, written to the socket.
    pub acked: u64,
    /// Acknowledged, and not in the log.
    pub lost: u64,
    /// In the log more than once.
    pub doubled: u64,
    /// Reported to the application as failed, and in the log all the same.
    pub failed_but_written: u64,
    /// In the log behind a record that was sent later.
    pub disordered: u64,
    /// Milliseconds: the longest time without an acknowledgement after the warm-up.
    pub max_gap_ms: f64,
    /// What the application was told, and how often.
    pub errors: BTreeMap<String, u64>,
}

impl Probe {
    /// Starts one that sends to a topic of its own; `settings` are the probe's, separated by blanks.
    pub fn start(cluster: &Cluster<'_>, story: &str, name: &str, bootstrap: &str, settings: &str) -> Self {
        let audit = cluster.bootstrap(Listener::Plaintext);
        let mut kafka = java(cluster, "probe");
        kafka.arg(format!("bootstrap={bootstrap}")).arg(format!("topic={story}-{name}")).arg(format!("audit={audit}"));
        kafka.args(settings.split_whitespace());
        Self { name: name.to_owned(), program: Program::start(story, name, &kafka) }
    }

    /// Waits until it has begun to send.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn wait_until_it_sends(&mut self) {
        wait_until("a probe sends", START_LIMIT, || {
            assert!(self.runs(), "{} has ended: {}", self.name, self.program.complaints());
            self.program.complaints().contains("READY")
        });
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.program.runs()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn report(mut self) -> Report {
        let status = self.program.child.wait().expect("it was started");
        let report = self.program.lines().last().and_then(|line| serde_json::from_value(line.clone()).ok());
        report.unwrap_or_else(|| panic!("{}: {status}\n{}", self.name, tail(&self.program.complaints())))
    }
}

impl Report {
    /// What must hold for every producer: no error, nothing lost, nothing twice.
    pub fn flaws(&self) -> Vec<String> {
        let none = |what: &str, n: u64| (n > 0).then(|| format!("{n} records are {what}"));
        let mut flaws: Vec<_> = [none("lost", self.lost), none("in the log more than once", self.doubled)].into();
        flaws.push(none("in the log though they failed", self.failed_but_written));
        flaws.push((!self.errors.is_empty()).then(|| format!("the application saw {:?}", self.errors)));
        flaws.into_iter().flatten().collect()
    }
}

/// A member of a consumer group, which runs until it is dropped.
#[derive(Debug)]
pub struct Member {
    program: Program,
}

impl Member {
    /// Starts one; `settings` are those of the consumer, one a line.
    pub fn start(
        cluster: &Cluster<'_>,
        story: &str,
        name: &str,
        at: &str,
        topic: &str,
        group: &str,
        settings: &str,
    ) -> Self {
        let properties = scratch(story).join(format!("{name}.properties"));
        fs::write(&properties, settings).expect("cargo's output folder is writable");
        let mut kafka = java(cluster, "verifiable-consumer");
        kafka.args(["--verbose", "--bootstrap-server", at, "--topic", topic, "--group-id", group]);
        kafka.arg("--command-config").arg(&properties);
        if !settings.contains("group.protocol") {
            kafka.args(["--session-timeout", "10000"]);
        }
        Self { program: Program::start(story, name, &kafka) }
    }

    /// What it has reported so far under a name.
    ///
    /// # Panics
    /// When it has ended.
    pub fn events(&mut self, name: &str) -> Vec<Value> {
        assert!(self.program.runs(), "it has ended: {}", tail(&self.program.complaints()));
        self.program.lines().into_iter().filter(|event| event["name"] == name).collect()
    }
}

fn java(cluster: &Cluster<'_>, tool: &str) -> Command {
    let mut kafka = cluster.script("kafka");
    kafka.arg(tool).env("JAVA_TOOL_OPTIONS", QUICK_START).env("HEAP", "256m");
    kafka
}

/// A program that speaks into files, and ends when it is dropped.
#[derive(Debug)]
struct Program {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Program {
    fn start(story: &str, name: &str, command: &Command) -> Self {
        let folder = scratch(story);
        let (out, err) = (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.err")));
        let file = |path: &Path| File::create(path).expect("cargo's output folder is writable");
        let mut limited = limited(LIMIT, command);
        limited.stdout(Stdio::from(file(&out))).stderr(Stdio::from(file(&err)));
        Self { child: limited.spawn().expect("coreutils are installed"), out, err }
    }

    fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// All whole lines that are JSON: a line may be half written, and others are not meant for us.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.runs() {
            // `timeout` hands SIGTERM on, and SIGKILL would end only `timeout`. Both fail only when it has just ended.
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}
