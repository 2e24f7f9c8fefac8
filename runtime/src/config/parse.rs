//! From the raw configuration to good values, with a place for everything that does not make one.

use super::{
    error::Problem,
    locate::FieldPath,
    raw::{
        RawAdmin, RawCluster, RawConfig, RawGateway, RawLog, RawLogLevel, RawMaxRetries, RawOnFailure,
        RawPortPerBroker, RawProxyProtocol, RawProxyVersion, RawServe, RawSni,
    },
    units::Size,
};
use kroxy_core::{
    cluster::RetryPolicy,
    config::{
        Admin, ClusterName, Config, Conflict, Limits, ListenerOf, Log, LogLevel, NonEmpty, OnVirtualClusterFailure,
        Serve, Upstream, VirtualCluster,
    },
    gateway::{Gateway, GatewayError, GatewayKind, NodeRange, PortPerBroker, PortUse, Route, Sni, SniError},
    limits,
    proxy_protocol::{Networks, ProxyProtocol, Version},
};
use std::{path::Path, str::FromStr};

/// Bytes: the smallest limit for requests. Below it not even the first request of a client may pass.
const REQUEST_FRAME_MIN: u32 = 1 << 10;

/// Bytes: the smallest room for what is read whole, which is that of a few small responses and of some requests.
const BUFFERED_MIN: u64 = 1 << 20;

/// All that is wrong with `raw`, which was read from `text`, or its good values. Files that it names are in `folder`.
pub(super) fn parse(text: &str, folder: &Path, raw: RawConfig) -> Result<Config, Vec<Problem>> {
    let mut parser = Parser { text, folder, problems: Vec::new() };
    let top = FieldPath::default();
    let admin = parser.admin(raw.admin, &top.field("admin"));
    let on_failure = parser.on_failure(&raw.on_virtual_cluster_failure, &top.field("on_virtual_cluster_failure"));
    let unfinished = parser.unfinished_requests(&raw.max_unfinished_requests, &top.field("max_unfinished_requests"));
    let at = top.field("virtual_clusters");
    let raw_clusters = raw.virtual_clusters.into_iter().enumerate();
    let clusters: Vec<_> = raw_clusters.filter_map(|(n, raw)| parser.cluster(raw, &at.place(n))).collect();
    if !parser.problems.is_empty() {
        return Err(parser.problems); // what conflicts with a value that is not there cannot be told
    }
    let Some(clusters) = NonEmpty::new(clusters) else {
        return Err(vec![Problem::at(text, &at, "there is no virtual cluster to serve")]);
    };
    Config::new(admin, on_failure, clusters.clone())
        .map(|config| config.watching(raw.watch).logging(log(&raw.log)).with_max_unfinished_requests(unfinished))
        .map_err(|conflicts| conflicts.iter().map(|conflict| parser.conflict(conflict, &clusters)).collect())
}

pub(super) struct Parser<'a> {
    text: &'a str,
    pub(super) folder: &'a Path,
    problems: Vec<Problem>,
}

impl Parser<'_> {
    pub(super) fn wrong(&mut self, path: &FieldPath, what: impl Into<String>) {
        self.problems.push(Problem::at(self.text, path, what));
    }

    pub(super) fn good<T, E: ToString>(&mut self, path: &FieldPath, value: Result<T, E>) -> Option<T> {
        value.map_err(|e| self.wrong(path, e.to_string())).ok()
    }

    fn admin(&mut self, raw: RawAdmin, path: &FieldPath) -> Admin {
        let asked_for_tls = raw.tls.is_some();
        let tls = self.client_tls(raw.tls, &path.field("tls")).flatten();
        let is_broken = asked_for_tls && tls.is_none();
        if tls.as_ref().is_some_and(|tls| tls.principals.is_some()) {
            let at = path.field("tls").field("principal_mapping_rules");
            self.wrong(&at, "the admin API has no use for names: whoever shows a good certificate may do everything");
        }
        let admin = Admin { bind: raw.bind, token_file: raw.token_file.map(|name| self.folder.join(name)), tls };
        if admin.is_exposed() && !admin.is_guarded() && !is_broken {
            let what = "whoever reaches the admin API may stop the proxy, so off loopback it needs a token_file, or tls \
                        with client_auth";
            self.wrong(&path.field("bind"), what);
        }
        admin
    }

    fn on_failure(&mut self, raw: &RawOnFailure, path: &FieldPath) -> OnVirtualClusterFailure {
        let serve = match raw.serve {
            RawServe::None => Serve::None,
            RawServe::Remaining => Serve::Remaining,
        };
        let max_retries = match raw.retry.max_retries {
            None => OnVirtualClusterFailure::unless_configured(serve).retry.max_retries,
            Some(RawMaxRetries::Times(n)) => Some(n),
            Some(RawMaxRetries::Forever) => None,
        };
        let (initial, cap) = (raw.retry.initial_backoff, raw.retry.max_backoff);
        if initial > cap {
            let what = format!("the longest pause ({cap}) is shorter than the first ({initial})");
            self.wrong(&path.field("retry").field("max_backoff"), what);
        }
        OnVirtualClusterFailure { serve, retry: RetryPolicy { max_retries, initial: initial.get(), cap: cap.get() } }
    }

    fn cluster(&mut self, raw: RawCluster, path: &FieldPath) -> Option<VirtualCluster> {
        let name = self.good(&path.field("name"), FromStr::from_str(&raw.name));
        let servers = NonEmpty::new(raw.upstream.bootstrap_servers).ok_or("there is no server to begin with");
        let servers = self.good(&path.field("upstream").field("bootstrap_servers"), servers);
        let tls = self.upstream_tls(raw.upstream.tls, &path.field("upstream").field("tls"));
        let login = self.upstream_sasl(raw.upstream.sasl, &path.field("upstream").field("sasl"));
        let sasl = self.client_sasl(raw.sasl, &path.field("sasl"));
        let at = path.field("gateways");
        let none = raw.gateways.is_empty();
        let raw_gateways = raw.gateways.into_iter().enumerate();
        let gateways: Vec<_> =
            raw_gateways.filter_map(|(n, raw)| self.gateway(raw, name.as_ref(), &at.place(n))).collect();
        if none {
            self.wrong(&at, "there is no way in for clients");
        }
        let limits = self.limits(&raw.limits, &path.field("limits"));
        Some(VirtualCluster {
            name: name?,
            upstream: Upstream {
                bootstrap_servers: servers?,
                connect_timeout: raw.upstream.connect_timeout.get(),
                tls: tls?,
                proxy_protocol: raw.upstream.proxy_protocol.map(|version| match version {
                    RawProxyVersion::V1 => Version::V1,
                    RawProxyVersion::V2 => Version::V2,
                }),
                sasl: login?,
            },
            gateways: NonEmpty::new(gateways)?,
            sasl: sasl?,
            drain_timeout: raw.drain_timeout.get(),
            idle_timeout: raw.idle_timeout.map(super::units::Span::get),
            first_request_timeout: raw.first_request_timeout.get(),
            unfinished_request_timeout: raw.unfinished_request_timeout.get(),
            unread_response_timeout: raw.unread_response_timeout.get(),
            limits: limits?,
        })
    }

    fn unfinished_requests(&mut self, raw: &Size, path: &FieldPath) -> u64 {
        if raw.bytes() < BUFFERED_MIN {
            self.wrong(path, format!("{raw} is no room for requests"));
        }
        raw.bytes()
    }

    fn limits(&mut self, raw: &super::raw::RawLimits, path: &FieldPath) -> Option<Limits> {
        let frame = u32::try_from(raw.max_request_frame.bytes()).ok();
        let frame = frame.filter(|bytes| *bytes >= REQUEST_FRAME_MIN && i32::try_from(*bytes).is_ok());
        let frame = frame.ok_or_else(|| format!("{} is no limit for requests", raw.max_request_frame));
        let frame = self.good(&path.field("max_request_frame"), frame);
        let mut many = |field: &str, n: Option<u32>| {
            let n = n.map(|n| usize::try_from(n).ok().filter(|n| *n > 0).ok_or("nobody could connect"));
            self.good(&path.field(field), n.transpose())
        };
        let connections = many("max_connections", Some(raw.max_connections));
        let of_address = many("max_connections_per_address", raw.max_connections_per_address);
        let of_principal = many("max_connections_per_principal", raw.max_connections_per_principal);
        let mut rate = |field: &str, n: Option<u32>| {
            let fits = |n: &u32| (1..=limits::RATE_MAX).contains(n);
            let n = n.map(|n| Some(n).filter(fits).ok_or_else(|| format!("{n} in a second is no limit")));
            self.good(&path.field(field), n.transpose())
        };
        let connection_rate = rate("max_connection_rate", raw.max_connection_rate);
        let of_address_rate = rate("max_connection_rate_per_address", raw.max_connection_rate_per_address);
        let request_rate = rate("max_request_rate", raw.max_request_rate);
        let buffered = Some(raw.max_buffered.bytes()).filter(|bytes| *bytes >= BUFFERED_MIN);
        let buffered = buffered.ok_or_else(|| format!("{} is no room for responses", raw.max_buffered));
        let buffered = self.good(&path.field("max_buffered"), buffered);
        Some(Limits {
            max_request_frame: frame?,
            max_connections: connections??,
            max_connections_per_address: of_address?,
            max_connections_per_principal: of_principal?,
            max_connection_rate: connection_rate?,
            max_connection_rate_per_address: of_address_rate?,
            max_request_rate: request_rate?,
            max_buffered: buffered?,
        })
    }

    fn gateway(&mut self, raw: RawGateway, cluster: Option<&ClusterName>, path: &FieldPath) -> Option<Gateway> {
        let name = self.good(&path.field("name"), FromStr::from_str(&raw.name));
        let tls = self.client_tls(raw.tls, &path.field("tls"));
        let kind = match (raw.port_per_broker, raw.sni) {
            (Some(raw), None) => self.ports(&raw, &path.field("port_per_broker")).map(GatewayKind::PortPerBroker),
            (None, Some(raw)) => {
                if matches!(tls, Some(None)) {
                    self.wrong(
                        &path.field("tls"),
                        "with `sni` there has to be `tls`: only a TLS handshake names a server",
                    );
                }
                self.sni(&raw, cluster?, &path.field("sni")).map(GatewayKind::Sni)
            }
            (None, None) => {
                self.wrong(path, "there is neither `port_per_broker` nor `sni`");
                None
            }
            (Some(_), Some(_)) => {
                self.wrong(&path.field("sni"), "there is `port_per_broker` as well: make two gateways of it");
                None
            }
        };
        let proxy_protocol = self.proxy_protocol(&raw.proxy_protocol, &path.field("proxy_protocol"));
        Some(Gateway { name: name?, kind: kind?, tls: tls?, proxy_protocol: proxy_protocol? })
    }

    fn proxy_protocol(&mut self, raw: &RawProxyProtocol, path: &FieldPath) -> Option<ProxyProtocol> {
        let mut networks = |from: &[String]| {
            let all: Vec<_> = from.iter().map(|text| self.good(path, text.parse())).collect();
            let all = NonEmpty::new(all.into_iter().collect::<Option<_>>()?);
            self.good(path, all.ok_or("there is nobody whose word counts")).map(Networks::new)
        };
        Some(match raw {
            RawProxyProtocol::Off => ProxyProtocol::Off,
            RawProxyProtocol::Allowed { from } => ProxyProtocol::Allowed(networks(from)?),
            RawProxyProtocol::Required { from } => ProxyProtocol::Required(networks(from)?),
        })
    }

    fn sni(&mut self, raw: &RawSni, cluster: &ClusterName, path: &FieldPath) -> Option<Sni> {
        let sni = Sni::new(raw.bind, &raw.bootstrap, &raw.advertised, cluster);
        sni.map_err(|e| {
            let field = match e {
                SniError::PortZero => "bind",
                SniError::Bootstrap(_) | SniError::BootstrapIsNode { .. } => "bootstrap",
                SniError::Advertised(_) => "advertised",
            };
            self.wrong(&path.field(field), e.to_string());
        })
        .ok()
    }

    fn ports(&mut self, raw: &RawPortPerBroker, path: &FieldPath) -> Option<PortPerBroker> {
        let nodes =
            raw.nodes.iter().map(|range| NodeRange { ids: range.ids.0..=range.ids.1, first_port: range.first_port });
        let ports = PortPerBroker::new(raw.bind, &*raw.advertised_host, raw.bootstrap_port, nodes.collect());
        ports.map_err(|e| self.bad_ports(&e, path)).ok()
    }

    fn bad_ports(&mut self, error: &GatewayError, path: &FieldPath) {
        let range = |place: usize| path.field("nodes").place(place);
        let port_use = |at: &PortUse| match at {
            PortUse::Bootstrap => path.field("bootstrap_port"),
            PortUse::Range(place) => range(*place).field("first_port"),
        };
        let (at, earlier) = match error {
            GatewayError::PortZero { at } => (port_use(at), None),
            GatewayError::NotAHost { .. } => (path.field("advertised_host"), None),
            GatewayError::NoNodes => (path.field("nodes"), None),
            GatewayError::EmptyRange { range: place, .. } | GatewayError::NegativeId { range: place, .. } => {
                (range(*place).field("ids"), None)
            }
            GatewayError::PortsRunOut { range: place, .. } => (range(*place).field("first_port"), None),
            GatewayError::IdsOverlap { earlier, later, .. } => {
                (range(*later).field("ids"), Some(range(*earlier).field("ids")))
            }
            GatewayError::PortsOverlap { earlier, later, .. } => (port_use(later), Some(port_use(earlier))),
        };
        let problem = Problem::at(self.text, &at, error.to_string());
        self.problems.push(match earlier {
            Some(earlier) => problem.also(self.text, &earlier, "taken here"),
            None => problem,
        });
    }

    fn conflict(&self, conflict: &Conflict, clusters: &[VirtualCluster]) -> Problem {
        let top = FieldPath::default();
        let cluster = |place: usize| top.field("virtual_clusters").place(place);
        let (earlier, later, help) = match conflict {
            Conflict::ClusterTwice { earlier, later, .. } => (
                cluster(*earlier).field("name"),
                cluster(*later).field("name"),
                "give each virtual cluster a name of its own",
            ),
            Conflict::GatewayTwice { at, earlier, later, .. } => {
                let gateway = |place: &usize| cluster(*at).field("gateways").place(*place).field("name");
                (gateway(earlier), gateway(later), "give each gateway of a virtual cluster a name of its own")
            }
            Conflict::SameAddress { earlier: ListenerOf::Admin, later, .. } => (
                top.field("admin").field("bind"),
                listener(later, clusters),
                "choose another port here or in admin.bind, which is \"127.0.0.1:9190\" unless set",
            ),
            Conflict::SameAddress { earlier, later, .. } => (
                listener(earlier, clusters),
                listener(later, clusters),
                "move one of them to other ports, or bind both to different addresses of this machine",
            ),
            Conflict::SameServerName { earlier, later, .. } => (
                listener(earlier, clusters),
                listener(later, clusters),
                "give each its own names, such as with `{cluster}` in them, or bind one of them to another port",
            ),
            Conflict::OtherProxyProtocol { earlier, later, .. } => (
                listener(earlier, clusters),
                listener(later, clusters),
                "give all gateways at one address the same proxy_protocol, or bind one of them to another port",
            ),
        };
        Problem::at(self.text, &later, conflict.to_string())
            .also(self.text, &earlier, "taken here")
            .with_help(Some(help))
    }
}

fn log(raw: &RawLog) -> Log {
    let level = |raw| match raw {
        RawLogLevel::Warn => LogLevel::Warn,
        RawLogLevel::Info => LogLevel::Info,
        RawLogLevel::Debug => LogLevel::Debug,
        RawLogLevel::Trace => LogLevel::Trace,
    };
    Log { level: raw.level.map(level) }
}

/// The field that gives a listener its port.
fn listener(of: &ListenerOf, clusters: &[VirtualCluster]) -> FieldPath {
    let top = FieldPath::default();
    let (at, route) = match of {
        ListenerOf::Admin => return top.field("admin").field("bind"),
        ListenerOf::Gateway { at, route, .. } => (*at, *route),
    };
    let (cluster, gateway) = at;
    let path = top.field("virtual_clusters").place(cluster).field("gateways").place(gateway);
    match (&clusters[cluster].gateways[gateway].kind, route) {
        (GatewayKind::Sni(_), _) => path.field("sni").field("bind"),
        (GatewayKind::PortPerBroker(_), None) => path.field("port_per_broker"),
        (GatewayKind::PortPerBroker(_), Some(Route::Bootstrap)) => {
            path.field("port_per_broker").field("bootstrap_port")
        }
        (GatewayKind::PortPerBroker(ports), Some(Route::Node(node))) => {
            let range = ports.nodes().iter().position(|range| range.ids.contains(&node.0));
            let place = range.expect("a route leads to a node of its gateway");
            path.field("port_per_broker").field("nodes").place(place).field("first_port")
        }
    }
}
