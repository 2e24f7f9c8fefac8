//! The configuration file as it is spelled. The documentation of these fields is the reference in `docs/configuration.md`.

use super::{
    raw_sasl::{RawSasl, RawUpstreamSasl},
    raw_tls::{RawClientTls, RawUpstreamTls},
    units::{Size, Span},
};
use kroxy_core::{
    address::HostPort,
    config::{Admin, Limits, OnVirtualClusterFailure, Upstream, VirtualCluster},
    limits,
};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// The whole file.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawConfig {
    /// Where the proxy can be watched and steered.
    #[serde(default)]
    pub(super) admin: RawAdmin,
    /// What happens to the others when a virtual cluster fails, at start-up and later.
    #[serde(default)]
    pub(super) on_virtual_cluster_failure: RawOnFailure,
    /// Whether this file and the files that it names are watched: what they hold comes into force when it changes.
    #[serde(default)]
    pub(super) watch: bool,
    /// What is said while the proxy runs.
    #[serde(default)]
    pub(super) log: RawLog,
    /// What requests that are read whole may take together in the whole process while their ends are missing: ApiVersions,
    /// SaslHandshake, SaslAuthenticate and DescribeCluster, from 4 KiB on (all others stream). One for which there is no room closes its
    /// connection.
    #[serde(default = "max_unfinished_requests")]
    pub(super) max_unfinished_requests: Size,
    /// The Kafka clusters that clients see. At least one.
    pub(super) virtual_clusters: Vec<RawCluster>,
}

fn max_unfinished_requests() -> Size {
    limits::UNFINISHED_REQUESTS_MAX.into()
}

/// The admin API.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawAdmin {
    /// Address and port of the admin API. Whoever reaches it may stop the proxy, so off loopback it needs a `token_file`, or
    /// `tls` with `client_auth`. Port 0 leaves the choice of a free port to the operating system.
    #[serde(default = "admin_bind")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) bind: SocketAddr,
    /// The file with the token that the admin API asks for, at least 16 printable ASCII characters. Its path is relative to
    /// the folder of the configuration file. It is read at each question, so a new token holds at once.
    #[serde(default)]
    pub(super) token_file: Option<String>,
    /// TLS for the admin API. Its files are read at each handshake, so a new certificate holds at once. Who shows a certificate
    /// that `client_auth` accepts needs no token.
    #[serde(default)]
    pub(super) tls: Option<RawClientTls>,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { bind: admin_bind(), token_file: None, tls: None }
    }
}

fn admin_bind() -> SocketAddr {
    Admin::default().bind
}

/// The log.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawLog {
    /// How much: `Debug` has every connection. The command line (`-v`, `-q`) and `RUST_LOG` come before it; where nobody says
    /// anything, it is `Info`. A reload changes it at once.
    #[serde(default)]
    pub(super) level: Option<RawLogLevel>,
}

/// How much is said.
#[derive(Deserialize, Clone, Copy, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum RawLogLevel {
    Warn,
    Info,
    Debug,
    Trace,
}

/// What happens when a virtual cluster fails.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawOnFailure {
    /// `None` stops the proxy when the retries have run out, `Remaining` keeps serving the others.
    #[serde(default)]
    pub(super) serve: RawServe,
    /// How a failed virtual cluster is tried again.
    #[serde(default)]
    pub(super) retry: RawRetry,
}

/// Which of the other virtual clusters are served.
#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
pub(super) enum RawServe {
    #[default]
    None,
    Remaining,
}

/// When a failed virtual cluster is tried again. The pause doubles from one retry to the next, and half of each is random.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawRetry {
    /// How often: `Times(3)` or `Forever`. Unless set, never with `serve: None` and `Forever` with `serve: Remaining`.
    #[serde(default)]
    pub(super) max_retries: Option<RawMaxRetries>,
    /// The pause before the first retry.
    #[serde(default = "initial_backoff")]
    pub(super) initial_backoff: Span,
    /// The longest pause.
    #[serde(default = "max_backoff")]
    pub(super) max_backoff: Span,
}

impl Default for RawRetry {
    fn default() -> Self {
        Self { max_retries: None, initial_backoff: initial_backoff(), max_backoff: max_backoff() }
    }
}

fn initial_backoff() -> Span {
    OnVirtualClusterFailure::INITIAL_BACKOFF.into()
}

fn max_backoff() -> Span {
    OnVirtualClusterFailure::MAX_BACKOFF.into()
}

/// How often a failed virtual cluster is tried again.
#[derive(Deserialize, Clone, Copy, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum RawMaxRetries {
    Times(u32),
    Forever,
}

/// A Kafka cluster as clients see it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawCluster {
    /// Its identity: letters, digits and hyphens, at most 63 of them. Unique in the file, whatever the case. A new name is a
    /// new virtual cluster.
    pub(super) name: String,
    /// The Kafka cluster behind it.
    pub(super) upstream: RawUpstream,
    /// The ways in for clients. At least one; each answers with its own addresses.
    pub(super) gateways: Vec<RawGateway>,
    /// SASL that ends at the proxy. Unless set, it passes between clients and upstream, or there is none.
    #[serde(default)]
    pub(super) sasl: Option<RawSasl>,
    /// How long requests in flight may take to finish when the virtual cluster stops, before connections are cut.
    #[serde(default = "drain_timeout")]
    pub(super) drain_timeout: Span,
    /// How long a connection may be silent in both directions before it is closed. Unless set, for as long as client and
    /// broker like it (brokers close theirs after 10 minutes).
    #[serde(default)]
    pub(super) idle_timeout: Option<Span>,
    /// How long a client may take from connecting to its first whole request.
    #[serde(default = "first_request_timeout")]
    pub(super) first_request_timeout: Span,
    /// How long a later request that has begun may stand still, and one that is read whole may take, before its connection is closed.
    #[serde(default = "unfinished_request_timeout")]
    pub(super) unfinished_request_timeout: Span,
    /// How long a client may take nothing of the responses that wait for it before its connection is closed.
    #[serde(default = "unread_response_timeout")]
    pub(super) unread_response_timeout: Span,
    /// What its clients may use.
    #[serde(default)]
    pub(super) limits: RawLimits,
}

fn drain_timeout() -> Span {
    VirtualCluster::DRAIN_TIMEOUT.into()
}

fn first_request_timeout() -> Span {
    VirtualCluster::FIRST_REQUEST_TIMEOUT.into()
}

fn unfinished_request_timeout() -> Span {
    VirtualCluster::UNFINISHED_REQUEST_TIMEOUT.into()
}

fn unread_response_timeout() -> Span {
    VirtualCluster::UNREAD_RESPONSE_TIMEOUT.into()
}

/// The Kafka cluster behind a virtual cluster.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawUpstream {
    /// Servers that tell of all others, each as `host:port`; they are tried in turn. At least one, better two or three.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub(super) bootstrap_servers: Vec<HostPort>,
    /// How long one attempt to connect to one server may take, the TLS handshake included.
    #[serde(default = "connect_timeout")]
    pub(super) connect_timeout: Span,
    /// TLS towards upstream. Unless set, plain Kafka; `()` is TLS with all defaults.
    #[serde(default)]
    pub(super) tls: Option<RawUpstreamTls>,
    /// Tell upstream the client's address by a header of the PROXY protocol in front of each connection, before TLS. Kafka
    /// brokers do not understand it: it is for a proxy between, such as another kroxy.
    #[serde(default)]
    pub(super) proxy_protocol: Option<RawProxyVersion>,
    /// How the proxy logs in to upstream. Unless set, its clients do, or nobody. With it, SASL of clients ends at the proxy or is
    /// not there.
    #[serde(default)]
    pub(super) sasl: Option<RawUpstreamSasl>,
}

fn connect_timeout() -> Span {
    Upstream::CONNECT_TIMEOUT.into()
}

/// A version of the PROXY protocol.
#[derive(Deserialize, Clone, Copy, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum RawProxyVersion {
    V1,
    V2,
}

/// A way into a virtual cluster.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawGateway {
    /// Tells the gateways of one virtual cluster apart, in logs and metrics: letters, digits and hyphens, at most 63.
    pub(super) name: String,
    /// A port for bootstrapping, and one for each node. A gateway has either this or `sni`.
    #[serde(default)]
    pub(super) port_per_broker: Option<RawPortPerBroker>,
    /// One port for all nodes, which are told apart by the name that a client asks for. It needs `tls`.
    #[serde(default)]
    pub(super) sni: Option<RawSni>,
    /// TLS towards its clients. Unless set, they speak plain Kafka.
    #[serde(default)]
    pub(super) tls: Option<RawClientTls>,
    /// Whether a load balancer says whose connections they are, by a header of the PROXY protocol (version 1 or 2) before TLS:
    /// `Off`, `Allowed` (from these addresses; all others are clients themselves) or `Required` (whoever comes from elsewhere is
    /// closed). The client's address then is the header's, in logs, status and limits.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) proxy_protocol: RawProxyProtocol,
}

/// Whether a load balancer says whose connections they are.
#[derive(Deserialize, Default, Debug)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum RawProxyProtocol {
    #[default]
    Off,
    Allowed {
        from: Vec<String>,
    },
    Required {
        from: Vec<String>,
    },
}

/// A gateway that tells nodes apart by the name which a client asks for in its TLS handshake. Several of them can listen at the
/// same address, also of different virtual clusters, as long as no name belongs to two.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawSni {
    /// The address and port to listen on, shared by all that name the same.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) bind: SocketAddr,
    /// What clients have in their `bootstrap.servers`. `{cluster}` stands for the name of the virtual cluster, in lower case.
    pub(super) bootstrap: String,
    /// What clients are told of each node. `{node}` stands for its id, which it needs once; `{cluster}` as above. The port is the
    /// one that clients reach, which may be a load balancer's.
    pub(super) advertised: String,
}

/// A gateway that tells nodes apart by port.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawPortPerBroker {
    /// The address to listen on, without a port. `0.0.0.0` stands for all IPv4 addresses of the machine, `::` for all.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) bind: IpAddr,
    /// The host name or address at which clients reach this gateway, without a port. Every address that a client is told
    /// has this host.
    pub(super) advertised_host: String,
    /// The port that clients have in their `bootstrap.servers`.
    pub(super) bootstrap_port: u16,
    /// The ids of upstream's nodes and the ports for them. A node that is not listed cannot be reached through this gateway.
    pub(super) nodes: Vec<RawNodeRange>,
}

/// Nodes with consecutive ids and the ports for them. A range that is added moves no port of another.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawNodeRange {
    /// The first and the last node id (Kafka's `node.id`) of the range: `(1, 3)` is three nodes. A range may be longer than
    /// the cluster, so that there are ports for brokers to come.
    pub(super) ids: (i32, i32),
    /// The port of the first id. The next id has the next port.
    pub(super) first_port: u16,
}

/// What the clients of a virtual cluster may use.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawLimits {
    /// The largest request. A client that sends a larger one is disconnected. Brokers have the same limit as
    /// `socket.request.max.bytes`.
    #[serde(default = "max_request_frame")]
    pub(super) max_request_frame: Size,
    /// Client connections at the same time; one more is closed at once. Each takes two file descriptors.
    #[serde(default = "max_connections")]
    pub(super) max_connections: u32,
    /// Of these, from one address: IPv4 addresses are counted one by one, IPv6 addresses by their first 64 bits. One more is
    /// closed at once. Unless set, any number: a whole data centre may come from behind one address.
    #[serde(default)]
    pub(super) max_connections_per_address: Option<u32>,
    /// Of these, of one principal, as the SASL exchange tells it. One more is closed when it has authenticated itself. Unless
    /// set, any number: an application has as many connections as it has processes and brokers.
    #[serde(default)]
    pub(super) max_connections_per_principal: Option<u32>,
    /// Client connections accepted in a second; as many come at once after a quiet second. Further ones wait to be accepted.
    /// Unless set, as fast as they come: after an outage all clients come back together.
    #[serde(default)]
    pub(super) max_connection_rate: Option<u32>,
    /// Of these, from one address, counted as above. One more is closed at once. Unless set, as fast as they come.
    #[serde(default)]
    pub(super) max_connection_rate_per_address: Option<u32>,
    /// Requests taken from one connection in a second; as many at once after a quiet second. Further ones wait in the client,
    /// which knows nothing of it. Unless set, as fast as they come: brokers have quotas of their own.
    #[serde(default)]
    pub(super) max_request_rate: Option<u32>,
    /// What responses that are read whole may take together: those with addresses in them, above 64 KiB (Metadata of some
    /// thousand topics has 1 MiB). Each counts twice, as it came and as it goes on. Where there is no room, further ones wait
    /// with upstream.
    #[serde(default = "max_buffered")]
    pub(super) max_buffered: Size,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            max_request_frame: max_request_frame(),
            max_connections: max_connections(),
            max_connections_per_address: None,
            max_connections_per_principal: None,
            max_connection_rate: None,
            max_connection_rate_per_address: None,
            max_request_rate: None,
            max_buffered: max_buffered(),
        }
    }
}

fn max_request_frame() -> Size {
    Limits::default().max_request_frame.into()
}

fn max_connections() -> u32 {
    u32::try_from(Limits::default().max_connections).expect("a default of some thousands")
}

fn max_buffered() -> Size {
    Limits::default().max_buffered.into()
}
