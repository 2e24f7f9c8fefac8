//! What connections leave behind, in the form of the status model.

use crate::cluster::ClusterShared;
use kroxy_core::{
    status::{ApiCount, ClientStatus, ClusterStatus, NodeStatus, Totals, UpstreamStatus},
    time::Instant,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// Clients that a status names: the busiest ones.
const CLIENTS_SHOWN: usize = 20;

/// Fills in what the connections of a cluster have left.
pub(crate) fn fill_traffic(cluster: &ClusterShared, now: Instant, status: &mut ClusterStatus) {
    let (metrics, connections) = (&cluster.metrics, cluster.connections());
    let by_api = metrics.requests_by_api();
    status.connections = connections.len() as u64;
    status.in_flight = connections.iter().map(|c| c.in_flight()).sum();
    status.disconnects = metrics.disconnects();
    status.totals = Totals {
        requests: by_api.iter().map(|(_, requests)| requests).sum(),
        errors: metrics.unanswered.get(),
        bytes_in: metrics.bytes_in.get(),
        bytes_out: metrics.bytes_out.get(),
        connections_accepted: metrics.connections_accepted.get(),
        connections_closed: status.disconnects.values().sum(),
    };
    status.latency = metrics.latency(now);
    status.apis = by_api.into_iter().map(|(api, requests)| ApiCount { api: api.name.to_owned(), requests }).collect();
    let mut clients: BTreeMap<_, ClientStatus> = BTreeMap::new();
    let mut nodes: BTreeMap<_, NodeStatus> = cluster
        .nodes()
        .into_iter()
        .map(|(id, address)| (id, NodeStatus { id, address: address.to_string(), ..NodeStatus::default() }))
        .collect();
    for connection in &connections {
        if let kroxy_core::gateway::Route::Node(node) = connection.route
            && let Some(node) = nodes.get_mut(&node)
        {
            node.connections += 1;
        }
        let who = connection.client();
        let entry = clients.entry((connection.peer.ip(), who.clone())).or_insert_with(|| {
            let (software_name, software_version) =
                who.software.map_or((None, None), |(name, version)| (Some(name.into()), Some(version.into())));
            let (principal, sasl_mechanism) =
                who.principal.map_or((None, None), |p| (p.name.map(Into::into), Some(p.mechanism.to_owned())));
            ClientStatus {
                client_id: who.id.map_or_else(String::new, Into::into),
                address: connection.peer.ip().to_string(),
                software_name,
                software_version,
                principal,
                sasl_mechanism,
                ..ClientStatus::default()
            }
        });
        let (bytes_in, bytes_out) = connection.bytes();
        entry.connections += 1;
        entry.in_flight += connection.in_flight();
        entry.bytes_in += bytes_in;
        entry.bytes_out += bytes_out;
    }
    status.clients = clients.into_values().collect();
    status.clients.sort_by_key(|c| Reverse(c.bytes_in + c.bytes_out));
    status.clients.truncate(CLIENTS_SHOWN);
    status.upstream = UpstreamStatus {
        bootstrap_servers: cluster.bootstrap_servers(),
        tls: false,
        nodes: nodes.into_values().collect(),
    };
}
