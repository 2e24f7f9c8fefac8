//! What a configuration will do, in words.

use super::units::{Size, Span};
use crate::descriptors;
use kroxy_core::{
    address::HostPort,
    config::{
        Config, OnVirtualClusterFailure, Serve, VirtualCluster,
        sasl::ClientSasl,
        tls::{ClientAuth, ClientTls, Trust, UpstreamTls},
    },
    gateway::{Gateway, GatewayKind, NodeRange, PortPerBroker, Sni},
    proxy_protocol::ProxyProtocol,
};
use std::fmt::Write;

/// Columns of what stands in front of a line.
const HEAD: usize = 18;

/// What stands above listeners.
const HEADS: [&str; 3] = ["listens on", "clients are told", "leads to"];

/// Says what a configuration will do: where the proxy listens, what clients are told, and where each port leads.
pub fn describe(config: &Config) -> String {
    let mut out = String::new();
    line(&mut out, "admin API", &format!("http://{}", config.admin().bind));
    line(&mut out, "on failure", &on_failure(config.on_virtual_cluster_failure()));
    let unfinished = Size::from(config.max_unfinished_requests());
    line(&mut out, "memory", &format!("{unfinished} of requests whose ends are missing"));
    for cluster in config.virtual_clusters() {
        out.push('\n');
        describe_cluster(&mut out, cluster);
    }
    let listeners: usize = config.virtual_clusters().iter().map(listeners).sum();
    out.push('\n');
    let descriptors = descriptors::needed(config);
    line(&mut out, "in all", &format!("{listeners} listeners for clients, up to {descriptors} file descriptors"));
    out
}

fn line(out: &mut String, head: &str, text: &str) {
    writeln!(out, "{head:<HEAD$} {text}").expect("a string takes whatever is written to it");
}

fn listeners(cluster: &VirtualCluster) -> usize {
    cluster.gateways.iter().map(|gateway| gateway.places().len()).sum()
}

fn on_failure(on_failure: OnVirtualClusterFailure) -> String {
    let retry = on_failure.retry;
    let pauses = format!("after pauses that grow from {} to {}", Span::from(retry.initial), Span::from(retry.cap));
    let retries = match retry.max_retries {
        Some(0) => None,
        Some(n) => Some(format!("up to {n} times, {pauses}")),
        None => Some(format!("for ever, {pauses}")),
    };
    match (on_failure.serve, retries) {
        (Serve::None, None) => "when a virtual cluster fails, the proxy stops".to_owned(),
        (Serve::None, Some(retries)) => {
            format!("a failed virtual cluster is tried again {retries}; then the proxy stops")
        }
        (Serve::Remaining, None) => "when a virtual cluster fails, the others are served".to_owned(),
        (Serve::Remaining, Some(retries)) => {
            format!("a failed virtual cluster is tried again {retries}; the others are served all the while")
        }
    }
}

fn describe_cluster(out: &mut String, cluster: &VirtualCluster) {
    line(out, "virtual cluster", cluster.name.as_str());
    let servers: Vec<_> = cluster.upstream.bootstrap_servers.iter().map(ToString::to_string).collect();
    let connect = Span::from(cluster.upstream.connect_timeout);
    line(out, "  upstream", &format!("{} ({connect} to connect)", servers.join(", ")));
    if let Some(version) = cluster.upstream.proxy_protocol {
        line(out, "", &format!("is told the client's address by the PROXY protocol {version}"));
    }
    if let Some(tls) = &cluster.upstream.tls {
        line(out, "", &upstream_tls(tls));
    }
    if let Some(sasl) = &cluster.upstream.sasl {
        line(out, "", &format!("logs in as {} with {}", sasl.user(), sasl.mechanism()));
    }
    for gateway in &cluster.gateways {
        describe_gateway(out, gateway);
    }
    if let Some(sasl) = &cluster.sasl {
        line(out, "  clients", &client_sasl(sasl));
    }
    let idle = cluster.idle_timeout.map_or_else(|| "none".to_owned(), |idle| Span::from(idle).to_string());
    let [first, unfinished, unread, drain] = [
        cluster.first_request_timeout,
        cluster.unfinished_request_timeout,
        cluster.unread_response_timeout,
        cluster.drain_timeout,
    ]
    .map(Span::from);
    let all = format!(
        "first request {first}, unfinished request {unfinished}, unread response {unread}, idle {idle}, drain {drain}"
    );
    line(out, "  timeouts", &all);
    let limits = cluster.limits;
    let (frame, buffered) = (Size::from(limits.max_request_frame), Size::from(limits.max_buffered));
    let all = format!("requests of {frame}, {} connections, {buffered} of responses", limits.max_connections);
    line(out, "  limits", &all);
    let many = |what: &str, n: Option<usize>| n.map(|n| format!("{n} {what}"));
    let rate = |what: &str, n: Option<u32>| n.map(|n| format!("{n} {what} a second"));
    let further = [
        many("connections of one address", limits.max_connections_per_address),
        many("connections of one principal", limits.max_connections_per_principal),
        rate("new connections", limits.max_connection_rate),
        rate("new connections of one address", limits.max_connection_rate_per_address),
        rate("requests of one connection", limits.max_request_rate),
    ];
    let further: Vec<_> = further.into_iter().flatten().collect();
    if !further.is_empty() {
        line(out, "", &further.join(", "));
    }
}

fn describe_gateway(out: &mut String, gateway: &Gateway) {
    let (bootstrap, rows) = match &gateway.kind {
        GatewayKind::PortPerBroker(ports) => {
            (HostPort::new(ports.advertised_host(), ports.bootstrap_port()), rows(ports).collect::<Vec<_>>())
        }
        GatewayKind::Sni(sni) => (sni.bootstrap().clone(), names(sni).to_vec()),
    };
    line(out, "  gateway", &format!("{}: clients have bootstrap.servers={bootstrap}", gateway.name));
    if let Some(tls) = &gateway.tls {
        line(out, "", &client_tls(tls));
    }
    match &gateway.proxy_protocol {
        ProxyProtocol::Off => {}
        ProxyProtocol::Allowed(from) => {
            line(out, "", &format!("the PROXY protocol may tell the client's address, from {from}"));
        }
        ProxyProtocol::Required(from) => {
            line(out, "", &format!("the PROXY protocol tells the client's address, from {from}; others are closed"));
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    for [listener, told, leads_to] in &rows {
        line(out, "", &format!("{listener:<first$}  {told:<second$}  {leads_to}"));
    }
}

fn client_sasl(sasl: &ClientSasl) -> String {
    let mechanisms: Vec<_> = sasl.mechanisms.iter().map(ToString::to_string).collect();
    let users = sasl.credentials.as_ref().map_or_else(String::new, |path| format!(", users in {path}"));
    let tokens = sasl.oauth.as_ref().map_or_else(String::new, |oauth| format!(", tokens of {}", oauth.issuer));
    let session = sasl.session_max.map_or_else(String::new, |max| format!(", again after {}", Span::from(max)));
    format!("authenticate themselves here with {}{users}{tokens}{session}", mechanisms.join(", "))
}

fn client_tls(tls: &ClientTls) -> String {
    let certificates: Vec<_> = tls.certificates.iter().map(|files| files.certificate()).collect();
    let demand = match &tls.client_auth {
        ClientAuth::None => "clients show no certificate".to_owned(),
        ClientAuth::Requested { ca } => format!("clients may show a certificate signed by {ca}"),
        ClientAuth::Required { ca } => format!("clients show a certificate signed by {ca}"),
    };
    let rules = tls.principals.as_ref().map_or_else(String::new, |rules| format!(", whose name is told by {rules}"));
    format!("{} with {}; {demand}{rules}", tls.protocol, certificates.join(", "))
}

fn upstream_tls(tls: &UpstreamTls) -> String {
    let trust = match &tls.trust {
        Trust::System => "trusts whom the operating system trusts".to_owned(),
        Trust::File(ca) => format!("trusts {ca}"),
        Trust::Anybody => "INSECURE: trusts anybody".to_owned(),
    };
    let own = tls.client_certificate.as_ref().map_or_else(String::new, |own| format!(", shows {}", own.certificate()));
    let name = tls.server_name.as_ref().map_or_else(String::new, |name| format!(", expects {}", name.as_str()));
    format!("{}, {trust}{own}{name}", tls.protocol)
}

/// The one listener of a gateway with names, and where those lead.
fn names(sni: &Sni) -> [[String; 3]; 3] {
    let (bind, (node, port)) = (sni.bind().to_string(), sni.node_pattern());
    [
        HEADS.map(str::to_owned),
        [bind.clone(), sni.bootstrap().to_string(), "any node (bootstrap)".to_owned()],
        [bind, HostPort::new(node, port).to_string(), "each node by its id".to_owned()],
    ]
}

/// The listeners of a gateway, what clients are told of them, and where they lead.
fn rows(ports: &PortPerBroker) -> impl Iterator<Item = [String; 3]> {
    let heads = HEADS.map(str::to_owned);
    let address = |host: &str, first: u16, last: u16| {
        let first = HostPort::new(host, first);
        if last == first.port { first.to_string() } else { format!("{first}-{last}") }
    };
    let bind = ports.bind().to_string();
    let row = move |first: u16, last: u16, leads_to: String| {
        [address(&bind, first, last), address(ports.advertised_host(), first, last), leads_to]
    };
    let bootstrap = row(ports.bootstrap_port(), ports.bootstrap_port(), "any node (bootstrap)".to_owned());
    let nodes = ports.nodes().iter().map(move |NodeRange { ids, first_port }| {
        let (first, last) = (ids.start(), ids.end());
        let last_port = first_port + u16::try_from(last - first).expect("as many ports as there are ids");
        let leads_to = if first == last { format!("node {first}") } else { format!("nodes {first}-{last}") };
        row(*first_port, last_port, leads_to)
    });
    [heads, bootstrap].into_iter().chain(nodes)
}
