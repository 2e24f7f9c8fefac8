//! A tunnel to the admin API, such as `ssh -L` makes one: kroxy listens on loopback only, and its operators are elsewhere.

use crate::{
    net::{Role, SimNet, Wires},
    topology,
};
use kroxy_core::address::HostPort;
use runtime::net::Net;
use std::{io, net::Ipv4Addr};
use tokio::{io::copy_bidirectional, task::JoinSet};

/// Forwards for as long as the host runs. What it listens on is not the proxy's, and not in its books.
pub(super) async fn run(wires: Wires) -> io::Result<()> {
    let listener = turmoil::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, topology::TUNNEL)).await?;
    let net = SimNet::new("tunnel", Role::Operator, &wires);
    let mut forwarding = JoinSet::new();
    loop {
        let (mut outside, _) = listener.accept().await?;
        while forwarding.try_join_next().is_some() {}
        let net = net.clone();
        forwarding.spawn(async move {
            let mut inside = net.connect(&HostPort::new(topology::LOOPBACK, topology::ADMIN)).await?;
            copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}
