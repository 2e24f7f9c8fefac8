//! Who has which address, since a port can go from one virtual cluster to another within one reload.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{ClusterName, VirtualCluster},
    gateway::Place,
};

pub(super) struct Listeners<'a>(BTreeMap<u16, Vec<(Place<'a>, &'a ClusterName)>>);

impl<'a> Listeners<'a> {
    pub(super) fn of(clusters: impl Iterator<Item = &'a VirtualCluster>) -> Self {
        let mut by_port: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for cluster in clusters {
            for place in places(cluster) {
                by_port.entry(place.address.port()).or_default().push((place, &cluster.name));
            }
        }
        Self(by_port)
    }

    /// The other clusters that have addresses or names which this one wants.
    pub(super) fn still_with_others(&self, cluster: &VirtualCluster) -> Vec<ClusterName> {
        let mut others = BTreeSet::new();
        for wanted in places(cluster) {
            let holders = self.0.get(&wanted.address.port()).into_iter().flatten();
            others.extend(
                holders
                    .filter(|(theirs, name)| **name != cluster.name && theirs.excludes(&wanted))
                    .map(|(_, name)| (*name).clone()),
            );
        }
        others.into_iter().collect()
    }
}

fn places(cluster: &VirtualCluster) -> impl Iterator<Item = Place<'_>> {
    cluster.gateways.iter().flat_map(|gateway| gateway.places())
}
