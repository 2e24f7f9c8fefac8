//! A real Kafka, by the lab's scripts.

use crate::ports::{KAFKA_BASE, KAFKA_PLAINTEXT, KAFKA_SASL, KAFKA_SASL_TLS, KAFKA_TLS};
use crate::process::{Finished, run, wait_until};
use crate::{Turn, workspace};
use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const INSTANCE: &str = "kroxy-tests";
const START_LIMIT: Duration = Duration::from_secs(300); // the first start also fetches Kafka's jars
const STOP_LIMIT: Duration = Duration::from_secs(90);
const TOOL_LIMIT: Duration = Duration::from_secs(120);

/// The listener of a cluster that clients, or kroxy, are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Without authentication.
    Plaintext,
    /// With SASL.
    Sasl,
    /// With TLS.
    Tls,
    /// With SASL over TLS.
    SaslTls,
}

/// A running cluster; dropping it stops the brokers, which is still part of the story's turn.
#[derive(Debug)]
pub struct Cluster<'turn> {
    pub(crate) turn: &'turn Turn,
    scripts: PathBuf,
    brokers: u16,
}

impl<'turn> Cluster<'turn> {
    /// Starts brokers 1 to `brokers`; `options` are those of `kafka-up`.
    ///
    /// # Panics
    /// When a broker does not start.
    pub fn start(turn: &'turn Turn, brokers: u16, options: &[&str]) -> Self {
        let scripts = workspace().join("tests/lab");
        let cluster = Self { turn, scripts, brokers };
        cluster.stop(); // what an interrupted run has left
        let mut up = cluster.script("kafka-up");
        up.args([&brokers.to_string(), "--instance", INSTANCE, "--base", &KAFKA_BASE.to_string()]).args(options);
        run(START_LIMIT, &up).demand("kafka-up");
        cluster
    }

    /// Addresses of all brokers at a listener, as clients want them.
    pub fn bootstrap(&self, listener: Listener) -> String {
        let first = match listener {
            Listener::Plaintext => KAFKA_PLAINTEXT,
            Listener::Sasl => KAFKA_SASL,
            Listener::Tls => KAFKA_TLS,
            Listener::SaslTls => KAFKA_SASL_TLS,
        };
        (first..first + self.brokers).map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// How many brokers it was started with.
    pub fn brokers(&self) -> u16 {
        self.brokers
    }

    /// A script of the lab.
    pub fn script(&self, name: &str) -> Command {
        Command::new(self.scripts.join(name))
    }

    /// Runs one of Kafka's command line tools; `args` are separated by blanks.
    pub fn tool(&self, tool: &str, args: &str) -> Finished {
        run(TOOL_LIMIT, self.script("kafka").arg(tool).args(args.split_whitespace()))
    }

    /// Runs one of Kafka's tools that reads its standard input.
    pub fn tool_with_input(&self, tool: &str, args: &str, input: &Path) -> Finished {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec "$0" "$@" < "$INPUT""#]).arg(self.scripts.join("kafka")).arg(tool);
        run(TOOL_LIMIT, shell.args(args.split_whitespace()).env("INPUT", input))
    }

    /// The file with client settings that `kafka-up --sasl` wrote for a mechanism.
    pub fn client_properties(&self, mechanism: &str) -> PathBuf {
        run_folder().join(format!("client-{}.properties", mechanism.to_lowercase()))
    }

    /// A file that `kafka-up --tls` has made, such as `ca.crt`, `server.crt` and `server.key`.
    pub fn tls_file(&self, name: &str) -> PathBuf {
        lab_folder().join("tls").join(name)
    }

    /// Ends a broker: `TERM` hands its leaders over first, `KILL` does not.
    pub fn signal_broker(&self, broker: u16, signal: &str) -> StoppedBroker {
        let pid = fs::read_to_string(pid_file(broker)).expect("the broker runs");
        let pid = pid.split_whitespace().next().expect("the file begins with the pid").to_owned();
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).expect("the broker runs");
        let args = cmdline.split(|&b| b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned());
        let args = args.filter(|arg| !arg.is_empty()).collect();
        run(STOP_LIMIT, Command::new("kill").arg(format!("-{signal}")).arg(&pid)).demand("kill");
        wait_until("the broker ends", STOP_LIMIT, || process_fields(&pid).is_none());
        StoppedBroker { broker, args }
    }

    fn stop(&self) {
        run(STOP_LIMIT, self.script("kafka-down").arg(INSTANCE)).demand("kafka-down");
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A broker that has ended, and how it was started.
#[derive(Debug)]
pub struct StoppedBroker {
    broker: u16,
    args: Vec<String>,
}

impl StoppedBroker {
    /// Starts it again with its data, and waits until it listens.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn start(self) {
        let log = fs::File::create(run_folder().join(format!("server-{}-again.log", self.broker))).expect("writable");
        let (program, args) = self.args.split_first().expect("a process has a command line");
        let mut shell = Command::new("setsid"); // in a session of its own, as kafka-up does it: Ctrl-C must not reach it
        let child = shell.arg(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let pid = child.expect("it has started before").id().to_string();
        let fields = process_fields(&pid).expect("it has just started");
        // The form that kafka-down knows: the pid, and the start time that proves that it is still that process.
        fs::write(pid_file(self.broker), format!("{pid} {}", fields[19])).expect("writable");
        let address = format!("127.0.0.1:{}", KAFKA_PLAINTEXT + self.broker - 1);
        wait_until("the broker listens again", START_LIMIT, || TcpStream::connect(&address).is_ok());
    }
}

fn lab_folder() -> PathBuf {
    let home = || env::home_dir().expect("a home folder").join(".cache/kroxy-lab");
    env::var_os("KROXY_LAB").map_or_else(home, PathBuf::from)
}

fn run_folder() -> PathBuf {
    lab_folder().join("run").join(INSTANCE)
}

fn pid_file(broker: u16) -> PathBuf {
    run_folder().join(format!("server-{broker}.pid"))
}

/// `/proc/PID/stat` from the state on; `None` when the process is gone or a zombie.
fn process_fields(pid: &str) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    (fields.first()? != "Z").then_some(fields)
}
