//! The listeners of a virtual cluster, and the connections that come in through them.

use crate::{
    clock::Clock,
    cluster::{ClusterShared, Seen},
    connection::{self, Surroundings},
    entrance::Origin,
    net::{Listener, Net},
    sni::{Caller, Seat, Switchboard},
    tls::{Acceptor, ClusterTls, Hello},
};
use kroxy_core::{
    admission::Limit,
    config::{VirtualCluster, sasl::ClientSasl},
    gateway::{Place, Route, Sni},
    proxy_protocol::ProxyProtocol,
    relay::{Authentication, Cause, Spec},
};
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
};
use tokio::{
    sync::watch,
    task::{JoinSet, unconstrained},
};
use tracing::{Instrument, debug, debug_span, error, field::display, info};

/// How many attempts to find out upstream's address a client waits for: as many servers as are asked in turn.
const RESOLVE_ATTEMPTS: u32 = 3;

/// What the connections of a virtual cluster are to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// Serve.
    Serving,
    /// Accept no more, and end as soon as nothing is in flight.
    Draining,
    /// End now.
    Cut,
}

/// Waits for a stage or a later one, in one task from begin to end. A listener that nobody can tell anything any more is cut.
///
/// That task may be woken by other things as often as it likes: looking again takes a lock that thousands of connections share, so it
/// is done only where there is news.
pub(crate) async fn reaches(told: &mut watch::Receiver<Stage>, stage: Stage) {
    let mut news = told.clone();
    news.mark_unchanged();
    // A task that has done its share for now would be put off before it is known whom to wake.
    let mut reached = pin!(unconstrained(told.wait_for(|now| *now >= stage)));
    let mut waits = false;
    poll_fn(|cx| {
        if waits && news.has_changed().is_ok_and(|is_new| !is_new) {
            return Poll::Pending;
        }
        waits = true;
        reached.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Ports that could not be bound: all of them, so that whoever frees them does so at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", ports(.0))]
pub(crate) struct BindError(Vec<Unbound>);

/// A port that could not be bound.
#[derive(Debug)]
struct Unbound {
    gateway: String,
    address: SocketAddr,
    cause: io::Error,
}

/// One sentence: `gateway default cannot listen on 127.0.0.1:9192, 127.0.0.1:9193: Address already in use`.
fn ports(failed: &[Unbound]) -> String {
    let mut text = String::new();
    let said = |unbound: &Unbound| (unbound.gateway.clone(), unbound.cause.to_string());
    for alike in failed.chunk_by(|a, b| said(a) == said(b)) {
        let (gateway, cause) = said(&alike[0]);
        let addresses: Vec<_> = alike.iter().map(|unbound| unbound.address.to_string()).collect();
        let separator = if text.is_empty() { "" } else { "; " };
        text += &format!("{separator}gateway {gateway} cannot listen on {}: {cause}", addresses.join(", "));
    }
    text
}

/// What a listener needs of its configuration, and can be changed while it is at work.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) spec: Arc<Spec>,
    /// TLS towards clients, for handshakes to come.
    pub(crate) tls: Option<Arc<Acceptor>>,
}

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: String,
    /// Where it leads; `None`: the names that clients ask for tell.
    pub(crate) route: Option<Route>,
    pub(crate) names: Option<Sni>,
    pub(crate) proxy_protocol: ProxyProtocol,
}

impl Spot {
    /// What no other listener of the same virtual cluster has.
    pub(crate) fn key(&self) -> SpotKey {
        (self.address, self.names.as_ref().map(|_| self.gateway.clone()))
    }

    pub(crate) const fn place(&self) -> Place<'_> {
        let Self { address, route, names, proxy_protocol, .. } = self;
        Place { address: *address, route: *route, names: names.as_ref(), proxy_protocol }
    }
}

/// An address, and at a shared one the gateway.
pub(crate) type SpotKey = (SocketAddr, Option<String>);

/// A port to be bound, and what comes in there.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) spot: Spot,
    pub(crate) settings: Settings,
}

/// A port that is bound.
pub(crate) struct Bound<N: Net> {
    listener: Incoming<N>,
    pub(crate) spot: Spot,
    pub(crate) settings: Settings,
}

/// Where clients come from.
enum Incoming<N: Net> {
    /// A port of the gateway's own.
    Own(N::Listener),
    /// One that it shares.
    Shared(Seat<N>),
}

/// A client that has come.
pub(crate) enum Arrival<S> {
    /// It has said nothing yet, from this address.
    New(S, SocketAddr),
    /// It has begun a handshake.
    Begun(Hello<S>, Origin),
}

impl<N: Net> Incoming<N> {
    /// The next client, where it comes from, and where it wants to go if it has said so.
    async fn accept(&mut self) -> io::Result<(Arrival<N::Stream>, SocketAddr, Option<Route>)> {
        match self {
            Self::Own(listener) => {
                listener.accept().await.map(|(stream, peer)| (Arrival::New(stream, peer), peer, None))
            }
            Self::Shared(seat) => {
                let Caller { hello, peer, origin, route } = seat.accept().await;
                Ok((Arrival::Begun(hello, origin), peer, Some(route)))
            }
        }
    }
}

/// Every port of a virtual cluster.
pub(crate) fn wanted(config: &VirtualCluster, tls: &ClusterTls) -> Vec<Wanted> {
    let mut all = Vec::new();
    for gateway in &config.gateways {
        let spec = Spec {
            gateway: Arc::new(gateway.clone()),
            request_frame_max: config.limits.max_request_frame,
            first_request_timeout: config.first_request_timeout,
            unfinished_request_timeout: config.unfinished_request_timeout,
            unread_response_timeout: config.unread_response_timeout,
            resolve_timeout: config.upstream.connect_timeout * RESOLVE_ATTEMPTS,
            connect_timeout: config.upstream.connect_timeout,
            idle_timeout: config.idle_timeout,
            authentication: config.sasl.as_ref().map(authentication),
            logs_in: config.upstream.sasl.is_some(),
            login_timeout: config.upstream.connect_timeout,
        };
        let settings = Settings { spec: Arc::new(spec), tls: tls.clients(&gateway.name) };
        all.extend(gateway.places().into_iter().map(|Place { address, route, names, proxy_protocol }| {
            let (gateway, names) = (gateway.name.to_string(), names.cloned());
            let spot = Spot { address, gateway, route, names, proxy_protocol: proxy_protocol.clone() };
            Wanted { spot, settings: settings.clone() }
        }));
    }
    all
}

fn authentication(sasl: &ClientSasl) -> Authentication {
    Authentication {
        mechanisms: sasl.mechanisms.to_vec(),
        session_max: sasl.session_max,
        failure_delay: sasl.failure_delay,
        timeout: sasl.authentication_timeout,
    }
}

/// Binds all of these ports, or none of them.
pub(crate) async fn bind<N: Net>(
    net: &N,
    shared: &Switchboard<N>,
    all: Vec<Wanted>,
) -> Result<Vec<Bound<N>>, BindError> {
    let (mut bound, mut failed) = (Vec::new(), Vec::new());
    for Wanted { spot, settings } in all {
        let listener = match &spot.names {
            None => net.bind(spot.address).await.map(Incoming::Own),
            Some(names) => shared.join(names.clone(), &spot.proxy_protocol).await.map(Incoming::Shared),
        };
        match listener {
            Ok(listener) => bound.push(Bound { listener, spot, settings }),
            Err(cause) => failed.push(Unbound { gateway: spot.gateway, address: spot.address, cause }),
        }
    }
    if failed.is_empty() { Ok(bound) } else { Err(BindError(failed)) }
}

/// Accepts and relays until the stage says otherwise; returns when the last connection is gone.
pub(crate) async fn serve<N: Net>(
    bound: Bound<N>,
    net: N,
    clock: Clock,
    cluster: Arc<ClusterShared>,
    mut stage: watch::Receiver<Stage>,
    settings: watch::Receiver<Settings>,
) {
    let Bound { mut listener, spot: Spot { gateway, route, .. }, .. } = bound;
    let mut acceptor = cluster.accepting.clone().listener();
    let mut connections = JoinSet::new();
    let told = stage.clone();
    loop {
        tokio::select! {
            biased;
            () = reaches(&mut stage, Stage::Draining) => break,
            Some(ended) = connections.join_next() => note_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((client, peer, wish)) => {
                    acceptor.succeeded();
                    if let Arrival::New(..) = client {
                        tokio::select! {
                            biased;
                            () = reaches(&mut stage, Stage::Draining) => break,
                            () = acceptor.turn() => {}
                        }
                    } // else it has had its turn where it said whom it wants
                    let route = wish.or(route).expect("a port leads somewhere, and so does each name");
                    // It waits here, and those behind it in the operating system.
                    if let Some(ready) = cluster.accepts_at(clock.now()) {
                        cluster.reached(Limit::ConnectionRate, peer);
                        tokio::select! {
                            biased;
                            () = reaches(&mut stage, Stage::Draining) => break,
                            () = tokio::time::sleep_until(clock.tokio(ready)) => {}
                        }
                    }
                    if !cluster.has_room(peer, clock.now()) {
                        continue;
                    }
                    let Settings { spec, tls } = settings.borrow().clone();
                    let seen = cluster.connected(peer);
                    let span = debug_span!("connection", id = seen.id, %peer, %gateway, %route);
                    let around = Surroundings {
                        net: net.clone(),
                        clock,
                        cluster: cluster.clone(),
                        spec,
                        tls,
                        route,
                        seen: seen.clone(),
                    };
                    let registration = Registration { cluster: cluster.clone(), clock, seen, cause: None };
                    connections.spawn(relay(around, client, registration, told.clone()).instrument(span));
                }
                Err(e) => tokio::select! {
                    biased;
                    () = reaches(&mut stage, Stage::Draining) => break,
                    () = acceptor.failed(&e) => {}
                },
            },
        }
    }
    drop(listener);
    loop {
        tokio::select! {
            biased;
            ended = connections.join_next() => match ended {
                Some(ended) => note_panic(ended),
                None => break,
            },
            () = reaches(&mut stage, Stage::Cut) => {
                connections.shutdown().await;
                break;
            }
        }
    }
}

async fn relay<N: Net>(
    around: Surroundings<N>,
    client: Arrival<N::Stream>,
    mut registration: Registration,
    stage: watch::Receiver<Stage>,
) {
    debug!("connection opened");
    let cluster = around.cluster.clone();
    let cause = connection::relay(around, client, stage).await;
    if cause.is_suspicious() && cluster.may_log() {
        let (cluster, peer) = (&cluster.name, registration.seen.client_address());
        let via = registration.seen.via().map(display);
        info!(%cluster, cause = cause.label(), %peer, via, "connection closed: {cause}");
    } else {
        debug!(cause = cause.label(), "connection closed: {cause}");
    }
    registration.cause = Some(cause);
}

/// Keeps a connection in the cluster's books for as long as its task lives, however that ends.
struct Registration {
    cluster: Arc<ClusterShared>,
    clock: Clock,
    seen: Arc<Seen>,
    cause: Option<Cause>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let label = self.cause.as_ref().map_or("cut", Cause::label);
        if let Some(limit) = self.cause.as_ref().and_then(Cause::limit) {
            self.cluster.metrics.reached(limit);
        }
        self.cluster.disconnected(&self.seen, label, self.clock.now());
    }
}

pub(crate) fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        error!("a connection's task panicked, which is a bug of kroxy: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::{Context, Wake, Waker},
    };
    use tokio::task::coop;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn who_waits_for_a_stage_is_woken_by_it_however_often_other_things_woke_it_before() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (tell, mut told) = watch::channel(Stage::Serving);
        tell.send_replace(Stage::Serving); // news that it has not seen when it begins
        let mut reached = pin!(reaches(&mut told, Stage::Cut));
        for (stage, wakes) in [(Stage::Draining, 1), (Stage::Cut, 2)] {
            for _ in 0..3 {
                assert!(reached.as_mut().poll(&mut cx).is_pending());
            }
            tell.send_replace(stage);
            assert_eq!(woken.0.load(Relaxed), wakes);
        }
        assert!(reached.as_mut().poll(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn who_waits_for_a_stage_is_woken_by_it_though_its_task_had_done_its_share_when_it_began() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let (tell, mut told) = watch::channel(Stage::Serving);
        let mut reached = pin!(reaches(&mut told, Stage::Draining));
        poll_fn(|cx| {
            while coop::has_budget_remaining() {
                assert!(pin!(coop::consume_budget()).poll(cx).is_ready());
            }
            assert!(reached.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            Poll::Ready(())
        })
        .await;
        tell.send_replace(Stage::Draining);
        assert_eq!(woken.0.load(Relaxed), 1);
    }

    #[test]
    fn who_waits_for_a_stage_goes_on_when_nobody_can_tell_it() {
        let (tell, mut told) = watch::channel(Stage::Serving);
        let mut cx = Context::from_waker(Waker::noop());
        let mut reached = pin!(reaches(&mut told, Stage::Cut));
        assert!(reached.as_mut().poll(&mut cx).is_pending());
        drop(tell);
        assert!(reached.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn ports_that_fail_alike_are_named_together() {
        let unbound = |gateway: &str, port, kind: io::ErrorKind| Unbound {
            gateway: gateway.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            cause: kind.into(),
        };
        let (used, denied) = (io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied);
        let failed = vec![unbound("a", 1, denied), unbound("a", 2, used), unbound("a", 3, used), unbound("b", 4, used)];
        assert_eq!(
            BindError(failed).to_string(),
            "gateway a cannot listen on 127.0.0.1:1: permission denied; \
             gateway a cannot listen on 127.0.0.1:2, 127.0.0.1:3: address in use; \
             gateway b cannot listen on 127.0.0.1:4: address in use"
        );
    }
}
