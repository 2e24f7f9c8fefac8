//! Where the nodes of an upstream cluster are, as far as its responses have told.
//!
//! Only ever added to: an error or an empty response never makes the proxy forget a node.

use crate::{
    address::{HostPort, NodeId},
    gateway::Route,
    limits,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one upstream cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topology {
    bootstrap_servers: Vec<HostPort>,
    nodes: BTreeMap<NodeId, HostPort>,
    suspects: BTreeSet<NodeId>,
}

/// Where a client connection has to be connected to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// To the first of these that answers.
    Candidates(Vec<HostPort>),
    /// To a node that has to be asked for: its address is not known, or nobody answers at the one that is.
    Ask(NodeId),
}

impl Topology {
    /// A cluster of which only the configuration is known.
    pub const fn new(bootstrap_servers: Vec<HostPort>) -> Self {
        Self { bootstrap_servers, nodes: BTreeMap::new(), suspects: BTreeSet::new() }
    }

    /// Takes note of a node's address; says whether that was news.
    pub fn learn(&mut self, node: NodeId, address: &HostPort) -> bool {
        let is_new = self.nodes.get(&node) != Some(address);
        let has_room = self.nodes.len() < limits::NODES_MAX || self.nodes.contains_key(&node);
        self.suspects.remove(&node);
        if is_new && has_room && node.0 >= 0 {
            self.nodes.insert(node, address.clone());
            return true;
        }
        false
    }

    /// Where a connection goes that came in by `route`. Bootstrap servers are tried in turn, from a place that `turn`
    /// chooses, so that one of them does not get all.
    pub fn resolve(&self, route: Route, turn: usize) -> Resolution {
        match route {
            Route::Bootstrap => Resolution::Candidates(self.bootstrap_from(turn)),
            Route::Node(node) => match self.nodes.get(&node) {
                Some(address) if !self.suspects.contains(&node) => Resolution::Candidates(vec![address.clone()]),
                Some(_) | None => Resolution::Ask(node),
            },
        }
    }

    /// Nobody answers at a node's address: before the next connection it is asked for again.
    pub fn suspect(&mut self, node: NodeId) {
        if self.nodes.contains_key(&node) {
            self.suspects.insert(node);
        }
    }

    /// Where a connection to a node goes when asking for it told nothing new: to its last known address, or else to a
    /// bootstrap server.
    pub fn fall_back(&self, node: NodeId, turn: usize) -> Vec<HostPort> {
        match self.nodes.get(&node) {
            Some(address) => vec![address.clone()],
            None => self.bootstrap_from(turn),
        }
    }

    /// Whether a node's address was ever told. Until then, what goes to it by [`Self::fall_back`] is at a stand-in.
    pub fn knows(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// The bootstrap servers in the order in which to try them.
    pub fn bootstrap_from(&self, turn: usize) -> Vec<HostPort> {
        let mut servers = self.bootstrap_servers.clone();
        if !servers.is_empty() {
            let first = turn % servers.len();
            servers.rotate_left(first);
        }
        servers
    }

    /// The servers that the configuration names.
    pub fn bootstrap_servers(&self) -> &[HostPort] {
        &self.bootstrap_servers
    }

    /// The nodes whose address is known, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &HostPort)> {
        self.nodes.iter().map(|(node, address)| (*node, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u16) -> HostPort {
        HostPort::new(format!("kafka-{n}"), 9092)
    }

    #[test]
    fn bootstrap_servers_take_turns_and_none_is_left_out() {
        let t = Topology::new(vec![server(1), server(2), server(3)]);
        let Resolution::Candidates(first) = t.resolve(Route::Bootstrap, 0) else { panic!("bootstrap is always known") };
        let Resolution::Candidates(second) = t.resolve(Route::Bootstrap, 4) else {
            panic!("bootstrap is always known")
        };
        assert_eq!(first, [server(1), server(2), server(3)]);
        assert_eq!(second, [server(2), server(3), server(1)]);
    }

    #[test]
    fn a_node_is_unknown_until_it_was_learned_and_follows_its_latest_address() {
        let mut t = Topology::new(vec![server(1)]);
        assert_eq!(t.resolve(Route::Node(NodeId(7)), 0), Resolution::Ask(NodeId(7)));
        assert!(t.learn(NodeId(7), &server(7)));
        assert!(!t.learn(NodeId(7), &server(7)), "no news");
        assert!(t.learn(NodeId(7), &server(8)));
        assert_eq!(t.resolve(Route::Node(NodeId(7)), 0), Resolution::Candidates(vec![server(8)]));
    }

    #[test]
    fn a_node_that_does_not_answer_is_asked_for_again_and_not_forgotten() {
        let mut t = Topology::new(vec![server(1)]);
        t.learn(NodeId(7), &server(7));
        t.suspect(NodeId(7));
        assert_eq!(t.resolve(Route::Node(NodeId(7)), 0), Resolution::Ask(NodeId(7)));
        assert_eq!(t.fall_back(NodeId(7), 0), [server(7)], "nobody told anything new");
        t.learn(NodeId(7), &server(7));
        assert_eq!(t.resolve(Route::Node(NodeId(7)), 0), Resolution::Candidates(vec![server(7)]));
        assert_eq!(t.fall_back(NodeId(8), 0), [server(1)], "a stand-in");
    }

    #[test]
    fn the_controller_of_nobody_is_no_node_and_memory_is_bounded() {
        let mut t = Topology::new(vec![server(1)]);
        assert!(!t.learn(NodeId(-1), &server(1)));
        for id in 0..2 * limits::NODES_MAX {
            t.learn(NodeId(i32::try_from(id).expect("small")), &server(1));
        }
        assert_eq!(t.nodes().count(), limits::NODES_MAX);
    }
}
