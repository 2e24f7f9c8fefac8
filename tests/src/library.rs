//! The clients of `tests/clients`, each another Kafka library: built once, run as processes.

use crate::process::{knowing, limited, run};
use crate::{cargo, workspace};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// A Kafka library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// The C library, by confluent-kafka.
    Librdkafka,
    /// Go.
    FranzGo,
    /// Go, the older one.
    Sarama,
    /// JavaScript, written for Kafka 1 and 2.
    Kafkajs,
}

impl Library {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Librdkafka, Self::FranzGo, Self::Sarama, Self::Kafkajs];

    /// Those whose promises hold everywhere. kafkajs repeats and reorders records of a transaction over several brokers, loses the
    /// order when leaders move, and mixes requests into a repeated authentication: with Kafka itself as well.
    pub const STEADFAST: [Self; 3] = [Self::Librdkafka, Self::FranzGo, Self::Sarama];

    /// The SASL mechanisms that its client can use.
    pub fn mechanisms(self) -> &'static [&'static str] {
        match self {
            Self::Librdkafka | Self::FranzGo | Self::Kafkajs => &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
            Self::Sarama => &["PLAIN"],
        }
    }

    /// The command that runs its client, which is built first where that has not happened yet.
    fn command(self) -> Command {
        static BUILDING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = BUILDING.lock();
        let (source, built) = (workspace().join("tests/clients"), cargo::profile_folder().join("clients"));
        fs::create_dir_all(&built).expect("cargo's output folder is writable");
        match self {
            Self::Librdkafka => {
                let mut command = Command::new(python(&source, &built));
                command.arg(source.join("python/client.py"));
                command
            }
            Self::FranzGo | Self::Sarama => {
                let mut command = Command::new(go(&source, &built));
                command.arg(if self == Self::Sarama { "sarama" } else { "franz-go" });
                command
            }
            Self::Kafkajs => {
                let mut command = Command::new("node");
                command.arg(source.join("kafkajs/client.js")).env("NODE_PATH", node_modules(&source, &built));
                command
            }
        }
    }
}

/// A virtual environment with what `requirements.txt` demands; returns its Python.
fn python(source: &Path, built: &Path) -> PathBuf {
    let (wanted, venv) = (source.join("python/requirements.txt"), built.join("venv"));
    if !same(&wanted, &venv.join("requirements.txt")) {
        run(BUILD_LIMIT, Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).demand("venv");
        let mut pip = Command::new(venv.join("bin/pip"));
        run(BUILD_LIMIT, pip.args(["install", "--quiet", "--requirement"]).arg(&wanted)).demand("pip");
        fs::copy(&wanted, venv.join("requirements.txt")).expect("the environment is writable");
    }
    venv.join("bin/python")
}

/// The Go program; building it again costs nothing.
fn go(source: &Path, built: &Path) -> PathBuf {
    let program = built.join("go-clients");
    run(BUILD_LIMIT, Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source.join("go")))
        .demand("go build");
    program
}

/// The modules of the lock file.
fn node_modules(source: &Path, built: &Path) -> PathBuf {
    let (source, folder) = (source.join("kafkajs"), built.join("kafkajs"));
    let lock = "package-lock.json";
    if !same(&source.join(lock), &folder.join("node_modules").join(lock)) {
        fs::create_dir_all(&folder).expect("cargo's output folder is writable");
        for file in ["package.json", lock, ".npmrc"] {
            fs::copy(source.join(file), folder.join(file)).expect("the client is there");
        }
        run(BUILD_LIMIT, Command::new("npm").arg("ci").current_dir(&folder)).demand("npm ci");
        fs::copy(source.join(lock), folder.join("node_modules").join(lock)).expect("npm has made the folder");
    }
    folder.join("node_modules")
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

/// How a client acknowledges what it sends; the names are those of `tests/clients`.
pub const VARIANTS: [&str; 5] = ["acks-0", "acks-1", "acks-all", "idempotent", "transactional"];

/// One run of a client: what it shall do.
#[derive(Debug)]
pub struct Load {
    library: Library,
    command: Command,
    variant: &'static str,
    options: Vec<String>,
    limit: Duration,
    hosts: Option<PathBuf>,
}

impl Load {
    /// A thousand records through `library`, acknowledged as `variant` says.
    ///
    /// # Panics
    /// When the library cannot be installed or its program not be built.
    pub fn new(library: Library, variant: &'static str) -> Self {
        Self {
            library,
            command: library.command(),
            variant,
            options: Vec::new(),
            limit: Duration::from_secs(120),
            hosts: None,
        }
    }

    /// Another option of the client, such as `--seconds`.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl ToString) -> Self {
        self.options.extend([option.to_owned(), value.to_string()]);
        self
    }

    /// Names that the client knows beside its machine's, in a file with the form of `/etc/hosts`.
    #[must_use]
    pub fn knowing(mut self, hosts: &Path) -> Self {
        self.hosts = Some(hosts.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When its program does not start.
    pub fn start(mut self, bootstrap: &str) -> Running {
        self.command.args([bootstrap, self.variant, "--limit", &self.limit.as_secs().to_string()]).args(&self.options);
        let known = self.hosts.as_ref().map(|hosts| knowing(hosts, &self.command));
        let command = known.as_ref().unwrap_or(&self.command);
        let mut limited = limited(self.limit + Duration::from_secs(30), command);
        let child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("coreutils are installed");
        Running { load: self, child }
    }

    /// Runs it to its end, which must be a good one.
    pub fn run(self, bootstrap: &str) {
        demand(vec![self.start(bootstrap)]);
    }
}

/// A running client.
#[derive(Debug)]
pub struct Running {
    load: Load,
    child: Child,
}

impl Running {
    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its verdict: the reason when a record was lost, doubled, changed or out of order, or when it gave up.
    pub fn verdict(self) -> Result<(), String> {
        let Load { library, variant, options, .. } = self.load;
        let out = self.child.wait_with_output().expect("it was started");
        let (said, complained) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let verdict = said.lines().last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        if out.status.success() && verdict.unwrap_or_default()["verdict"] == "ok" {
            return Ok(());
        }
        let complained = crate::process::tail(&complained);
        Err(format!("{library:?} {variant} {options:?}: {}, {said}{complained}", out.status))
    }
}

/// Waits for the verdicts of clients that run side by side; all of them must be good.
///
/// # Panics
/// With the reasons of those that are not.
pub fn demand(clients: Vec<Running>) {
    let reasons: Vec<_> = clients.into_iter().filter_map(|client| client.verdict().err()).collect();
    assert!(reasons.is_empty(), "{}", reasons.join("\n"));
}
