//! Puts an embedded cluster behind a network: the operating system's or a simulated one.
//!
//! One task owns the [`Cluster`]; a listener per node and a task per connection talk to it through bounded queues. Nothing
//! here decides anything about Kafka, and everything happens in a written order, so that a simulation is repeatable.
//!
//! ```text
//! client ⇄ connection task ──events──► Host (owns the Cluster) ──a queue for each connection──► connection task ⇄ client
//! ```

mod connection;

#[cfg(test)]
mod tests;

use self::connection::Queue;
use crate::{
    clock::Clock,
    demo::{limits, turned},
    net::{Listener, Net},
};
use bytes::Bytes;
use fixture_broker::{Cluster, ClusterSpec, ConnId, Output};
use kroxy_core::time::Instant;
use std::{collections::BTreeMap, io, mem, net::SocketAddr};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::{sleep, sleep_until},
};
use tracing::{debug, error, warn};

/// Why something could not be done with an embedded cluster.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A node's port could not be bound.
    #[error("node {node} cannot listen on {address}: {cause}")]
    Bind {
        /// The node.
        node: i32,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the network said.
        #[source]
        cause: io::Error,
    },
    /// The host has stopped.
    #[error("the embedded cluster has stopped")]
    Gone,
}

/// An embedded cluster whose ports are bound. [`Host::run`] serves it.
pub struct Host<N: Net> {
    net: N,
    clock: Clock,
    cluster: Cluster,
    nodes: BTreeMap<i32, Node<N>>,
    peers: BTreeMap<ConnId, Peer>,
    events: mpsc::Receiver<Event<N>>,
    events_in: mpsc::Sender<Event<N>>,
    commands: mpsc::Receiver<Command>,
    out: Vec<Output>,
}

/// Steers an embedded cluster while it is served.
#[derive(Clone, Debug)]
pub struct HostHandle {
    commands: mpsc::Sender<Command>,
}

type Act = Box<dyn FnOnce(&mut Cluster, Instant, &mut Vec<Output>) + Send>;

/// What a command does to the cluster, and whom it tells how that went.
struct Command {
    act: Act,
    done: oneshot::Sender<Result<(), HostError>>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").finish_non_exhaustive()
    }
}

/// A node's place in the network.
struct Node<N: Net> {
    /// Where it listens, or did and will again.
    address: SocketAddr,
    /// Not listening yet: [`Host::run`] has not begun, or the node was started just now.
    bound: Option<N::Listener>,
    /// Its listener and its connections; empty while the node is stopped.
    tasks: JoinSet<()>,
}

/// A client as the cluster's task knows it. Dropping it hangs up once the client has taken what is queued.
struct Peer {
    queue: Queue,
    task: tokio::task::AbortHandle,
}

enum Event<N: Net> {
    Accepted { node: i32, stream: N::Stream, from: SocketAddr },
    Frame { conn: ConnId, frame: Bytes },
    Closed { conn: ConnId },
}

impl<N: Net> Host<N> {
    /// Binds a port for each node of `binds`.
    ///
    /// A node whose port is 0 in `spec` tells its clients the port that was bound for it.
    pub async fn bind(
        net: N,
        clock: Clock,
        spec: ClusterSpec,
        binds: &[(i32, SocketAddr)],
        seed: u64,
    ) -> Result<(Self, HostHandle), HostError> {
        let told: BTreeMap<i32, (String, u16)> =
            spec.nodes.iter().map(|node| (node.id, (node.host.clone(), node.port))).collect();
        let mut cluster = Cluster::new(spec, seed, clock.now());
        let mut nodes = BTreeMap::new();
        for &(node, at) in binds {
            let (listener, address) = listen(&net, node, at).await?;
            if let Some((host, 0)) = told.get(&node) {
                cluster.set_address(node, host, address.port());
            }
            nodes.insert(node, Node { address, bound: Some(listener), tasks: JoinSet::new() });
        }
        let (events_in, events) = mpsc::channel(limits::EVENTS_WAITING);
        let (commands_in, commands) = mpsc::channel(1);
        let host =
            Self { net, clock, cluster, nodes, peers: BTreeMap::new(), events, events_in, commands, out: Vec::new() };
        Ok((host, HostHandle { commands: commands_in }))
    }

    /// Where each node listens.
    pub fn addresses(&self) -> BTreeMap<i32, SocketAddr> {
        self.nodes.iter().map(|(id, node)| (*id, node.address)).collect()
    }

    /// Serves until `stop` turns true or nobody can turn it any more; then all ports and connections are closed.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.start_listening();
        loop {
            let due = self.cluster.deadline().map(|at| self.clock.tokio(at));
            tokio::select! {
                biased;
                () = turned(&mut stop) => break,
                // Before the events, which under load never cease.
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    self.cluster.tick(self.clock.now(), self.wall_ms(), &mut self.out);
                }
                Some(command) = self.commands.recv() => self.obey(command).await,
                Some(event) = self.events.recv() => self.handle(event),
            }
            self.deliver();
        }
        for node in self.nodes.values_mut() {
            node.tasks.shutdown().await;
        }
    }

    fn wall_ms(&self) -> i64 {
        i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX)
    }

    fn handle(&mut self, event: Event<N>) {
        let now = self.clock.now();
        match event {
            Event::Accepted { node, stream, from } => self.welcome(node, stream, from),
            Event::Frame { conn, frame } => {
                let wall_ms = self.wall_ms();
                self.cluster.receive(conn, frame, now, wall_ms, &mut self.out);
            }
            Event::Closed { conn } => {
                self.peers.remove(&conn);
                self.cluster.close(conn, now, &mut self.out);
            }
        }
    }

    fn welcome(&mut self, id: i32, stream: N::Stream, from: SocketAddr) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        while let Some(ended) = node.tasks.try_join_next() {
            note_panic(ended);
        }
        if !self.cluster.is_running(id) {
            return; // accepted just before the node was stopped
        }
        if self.peers.len() >= limits::CONNECTIONS {
            warn!(node = id, %from, "embedded broker: connection refused, there are {} already", limits::CONNECTIONS);
            return;
        }
        let conn = self.cluster.open(id, self.clock.now());
        let (queue, queued) = connection::queue();
        let events = self.events_in.clone();
        let task = node.tasks.spawn(connection::serve(stream, queued, conn, events));
        self.peers.insert(conn, Peer { queue, task });
    }

    /// Carries out what the cluster has decided.
    fn deliver(&mut self) {
        while !self.out.is_empty() {
            for output in mem::take(&mut self.out) {
                match output {
                    Output::Send { conn, frame } => self.send(conn, frame),
                    Output::Close { conn, why } => {
                        debug!(?conn, "embedded broker: hangs up: {why}");
                        self.peers.remove(&conn);
                    }
                }
            }
        }
    }

    fn send(&mut self, conn: ConnId, frame: Bytes) {
        let Some(peer) = self.peers.get(&conn) else { return };
        if let Err(full) = peer.queue.push(frame) {
            warn!(?conn, "embedded broker: hangs up on a client that does not read: {full}");
            peer.task.abort();
            self.peers.remove(&conn);
            self.cluster.close(conn, self.clock.now(), &mut self.out);
        }
    }

    async fn obey(&mut self, command: Command) {
        (command.act)(&mut self.cluster, self.clock.now(), &mut self.out);
        self.deliver();
        let done = self.reconcile().await;
        let _ = command.done.send(done); // whoever asked may have gone away
    }

    /// Opens and closes ports until they are as the nodes are.
    async fn reconcile(&mut self) -> Result<(), HostError> {
        for (&id, node) in &mut self.nodes {
            let listening = !node.tasks.is_empty() || node.bound.is_some();
            match (self.cluster.is_running(id), listening) {
                (true, false) => match listen(&self.net, id, node.address).await {
                    Ok((listener, _)) => node.bound = Some(listener),
                    Err(e) => {
                        self.cluster.stop_node(id, self.clock.now(), &mut self.out);
                        return Err(e);
                    }
                },
                (false, true) => {
                    node.bound = None;
                    node.tasks.shutdown().await;
                }
                (true, true) | (false, false) => {}
            }
        }
        self.start_listening();
        Ok(())
    }

    fn start_listening(&mut self) {
        for (&id, node) in &mut self.nodes {
            if let Some(listener) = node.bound.take() {
                node.tasks.spawn(accept(listener, id, self.events_in.clone()));
            }
        }
    }
}

impl HostHandle {
    /// Does something to the cluster and delivers what comes of it. A node that this stops has closed its port and its
    /// connections when the future is ready; one that it starts listens again, where it did before.
    pub async fn with<R, F>(&self, act: F) -> Result<R, HostError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Cluster, Instant, &mut Vec<Output>) -> R + Send + 'static,
    {
        let (done, finished) = oneshot::channel();
        let (result_in, result) = oneshot::channel();
        let act = Box::new(move |cluster: &mut Cluster, now: Instant, out: &mut Vec<Output>| {
            let _ = result_in.send(act(cluster, now, out)); // whoever asked may have gone away
        });
        self.commands.send(Command { act, done }).await.map_err(|_| HostError::Gone)?;
        finished.await.map_err(|_| HostError::Gone)??;
        result.await.map_err(|_| HostError::Gone)
    }
}

async fn listen<N: Net>(net: &N, node: i32, at: SocketAddr) -> Result<(N::Listener, SocketAddr), HostError> {
    let failed = |cause| HostError::Bind { node, address: at, cause };
    let listener = net.bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn accept<N: Net>(mut listener: N::Listener, node: i32, events: mpsc::Sender<Event<N>>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if events.send(Event::Accepted { node, stream, from }).await.is_err() {
                    return;
                }
            }
            Err(e) => {
                warn!(node, "embedded broker: cannot accept a connection: {e}");
                sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

fn note_panic(ended: Result<(), JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        error!("a task of the embedded brokers panicked, which is a bug of kroxy: {e}");
    }
}
