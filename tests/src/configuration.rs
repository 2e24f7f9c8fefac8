//! Configuration files of kroxy, as a story wants them and changes them.

use crate::ports::{KROXY_ADMIN, KROXY_BOOTSTRAP, KROXY_FIRST_NODE, KROXY_PORTS_EACH};

/// A whole file.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Fields of the proxy itself, beside the admin API.
    pub more: String,
    /// The virtual clusters.
    pub clusters: Vec<VirtualCluster>,
}

/// A virtual cluster with one gateway, and perhaps more.
#[derive(Clone, Debug)]
pub struct VirtualCluster {
    /// Its name.
    pub name: &'static str,
    /// Addresses of brokers, separated by commas.
    pub upstream: String,
    /// Its gateway listens there.
    pub bind: &'static str,
    /// Ports are counted from here on.
    pub bootstrap_port: u16,
    first_node: u16,
    /// Further fields.
    pub more: String,
    /// Further fields of its upstream.
    pub upstream_more: String,
    /// Further gateways.
    pub gateways: String,
}

impl Configuration {
    /// Virtual clusters of these names, all with the same upstream, each with ports of its own.
    pub fn new(names: &[&'static str], upstream: &str) -> Self {
        let clusters = names.iter().zip(0..).map(|(name, k)| VirtualCluster {
            name,
            upstream: upstream.to_owned(),
            bind: "127.0.0.1",
            bootstrap_port: KROXY_BOOTSTRAP + KROXY_PORTS_EACH * k,
            first_node: KROXY_FIRST_NODE + KROXY_PORTS_EACH * k,
            more: String::new(),
            upstream_more: String::new(),
            gateways: String::new(),
        });
        Self { more: String::new(), clusters: clusters.collect() }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let clusters: String = self.clusters.iter().map(VirtualCluster::text).collect();
        let more = &self.more;
        format!(
            "(\n  admin: (bind: \"127.0.0.1:{KROXY_ADMIN}\"),\n  {more}\n  virtual_clusters: [\n{clusters}  ],\n)\n"
        )
    }
}

impl VirtualCluster {
    /// What its clients are given.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.bootstrap_port)
    }

    /// Each of its ports.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        std::iter::once(self.bootstrap_port).chain(self.first_node..self.first_node + 10)
    }

    fn text(&self) -> String {
        let Self { name, upstream, bind, bootstrap_port, first_node, more, upstream_more, gateways } = self;
        let servers = upstream.split(',').map(|server| format!("{server:?}")).collect::<Vec<_>>().join(", ");
        format!(
            r#"    (
      name: "{name}",
      upstream: (bootstrap_servers: [{servers}], {upstream_more}),
      {more}
      gateways: [
        (
          name: "default",
          port_per_broker: (
            bind: "{bind}",
            advertised_host: "localhost",
            bootstrap_port: {bootstrap_port},
            nodes: [(ids: (0, 9), first_port: {first_node})],
          ),
        ),
        {gateways}
      ],
    ),
"#
        )
    }
}
