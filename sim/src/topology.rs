//! Who is where: names, ports and the configuration of the proxy.

use crate::{
    limits,
    logins::{MECHANISM, OWN_USER},
    plan::{Change, Plan},
};
use bytes::Bytes;
use runtime::config;
use std::{fmt::Write, net::SocketAddr, path::Path};

/// The turmoil host of all clients.
pub(crate) const CLIENTS: &str = "clients";
/// What the names end in that clients know.
pub(crate) const PUBLIC: &str = ".public.example";
/// What the first cluster's gateway shows its clients.
pub(crate) const FIRST_CHAIN: &str = "first-gateway.pem";
/// The key to it.
pub(crate) const FIRST_KEY: &str = "first-gateway.key";
/// What the other gateways show.
pub(crate) const CHAIN: &str = "gateway.pem";
/// The key to it.
pub(crate) const KEY: &str = "gateway.key";
/// Who has signed what brokers of the first cluster show.
pub(crate) const FIRST_CA: &str = "first-brokers-ca.pem";
/// Who has signed what other brokers show.
pub(crate) const CA: &str = "brokers-ca.pem";
/// What the proxy shows brokers.
pub(crate) const OWN_CHAIN: &str = "kroxy.pem";
/// The key to it.
pub(crate) const OWN_KEY: &str = "kroxy.key";
/// Who may log in at the first cluster.
pub(crate) const FIRST_USERS: &str = "first-users.ron";
/// Who may log in at other clusters.
pub(crate) const USERS: &str = "users.ron";
/// The proxy's password at the first cluster's brokers.
pub(crate) const FIRST_PASSWORD: &str = "first-kroxy.password";
/// The proxy's password at other brokers.
pub(crate) const PASSWORD: &str = "kroxy.password";
/// What the names of all brokers end in: no client may ever see it.
pub(crate) const UPSTREAM: &str = ".upstream.example";
/// The topic of idempotent producers and of the consumer group.
pub(crate) const ORDERS: &str = "orders";
/// The topic of all others.
pub(crate) const READINGS: &str = "readings";
/// The topic of transactions.
pub(crate) const PAYMENTS: &str = "payments";
/// The consumer group.
pub(crate) const GROUP: &str = "billing";
/// The port of the admin API.
pub(crate) const ADMIN: u16 = 9_190;
/// The port under which it is reached from elsewhere.
pub(crate) const TUNNEL: u16 = 9_191;
/// A host's own address.
pub(crate) const LOOPBACK: &str = "127.0.0.1";
/// A port that somebody else holds on the proxy's host.
pub(crate) const TAKEN: u16 = 9_999;
/// Whether somebody else holds an address on the proxy's host for ever. It is part of what the first cluster listens on.
pub(crate) fn is_taken(at: SocketAddr) -> bool {
    at.ip().is_loopback() && at.port() == bootstrap_port(0)
}

/// The first node's port on the brokers' host.
const BROKER: u16 = 9_092;

/// The turmoil host of a proxy.
pub(crate) fn proxy(number: u8) -> String {
    if number == 0 { "proxy".to_owned() } else { format!("proxy-{number}") }
}

/// The number of the proxy on a host.
pub(crate) fn proxy_on(host: &str) -> u8 {
    host.strip_prefix("proxy-").and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// What clients know a proxy as.
pub(crate) fn advertised(proxy: u8) -> String {
    if proxy == 0 { format!("kafka{PUBLIC}") } else { format!("kafka-{proxy}{PUBLIC}") }
}

/// The turmoil host of a cluster's brokers.
pub(crate) fn brokers(cluster: u8) -> String {
    format!("brokers-{cluster}")
}

/// The name of a virtual cluster.
pub(crate) fn cluster_name(cluster: u8) -> String {
    format!("tenant-{cluster}")
}

/// The name that a broker tells its clients after it was given another so many times.
pub(crate) fn broker_name(cluster: u8, node: u8, moves: u32) -> String {
    format!("b{node}-{moves}.c{cluster}{UPSTREAM}")
}

/// The name under which the proxy is told to look for a broker.
pub(crate) fn bootstrap_name(cluster: u8, node: u8) -> String {
    format!("seed-{node}.c{cluster}{UPSTREAM}")
}

/// The port that a broker listens on.
pub(crate) fn broker_port(node: u8) -> u16 {
    BROKER + u16::from(node)
}

/// Where clients of a cluster begin.
pub(crate) fn bootstrap_port(cluster: u8) -> u16 {
    10_000 + 100 * u16::from(cluster)
}

/// Whether clients of Kafka come in at a port of the proxy.
pub(crate) fn is_gateway(port: u16) -> bool {
    port >= bootstrap_port(0) || port == TAKEN
}

/// The cluster whose clients come in at a port.
pub(crate) fn cluster_at(port: u16) -> u8 {
    u8::try_from(port.saturating_sub(bootstrap_port(0)) / 100).unwrap_or_default()
}

/// The cluster whose brokers are on a host.
pub(crate) fn cluster_of(host: &str) -> u8 {
    host.strip_prefix("brokers-").and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The configuration of a proxy of a plan's world, as a file would say it.
pub(crate) fn configuration(plan: &Plan, proxy: u8, change: Option<Change>) -> String {
    let mut text = format!(
        "(
    admin: (bind: \"{LOOPBACK}:{ADMIN}\"),
    on_virtual_cluster_failure: (serve: Remaining, retry: (max_retries: Forever, initial_backoff: \"200ms\", max_backoff: \"2s\")),
    virtual_clusters: [\n"
    );
    for cluster in 0..plan.clusters {
        let is_last = cluster > 0 && cluster + 1 == plan.clusters;
        let change = match change {
            Some(Change::HalfBad) if is_last => Some(Change::Upstream),
            change => change.filter(|_| cluster == 0),
        };
        text += &virtual_cluster(plan, proxy, cluster, change);
    }
    text + "    ],\n)\n"
}

fn virtual_cluster(plan: &Plan, proxy: u8, cluster: u8, change: Option<Change>) -> String {
    let mut servers: Vec<String> =
        (0..plan.nodes).map(|n| format!("\"{}:{}\"", bootstrap_name(cluster, n), broker_port(n))).collect();
    let mut bootstrap = bootstrap_port(cluster);
    let mut bind = "0.0.0.0";
    let mut frame = "8MiB";
    let mut ranges = format!("(ids: (0, {}), first_port: {})", plan.nodes - 1, bootstrap + 1);
    match change {
        Some(Change::Limits) => frame = "4MiB",
        Some(Change::Upstream) => servers.reverse(),
        Some(Change::Grow) => {
            write!(ranges, ", (ids: (10, 12), first_port: {})", bootstrap + 50).expect("a string takes everything");
        }
        Some(Change::TakenAddress) => bind = LOOPBACK,
        Some(Change::HalfBad) => bootstrap = TAKEN,
        Some(Change::Unreadable) => servers.push("0:0:0".to_owned()),
        // What is new is in the files that the configuration names.
        Some(
            Change::Renewed
            | Change::Broken
            | Change::Expired
            | Change::ForeignCa
            | Change::WrongPassword
            | Change::NoUsers,
        )
        | None => {}
    }
    let (tls, sasl) = (plan.tls_of(cluster), plan.sasl_of(cluster));
    let (users, password) = if cluster == 0 { (FIRST_USERS, FIRST_PASSWORD) } else { (USERS, PASSWORD) };
    let clients_log_in = format!("sasl: (mechanisms: [\"{MECHANISM}\"], credentials: \"{users}\"),");
    let logs_in =
        format!(", sasl: (mechanism: \"{MECHANISM}\", username: \"{OWN_USER}\", password_file: \"{password}\")");
    let ((chain, key), ca) = if cluster == 0 { ((FIRST_CHAIN, FIRST_KEY), FIRST_CA) } else { ((CHAIN, KEY), CA) };
    let towards_clients =
        format!("tls: (certificates: [(chain: \"{chain}\", key: \"{key}\")], handshake_timeout: \"4s\"), ");
    let own = format!("client_certificate: (chain: \"{OWN_CHAIN}\", key: \"{OWN_KEY}\")");
    let towards_upstream = format!(", tls: (ca: File(\"{ca}\"), {own})");
    format!(
        "        (
            name: \"{name}\",
            upstream: (bootstrap_servers: [{servers}], connect_timeout: \"2s\"{towards_upstream}{logs_in}),
            gateways: [(name: \"default\", {towards_clients}port_per_broker: (
                bind: \"{bind}\", advertised_host: \"{advertised}\", bootstrap_port: {bootstrap}, nodes: [{ranges}],
            ))],
            {clients_log_in}
            drain_timeout: \"{drain}ms\",
            first_request_timeout: \"5s\",
            limits: (max_request_frame: \"{frame}\"),
        ),\n",
        name = cluster_name(cluster),
        advertised = advertised(proxy),
        servers = servers.join(", "),
        towards_upstream = if tls.upstream { &towards_upstream } else { "" },
        towards_clients = if tls.clients { &towards_clients } else { "" },
        logs_in = if sasl.upstream { &logs_in } else { "" },
        clients_log_in = if sasl.clients { &clients_log_in } else { "" },
        drain = limits::DRAIN.as_millis(),
    )
}

/// What a configuration file says, ready for the proxy; `file` reads the files that it names.
pub(crate) fn read(
    text: &str,
    file: impl Fn(&Path) -> Result<Bytes, String>,
) -> Result<kroxy_core::reload::Loaded, String> {
    let parsed = config::parse_str("sim.ron", text).map_err(|e| e.to_string())?;
    Ok(runtime::load::loaded_by(parsed, file))
}
