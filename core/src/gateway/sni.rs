//! Gateways that tell nodes apart by the name which the client asks for in its TLS handshake (SNI, RFC 6066).

use core::fmt;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::{GatewayError, Route, check_host};
use crate::{
    address::{HostPort, NodeId},
    name::ClusterName,
};

const NODE: &str = "{node}";
const CLUSTER: &str = "{cluster}";

/// A gateway that has a host name for bootstrapping and one for each node, all at one port.
///
/// Several of them, also of different virtual clusters, can listen at the same address as long as no name belongs to two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sni {
    bind: SocketAddr,
    bootstrap: HostPort,
    /// The part of a node's host name before its id, and the part behind it; in lower case.
    advertised: (String, String),
    advertised_port: u16,
}

/// What keeps texts from making such a gateway.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SniError {
    /// Nobody can connect to port 0.
    #[error("port 0 is no port that a client could connect to")]
    PortZero,
    /// The bootstrap address is none.
    #[error("{0}")]
    Bootstrap(String),
    /// The pattern is none.
    #[error("{0}")]
    Advertised(String),
    /// The bootstrap name is that of a node as well.
    #[error("{name} would be the name of a node as well")]
    BootstrapIsNode {
        /// The bootstrap name.
        name: String,
    },
}

impl Sni {
    /// A gateway that listens at `bind`. `{cluster}` stands for the name of the virtual cluster, and `{node}` in the pattern
    /// for a node's id.
    pub fn new(bind: SocketAddr, bootstrap: &str, advertised: &str, cluster: &ClusterName) -> Result<Self, SniError> {
        if bind.port() == 0 {
            return Err(SniError::PortZero);
        }
        let cluster = cluster.as_str().to_ascii_lowercase();
        let bootstrap = host_port(&bootstrap.replace(CLUSTER, &cluster)).map_err(SniError::Bootstrap)?;
        let pattern = advertised.replace(CLUSTER, &cluster);
        let (before, behind) =
            pattern.split_once(NODE).ok_or_else(|| SniError::Advertised(format!("{advertised:?} has no {NODE}")))?;
        // With any node the name has to be one: the longest id is as good as all others.
        let longest = host_port(&format!("{before}{}{behind}", i32::MAX)).map_err(SniError::Advertised)?;
        let (behind, _) = behind.rsplit_once(':').expect("it was read as host:port");
        let advertised = (before.to_ascii_lowercase(), behind.to_ascii_lowercase());
        let sni = Self { bind, bootstrap, advertised, advertised_port: longest.port };
        let (own, nodes) = (sni.bootstrap_pieces(), sni.node_pieces());
        if overlap(&own, &nodes) {
            return Err(SniError::BootstrapIsNode { name: sni.bootstrap.host });
        }
        Ok(sni)
    }

    /// Where it listens.
    pub const fn bind(&self) -> SocketAddr {
        self.bind
    }

    /// What clients are configured with.
    pub const fn bootstrap(&self) -> &HostPort {
        &self.bootstrap
    }

    /// Where clients are told to find a node.
    pub fn address_of(&self, node: NodeId) -> (String, u16) {
        let (before, behind) = &self.advertised;
        (format!("{before}{node}{behind}"), self.advertised_port)
    }

    /// The host name and the port of every node, with `{node}` in place of its id.
    pub fn node_pattern(&self) -> (String, u16) {
        let (before, behind) = &self.advertised;
        (format!("{before}{NODE}{behind}"), self.advertised_port)
    }

    /// Where a client wants to go that asks for this name, if the name is one of this gateway's.
    pub fn route_of(&self, name: &str) -> Option<Route> {
        let name = name.to_ascii_lowercase();
        if name == self.bootstrap.host {
            return Some(Route::Bootstrap);
        }
        let (before, behind) = &self.advertised;
        let id = name.strip_prefix(before.as_str())?.strip_suffix(behind.as_str())?;
        let node = id.parse::<i32>().ok()?;
        // One name for each node: neither 07 nor +7.
        (node >= 0 && node.to_string() == id).then_some(Route::Node(NodeId(node)))
    }

    /// Whether both can listen at the same time as far as this one's address is concerned.
    pub fn goes_with(&self, other: &Self) -> bool {
        self.bind == other.bind && !self.shares_names_with(other)
    }

    /// Whether some name would belong to both.
    pub fn shares_names_with(&self, other: &Self) -> bool {
        let ours = [self.bootstrap_pieces(), self.node_pieces()];
        let theirs = [other.bootstrap_pieces(), other.node_pieces()];
        ours.iter().any(|ours| theirs.iter().any(|theirs| overlap(ours, theirs)))
    }

    fn bootstrap_pieces(&self) -> Vec<Piece> {
        self.bootstrap.host.bytes().map(Piece::Byte).collect()
    }

    fn node_pieces(&self) -> Vec<Piece> {
        let (before, behind) = &self.advertised;
        let before = before.bytes().map(Piece::Byte);
        before.chain([Piece::Digits]).chain(behind.bytes().map(Piece::Byte)).collect()
    }
}

impl fmt::Display for Sni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (node, port) = self.node_pattern();
        write!(f, "{} and {node}:{port} at {}", self.bootstrap, self.bind)
    }
}

/// A DNS name in lower case, and a port.
fn host_port(text: &str) -> Result<HostPort, String> {
    let HostPort { host, port } = text.parse::<HostPort>().map_err(|e| e.to_string())?;
    check_host(&host).map_err(|e: GatewayError| e.to_string())?;
    if host.parse::<IpAddr>().is_ok() {
        return Err(format!("{host} is an address: clients ask for names only"));
    }
    if host.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(format!("{host:?} is no host name: it has a part that is empty or longer than 63 characters"));
    }
    Ok(HostPort::new(host.to_ascii_lowercase(), port))
}

/// A part of the set of names of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece {
    Byte(u8),
    /// At least one digit.
    Digits,
}

/// Whether some text fits both. Walks through both at once, wherever the same byte can lead.
fn overlap(a: &[Piece], b: &[Piece]) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![(0, 0)]);
    while let Some((i, j)) = open.pop() {
        if i == a.len() && j == b.len() {
            return true;
        }
        if !seen.insert((i, j)) {
            continue;
        }
        let (Some(x), Some(y)) = (a.get(i), b.get(j)) else { continue };
        let fits = match (x, y) {
            (Piece::Byte(x), Piece::Byte(y)) => x == y,
            (Piece::Byte(byte), Piece::Digits) | (Piece::Digits, Piece::Byte(byte)) => byte.is_ascii_digit(),
            (Piece::Digits, Piece::Digits) => true,
        };
        if fits {
            let stays = |piece: &Piece| *piece == Piece::Digits;
            open.push((i + 1, j + 1));
            open.extend(stays(x).then_some((i, j + 1)));
            open.extend(stays(y).then_some((i + 1, j)));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sni(bootstrap: &str, advertised: &str) -> Result<Sni, SniError> {
        let bind = "0.0.0.0:9092".parse().expect("an address");
        Sni::new(bind, bootstrap, advertised, &"Orders".parse().expect("a name"))
    }

    #[test]
    fn each_node_has_one_name_and_each_name_one_node() {
        let g = sni("{cluster}.kafka.example:9092", "B{node}.{cluster}.Kafka.example:9093").expect("valid");
        assert_eq!(g.bootstrap().to_string(), "orders.kafka.example:9092");
        assert_eq!(g.address_of(NodeId(7)), ("b7.orders.kafka.example".to_owned(), 9093));
        let cases = [
            ("orders.kafka.example", Some(Route::Bootstrap)),
            ("ORDERS.Kafka.Example", Some(Route::Bootstrap)),
            ("b7.orders.kafka.example", Some(Route::Node(NodeId(7)))),
            ("B2147483647.ORDERS.kafka.example", Some(Route::Node(NodeId(i32::MAX)))),
            ("b2147483648.orders.kafka.example", None),
            ("b07.orders.kafka.example", None),
            ("b+7.orders.kafka.example", None),
            ("b-7.orders.kafka.example", None),
            ("b.orders.kafka.example", None),
            ("b7.audit.kafka.example", None),
            ("b7.orders.kafka.example.evil", None),
            ("", None),
        ];
        for (name, route) in cases {
            assert_eq!(g.route_of(name), route, "{name}");
        }
    }

    #[test]
    fn what_makes_no_names_is_refused_and_says_why() {
        let cases = [
            ("a.example:9092", "b.example:9092", "\"b.example:9092\" has no {node}"),
            ("a.example", "b{node}.example:9092", "no port"),
            ("a.example:9092", "b{node}.example", "no port"),
            ("10.0.0.1:9092", "b{node}.example:9092", "10.0.0.1 is an address"),
            ("a..example:9092", "b{node}.example:9092", "a part that is empty"),
            ("a.example:9092", "b{node}.{node}.example:9092", "a character that no host name has"),
            ("b1.example:9092", "b{node}.example:9092", "b1.example would be the name of a node as well"),
        ];
        for (bootstrap, advertised, why) in cases {
            let error = sni(bootstrap, advertised).expect_err(advertised).to_string();
            assert!(error.contains(why), "{error}\nwhere this was expected:\n{why}");
        }
    }

    #[test]
    fn names_that_belong_to_two_gateways_are_found() {
        let shares = |a: (&str, &str), b: (&str, &str)| {
            let (a, b) = (sni(a.0, a.1).expect("valid"), sni(b.0, b.1).expect("valid"));
            assert_eq!(a.shares_names_with(&b), b.shares_names_with(&a));
            a.shares_names_with(&b)
        };
        let one = ("a.x:1", "b{node}.x:1");
        assert!(shares(one, one));
        assert!(shares(one, ("a.x:2", "c{node}.x:1")), "the same bootstrap name");
        assert!(shares(one, ("b3.x:1", "c{node}.x:1")), "its bootstrap is our node 3");
        assert!(shares(one, ("c.x:1", "b1{node}.x:1")), "b12.x");
        assert!(shares(("a.x:1", "b{node}-2.x:1"), ("c.x:1", "b1-{node}.x:1")), "b1-2.x");
        assert!(!shares(one, ("c.x:1", "d{node}.x:1")));
        assert!(!shares(one, ("a.y:1", "b{node}.y:1")));
    }

    proptest! {
        #[test]
        fn a_node_is_found_by_the_name_that_clients_are_told(node in 0..=i32::MAX, before in "[a-z][a-z0-9-]{0,5}", behind in "(-[a-z0-9]{1,3})?(\\.[a-z]{1,5}){1,3}") {
            if let Ok(g) = sni("bootstrap.example.org:9092", &format!("{before}{NODE}{behind}:9092")) {
                let (host, _) = g.address_of(NodeId(node));
                prop_assert_eq!(g.route_of(&host.to_ascii_uppercase()), Some(Route::Node(NodeId(node))));
            }
        }

        #[test]
        fn two_gateways_share_a_name_exactly_where_the_walk_says_so(a in "[b1]{0,2}", b in "[b1]{0,2}", sa in "[-1]{0,1}", sb in "[-1]{0,1}") {
            let of = |before: &str, behind: &str| sni("z.y:1", &format!("x{before}{NODE}{behind}z.y:1")).expect("valid");
            let (one, two) = (of(&a, &sa), of(&b, &sb));
            let walked = overlap(&one.node_pieces(), &two.node_pieces());
            // No literal has another digit, so ids of ones are enough.
            let names = |before: &str, behind: &str| -> BTreeSet<String> {
                (1..=5).map(|digits| format!("{before}{}{behind}", "1".repeat(digits))).collect()
            };
            prop_assert_eq!(walked, !names(&a, &sa).is_disjoint(&names(&b, &sb)));
        }
    }
}
