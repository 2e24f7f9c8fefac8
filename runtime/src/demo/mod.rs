//! `kroxy demo`: embedded brokers, the real proxy, and clients that check what comes through it.
//!
//! ```text
//! producer, consumers ──► proxy ──► embedded brokers        all in one process, over real sockets on loopback
//! ```
//! The proxy is the one of `kroxy serve`, with a configuration that was made here. [`host`] and [`client`] know nothing of
//! it and run over any [`Net`](crate::net::Net), so that simulations can use them as well.

pub mod client;
mod histogram;
pub mod host;
mod ledger;
mod limits;
mod payload;
mod report;
pub mod workload;

#[cfg(test)]
mod tests;

pub use self::{ledger::Faults, report::Screen};

use self::{
    host::{Host, HostError},
    workload::{Outcome, Workload},
};
use crate::{
    clock::Clock,
    load,
    net::OsNet,
    proxy::{Lifetime, Proxy, Source},
};
use fixture_broker::{ClusterSpec, NodeSpec};
use kroxy_core::{
    address::HostPort,
    config::{Admin, Config, Conflict, Limits, NonEmpty, OnVirtualClusterFailure, Upstream, VirtualCluster},
    gateway::{Gateway, GatewayError, NodeRange, PortPerBroker},
    proxy::Failure,
    status::ProxyState,
};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

/// The only address that anything here listens on.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The virtual cluster, the topic and the group.
const NAME: &str = "demo";
/// Consumers in the group.
const MEMBERS: usize = 2;
/// Partitions of each topic, by broker.
const PARTITIONS_EACH: i32 = 2;
/// Bytes that a partition keeps: beyond what is on its way, and small enough for a demo that runs all day.
const RETENTION_BYTES: usize = 8 << 20;
/// Decides about topic ids, member ids and retries, none of which matter here.
const SEED: u64 = 1;
/// Records a second while it runs until stopped: enough to see something, and easy on a laptop.
const RATE: u64 = 2_000;
/// How long the demo runs before it says what else can be done.
const INVITATION_AFTER: Duration = Duration::from_secs(5);
/// How long nothing may come back.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long connections of others may finish what they have in flight when the demo ends.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the proxy may take to stop.
const PROXY_STOP: Duration = Duration::from_secs(3);

/// What the demo is to be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Embedded brokers, at least 1.
    pub brokers: u16,
    /// The bootstrap port of the proxy; those for the brokers follow.
    pub port: u16,
    /// The port of the admin API; 0 leaves the choice to the operating system.
    pub admin_port: u16,
    /// Send so many records at full speed, verify them and end; `None` goes on at an easy pace until stopped.
    pub records: Option<u64>,
    /// Bytes of each record.
    pub record_bytes: usize,
}

impl Options {
    /// How many records `--once` sends unless told otherwise.
    pub const ONCE_RECORDS: u64 = 100_000;

    /// The smallest and the largest record: the verification needs some room, and a batch takes a MiB by default.
    pub const RECORD_BYTES: std::ops::RangeInclusive<usize> = payload::SMALLEST..=1_000_000;
}

impl Default for Options {
    fn default() -> Self {
        Self { brokers: 3, port: 9_092, admin_port: 9_190, records: None, record_bytes: 256 }
    }
}

/// How the demo ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every record came back once, in order and unchanged.
    Clean,
    /// Not every one did, or it was stopped before all were sent.
    Flawed,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Too few or too many brokers.
    #[error("a demo has 1 to {max} brokers, not {0}", max = fixture_broker::limits::MAX_NODES)]
    Brokers(u16),
    /// Records too small or too large.
    #[error("a record has {min} to {max} bytes, not {0}", min = Options::RECORD_BYTES.start(), max = Options::RECORD_BYTES.end())]
    RecordBytes(usize),
    /// The ports do not make a gateway.
    #[error("{0}; choose another --port")]
    Ports(#[from] GatewayError),
    /// The admin port is one of the gateway's.
    #[error("{0}; choose another --port or --admin-port")]
    Conflict(Conflict),
    /// The brokers could not be started.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The proxy could not be started, or has failed.
    #[error("{0}; where a port is taken, choose another with --port or --admin-port")]
    Proxy(Failure),
    /// Somebody has stopped the proxy before it served.
    #[error("the proxy was stopped before it served")]
    Stopped,
    /// Nothing can be shown.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the demo until `stop` is ready or, with a number of records, until they are verified.
///
/// Nothing is left behind: all ports are closed when the future is ready.
pub async fn run<W: Write>(
    options: Options,
    stop: impl Future<Output = ()>,
    screen: &mut Screen<W>,
) -> Result<Verdict, DemoError> {
    let clock = Clock::system();
    let ports = gateway(options)?;
    let spec = cluster(options.brokers);
    let anywhere = SocketAddr::new(LOOPBACK, 0);
    let binds: Vec<(i32, SocketAddr)> = spec.nodes.iter().map(|node| (node.id, anywhere)).collect();
    let (host, _handle) = Host::bind(OsNet, clock, spec, &binds, SEED).await?;
    let brokers = host.addresses();
    let proxy = Proxy::new(load::loaded(config(options, ports, &brokers)?), Source::memory(), OsNet, clock, SEED);
    let (hosted_until, hosted) = watch::channel(false);
    let mut hosting = JoinSet::new();
    hosting.spawn(host.run(hosted));
    let result = through(options, &proxy, &brokers, clock, stop, screen).await;
    proxy.shutdown("the demo is over");
    if timeout(PROXY_STOP, proxy.ended()).await.is_err() {
        proxy.halt("the demo is over, and it did not stop");
        let _ = proxy.ended().await; // it did not end well, as was just said
    }
    hosted_until.send_replace(true);
    while hosting.join_next().await.is_some() {}
    let outcome = result?;
    let is_clean = outcome.is_clean() && options.records.is_none_or(|records| records == outcome.sent);
    screen.summary(&outcome, is_clean)?;
    Ok(if is_clean { Verdict::Clean } else { Verdict::Flawed })
}

/// Starts the proxy and sends records through it.
async fn through<W: Write>(
    options: Options,
    proxy: &Proxy<OsNet>,
    brokers: &BTreeMap<i32, SocketAddr>,
    clock: Clock,
    stop: impl Future<Output = ()>,
    screen: &mut Screen<W>,
) -> Result<Outcome, DemoError> {
    let address = SocketAddr::new(LOOPBACK, options.port);
    let mut lifetime = Box::pin(start(proxy).await?);
    screen.picture(address, brokers)?;
    let workload = Workload {
        bootstrap: vec![HostPort::new(LOOPBACK.to_string(), options.port)],
        topic: NAME.to_owned(),
        group: NAME.to_owned(),
        members: MEMBERS,
        record_bytes: options.record_bytes,
        records: options.records,
        rate: options.records.is_none().then_some(RATE),
        patience: PATIENCE,
    };
    let (stopper, stopped) = watch::channel(false);
    let (mut before, mut invited, mut unseen) = ((Duration::ZERO, 0), options.records.is_some(), None);
    let show = |progress: &workload::Progress| {
        let seconds = progress.elapsed.saturating_sub(before.0).as_secs_f64().max(1e-3);
        let rate = progress.records_out.saturating_sub(before.1) as f64 / seconds;
        before = (progress.elapsed, progress.records_out);
        let mut shown = screen.progress(progress, rate);
        if !invited && progress.elapsed >= INVITATION_AFTER {
            invited = true;
            shown = shown.and_then(|()| screen.invitation(address, proxy.admin_address(), NAME));
        }
        if let Err(e) = shown {
            unseen = Some(e);
            stopper.send_replace(true);
        }
    };
    let outcome = {
        let mut working = Box::pin(workload.run(OsNet, clock, stopped, show));
        let mut stop = std::pin::pin!(stop);
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                outcome = &mut working => break outcome,
                () = &mut stop, if !told => told = true,
                // Through its admin API, for example.
                ended = &mut lifetime, if !told => match ended {
                    Ok(()) => told = true,
                    Err(failure) => return Err(DemoError::Proxy(failure)),
                },
            }
            stopper.send_replace(told);
        }
    };
    match unseen {
        Some(e) => Err(DemoError::Output(e)),
        None => Ok(outcome),
    }
}

/// Starts the proxy and waits until it serves.
async fn start(proxy: &Proxy<OsNet>) -> Result<Pin<Box<Lifetime<OsNet>>>, DemoError> {
    let mut events = proxy.events();
    let mut lifetime = match proxy.startup() {
        Ok(lifetime) => Box::pin(lifetime),
        Err(refused) => unreachable!("a new proxy can be started: {refused}"),
    };
    while proxy.status().proxy.state != ProxyState::Started {
        tokio::select! {
            biased;
            ended = &mut lifetime => return Err(ended.map_or_else(DemoError::Proxy, |()| DemoError::Stopped)),
            _ = events.recv() => {} // whatever has happened, or was missed: the state says it
        }
    }
    Ok(lifetime)
}

fn gateway(options: Options) -> Result<PortPerBroker, DemoError> {
    let Options { brokers, port, record_bytes, .. } = options;
    if brokers == 0 || usize::from(brokers) > fixture_broker::limits::MAX_NODES {
        return Err(DemoError::Brokers(brokers));
    }
    if !Options::RECORD_BYTES.contains(&record_bytes) {
        return Err(DemoError::RecordBytes(record_bytes));
    }
    // Port 65535 leaves none for the brokers, which the gateway then says of port 0.
    let nodes = NodeRange { ids: 0..=i32::from(brokers) - 1, first_port: port.wrapping_add(1) };
    Ok(PortPerBroker::new(LOOPBACK, LOOPBACK.to_string(), port, vec![nodes])?)
}

fn cluster(brokers: u16) -> ClusterSpec {
    let node = |id| NodeSpec { id, host: LOOPBACK.to_string(), port: 0, rack: None };
    let partitions = PARTITIONS_EACH * i32::from(brokers);
    ClusterSpec {
        cluster_id: "kroxy-demo".to_owned(),
        nodes: (0..i32::from(brokers)).map(node).collect(),
        auto_create_topics: Some(partitions),
        default_partitions: partitions,
        default_replication_factor: i16::try_from(brokers.min(3)).expect("at most 3"),
        retention_bytes_per_partition: RETENTION_BYTES,
        ..ClusterSpec::default()
    }
}

fn config(options: Options, ports: PortPerBroker, brokers: &BTreeMap<i32, SocketAddr>) -> Result<Config, DemoError> {
    let servers = brokers.values().map(|at| HostPort::new(at.ip().to_string(), at.port())).collect();
    let some = "a demo has at least one broker, one gateway and one virtual cluster";
    let gateway = Gateway::port_per_broker("local", ports).expect("a DNS label");
    let cluster = VirtualCluster {
        name: NAME.parse().expect("a DNS label"),
        upstream: Upstream {
            bootstrap_servers: NonEmpty::new(servers).expect(some),
            connect_timeout: Upstream::CONNECT_TIMEOUT,
            tls: None,
            proxy_protocol: None,
            sasl: None,
        },
        gateways: NonEmpty::new(vec![gateway]).expect(some),
        sasl: None,
        drain_timeout: DRAIN,
        idle_timeout: None,
        first_request_timeout: VirtualCluster::FIRST_REQUEST_TIMEOUT,
        unfinished_request_timeout: VirtualCluster::UNFINISHED_REQUEST_TIMEOUT,
        unread_response_timeout: VirtualCluster::UNREAD_RESPONSE_TIMEOUT,
        limits: Limits::default(),
    };
    let admin = Admin { bind: SocketAddr::new(LOOPBACK, options.admin_port), ..Admin::default() };
    let clusters = NonEmpty::new(vec![cluster]).expect(some);
    Config::new(admin, OnVirtualClusterFailure::default(), clusters)
        .map_err(|conflicts| DemoError::Conflict(conflicts[0].clone()))
}

/// Waits until a signal turns true, or until nobody is left to turn it.
async fn turned(signal: &mut watch::Receiver<bool>) {
    let _ = signal.wait_for(|on| *on).await;
}
