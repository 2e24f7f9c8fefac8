//! kroxy's network over turmoil's.
//!
//! Turmoil's streams take and give whole segments and know no window; here every stream may move a few bytes only, may
//! pause, and has a window in bytes, as sockets have. What clients read is looked at on the way.

mod ear;
mod exchanges;
mod eye;
mod frames;
mod holdings;
pub(crate) mod login;
mod socket;
mod speech;
mod stream;
mod watch;
mod wires;

pub(crate) use self::{exchanges::Place, stream::SimStream, wires::Wires};

use self::{
    eye::{Eye, Holder},
    login::Gate,
    socket::Socket,
    stream::Channel,
    wires::{Listening, Side},
};
use crate::{findings::Checker, logins::CLIENT, topology};
use kroxy_core::address::HostPort;
use runtime::net::{Listener, Net, Passed};
use rustls::pki_types::ServerName;
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

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
    /// The same, and it knows nothing of TLS either, nor of logins.
    Barbarian,
    /// A client that asks what it may not ask before it has logged in.
    Intruder,
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

    /// The same for somebody who has never heard of TLS.
    pub(crate) fn in_the_clear(self) -> Self {
        Self { role: Role::Barbarian, ..self }
    }

    /// The same for somebody who has not logged in, where that is needed.
    pub(crate) fn intruding(self, at_port: u16) -> Self {
        if self.wires.sasl_of(topology::cluster_at(at_port)).clients {
            Self { role: Role::Intruder, ..self }
        } else {
            self
        }
    }

    /// Whether whoever uses it has not logged in where that is needed.
    pub(crate) fn is_intruding(&self) -> bool {
        self.role == Role::Intruder
    }

    /// Something is wrong that only whoever uses it can see.
    pub(crate) fn accuse(&self, checker: Checker, what: &str) {
        self.wires.accuse(&self.host, (checker, what.to_owned()));
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
        let bound = match self.role {
            Role::Proxy if topology::is_taken(at) => Err(io::ErrorKind::AddrInUse.into()),
            Role::Proxy
            | Role::Broker
            | Role::Client
            | Role::Rude
            | Role::Barbarian
            | Role::Intruder
            | Role::Operator => turmoil::net::TcpListener::bind(at).await,
        };
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
        let socket = Socket::new(
            inner,
            self.host.clone(),
            self.holder(Side::Client, to.port),
            Side::Client,
            wire,
            &self.wires,
            is_kafka(to.port),
        );
        let mut channel = self.shake_hands(socket, to).await?;
        self.log_in(&mut channel, to).await?;
        let eye = Eye::new(self.role, &self.who, &server, to.port, &self.wires);
        Ok(SimStream::new(channel, self.host.clone(), eye, None, &self.wires))
    }

    fn address_of(stream: &SimStream) -> io::Result<SocketAddr> {
        stream.local_addr()
    }

    /// Every connection that is dropped here ends alike.
    fn break_off(_: &SimStream) -> io::Result<()> {
        Ok(())
    }

    /// Bytes: frames are small here.
    const PASSES: Option<u64> = Some(64);

    fn poll_pass(
        from: &mut SimStream,
        to: &mut SimStream,
        most: usize,
        left: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<Passed> {
        stream::poll_pass(from, to, most, left, cx)
    }
}

impl SimNet {
    fn holder(&self, side: Side, port: u16) -> Option<Holder> {
        (self.role == Role::Proxy).then(|| Holder::new(side, port, &self.wires))
    }

    /// TLS, where a client comes to a gateway that speaks it. The proxy itself sees to that on its own.
    async fn shake_hands(&self, socket: Socket, to: &HostPort) -> io::Result<Channel> {
        let config = match self.role {
            Role::Client | Role::Rude | Role::Intruder => self.wires.vault.clients(topology::cluster_at(to.port)),
            Role::Proxy | Role::Broker | Role::Barbarian | Role::Operator => None,
        };
        let Some(config) = config else { return Ok(Channel::Plain(Box::new(socket))) };
        let name = ServerName::try_from(to.host.clone()).map_err(io::Error::other)?;
        let shaken = TlsConnector::from(config).connect(name, socket).await;
        if let Err(e) = &shaken {
            self.wires.journal.note(&self.host, format_args!("no TLS with {to}: {e}"));
        }
        let stream = shaken?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let Some(edition) = shown.and_then(|shown| self.wires.vault.edition_of(shown)) {
            self.wires.saw_edition(edition);
        }
        Ok(Channel::Tls(Box::new(stream.into())))
    }
}

impl SimNet {
    /// SASL, where clients have to log in at the gateway.
    async fn log_in(&self, channel: &mut Channel, to: &HostPort) -> io::Result<()> {
        let needed = match self.role {
            Role::Client | Role::Rude => self.wires.sasl_of(topology::cluster_at(to.port)).clients,
            Role::Proxy | Role::Broker | Role::Barbarian | Role::Intruder | Role::Operator => false,
        };
        if !needed {
            return Ok(());
        }
        let done = match channel {
            Channel::Plain(socket) => login::log_in(socket.as_mut(), CLIENT).await,
            Channel::Tls(stream) => login::log_in(stream.as_mut(), CLIENT).await,
            Channel::Shaking(_) | Channel::Failed => unreachable!("it has shaken hands"),
        };
        done.inspect_err(|e| self.wires.journal.note(&self.host, format_args!("no login at {to}: {e}")))
    }
}

/// Whether Kafka's protocol is spoken at a port.
const fn is_kafka(port: u16) -> bool {
    port != topology::ADMIN && port != topology::TUNNEL
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
        let holder = self.net.holder(Side::Server, at.port());
        let socket = Socket::new(inner, host.clone(), holder, Side::Server, wire, wires, is_kafka(at.port()));
        let config = match role {
            Role::Broker => wires.vault.brokers(topology::cluster_of(host)),
            Role::Proxy | Role::Client | Role::Rude | Role::Barbarian | Role::Intruder | Role::Operator => None,
        };
        let channel = match config {
            Some(config) => Channel::Shaking(Box::new(TlsAcceptor::from(config).accept(socket))),
            None => Channel::Plain(Box::new(socket)),
        };
        let eye = Eye::new(*role, who, host, at.port(), wires);
        let sasl = wires.sasl_of(topology::cluster_of(host));
        let gate =
            (*role == Role::Broker && sasl.upstream).then(|| Gate::new(sasl.session_ms.map(Duration::from_millis)));
        Ok((SimStream::new(channel, host.clone(), eye, gate, wires), from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
