//! The processes that are measured.

use crate::{frames, frames::Kind, ports::free_port, secret::CERTIFICATE};
use std::{
    fmt, fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// How long a target may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that a target lets in: what is measured, and some to spare.
const MOST: usize = 10_500;

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(tests::built_for_users);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Which {
    Opaque,
    Kroxy,
    Haproxy,
}

impl Which {
    /// Those that can be measured here.
    pub(crate) fn there() -> Vec<Self> {
        let mut there = vec![Self::Opaque, Self::Kroxy];
        if Command::new("haproxy").arg("-v").env("PATH", path()).output().is_ok() {
            there.push(Self::Haproxy);
        }
        there
    }

    /// Whether it can end a client's TLS.
    pub(crate) const fn speaks_tls(self) -> bool {
        match self {
            Self::Kroxy | Self::Haproxy => true,
            Self::Opaque => false,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Kroxy => "kroxy",
            Self::Haproxy => "haproxy",
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where Debian keeps daemons is outside a plain user's path.
fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin"
}

/// A relay that runs; it ends with its owner.
pub(crate) struct Target {
    child: Child,
    pub(crate) at: SocketAddr,
}

impl Target {
    /// Starts one; clients of it speak TLS where that is said, and it speaks plain Kafka to `upstream`.
    pub(crate) async fn start(which: Which, upstream: SocketAddr, tls: bool) -> Self {
        let at = free();
        let mut command = match which {
            Which::Opaque => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.args(["--opaque", &at.to_string(), &upstream.to_string()]);
                command
            }
            Which::Kroxy => kroxy(&configuration(upstream, &[at], tls)),
            Which::Haproxy => {
                let secret = if tls { format!(" ssl crt {}", CERTIFICATE.both.display()) } else { String::new() };
                let text = format!(
                    "global\n nbthread 2\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 10m\n \
                     timeout server 10m\nlisten kafka\n bind {at}{secret}\n server sink {upstream}\n"
                );
                let mut command = Command::new("haproxy");
                command.env("PATH", path()).args(["-db", "-f"]).arg(written("haproxy.cfg", &text));
                command
            }
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let target = Self { child, at };
        let began = Instant::now();
        while TcpStream::connect(at).is_err() {
            assert!(began.elapsed() < PATIENCE, "{which} does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        target
    }

    /// The processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        let threads =
            fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux tells what a process costs");
        let nanoseconds = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// The memory that it holds, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = tests::scratch("bench").join(format!("{}-{name}", std::process::id()));
    fs::write(&path, text).expect("cargo's own folder is writable");
    path
}

fn kroxy(configuration: &str) -> Command {
    let mut command = Command::new(PROGRAM.as_path());
    command.arg("serve").arg(written("proxy.ron", configuration));
    command
}

/// A virtual cluster for each of these addresses.
fn configuration(upstream: SocketAddr, at: &[SocketAddr], tls: bool) -> String {
    let (chain, key) = (&CERTIFICATE.chain, &CERTIFICATE.key);
    let secret = if tls { format!("tls: (certificates: [(chain: {chain:?}, key: {key:?})]),") } else { String::new() };
    let clusters = at.iter().enumerate().map(|(place, at)| {
        format!(
            r#"(name: "c{place}", upstream: (bootstrap_servers: ["{upstream}"]),
            limits: (max_connections: {MOST}), gateways: [(name: "g", {secret} port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1", bootstrap_port: {},
            nodes: [(ids: (0, 0), first_port: {})]))])"#,
            at.port(),
            free_port(),
        )
    });
    format!(r#"(admin: (bind: "127.0.0.1:0"), virtual_clusters: [{}])"#, clusters.collect::<Vec<_>>().join(", "))
}

/// How long kroxy with this many virtual clusters takes from its start to its first answer, at the last of them.
pub(crate) async fn start(upstream: SocketAddr, clusters: usize) -> Duration {
    let at: Vec<_> = (0..clusters).map(|_| free()).collect();
    let mut command = kroxy(&configuration(upstream, &at, false));
    let began = Instant::now();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let target = Target { child, at: at[clusters - 1] };
    let request = frames::request(Kind::Produce, 100);
    loop {
        let asked = TcpStream::connect(target.at).and_then(|mut stream| {
            stream.write_all(&request)?;
            stream.read_exact(&mut [0; 4])
        });
        if asked.is_ok() {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "it does not answer");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}
