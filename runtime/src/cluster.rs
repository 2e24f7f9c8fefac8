//! What the connections of one virtual cluster share: its topology, its counters, and who is connected.

use crate::{
    accepting::{self, Accepting},
    budget::Budget,
    entrance::Origin,
    limits, lock,
    log_quota::Quota,
    metrics::ClusterMetrics,
    net::Net,
    sasl::ClusterSasl,
    tls::{Connector, Leg, Stream},
};
use kroxy_core::{
    address::{HostPort, NodeId},
    admission::{self, Admission, Limit},
    config::{ClusterName, Limits, VirtualCluster},
    gateway::Route,
    health::{Health, Reach},
    proxy_protocol::{self, Header},
    relay::{Client, Exchange},
    sasl::Mechanism,
    time::Instant,
    topology::{Resolution, Topology},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt, sync::watch};
use tracing::{debug, info, warn};

/// Where a connection may go, in this order.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) servers: Vec<HostPort>,
    /// None of them is the node that the client wants, because nobody tells where that is.
    pub(crate) stand_in_for: Option<NodeId>,
}

impl Candidates {
    pub(crate) const fn right(servers: Vec<HostPort>) -> Self {
        Self { servers, stand_in_for: None }
    }
}

/// One virtual cluster, as its connections see it.
#[derive(Debug)]
pub(crate) struct ClusterShared {
    pub(crate) name: ClusterName,
    pub(crate) metrics: Arc<ClusterMetrics>,
    pub(crate) accepting: Arc<Accepting>,
    /// TLS towards upstream.
    upstream_tls: Option<Arc<Connector>>,
    /// What stands in front of each connection to upstream.
    upstream_proxy_protocol: Option<proxy_protocol::Version>,
    /// What is in force: a reload changes it while connections stay.
    sasl: Mutex<Arc<ClusterSasl>>,
    logged: Mutex<Quota>,
    topology: Mutex<Topology>,
    health: Mutex<Health>,
    connected: Mutex<BTreeMap<u64, Arc<Seen>>>,
    /// What clients may use; a reload changes it.
    limits: Mutex<Limits>,
    /// Of these, the requests that one connection may send in a second; 0: any number. Looked at for each of them.
    request_rate: AtomicU32,
    admission: Mutex<Admission>,
    /// For responses that are read whole.
    pub(crate) buffers: Arc<Budget>,
    /// For requests that are read whole, while their ends are missing. All virtual clusters share it.
    pub(crate) unfinished: Arc<Budget>,
    unmapped: Mutex<BTreeSet<NodeId>>,
    untold: Mutex<BTreeSet<NodeId>>,
    /// Told whenever a node's address is news.
    news: watch::Sender<()>,
    /// Counts connections: their ids, and whose turn it is among the bootstrap servers.
    next: AtomicU64,
    /// Held while upstream is asked for its nodes, so that one question serves all who wait.
    pub(crate) asking: tokio::sync::Mutex<()>,
    /// Told whenever a connection has ended.
    pub(crate) left: tokio::sync::Notify,
}

impl ClusterShared {
    pub(crate) fn new(
        config: &VirtualCluster,
        metrics: Arc<ClusterMetrics>,
        accepting: Arc<Accepting>,
        unfinished: Arc<Budget>,
        upstream_tls: Option<Arc<Connector>>,
        sasl: ClusterSasl,
    ) -> Self {
        Self {
            name: config.name.clone(),
            metrics,
            accepting,
            upstream_tls,
            upstream_proxy_protocol: config.upstream.proxy_protocol,
            sasl: Mutex::new(Arc::new(sasl)),
            logged: Mutex::default(),
            topology: Mutex::new(Topology::new(config.upstream.bootstrap_servers.to_vec())),
            health: Mutex::default(),
            connected: Mutex::default(),
            limits: Mutex::new(config.limits),
            request_rate: AtomicU32::new(config.limits.max_request_rate.unwrap_or_default()),
            admission: Mutex::default(),
            buffers: Arc::new(Budget::new(config.limits.max_buffered)),
            unfinished,
            unmapped: Mutex::default(),
            untold: Mutex::default(),
            news: watch::Sender::new(()),
            next: AtomicU64::new(0),
            asking: tokio::sync::Mutex::new(()),
            left: tokio::sync::Notify::new(),
        }
    }

    /// Connects to an upstream server, TLS included, and says before it `whose` connection it is where that is to be told; the
    /// caller bounds how long it may take.
    pub(crate) async fn connect<N: Net>(&self, net: &N, to: &HostPort, whose: Header) -> io::Result<Stream<N::Stream>> {
        let mut stream = dial(net, to).await?;
        if let Some(version) = self.upstream_proxy_protocol {
            stream.write_all(&whose.to_bytes(version)).await?;
        }
        let Some(tls) = &self.upstream_tls else { return Ok(Stream::Plain(stream)) };
        let shaken = Box::pin(tls.connect(stream, to)).await;
        shaken.map_err(|failure| {
            self.metrics.handshake_failed(Leg::Upstream, &failure);
            io::Error::other(failure)
        })
    }

    /// Other limits hold from now on. Whoever is there stays.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *lock(&self.limits) = limits;
        self.request_rate.store(limits.max_request_rate.unwrap_or_default(), Relaxed);
        self.buffers.resize(limits.max_buffered);
    }

    fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    /// How many requests one connection may send in a second, where there is a limit.
    pub(crate) fn request_rate(&self) -> Option<u32> {
        Some(self.request_rate.load(Relaxed)).filter(|rate| *rate > 0)
    }

    /// When the next connection may be accepted, unless that is now.
    pub(crate) fn accepts_at(&self, now: Instant) -> Option<Instant> {
        lock(&self.admission).accepts_at(&self.limits(), now)
    }

    /// A connection has come in. Whether there may be one more is said; the log and the metrics know where not.
    pub(crate) fn has_room(&self, peer: SocketAddr, now: Instant) -> bool {
        let limits = self.limits();
        lock(&self.admission).accepted(&limits, now);
        let has_room = self.connection_count() < limits.max_connections;
        if !has_room {
            self.metrics.connections_refused.inc();
            self.reached(Limit::Connections, peer);
        }
        has_room
    }

    /// It is known where a connection comes from.
    pub(crate) fn admit(&self, seen: &Seen, now: Instant) -> Result<(), Limit> {
        let origin = admission::Origin::from(seen.client_address().ip());
        lock(&self.admission).comes_from(origin, &self.limits(), now)?;
        seen.admitted.get_or_init(|| origin);
        Ok(())
    }

    /// It is known whose connection it is, perhaps anew.
    pub(crate) fn admit_principal(&self, seen: &Seen) -> Result<(), Limit> {
        let name = lock(&seen.client).principal.as_ref().and_then(|principal| principal.name.clone());
        let mut known = lock(&seen.principal);
        if *known == name {
            return Ok(());
        }
        let mut admission = lock(&self.admission);
        if let Some(before) = known.take() {
            admission.resigned(&before);
        }
        let Some(name) = name else { return Ok(()) };
        admission.is_principal(&name, &self.limits())?;
        *known = Some(name);
        Ok(())
    }

    /// Counts that a limit was reached by this peer, and says so as long as the log has room.
    pub(crate) fn reached(&self, limit: Limit, peer: SocketAddr) {
        self.metrics.reached(limit);
        if self.may_log() {
            info!(cluster = %self.name, limit = limit.label(), %peer, "limit reached: {limit}");
        }
    }

    /// Whether upstream is spoken to with TLS.
    pub(crate) const fn has_upstream_tls(&self) -> bool {
        self.upstream_tls.is_some()
    }

    /// What exchanges are begun with now.
    pub(crate) fn sasl(&self) -> Arc<ClusterSasl> {
        lock(&self.sasl).clone()
    }

    /// Begins exchanges from now on as the cluster does that these books were made for.
    pub(crate) fn take_sasl_of(&self, fresh: &Self) {
        *lock(&self.sasl) = fresh.sasl();
    }

    /// Whether one more line may be logged that a stranger caused. How many were not before it is logged first.
    pub(crate) fn may_log(&self) -> bool {
        let allowed = lock(&self.logged).take();
        if let Some(dropped @ 1..) = allowed {
            info!(cluster = %self.name, "{dropped} lines about connections were left out");
        }
        allowed.is_some()
    }

    /// Upstream did not let a client in. Whoever guesses passwords is told of as often as whoever breaks the protocol.
    pub(crate) fn not_authenticated(&self, peer: SocketAddr, client: Option<&Client>) {
        self.metrics.not_authenticated.inc();
        if self.may_log() {
            let (cluster, id) = (&self.name, client.and_then(|client| client.id.as_deref()).unwrap_or_default());
            info!(%cluster, client.id = id, %peer, "upstream refused the client's authentication");
        }
    }

    /// The proxy has not let a client in, and says why to the log alone.
    pub(crate) fn denied(&self, peer: SocketAddr, mechanism: Option<Mechanism>, name: Option<&str>, why: &str) {
        self.metrics.authentication(mechanism, false);
        if self.may_log() {
            let (cluster, mechanism) = (&self.name, mechanism.map_or("none", Mechanism::name));
            let user = name.unwrap_or_default();
            info!(%cluster, %peer, mechanism, user, "authentication refused: {why}");
        }
    }

    /// Takes note of where upstream's nodes are.
    pub(crate) fn learn(&self, nodes: &[(NodeId, HostPort)]) {
        if nodes.is_empty() {
            return;
        }
        let (mut topology, mut untold) = (lock(&self.topology), lock(&self.untold));
        for (node, address) in nodes {
            untold.remove(node);
            if topology.learn(*node, address) {
                info!(cluster = %self.name, %node, %address, "learned an upstream node");
                self.news.send_replace(());
            }
        }
    }

    /// Says once for each node that clients of this cluster are told an address at which nothing listens.
    pub(crate) fn note_unmapped(&self, nodes: &[NodeId]) {
        for node in nodes {
            self.metrics.unmapped_nodes.inc();
            if lock(&self.unmapped).insert(*node) {
                warn!(cluster = %self.name, %node, "upstream has a node outside the configured node ids: clients cannot reach it");
            }
        }
    }

    fn turn(&self) -> usize {
        usize::try_from(self.next.load(Relaxed)).unwrap_or_default()
    }

    /// Where a connection that came in by `route` goes.
    pub(crate) fn resolve(&self, route: Route) -> Resolution {
        lock(&self.topology).resolve(route, self.turn())
    }

    /// Says once for each node, until it is told again, that clients who want it are led elsewhere.
    pub(crate) fn note_untold(&self, node: NodeId, instead: &[HostPort]) {
        if lock(&self.untold).insert(node) {
            let instead: Vec<_> = instead.iter().map(HostPort::to_string).collect();
            warn!(cluster = %self.name, %node, "no upstream server tells where this node is: trying {}", instead.join(", "));
        }
    }

    /// Where a connection to a node goes that nobody tells about.
    pub(crate) fn fall_back(&self, node: NodeId) -> Candidates {
        let topology = lock(&self.topology);
        let servers = topology.fall_back(node, self.turn());
        Candidates { servers, stand_in_for: (!topology.knows(node)).then_some(node) }
    }

    /// Waits until it is known where a node is.
    pub(crate) async fn learned(&self, node: NodeId) {
        let mut news = self.news.subscribe();
        while !lock(&self.topology).knows(node) && news.changed().await.is_ok() {}
    }

    /// Nobody answers where a connection that came in by `route` had to go.
    pub(crate) fn suspect(&self, route: Route) {
        match route {
            Route::Node(node) => lock(&self.topology).suspect(node),
            Route::Bootstrap => {}
        }
    }

    /// An attempt to connect to an upstream server has ended.
    pub(crate) fn attempted(&self, server: &HostPort, ended: Result<(), String>, now: Instant) {
        let why = ended.clone();
        if lock(&self.health).note(server, ended, now) {
            match why {
                Ok(()) => info!(cluster = %self.name, %server, "upstream server reached"),
                Err(why) => warn!(cluster = %self.name, %server, "upstream server cannot be reached: {why}"),
            }
        }
    }

    /// How attempts to connect to an upstream server end.
    pub(crate) fn reach(&self, server: &HostPort) -> Option<Reach> {
        lock(&self.health).of(server).cloned()
    }

    pub(crate) fn bootstrap_servers(&self) -> Vec<HostPort> {
        lock(&self.topology).bootstrap_servers().to_vec()
    }

    /// The nodes whose address is known.
    pub(crate) fn nodes(&self) -> Vec<(NodeId, HostPort)> {
        lock(&self.topology).nodes().map(|(node, address)| (node, address.clone())).collect()
    }

    /// A client has connected.
    pub(crate) fn connected(&self, peer: SocketAddr) -> Arc<Seen> {
        let id = self.next.fetch_add(1, Relaxed);
        let seen = Arc::new(Seen {
            id,
            peer,
            origin: OnceLock::new(),
            metrics: self.metrics.clone(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            client: Mutex::default(),
            admitted: OnceLock::new(),
            principal: Mutex::default(),
            upstream: OnceLock::new(),
        });
        self.metrics.connections.inc();
        self.metrics.connections_accepted.inc();
        lock(&self.connected).insert(id, seen.clone());
        seen
    }

    /// The connection is over.
    pub(crate) fn disconnected(&self, seen: &Seen, cause: &'static str, now: Instant) {
        let (origin, principal) = (seen.admitted.get(), lock(&seen.principal).take());
        let mut admission = lock(&self.admission);
        if let Some(origin) = origin {
            admission.left(*origin, now);
        }
        if let Some(principal) = principal {
            admission.resigned(&principal);
        }
        drop(admission);
        self.metrics.connections.dec();
        self.metrics.disconnected(cause, seen.in_flight());
        lock(&self.connected).remove(&seen.id);
        self.left.notify_one();
    }

    /// Everybody who is connected.
    pub(crate) fn connections(&self) -> Vec<Arc<Seen>> {
        lock(&self.connected).values().cloned().collect()
    }

    /// Requests in flight on all connections.
    pub(crate) fn in_flight(&self) -> u64 {
        lock(&self.connected).values().map(|seen| seen.in_flight()).sum()
    }

    /// How many are connected.
    pub(crate) fn connection_count(&self) -> usize {
        lock(&self.connected).len()
    }
}

/// What can be seen of one client connection from outside.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    /// The other end of its socket.
    peer: SocketAddr,
    /// Whose connection it is, once that is known.
    origin: OnceLock<Origin>,
    metrics: Arc<ClusterMetrics>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    in_flight: AtomicUsize,
    client: Mutex<Client>,
    /// As what it counts among the connections of an address.
    admitted: OnceLock<admission::Origin>,
    /// As what it counts among the connections of a principal.
    principal: Mutex<Option<Box<str>>>,
    /// The server that it is relayed to.
    pub(crate) upstream: OnceLock<HostPort>,
}

impl Seen {
    /// It is known whose connection it is.
    pub(crate) fn came_from(&self, origin: Origin) {
        if let Some(via) = origin.via {
            debug!(client = %origin.ends.client, %via, "the load balancer has said whose connection it is");
        }
        self.origin.get_or_init(|| origin);
    }

    /// Where the client is, as far as that is known.
    pub(crate) fn client_address(&self) -> SocketAddr {
        self.origin.get().map_or(self.peer, |origin| origin.ends.client)
    }

    /// Who has said so, unless the client came by itself.
    pub(crate) fn via(&self) -> Option<IpAddr> {
        self.origin.get().and_then(|origin| origin.via)
    }

    /// What upstream may be told of it.
    pub(crate) fn header(&self) -> Header {
        self.origin.get().map_or(Header::Local, |origin| Header::Proxied(origin.ends))
    }

    /// Bytes were read from the client.
    pub(crate) fn read(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Relaxed);
        self.metrics.read(bytes);
    }

    /// Bytes were taken for the client.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Relaxed);
        self.metrics.wrote(bytes);
    }

    /// Requests are over, for which the proxy `took` so long last, and so many are not.
    pub(crate) fn settle(&self, exchanges: &[Exchange], in_flight: usize, took: Duration) {
        self.in_flight.store(in_flight, Relaxed);
        self.metrics.settle(exchanges, took);
    }

    /// The client has said who it is.
    pub(crate) fn introduce(&self, client: Option<&Client>) {
        if let Some(client) = client {
            lock(&self.client).clone_from(client);
        }
    }

    pub(crate) fn client(&self) -> Client {
        lock(&self.client).clone()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed) as u64
    }

    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Relaxed), self.bytes_out.load(Relaxed))
    }
}

/// Connects. Where there is no file descriptor for it, one is waited for: connections that end give theirs back.
async fn dial<N: Net>(net: &N, to: &HostPort) -> io::Result<N::Stream> {
    loop {
        match net.connect(to).await {
            Err(e) if accepting::lacks_descriptor(&e) => tokio::time::sleep(limits::DESCRIPTOR_PAUSE).await,
            ended => return ended,
        }
    }
}
