//! Virtual clusters as a test writes them down.

use crate::ports::free_port;
use std::net::SocketAddr;

/// A virtual cluster with one gateway and one node.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    pub(crate) upstream: SocketAddr,
    pub(crate) bind: &'static str,
    pub(crate) bootstrap_port: u16,
    pub(crate) node_port: u16,
    /// Further fields of the gateway.
    pub(crate) gateway: String,
}

impl Cluster {
    /// One with ports that nobody has.
    pub(crate) fn new(name: &'static str, upstream: SocketAddr) -> Self {
        let (bootstrap_port, node_port) = (free_port(), free_port());
        Self { name, upstream, bind: "127.0.0.1", bootstrap_port, node_port, gateway: String::new() }
    }

    fn text(&self) -> String {
        let Self { name, upstream, bind, bootstrap_port, node_port, gateway } = self;
        format!(
            r#"(name: "{name}", upstream: (bootstrap_servers: ["{upstream}"]), gateways: [(name: "g", {gateway}
            port_per_broker: (bind: "{bind}", advertised_host: "localhost", bootstrap_port: {bootstrap_port},
            nodes: [(ids: (0, 0), first_port: {node_port})]))]),
            "#
        )
    }
}

/// The text of a configuration with further settings of the proxy.
pub(crate) fn text(settings: &str, clusters: &[Cluster]) -> String {
    let clusters: String = clusters.iter().map(Cluster::text).collect();
    format!("(admin: (bind: \"127.0.0.1:0\"), {settings}\n virtual_clusters: [\n{clusters}])\n")
}
