//! What a proxy is to do, as good values: whatever is held here can be acted on.
//!
//! How a configuration file spells it is the runtime's business. Everything compares with `==`, so that a reload can tell
//! what has changed.

use crate::{
    address::HostPort,
    cluster::RetryPolicy,
    gateway::{Gateway, Place, Route},
    limits,
    proxy_protocol::{self, ProxyProtocol},
};
use core::{fmt, ops::Deref, time::Duration};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

pub mod sasl;
pub mod tls;

pub use crate::name::{ClusterName, NotAName};

/// At least one of something, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NonEmpty<T>(Vec<T>);

impl<T> NonEmpty<T> {
    /// All of them, or `None` where there is none.
    pub fn new(all: Vec<T>) -> Option<Self> {
        if all.is_empty() { None } else { Some(Self(all)) }
    }
}

impl<T> Deref for NonEmpty<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a NonEmpty<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The configuration of one proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    admin: Admin,
    on_virtual_cluster_failure: OnVirtualClusterFailure,
    watch: bool,
    log: Log,
    max_unfinished_requests: u64,
    virtual_clusters: NonEmpty<VirtualCluster>,
}

/// Where the proxy can be watched and steered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// The address of the admin API; port 0 leaves the choice to the operating system.
    pub bind: SocketAddr,
    /// The file with the token that it asks for.
    pub token_file: Option<PathBuf>,
    /// TLS towards whoever asks; without it everything is in the clear.
    pub tls: Option<tls::ClientTls>,
}

impl Admin {
    /// It can be reached from other machines.
    pub fn is_exposed(&self) -> bool {
        !self.bind.ip().to_canonical().is_loopback()
    }

    /// Whoever asks has to show a token or a certificate. It has to be so where it can be reached from other machines.
    pub fn is_guarded(&self) -> bool {
        self.token_file.is_some() || self.asks_for_certificates()
    }

    /// Whoever asks may show a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_auth.ca().is_some())
    }
}

impl Default for Admin {
    /// On loopback, since whoever reaches it may stop the proxy.
    fn default() -> Self {
        Self { bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9190), token_file: None, tls: None }
    }
}

/// What the proxy says while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Log {
    /// How much; `None` leaves it to whoever started the process.
    pub level: Option<LogLevel>,
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Warnings and errors.
    Warn,
    /// What an operator wants to know.
    Info,
    /// Every connection.
    Debug,
    /// Everything, that of libraries included.
    Trace,
}

/// What happens when a virtual cluster fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OnVirtualClusterFailure {
    /// Which of the others are served.
    pub serve: Serve,
    /// How the failed one is tried again.
    pub retry: RetryPolicy,
}

impl OnVirtualClusterFailure {
    /// The pause before the first retry unless configured: a port that a dying process still holds is free by then.
    pub const INITIAL_BACKOFF: Duration = Duration::from_secs(1);

    /// The longest pause between retries unless configured: what was repaired should not stay down for much longer.
    pub const MAX_BACKOFF: Duration = Duration::from_secs(60);

    /// What holds for `serve` unless configured. With [`Serve::None`] nothing is tried again, so that a proxy that cannot
    /// do what it was told says so at once; with [`Serve::Remaining`] there is no reason ever to give up.
    pub const fn unless_configured(serve: Serve) -> Self {
        let max_retries = match serve {
            Serve::None => Some(0),
            Serve::Remaining => None,
        };
        let retry = RetryPolicy { max_retries, initial: Self::INITIAL_BACKOFF, cap: Self::MAX_BACKOFF };
        Self { serve, retry }
    }
}

impl Default for OnVirtualClusterFailure {
    fn default() -> Self {
        Self::unless_configured(Serve::None)
    }
}

/// Which virtual clusters are served when one has failed for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serve {
    /// None: the proxy stops.
    None,
    /// All others.
    Remaining,
}

/// A Kafka cluster as its clients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtualCluster {
    /// Its identity.
    pub name: ClusterName,
    /// The Kafka cluster behind it.
    pub upstream: Upstream,
    /// The ways in.
    pub gateways: NonEmpty<Gateway>,
    /// How clients prove who they are, unless that is for upstream.
    pub sasl: Option<sasl::ClientSasl>,
    /// How long requests in flight may take to finish when it stops; above zero.
    pub drain_timeout: Duration,
    /// How long a connection may be silent in both directions; above zero.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take from connecting to its first whole request; above zero.
    pub first_request_timeout: Duration,
    /// How long a later request that has begun may take where it is read whole, and stand still where it streams; above zero.
    pub unfinished_request_timeout: Duration,
    /// How long a client may take nothing of what waits for it; above zero.
    pub unread_response_timeout: Duration,
    /// What its clients may use.
    pub limits: Limits,
}

impl VirtualCluster {
    /// How long requests in flight may take to finish unless configured.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    /// How long a client may take to its first request unless configured: generous, since a client that is being debugged
    /// or starved is no attacker, and yet no connection stays for ever without having asked for anything.
    pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

    /// How long a request may stand still unless configured: twice as long as clients wait for an answer to it by default
    /// (`request.timeout.ms`), after which they have given it up themselves.
    pub const UNFINISHED_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

    /// How long a client may take nothing unless configured: as long as an application may take over what it has read by default
    /// (`max.poll.interval.ms`), while some clients do not read on.
    pub const UNREAD_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
}

/// A Kafka cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Servers that tell of all others, tried in turn.
    pub bootstrap_servers: NonEmpty<HostPort>,
    /// How long one attempt to connect may take, a TLS handshake included; above zero.
    pub connect_timeout: Duration,
    /// TLS, unless upstream speaks plain Kafka.
    pub tls: Option<tls::UpstreamTls>,
    /// What tells upstream whose connection each one is, before TLS; `None`: nothing does.
    pub proxy_protocol: Option<proxy_protocol::Version>,
    /// How the proxy logs in, unless that is for its clients or for nobody.
    pub sasl: Option<sasl::UpstreamSasl>,
}

impl Upstream {
    /// How long one attempt to connect may take unless configured: beyond a lost SYN and its repetitions (1 and 3 s), and
    /// well within the 30 s that clients wait for a request by default, so that there is time for another server.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
}

/// What the clients of one virtual cluster may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes: the largest request frame; at most `i32::MAX`, since Kafka has no longer ones.
    pub max_request_frame: u32,
    /// Client connections at the same time.
    pub max_connections: usize,
    /// Of these, from one address.
    pub max_connections_per_address: Option<usize>,
    /// Of these, of one principal.
    pub max_connections_per_principal: Option<usize>,
    /// Client connections accepted in a second; up to [`limits::RATE_MAX`], like all rates.
    pub max_connection_rate: Option<u32>,
    /// Of these, from one address.
    pub max_connection_rate_per_address: Option<u32>,
    /// Requests that are taken from one connection in a second.
    pub max_request_rate: Option<u32>,
    /// Bytes that responses which are read whole may take together.
    pub max_buffered: u64,
}

impl Default for Limits {
    /// As few as protect the proxy itself. How many connections are too many for one address or one principal, and how fast is
    /// too fast, only who knows the clients can tell: a whole data centre may come from behind one address, and all clients start
    /// together after an outage. Kafka has no such limits either unless told.
    fn default() -> Self {
        Self {
            max_request_frame: limits::REQUEST_FRAME_MAX,
            max_connections: limits::CONNECTIONS_MAX,
            max_connections_per_address: None,
            max_connections_per_principal: None,
            max_connection_rate: None,
            max_connection_rate_per_address: None,
            max_request_rate: None,
            max_buffered: limits::BUFFERED_MAX,
        }
    }
}

/// Two parts of a configuration that are good on their own and cannot be had together. Virtual clusters and their gateways
/// are named by their place, counted from 0.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Conflict {
    /// Two virtual clusters of one name.
    #[error("virtual cluster {name} is there twice: names are compared without regard to case")]
    ClusterTwice {
        /// The place of the first.
        earlier: usize,
        /// The place of the second.
        later: usize,
        /// The name.
        name: ClusterName,
    },
    /// Two gateways of one name in one virtual cluster.
    #[error("virtual cluster {cluster} has two gateways called {name}: names are compared without regard to case")]
    GatewayTwice {
        /// Their virtual cluster.
        cluster: ClusterName,
        /// Its place.
        at: usize,
        /// The place of the first gateway.
        earlier: usize,
        /// The place of the second.
        later: usize,
        /// The name.
        name: crate::gateway::GatewayName,
    },
    /// Two listeners that cannot both have their address.
    #[error("{later} would listen on {address}, which {earlier} has already")]
    SameAddress {
        /// Who has it first.
        earlier: ListenerOf,
        /// Who wants it as well.
        later: ListenerOf,
        /// Where the second would listen.
        address: SocketAddr,
    },
    /// Two gateways at the same address between which the name that a client asks for does not decide.
    #[error("{later} has a server name at {address} that {earlier} has as well")]
    SameServerName {
        /// Who has it first.
        earlier: ListenerOf,
        /// Who wants it as well.
        later: ListenerOf,
        /// Where both listen.
        address: SocketAddr,
    },
    /// Two gateways at the same address that expect another beginning of a connection, which comes before a server name.
    #[error(
        "{later} has another proxy_protocol at {address} than {earlier}, and which of them a client wants is told behind it"
    )]
    OtherProxyProtocol {
        /// Who is there first.
        earlier: ListenerOf,
        /// Who is there as well.
        later: ListenerOf,
        /// Where both listen.
        address: SocketAddr,
    },
}

/// What a listener is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenerOf {
    /// The admin API.
    Admin,
    /// Clients.
    Gateway {
        /// The name of the virtual cluster.
        cluster: ClusterName,
        /// The places of the virtual cluster and, within it, of the gateway.
        at: (usize, usize),
        /// Where its clients want to go; `None`: their server names tell.
        route: Option<Route>,
    },
}

impl fmt::Display for ListenerOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("the admin API"),
            Self::Gateway { cluster, route: Some(route), .. } => write!(f, "virtual cluster {cluster} ({route})"),
            Self::Gateway { cluster, route: None, .. } => write!(f, "virtual cluster {cluster} (SNI)"),
        }
    }
}

impl Config {
    /// A configuration without conflicts, or all conflicts that there are.
    pub fn new(
        admin: Admin,
        on_virtual_cluster_failure: OnVirtualClusterFailure,
        virtual_clusters: NonEmpty<VirtualCluster>,
    ) -> Result<Self, NonEmpty<Conflict>> {
        let conflicts = same_names(&virtual_clusters).chain(same_addresses(&admin, &virtual_clusters)).collect();
        match NonEmpty::new(conflicts) {
            Some(conflicts) => Err(conflicts),
            None => Ok(Self {
                admin,
                on_virtual_cluster_failure,
                watch: false,
                log: Log::default(),
                max_unfinished_requests: limits::UNFINISHED_REQUESTS_MAX,
                virtual_clusters,
            }),
        }
    }

    /// The same, and whether files that change are put in force by themselves.
    #[must_use]
    pub fn watching(self, watch: bool) -> Self {
        Self { watch, ..self }
    }

    /// The same with another log.
    #[must_use]
    pub fn logging(self, log: Log) -> Self {
        Self { log, ..self }
    }

    /// The same with other room for requests of which only a part is there, in bytes.
    #[must_use]
    pub fn with_max_unfinished_requests(self, max_unfinished_requests: u64) -> Self {
        Self { max_unfinished_requests, ..self }
    }

    /// Bytes that requests which are read whole may take together, in the whole process, while their ends are missing.
    pub const fn max_unfinished_requests(&self) -> u64 {
        self.max_unfinished_requests
    }

    /// What the proxy says while it runs.
    pub const fn log(&self) -> Log {
        self.log
    }

    /// Whether files that change are put in force by themselves.
    pub const fn watch(&self) -> bool {
        self.watch
    }

    /// Where the proxy can be watched and steered.
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What happens when a virtual cluster fails.
    pub const fn on_virtual_cluster_failure(&self) -> OnVirtualClusterFailure {
        self.on_virtual_cluster_failure
    }

    /// All virtual clusters, in the order in which they were given.
    pub fn virtual_clusters(&self) -> &[VirtualCluster] {
        &self.virtual_clusters
    }
}

fn same_names(clusters: &[VirtualCluster]) -> impl Iterator<Item = Conflict> {
    let twice = |(earlier, later): (usize, usize)| Conflict::ClusterTwice {
        earlier,
        later,
        name: clusters[later].name.clone(),
    };
    let gateways = clusters.iter().enumerate().flat_map(|(at, cluster)| {
        repeated(cluster.gateways.iter().map(|gateway| &gateway.name)).map(move |(earlier, later)| {
            Conflict::GatewayTwice {
                cluster: cluster.name.clone(),
                at,
                earlier,
                later,
                name: cluster.gateways[later].name.clone(),
            }
        })
    });
    repeated(clusters.iter().map(|cluster| &cluster.name)).map(twice).chain(gateways)
}

/// The places of everything that came before, each with the place where it came first.
fn repeated<'a, T: Ord + 'a>(all: impl Iterator<Item = &'a T>) -> impl Iterator<Item = (usize, usize)> {
    let mut first = BTreeMap::new();
    all.enumerate().filter_map(move |(place, item)| {
        let earlier = *first.entry(item).or_insert(place);
        (earlier != place).then_some((earlier, place))
    })
}

/// Of two gateways that share many ports only the first is named: one mistake, one message.
fn same_addresses(admin: &Admin, clusters: &[VirtualCluster]) -> impl Iterator<Item = Conflict> {
    let mut taken: BTreeMap<u16, Vec<(Place<'_>, ListenerOf)>> = BTreeMap::new();
    if admin.bind.port() != 0 {
        let place = Place { address: admin.bind, route: None, names: None, proxy_protocol: &ProxyProtocol::Off };
        taken.entry(admin.bind.port()).or_default().push((place, ListenerOf::Admin));
    }
    let gateways = clusters.iter().enumerate().flat_map(|(c, cluster)| {
        cluster.gateways.iter().enumerate().map(move |(g, gateway)| (cluster.name.clone(), (c, g), gateway))
    });
    gateways.filter_map(move |(cluster, at, gateway)| {
        let mut conflict = None;
        for place in gateway.places() {
            let (address, route) = (place.address, place.route);
            let later = ListenerOf::Gateway { cluster: cluster.clone(), at, route };
            let there = taken.entry(address.port()).or_default();
            if let Some((other, earlier)) = there.iter().find(|(other, _)| other.excludes(&place)) {
                let (earlier, later) = (earlier.clone(), later.clone());
                let are_named = other.names.is_some() && place.names.is_some() && other.address == address;
                conflict.get_or_insert(match are_named {
                    true if other.proxy_protocol != place.proxy_protocol => {
                        Conflict::OtherProxyProtocol { earlier, later, address }
                    }
                    true => Conflict::SameServerName { earlier, later, address },
                    false => Conflict::SameAddress { earlier, later, address },
                });
            }
            there.push((place, later));
        }
        conflict
    })
}

/// Whether two listeners with the same port cannot both be bound: the same address, or one that stands for all.
///
/// `::` takes IPv4 as well on Linux unless told otherwise. Somebody who wants both says `::` alone.
pub fn exclude_each_other(a: IpAddr, b: IpAddr) -> bool {
    let takes = |all: IpAddr, other: IpAddr| all.is_unspecified() && (all.is_ipv6() || other.is_ipv4());
    let (a, b) = (a.to_canonical(), b.to_canonical());
    a == b || takes(a, b) || takes(b, a)
}

#[cfg(test)]
mod tests;
