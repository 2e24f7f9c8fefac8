//! The relay to compare with: it copies bytes both ways and knows nothing of them, with tokio's own means.

use std::{net::SocketAddr, process::ExitCode};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Bytes: the buffer of each direction.
const BUFFER: usize = 64 << 10;

pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr) -> ExitCode {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async move {
        let listener = TcpListener::bind(listen).await.expect("the port is free");
        let mut connections = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await.expect("a connection");
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                let Ok(mut upstream) = TcpStream::connect(upstream).await else { return };
                let _ = client.set_nodelay(true); // a hint
                let _ = upstream.set_nodelay(true);
                let _ = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await; // its end
            });
        }
    })
}
