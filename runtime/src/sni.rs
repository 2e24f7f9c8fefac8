//! Listeners that several gateways share, also of different virtual clusters: the name that a client asks for decides.
//!
//! A gateway joins with its names and leaves by being dropped. The first binds the address, and the last one's leaving gives
//! it back; in between nobody notices others come and go. A name that nobody has any more is closed at once.

use crate::{
    accepting::{Accepting, Acceptor},
    entrance::{self, Entered, NotEntered, Origin},
    limits,
    listen::note_panic,
    lock,
    log_quota::Quota,
    metrics::Metrics,
    net::{Listener, Net},
    tls::{self, Hello},
};
use kroxy_core::{
    gateway::{Route, Sni},
    proxy_protocol::ProxyProtocol,
};
use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, Weak},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::info;

/// A client whose wish is known.
pub(crate) struct Caller<S> {
    pub(crate) hello: Hello<S>,
    pub(crate) peer: SocketAddr,
    pub(crate) origin: Origin,
    pub(crate) route: Route,
}

/// All shared listeners of a proxy.
pub(crate) struct Switchboard<N: Net> {
    net: N,
    metrics: Metrics,
    accepting: Arc<Accepting>,
    lines: Mutex<BTreeMap<SocketAddr, Weak<Line<N>>>>,
    /// Listeners that are still bound.
    bound: watch::Sender<usize>,
    /// One at a time joins, so that none binds what another is about to bind.
    joining: tokio::sync::Mutex<()>,
}

/// One shared listener. Its task ends with it.
struct Line<N: Net> {
    members: Arc<Members<N::Stream>>,
    _task: JoinSet<()>,
}

/// Who is at a listener.
struct Members<S> {
    all: Mutex<Vec<Member<S>>>,
    /// What comes before a handshake.
    proxy_protocol: ProxyProtocol,
    logged: Mutex<Quota>,
}

struct Member<S> {
    id: u64,
    names: Sni,
    callers: mpsc::Sender<Caller<S>>,
}

/// A gateway's place at a shared listener.
pub(crate) struct Seat<N: Net> {
    id: u64,
    callers: mpsc::Receiver<Caller<N::Stream>>,
    line: Arc<Line<N>>,
}

impl<N: Net> Switchboard<N> {
    pub(crate) fn new(net: N, metrics: Metrics, accepting: Arc<Accepting>) -> Self {
        Self {
            net,
            metrics,
            accepting,
            lines: Mutex::default(),
            bound: watch::Sender::new(0),
            joining: tokio::sync::Mutex::default(),
        }
    }

    /// Takes a gateway to the listener of its address, which is bound unless it is there. Only gateways that expect the same
    /// before a handshake come together.
    pub(crate) async fn join(&self, names: Sni, proxy_protocol: &ProxyProtocol) -> io::Result<Seat<N>> {
        let _alone = self.joining.lock().await;
        let at = names.bind();
        let known = lock(&self.lines).get(&at).and_then(Weak::upgrade);
        let line = match known {
            Some(line) => line,
            None => self.open(at, proxy_protocol).await?,
        };
        let (sender, callers) = mpsc::channel(limits::CALLERS_WAITING);
        let mut all = lock(&line.members.all);
        let id = all.iter().map(|member| member.id + 1).max().unwrap_or_default();
        all.push(Member { id, names, callers: sender });
        drop(all);
        Ok(Seat { id, callers, line })
    }

    async fn open(&self, at: SocketAddr, proxy_protocol: &ProxyProtocol) -> io::Result<Arc<Line<N>>> {
        self.settled().await;
        let listener = self.net.bind(at).await?;
        self.bound.send_modify(|bound| *bound += 1);
        let held = Held { listener, _freed: Freed(self.bound.clone()) };
        let members =
            Members { all: Mutex::default(), proxy_protocol: proxy_protocol.clone(), logged: Mutex::default() };
        let members = Arc::new(members);
        let mut task = JoinSet::new();
        task.spawn(answer::<N>(held, members.clone(), self.metrics.clone(), self.accepting.clone().listener()));
        let line = Arc::new(Line { members, _task: task });
        lock(&self.lines).insert(at, Arc::downgrade(&line));
        self.bound.send_modify(|_| {}); // whoever waits has to look again: it is in use now
        Ok(line)
    }

    /// Waits until every listener that nobody uses any more is given back to the operating system.
    pub(crate) async fn settled(&self) {
        let used = || {
            let mut lines = lock(&self.lines);
            lines.retain(|_, line| line.strong_count() > 0);
            lines.len()
        };
        let mut bound = self.bound.subscribe();
        // An error cannot be: the sender is in `self`.
        let _ = bound.wait_for(|bound| *bound <= used()).await;
    }
}

impl<N: Net> Seat<N> {
    /// The next client that asks for one of the gateway's names.
    pub(crate) async fn accept(&mut self) -> Caller<N::Stream> {
        match self.callers.recv().await {
            Some(caller) => caller,
            // The listener holds the sender for as long as there is this seat.
            None => std::future::pending().await,
        }
    }
}

impl<N: Net> Drop for Seat<N> {
    fn drop(&mut self) {
        lock(&self.line.members.all).retain(|member| member.id != self.id);
    }
}

/// A listener, dropped before that is said.
struct Held<L> {
    listener: L,
    _freed: Freed,
}

/// Says that a listener is given back.
struct Freed(watch::Sender<usize>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.send_modify(|bound| *bound -= 1);
    }
}

/// Accepts, listens to what each client asks for, and passes it on.
async fn answer<N: Net>(
    mut held: Held<N::Listener>,
    members: Arc<Members<N::Stream>>,
    metrics: Metrics,
    mut acceptor: Acceptor,
) {
    let mut hellos = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = hellos.join_next() => note_panic(ended),
            accepted = held.listener.accept() => match accepted {
                Ok((_, peer)) if hellos.len() >= limits::HELLOS_WAITING => members.refuse(&metrics, peer, &Refused::TooMany),
                Ok((stream, peer)) => {
                    acceptor.succeeded();
                    acceptor.turn().await;
                    let (members, metrics, mut newcomer) = (members.clone(), metrics.clone(), acceptor.newcomer());
                    hellos.spawn(async move {
                        if let Err(refused) = newcomer.steps(pass_on::<N>(stream, peer, &members)).await {
                            members.refuse(&metrics, peer, &refused);
                        }
                    });
                }
                Err(e) => acceptor.failed(&e).await,
            },
        }
    }
}

async fn pass_on<N: Net>(stream: N::Stream, peer: SocketAddr, members: &Members<N::Stream>) -> Result<(), Refused> {
    let entered = entrance::enter::<N>(stream, peer, &members.proxy_protocol, limits::HELLO_TIMEOUT).await;
    let Entered { stream, first, origin } = entered.map_err(Refused::NotEntered)?;
    let hello = Hello::read(stream, first, limits::HELLO_TIMEOUT).await.map_err(Refused::NoHello)?;
    let name = hello.server_name().ok_or(Refused::NoName)?.to_owned();
    let found = lock(&members.all).iter().find_map(|member| {
        let route = member.names.route_of(&name)?;
        Some((member.callers.clone(), route))
    });
    let (callers, route) = found.ok_or(Refused::UnknownName(name))?;
    callers.try_send(Caller { hello, peer, origin, route }).map_err(|_| Refused::TooMany)
}

/// Why a client does not get to any gateway.
enum Refused {
    NotEntered(NotEntered),
    NoHello(tls::Failure),
    NoName,
    UnknownName(String),
    TooMany,
}

impl Refused {
    /// The value of the label `cause`.
    const fn label(&self) -> &'static str {
        match self {
            Self::NotEntered(NotEntered::Gone | NotEntered::Broke(_)) => "closed",
            Self::NotEntered(NotEntered::Untrusted | NotEntered::Absent | NotEntered::Bad(_) | NotEntered::Late(_)) => {
                "proxy_protocol"
            }
            Self::NoHello(failure) => failure.label(),
            Self::NoName => "no_name",
            Self::UnknownName(_) => "unknown_name",
            Self::TooMany => "too_many",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEntered(why) => write!(f, "PROXY protocol: {why}"),
            Self::NoHello(failure) => failure.fmt(f),
            Self::NoName => {
                f.write_str("the client asks for no server name (SNI), so nobody knows where it wants to go")
            }
            Self::UnknownName(name) => write!(f, "the client asks for {name:?}, which no gateway has now"),
            Self::TooMany => f.write_str("too many clients wait"),
        }
    }
}

impl<S> Members<S> {
    fn refuse(&self, metrics: &Metrics, peer: SocketAddr, why: &Refused) {
        metrics.sni_refused(why.label());
        let Some(dropped) = lock(&self.logged).take() else { return };
        if dropped > 0 {
            info!("{dropped} lines about refused connections were left out");
        }
        info!(%peer, cause = why.label(), "connection refused: {why}");
    }
}
