//! kroxy's network over turmoil's.
//!
//! Turmoil's streams take and give whole segments and know no window; here every stream may move a few bytes only, may
//! pause, and has a window in bytes, as sockets have. What clients read is looked at on the way.

mod ear;
mod exchanges;
mod eye;
mod frames;
mod holdings;
mod stream;
mod watch;
mod wires;

pub(crate) use self::{stream::SimStream, wires::Wires};

use self::{
    eye::Eye,
    wires::{Listening, Side},
};
use kroxy_core::address::HostPort;
use runtime::net::{Listener, Net};
use std::{io, net::SocketAddr, sync::Arc};

/// Who uses a network, which decides what is done to its streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The proxy: its streams are only made difficult.
    Proxy,
    /// A broker: what it says can be tampered with.
    Broker,
    /// A client that speaks Kafka: every answer must fit its request, and no upstream address may appear.
    Client,
    /// A client that does not: no upstream address may appear.
    Rude,
    /// An operator of the proxy, who speaks HTTP and may know everything.
    Operator,
}

/// The network as one host sees it.
#[derive(Clone, Debug)]
pub(crate) struct SimNet {
    host: Arc<str>,
    /// Who uses it: of several clients on one host, which.
    who: Arc<str>,
    role: Role,
    wires: Wires,
}

impl SimNet {
    pub(crate) fn new(host: &str, role: Role, wires: &Wires) -> Self {
        Self { host: host.into(), who: host.into(), role, wires: wires.clone() }
    }

    /// The same for a client that speaks Kafka as it should.
    pub(crate) fn well_behaved(self) -> Self {
        Self { role: Role::Client, ..self }
    }

    /// The same for one of several clients on the host.
    pub(crate) fn of(mut self, who: &str) -> Self {
        self.who = who.into();
        self
    }
}

impl Net for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, at: SocketAddr) -> io::Result<SimListener> {
        let bound = turmoil::net::TcpListener::bind(at).await;
        match &bound {
            Ok(_) => self.wires.journal.note(&self.host, format_args!("listens on {}", at.port())),
            Err(e) => {
                self.wires.journal.note(&self.host, format_args!("cannot listen on {}: {:?}", at.port(), e.kind()))
            }
        }
        let listening = Listening::new(&self.wires, &self.host, at.port());
        bound.map(|inner| SimListener { inner, net: self.clone(), _listening: listening })
    }

    async fn connect(&self, to: &HostPort) -> io::Result<SimStream> {
        let server = self
            .wires
            .resolve(&to.host)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("nobody is called {}", to.host)))?;
        let connected = turmoil::net::TcpStream::connect((server.as_str(), to.port)).await;
        match &connected {
            Ok(_) => self.wires.journal.note(&self.host, format_args!("connected to {server}:{}", to.port)),
            Err(e) => {
                self.wires
                    .journal
                    .note(&self.host, format_args!("no connection to {server}:{}: {:?}", to.port, e.kind()));
            }
        }
        let inner = connected?;
        let ends = (inner.local_addr()?, inner.peer_addr()?);
        let wire = self.wires.wire(ends, Side::Client, &self.host, &server);
        let eye = Eye::new(self.role, &self.who, &self.host, Side::Client, to.port, &self.wires);
        Ok(SimStream::new(inner, self.host.clone(), eye, Side::Client, wire, &self.wires))
    }

    fn address_of(stream: &SimStream) -> io::Result<SocketAddr> {
        stream.local_addr()
    }
}

/// A port that accepts connections.
pub(crate) struct SimListener {
    inner: turmoil::net::TcpListener,
    net: SimNet,
    _listening: Listening,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let (inner, from) = self.inner.accept().await?;
        let SimNet { host, who, role, wires } = &self.net;
        let at = inner.local_addr()?;
        let peer = turmoil::reverse_lookup(from.ip()).unwrap_or_default();
        wires.journal.note(host, format_args!("accepted {peer} on {}", at.port()));
        let wire = wires.wire((from, at), Side::Server, &peer, host);
        let eye = Eye::new(*role, who, host, Side::Server, at.port(), wires);
        Ok((SimStream::new(inner, host.clone(), eye, Side::Server, wire, wires), from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
