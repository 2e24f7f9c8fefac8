//! What connections leave behind, in the form of the status model.

use crate::{cluster::ClusterShared, metrics::ClusterMetrics};
use kroxy_core::{
    address::{HostPort, NodeId},
    sasl::CERTIFICATE,
    status::{ApiCount, ClientStatus, ClusterStatus, NodeStatus, Totals, UpstreamStatus, WallClock},
    time::Instant,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// Clients that a status names: the busiest ones.
const CLIENTS_SHOWN: usize = 20;

/// Fills in what was counted of a cluster since the process began, whether it serves or not.
pub(crate) fn fill_totals(metrics: &ClusterMetrics, status: &mut ClusterStatus) {
    let (by_api, (bytes_in, bytes_out)) = (metrics.requests_by_api(), metrics.bytes());
    status.disconnects = metrics.disconnects();
    status.totals = Totals {
        requests: by_api.iter().map(|(_, requests)| requests).sum(),
        errors: metrics.unanswered.get(),
        bytes_in,
        bytes_out,
        connections_accepted: metrics.connections_accepted.get(),
        connections_closed: status.disconnects.values().sum(),
    };
    status.apis = by_api.into_iter().map(|(api, requests)| ApiCount { api: api.name.to_owned(), requests }).collect();
}

/// Fills in what the connections of a cluster have left.
pub(crate) fn fill_traffic(cluster: &ClusterShared, now: Instant, wall: WallClock, status: &mut ClusterStatus) {
    let (metrics, connections) = (&cluster.metrics, cluster.connections());
    status.connections = connections.len() as u64;
    status.in_flight = connections.iter().map(|c| c.in_flight()).sum();
    status.latency = metrics.latency(now);
    let mut clients: BTreeMap<_, ClientStatus> = BTreeMap::new();
    let mut servers: BTreeMap<HostPort, u64> = BTreeMap::new();
    for connection in &connections {
        if let Some(server) = connection.upstream.get() {
            *servers.entry(server.clone()).or_default() += 1;
        }
        let (who, address) = (connection.client(), connection.client_address().ip());
        let entry = clients.entry((address, connection.via(), who.clone())).or_insert_with(|| {
            let (software_name, software_version) =
                who.software.map_or((None, None), |(name, version)| (Some(name.into()), Some(version.into())));
            let (principal, mechanism) = who.principal.map_or((None, None), |p| (p.name, Some(p.mechanism)));
            let sasl_mechanism = mechanism.filter(|mechanism| *mechanism != CERTIFICATE).map(str::to_owned);
            ClientStatus {
                client_id: who.id.map_or_else(String::new, Into::into),
                address: address.to_string(),
                via: connection.via().map(|via| via.to_string()),
                software_name,
                software_version,
                principal: principal.map(Into::into),
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
    let bootstrap_servers = cluster.bootstrap_servers();
    let nodes = nodes(cluster, &bootstrap_servers, &servers, wall);
    let login = cluster.sasl().login();
    let (user, sasl_mechanism) = login.map(|(user, mechanism)| (user, mechanism.to_string())).unzip();
    status.upstream =
        UpstreamStatus { bootstrap_servers, tls: cluster.has_upstream_tls(), user, sasl_mechanism, nodes };
}

/// Upstream's servers: the nodes that are known, and before them the bootstrap servers that are none of them.
fn nodes(
    cluster: &ClusterShared,
    bootstrap_servers: &[HostPort],
    connections: &BTreeMap<HostPort, u64>,
    wall: WallClock,
) -> Vec<NodeStatus> {
    let nodes = cluster.nodes();
    let others = bootstrap_servers.iter().filter(|server| nodes.iter().all(|(_, address)| address != *server));
    let others: Vec<_> = others.map(|server| (NodeId(-1), server.clone())).collect();
    let status = |(id, server): (NodeId, HostPort)| {
        let reach = cluster.reach(&server);
        NodeStatus {
            id,
            address: server.to_string(),
            connections: connections.get(&server).copied().unwrap_or_default(),
            reachable: reach.as_ref().map(|reach| reach.error.is_none()),
            since_unix_ms: reach.as_ref().map(|reach| wall.unix_ms(reach.since)),
            last_error: reach.and_then(|reach| reach.error).into_iter().collect(),
        }
    };
    others.into_iter().chain(nodes).map(status).collect()
}
