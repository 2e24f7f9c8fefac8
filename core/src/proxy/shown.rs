//! What can be seen of the proxy.

use super::{Proxy, machine::State};
use crate::{
    cluster::Cluster,
    config::ClusterName,
    status::{API_VERSION, ClusterStatus, ConfigurationStatus, ProxyStatus, Status, WallClock},
    time::Instant,
};

impl Proxy {
    /// What can be seen of the proxy and its virtual clusters, whose names are there as the configuration spells them.
    /// Versions, process, uptime, traffic, listeners and upstream are the driver's to fill in.
    pub fn snapshot(&self, now: Instant, wall: WallClock) -> Status {
        Status {
            api_version: API_VERSION,
            at_unix_ms: wall.unix_ms(now),
            proxy: ProxyStatus {
                state: self.state(),
                since_unix_ms: wall.unix_ms(self.since),
                reason: self.failure_links(),
                last_transitions: self.transitions.iter().map(|t| t.status(wall)).collect(),
                ..ProxyStatus::default()
            },
            configuration: ConfigurationStatus {
                generation: self.generation(),
                digest: self.digest().to_string(),
                loaded_at_unix_ms: wall.unix_ms(self.in_force_since),
                reloading: self.reload.is_some(),
                last_reload: self.last_reload.as_ref().map(|r| r.report(wall)),
                ..ConfigurationStatus::default()
            },
            virtual_clusters: self
                .clusters()
                .map(|(name, cluster)| ClusterStatus {
                    name: self.spelling(name, cluster),
                    ..cluster.snapshot(now, wall)
                })
                .collect(),
            ..Status::default()
        }
    }

    /// The registry.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &Cluster)> {
        self.members.iter().map(|(name, member)| (name, &member.cluster))
    }

    /// A name as the configuration in force spells it; the registry keeps the spelling that it saw first.
    fn spelling(&self, name: &ClusterName, cluster: &Cluster) -> String {
        let values = self.loaded(cluster.generation()).and_then(|loaded| loaded.cluster(name));
        values.map_or(name, |(values, _)| &values.name).to_string()
    }

    fn failure_links(&self) -> Vec<String> {
        match &self.state {
            State::Stopping { result: Err(failure) } | State::Stopped { result: Err(failure) } => {
                failure.reason().links().to_vec()
            }
            State::New
            | State::Starting
            | State::Started
            | State::Stopping { result: Ok(()) }
            | State::Stopped { result: Ok(()) } => Vec::new(),
        }
    }
}
