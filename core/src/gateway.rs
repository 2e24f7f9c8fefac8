//! Gateways: the addresses at which clients find the nodes of a virtual cluster.
//!
//! A gateway is a bijection between upstream nodes and virtual addresses, known before the first client comes: it is made
//! of configuration only, never of what upstream says, so that a restart finds every port where it was.

mod sni;

pub use self::sni::{Sni, SniError};

use crate::{
    address::NodeId,
    config::{exclude_each_other, tls::ClientTls},
    limits,
    name::NotAName,
    proxy_protocol::ProxyProtocol,
    rewrite::Addresses,
};
use core::{fmt, ops::RangeInclusive};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

pub use crate::name::GatewayName;

/// Characters in a DNS name (RFC 1035, without the trailing dot).
const HOST_MAX: usize = 253;

/// A way into a virtual cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Unique within its virtual cluster.
    pub name: GatewayName,
    /// How it tells nodes apart.
    pub kind: GatewayKind,
    /// TLS, unless its clients speak plain Kafka.
    pub tls: Option<ClientTls>,
    /// Whether something before it says whose connection each one is.
    pub proxy_protocol: ProxyProtocol,
}

/// How a gateway tells the nodes apart that its clients want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatewayKind {
    /// By the port that the client connects to.
    PortPerBroker(PortPerBroker),
    /// By the name that the client asks for in its TLS handshake.
    Sni(Sni),
}

/// Where a client wants to go that came in through a gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Route {
    /// To any node: it is about to ask for the addresses of all.
    Bootstrap,
    /// To this node.
    Node(NodeId),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap => f.write_str("bootstrap"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

impl Gateway {
    /// A gateway with a port for each node.
    pub fn port_per_broker(name: &str, ports: PortPerBroker) -> Result<Self, NotAName> {
        let kind = GatewayKind::PortPerBroker(ports);
        Ok(Self { name: name.parse()?, kind, tls: None, proxy_protocol: ProxyProtocol::Off })
    }

    /// Whether clients of this gateway can reach the node.
    pub fn is_mapped(&self, node: NodeId) -> bool {
        match &self.kind {
            GatewayKind::PortPerBroker(ports) => ports.port_of(node).is_some(),
            GatewayKind::Sni(_) => true,
        }
    }
}

/// Where a gateway listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// Address and port.
    pub address: SocketAddr,
    /// Where it leads; `None`: names tell.
    pub route: Option<Route>,
    /// The names, where they tell.
    pub names: Option<&'a Sni>,
    /// What is expected there before anything else.
    pub proxy_protocol: &'a ProxyProtocol,
}

impl Place<'_> {
    /// Whether both cannot listen at the same time.
    pub fn excludes(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.address, other.address);
        let alike = self.proxy_protocol == other.proxy_protocol;
        let shared = alike && self.names.zip(other.names).is_some_and(|(ours, theirs)| ours.goes_with(theirs));
        ours.port() == theirs.port() && exclude_each_other(ours.ip(), theirs.ip()) && !shared
    }
}

impl Gateway {
    /// Everywhere it listens.
    pub fn places(&self) -> Vec<Place<'_>> {
        let proxy_protocol = &self.proxy_protocol;
        match &self.kind {
            GatewayKind::PortPerBroker(ports) => {
                let place = |(port, route)| Place {
                    address: SocketAddr::new(ports.bind(), port),
                    route: Some(route),
                    names: None,
                    proxy_protocol,
                };
                ports.ports().map(place).collect()
            }
            GatewayKind::Sni(sni) => {
                vec![Place { address: sni.bind(), route: None, names: Some(sni), proxy_protocol }]
            }
        }
    }
}

impl Addresses for Gateway {
    /// Where clients of this gateway are told to find a node.
    ///
    /// A node outside the configured ids gets [`limits::UNMAPPED_NODE_PORT`], where nothing of ours listens: connecting is
    /// refused, and the client keeps working with all other nodes. The bootstrap port in its place would be reachable, but
    /// the client would take another node's answers for this one's.
    fn virtual_address(&self, node: NodeId) -> (Cow<'_, str>, u16) {
        match &self.kind {
            GatewayKind::PortPerBroker(ports) => {
                (ports.advertised_host().into(), ports.port_of(node).unwrap_or(limits::UNMAPPED_NODE_PORT))
            }
            GatewayKind::Sni(sni) => {
                let (host, port) = sni.address_of(node);
                (host.into(), port)
            }
        }
    }
}

/// Nodes with consecutive ids, and the ports for them.
///
/// Each range has a first port of its own, so that adding a range moves no port of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRange {
    /// The node ids, from the first to the last.
    pub ids: RangeInclusive<i32>,
    /// The port of the first id; that of the next id is one higher, and so on.
    pub first_port: u16,
}

impl NodeRange {
    /// How many nodes: at least one in a range of a [`PortPerBroker`].
    fn len(&self) -> u32 {
        if self.ids.is_empty() { 0 } else { self.ids.end().abs_diff(*self.ids.start()).saturating_add(1) }
    }

    /// The port of the last id.
    fn last_port(&self) -> Option<u16> {
        u16::try_from(u32::from(self.first_port).checked_add(self.len())?.checked_sub(1)?).ok()
    }
}

/// A gateway that has one port for bootstrapping and one for each node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortPerBroker {
    bind: IpAddr,
    advertised_host: String,
    bootstrap_port: u16,
    /// Disjoint in ids and in ports, and none holds the bootstrap port. In the order in which they were given.
    nodes: Vec<NodeRange>,
    /// The same by first id: a look-up for every node in every response.
    by_id: BTreeMap<i32, NodeRange>,
}

/// Why ports and nodes do not make a gateway. Ranges are named by their place, counted from 0.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GatewayError {
    /// Nobody can connect to port 0.
    #[error("port 0 is no port that a client could connect to")]
    PortZero {
        /// Where it stands.
        at: PortUse,
    },
    /// The advertised host is none.
    #[error("{host:?} is no host name or address: {why}")]
    NotAHost {
        /// What was given.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no node.
    #[error("a gateway without node ids reaches no node")]
    NoNodes,
    /// The last id comes before the first.
    #[error("the range ends at node {last}, before it begins at node {first}")]
    EmptyRange {
        /// The range.
        range: usize,
        /// Its first id.
        first: i32,
        /// Its last id.
        last: i32,
    },
    /// Kafka has no negative node ids.
    #[error("{id} is no node id: Kafka counts them from 0")]
    NegativeId {
        /// The range.
        range: usize,
        /// Its first id.
        id: i32,
    },
    /// The ports end before the ids do.
    #[error("{nodes} nodes from port {first_port} on end beyond port 65535")]
    PortsRunOut {
        /// The range.
        range: usize,
        /// How many nodes it has.
        nodes: u32,
        /// The port of the first.
        first_port: u16,
    },
    /// A node would have two ports.
    #[error("node {id} is in two ranges")]
    IdsOverlap {
        /// The range that has it first.
        earlier: usize,
        /// The range that has it again.
        later: usize,
        /// The lowest id that both have.
        id: i32,
    },
    /// A port would have two meanings.
    #[error("port {port} is wanted for {later} and for {earlier}")]
    PortsOverlap {
        /// What has it first.
        earlier: PortUse,
        /// What wants it as well.
        later: PortUse,
        /// The lowest port that both want.
        port: u16,
    },
}

/// What a port of a gateway is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortUse {
    /// Bootstrapping.
    Bootstrap,
    /// The nodes of the range at this place, counted from 0.
    Range(usize),
}

impl fmt::Display for PortUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap => f.write_str("bootstrapping"),
            Self::Range(place) => write!(f, "a node of nodes[{place}]"),
        }
    }
}

impl PortPerBroker {
    /// A gateway that listens at `bind` and is known to clients as `advertised_host`.
    pub fn new(
        bind: IpAddr,
        advertised_host: impl Into<String>,
        bootstrap_port: u16,
        nodes: Vec<NodeRange>,
    ) -> Result<Self, GatewayError> {
        let advertised_host = advertised_host.into();
        check_host(&advertised_host)?;
        if bootstrap_port == 0 {
            return Err(GatewayError::PortZero { at: PortUse::Bootstrap });
        }
        if nodes.is_empty() {
            return Err(GatewayError::NoNodes);
        }
        for (range, nodes) in nodes.iter().enumerate() {
            check_range(range, nodes)?;
        }
        check_ids(&nodes)?;
        check_ports(bootstrap_port, &nodes)?;
        let by_id = nodes.iter().map(|range| (*range.ids.start(), range.clone())).collect();
        Ok(Self { bind, advertised_host, bootstrap_port, nodes, by_id })
    }

    /// The address at which it listens; `0.0.0.0` and `::` stand for all of the machine's.
    pub const fn bind(&self) -> IpAddr {
        self.bind
    }

    /// The host that clients are told.
    pub fn advertised_host(&self) -> &str {
        &self.advertised_host
    }

    /// The port that clients are configured with.
    pub const fn bootstrap_port(&self) -> u16 {
        self.bootstrap_port
    }

    /// The node ids and their ports, as they were given.
    pub fn nodes(&self) -> &[NodeRange] {
        &self.nodes
    }

    /// Every port and where it leads: the bootstrap port first, then the nodes as they were given.
    pub fn ports(&self) -> impl Iterator<Item = (u16, Route)> + '_ {
        let nodes = self.nodes.iter().flat_map(|range| {
            (range.first_port..=u16::MAX).zip(range.ids.clone()).map(|(port, id)| (port, Route::Node(NodeId(id))))
        });
        core::iter::once((self.bootstrap_port, Route::Bootstrap)).chain(nodes)
    }

    /// The port of a node, if the configuration has one for it.
    pub fn port_of(&self, node: NodeId) -> Option<u16> {
        let (first, range) = self.by_id.range(..=node.0).next_back()?;
        let place = u16::try_from(node.0.abs_diff(*first)).ok()?;
        range.ids.contains(&node.0).then(|| range.first_port + place)
    }

    /// Where a port leads, if it is one of this gateway's.
    pub fn route_at(&self, port: u16) -> Option<Route> {
        if port == self.bootstrap_port {
            return Some(Route::Bootstrap);
        }
        self.nodes.iter().find_map(|range| {
            let id = range.ids.start().checked_add(i32::from(port.checked_sub(range.first_port)?))?;
            range.ids.contains(&id).then_some(Route::Node(NodeId(id)))
        })
    }
}

/// A host as clients are told it: neither a port nor a URL.
fn check_host(host: &str) -> Result<(), GatewayError> {
    let why = if host.is_empty() {
        "it is empty"
    } else if host.len() > HOST_MAX {
        "it has more than 253 characters"
    } else if host.contains(':') && host.parse::<Ipv6Addr>().is_err() {
        "it is given without a port, and an IPv6 address without brackets"
    } else if !host.contains(':')
        && host.contains(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'))
    {
        "it has a character that no host name has"
    } else if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        "clients cannot connect to an address that stands for all addresses"
    } else {
        return Ok(());
    };
    Err(GatewayError::NotAHost { host: host.to_owned(), why })
}

fn check_range(range: usize, nodes: &NodeRange) -> Result<(), GatewayError> {
    let (first, last) = (*nodes.ids.start(), *nodes.ids.end());
    if first > last {
        return Err(GatewayError::EmptyRange { range, first, last });
    }
    if first < 0 {
        return Err(GatewayError::NegativeId { range, id: first });
    }
    if nodes.first_port == 0 {
        return Err(GatewayError::PortZero { at: PortUse::Range(range) });
    }
    if nodes.last_port().is_none() {
        return Err(GatewayError::PortsRunOut { range, nodes: nodes.len(), first_port: nodes.first_port });
    }
    Ok(())
}

fn check_ids(nodes: &[NodeRange]) -> Result<(), GatewayError> {
    let spans = nodes.iter().enumerate().map(|(range, nodes)| (*nodes.ids.start(), *nodes.ids.end(), range)).collect();
    match first_overlap(spans) {
        Some((a, b, id)) => Err(GatewayError::IdsOverlap { earlier: a.min(b), later: a.max(b), id }),
        None => Ok(()),
    }
}

fn check_ports(bootstrap_port: u16, nodes: &[NodeRange]) -> Result<(), GatewayError> {
    let port = i32::from(bootstrap_port);
    // Place 0 is the bootstrap port's, so that it counts as the earlier one.
    let mut spans = vec![(port, port, 0)];
    spans.extend(nodes.iter().enumerate().map(|(range, nodes)| {
        let last = nodes.last_port().expect("every range was checked to end at a port");
        (i32::from(nodes.first_port), i32::from(last), range + 1)
    }));
    let port_use = |place: usize| place.checked_sub(1).map_or(PortUse::Bootstrap, PortUse::Range);
    match first_overlap(spans) {
        Some((a, b, port)) => Err(GatewayError::PortsOverlap {
            earlier: port_use(a.min(b)),
            later: port_use(a.max(b)),
            port: u16::try_from(port).expect("an overlap of ports is a port"),
        }),
        None => Ok(()),
    }
}

/// Two of the spans `(first, last, place)` that overlap: their places and the lowest number that both hold.
fn first_overlap(mut spans: Vec<(i32, i32, usize)>) -> Option<(usize, usize, i32)> {
    spans.sort_unstable();
    spans.windows(2).find_map(|pair| match pair {
        [(_, last, a), (first, _, b)] if first <= last => Some((*a, *b, *first)),
        _ => None, // windows(2) yields pairs, and this one is disjoint
    })
}

#[cfg(test)]
mod tests;
