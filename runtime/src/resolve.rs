//! Finds out where a client connection has to go.

use crate::{
    cluster::{Candidates, ClusterShared},
    net::Net,
};
use kroxy_core::{
    address::{HostPort, NodeId},
    discovery::{Discovery, DiscoveryError, Progress},
    gateway::Route,
    proxy_protocol::Header,
    topology::Resolution,
};
use std::{io, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

/// How long one server may take to tell its nodes.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to connect, in this order.
///
/// A node whose address is not known yet is asked for. Where nobody tells (upstream wants SASL, for example), the client
/// is connected to a bootstrap server instead: that one answers with "not leader", "not coordinator" and the client asks
/// for metadata, which teaches the proxy as well. The connection does not outlast that: see [`Candidates::stand_in_for`].
pub(crate) async fn candidates<N: Net>(net: N, cluster: Arc<ClusterShared>, route: Route) -> Candidates {
    if let Resolution::Candidates(servers) = cluster.resolve(route) {
        return Candidates::right(servers);
    }
    let _asking = cluster.asking.lock().await; // whoever held it before may have learned what we need
    if let Resolution::Candidates(servers) = cluster.resolve(route) {
        return Candidates::right(servers);
    }
    ask(&net, &cluster).await;
    match cluster.resolve(route) {
        Resolution::Candidates(servers) => Candidates::right(servers),
        Resolution::Ask(node) => {
            let candidates = cluster.fall_back(node);
            cluster.note_untold(node, &candidates.servers);
            candidates
        }
    }
}

/// Asks one bootstrap server after the other until one tells its nodes.
async fn ask<N: Net>(net: &N, cluster: &ClusterShared) {
    for server in cluster.bootstrap_servers() {
        match tokio::time::timeout(DISCOVERY_TIMEOUT, ask_one(net, cluster, &server)).await {
            Ok(Ok(nodes)) => {
                cluster.learn(&nodes);
                return;
            }
            Ok(Err(e)) => debug!(cluster = %cluster.name, %server, "does not tell its nodes: {e}"),
            Err(_) => debug!(cluster = %cluster.name, %server, "does not tell its nodes within {DISCOVERY_TIMEOUT:?}"),
        }
    }
}

async fn ask_one<N: Net>(net: &N, cluster: &ClusterShared, server: &HostPort) -> io::Result<Vec<(NodeId, HostPort)>> {
    let mut stream = cluster.connect(net, server, Header::Local).await?;
    let sasl = cluster.sasl();
    let exchange = match sasl.login() {
        Some(_) => Some(sasl.secrets(net).await.map_err(io::Error::other)?),
        None => None,
    };
    let failed = |why: DiscoveryError| {
        if let DiscoveryError::Login(_) = &why {
            sasl.not_logged_in();
        }
        io::Error::other(why)
    };
    let (mut discovery, first) = Discovery::start(exchange);
    stream.write_all(&first).await?;
    stream.flush().await?; // TLS may keep some
    let mut buf = vec![0; 4096];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        let mut progress = discovery.receive(&buf[..n]).map_err(failed)?;
        if let Progress::Derive(derivation) = progress {
            progress = discovery.derived(&sasl.own_keys(*derivation).await).map_err(failed)?;
        }
        match progress {
            Progress::Send(request) => {
                stream.write_all(&request.0).await?;
                stream.flush().await?;
            }
            Progress::Derive(_) => unreachable!("keys are followed by what they prove"),
            Progress::Wait => {}
            Progress::Done(nodes) => return Ok(nodes),
        }
    }
}
