//! kroxy as a process: configured, started, killed and started again, as an operator would.

use crate::admin::{self, Answer};
use crate::cluster::{Cluster, Listener};
use crate::configuration::{Configuration, VirtualCluster};
use crate::process::{run, wait_until};
use crate::wire;
use crate::{Mode, built, scratch};
use std::env;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// kroxy in front of a cluster; in [`Mode::Direct`] nothing at all. Dropping it ends the process.
#[derive(Debug)]
pub struct Proxy {
    bootstrap: String,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    child: Child,
    at: SocketAddr,
    /// Every port that clients may know.
    ports: Vec<u16>,
}

impl Proxy {
    /// Starts kroxy in front of a listener of the cluster, and waits until it answers for it.
    ///
    /// # Panics
    /// When it cannot be built, or does not serve.
    pub fn start(cluster: &Cluster<'_>, listener: Listener) -> Self {
        let upstream = cluster.bootstrap(listener);
        if cluster.turn.mode == Mode::Direct {
            return Self { bootstrap: upstream, process: None };
        }
        Self::serve(cluster.turn.story, &Configuration::new(&["orders"], &upstream))
    }

    /// Starts kroxy with a configuration, and waits until the first virtual cluster's upstream is answered for.
    ///
    /// # Panics
    /// When it cannot be built, or does not serve.
    pub fn serve(story: &str, configured: &Configuration) -> Self {
        let folder = scratch(story);
        let (configuration, log) = (folder.join("kroxy.ron"), folder.join("kroxy.log"));
        fs::write(&configuration, configured.text()).expect("cargo's output folder is writable");
        fs::write(&log, "").expect("cargo's output folder is writable");
        let first = configured.clusters.first().expect("there is a virtual cluster");
        let (program, at) = (program(), SocketAddr::from(([127, 0, 0, 1], first.bootstrap_port)));
        let child = spawn(&program, &configuration, &log);
        let ports = configured.clusters.iter().flat_map(VirtualCluster::ports).collect();
        let mut process = Process { program, configuration, log, child, at, ports };
        process.wait_until_ready();
        Self { bootstrap: at.to_string(), process: Some(process) }
    }

    /// What clients are given.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Kills kroxy without a warning, and starts it again at once.
    pub fn kill_and_start(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
            process.child = spawn(&process.program, &process.configuration, &process.log);
            process.wait_until_ready();
        }
    }

    /// Stops kroxy as an operator does, with SIGTERM, and starts it again at once. Returns how long the old process took to be
    /// gone; `None` without kroxy.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn restart(&mut self) -> Option<Duration> {
        let process = self.process.as_mut()?;
        let asked = Instant::now();
        run(STOP_LIMIT, Command::new("kill").arg(process.child.id().to_string())).demand("kill");
        let status = process.child.wait().expect("it is our child");
        let took = asked.elapsed();
        assert!(status.success(), "kroxy did not stop cleanly: {status}");
        process.child = spawn(&process.program, &process.configuration, &process.log);
        process.wait_until_ready();
        Some(took)
    }

    /// Changes the file, and has it put in force.
    ///
    /// # Panics
    /// When there is no kroxy, or it does not answer.
    pub fn reload(&self, configured: &Configuration) -> Answer {
        self.write(configured);
        admin::post("/api/v1/reload").expect("kroxy runs")
    }

    /// Changes the file, and asks what a reload would do.
    ///
    /// # Panics
    /// When there is no kroxy, or it does not answer.
    pub fn plan(&self, configured: &Configuration) -> Answer {
        self.write(configured);
        admin::post("/api/v1/reload?dry_run=true").expect("kroxy runs")
    }

    fn write(&self, configured: &Configuration) {
        let process = self.process.as_ref().expect("kroxy runs");
        fs::write(&process.configuration, configured.text()).expect("cargo's output folder is writable");
    }

    /// The most memory that kroxy has had so far, in MiB; `None` without kroxy.
    ///
    /// # Panics
    /// When kroxy is gone.
    pub fn peak_memory_mib(&self) -> Option<u64> {
        let pid = self.process.as_ref()?.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("kroxy runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Some(kib.expect("a running process has a peak") / 1024)
    }

    /// What kroxy has written since its first start.
    pub fn log(&self) -> String {
        let read = |process: &Process| fs::read_to_string(&process.log).unwrap_or_default();
        self.process.as_ref().map(read).unwrap_or_default()
    }
}

impl Process {
    fn wait_until_ready(&mut self) {
        wait_until("kroxy serves", READY_LIMIT, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("kroxy has ended, {status}:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            wire::answers_api_versions(self.at)
        });
        wait_until("every port is back", READY_LIMIT, || {
            self.ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
    }

    fn kill(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, configuration: &Path, log: &Path) -> Child {
    let log = fs::OpenOptions::new().append(true).open(log).expect("the log was created");
    let mut command = Command::new(program);
    command.arg("serve").arg(configuration).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a descriptor more")).stderr(log).spawn().expect("the binary was built")
}

/// `$KROXY_BIN`, or the one that cargo has built, or builds now.
fn program() -> PathBuf {
    env::var_os("KROXY_BIN").map_or_else(|| built("kroxy"), PathBuf::from)
}
