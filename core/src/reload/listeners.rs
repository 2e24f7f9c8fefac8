//! Who has which address, since a port can go from one virtual cluster to another within one reload.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    config::{ClusterName, VirtualCluster, exclude_each_other},
    gateway::GatewayKind,
};

pub(super) struct Listeners<'a>(BTreeMap<u16, Vec<(IpAddr, &'a ClusterName)>>);

impl<'a> Listeners<'a> {
    pub(super) fn of(clusters: impl Iterator<Item = &'a VirtualCluster>) -> Self {
        let mut by_port: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for cluster in clusters {
            for (ip, port) in addresses(cluster) {
                by_port.entry(port).or_default().push((ip, &cluster.name));
            }
        }
        Self(by_port)
    }

    /// The other clusters that have addresses which this one wants.
    pub(super) fn still_with_others(&self, cluster: &VirtualCluster) -> Vec<ClusterName> {
        let mut others = BTreeSet::new();
        for (ip, port) in addresses(cluster) {
            let holders = self.0.get(&port).into_iter().flatten();
            others.extend(
                holders
                    .filter(|(theirs, name)| **name != cluster.name && exclude_each_other(*theirs, ip))
                    .map(|(_, name)| (*name).clone()),
            );
        }
        others.into_iter().collect()
    }
}

fn addresses(cluster: &VirtualCluster) -> impl Iterator<Item = (IpAddr, u16)> {
    cluster.gateways.iter().flat_map(|gateway| match &gateway.kind {
        GatewayKind::PortPerBroker(ports) => ports.ports().map(|(port, _)| (ports.bind(), port)),
    })
}
