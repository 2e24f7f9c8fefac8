//! A proxy: started once, stopped gracefully, steered and watched from any thread.
//!
//! The decisions are `kroxy_core::proxy`'s. One task, the `supervisor`, carries them out; it belongs to the runtime that
//! [`Proxy::startup`] is called on.

mod builds;
mod events;
mod supervisor;
mod wait;

pub use self::wait::Lifetime;

use self::{builds::Builds, events::Events, supervisor::Supervisor};
use crate::{
    accepting::{Accepting, Acceptor},
    budget::Budget,
    clock::Clock,
    config, load, lock,
    metrics::Metrics,
    net::Net,
    sni::Switchboard,
    status,
    tls::{self, Crypto},
};
use kroxy_core::{
    cluster::Reason,
    config::{ClusterName, Config},
    proxy::{self as machine, Command, Refused, Trigger},
    reload::{Digest, Loaded, Plan},
    status::{Event, ReloadReport, Status, WallClock},
};
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// How a proxy ended.
pub type Ended = Result<(), machine::Failure>;

/// A proxy. Clones are handles to the same one.
pub struct Proxy<N: Net> {
    shared: Arc<Shared<N>>,
}

impl<N: Net> fmt::Debug for Proxy<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("state", &lock(&self.shared.machine).state()).finish_non_exhaustive()
    }
}

impl<N: Net> Clone for Proxy<N> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

/// Where a configuration comes from.
pub struct Source {
    /// The path of the file, where it is one.
    pub name: Option<String>,
    /// Reads it again; an error is ready to be shown, with a line for each thing that is wrong.
    pub read: Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>,
}

impl Source {
    /// A configuration that was made in memory and cannot be read again.
    pub fn memory() -> Self {
        Self { name: None, read: Box::new(|| Err("this configuration was not read from a file".to_owned())) }
    }

    /// A file.
    pub fn file(path: PathBuf) -> Self {
        let name = Some(path.display().to_string());
        let read = move || config::load(&path).map(load::loaded).map_err(|e| e.lines());
        Self { name, read: Box::new(read) }
    }
}

/// What the handles and the supervisor have in common.
struct Shared<N: Net> {
    net: N,
    clock: Clock,
    crypto: Crypto,
    switchboard: Switchboard<N>,
    accepting: Arc<Accepting>,
    /// For requests whose ends are missing.
    unfinished: Arc<Budget>,
    source: Source,
    metrics: Metrics,
    machine: Mutex<machine::Proxy>,
    builds: Mutex<Builds<N>>,
    requests: mpsc::UnboundedSender<Request>,
    /// Taken by the supervisor when it starts.
    inbox: Mutex<Option<mpsc::UnboundedReceiver<Request>>>,
    ended: watch::Sender<Option<Ended>>,
    events: Events,
    lifetime: Mutex<Weak<wait::Guard>>,
    admin_address: Mutex<Option<SocketAddr>>,
}

/// What a handle asks of the supervisor.
#[derive(Debug)]
enum Request {
    Command(Command, oneshot::Sender<Result<(), Refused>>),
    /// With what is wanted, or why that cannot be said.
    Reload(Trigger, Result<Box<Loaded>, Vec<String>>, oneshot::Sender<Result<ReloadReport, Refused>>),
    /// Nobody waits for the answer.
    Tell(Command),
    /// Whether anybody is there.
    Answer(oneshot::Sender<()>),
}

impl<N: Net> Proxy<N> {
    /// A proxy that has not been started. The seed spreads the retries of its clusters; the source is what a reload reads.
    pub fn new(loaded: Loaded, source: Source, net: N, clock: Clock, seed: u64) -> Self {
        Self::with_crypto(loaded, source, net, Crypto::new(clock), seed)
    }

    /// The same with this cryptography, and its clock.
    pub fn with_crypto(loaded: Loaded, source: Source, net: N, crypto: Crypto, seed: u64) -> Self {
        let clock = crypto.clock();
        let (requests, inbox) = mpsc::unbounded_channel();
        let unfinished = Arc::new(Budget::new(loaded.config().max_unfinished_requests()));
        let machine = machine::Proxy::new(loaded, seed, clock.now());
        let metrics = Metrics::new();
        let accepting = Accepting::new(metrics.clone());
        let switchboard = Switchboard::new(net.clone(), metrics.clone(), accepting.clone());
        let shared = Shared {
            net,
            clock,
            crypto,
            switchboard,
            accepting,
            unfinished,
            source,
            metrics,
            machine: Mutex::new(machine),
            builds: Mutex::default(),
            requests,
            inbox: Mutex::new(Some(inbox)),
            ended: watch::Sender::new(None),
            events: Events::new(),
            lifetime: Mutex::default(),
            admin_address: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the proxy, unless it was started before, and returns the future of its whole life: it ends when the proxy has
    /// stopped. Every call returns the same one. When the last of them is dropped, that means [`Self::shutdown`].
    ///
    /// # Errors
    /// A proxy that is stopping or has stopped cannot be started.
    pub fn startup(&self) -> Result<Lifetime<N>, Refused> {
        let now = self.shared.clock.now();
        let mut out = Vec::new();
        lock(&self.shared.machine).command(Command::Startup, now, &mut out)?;
        if let Some(inbox) = lock(&self.shared.inbox).take() {
            let supervisor = Supervisor::new(self.shared.clone(), inbox);
            #[expect(clippy::disallowed_methods, reason = "the root of all other tasks; its end is the lifetime's")]
            tokio::spawn(supervisor.run(out));
        }
        let mut known = lock(&self.shared.lifetime);
        let guard = known.upgrade().unwrap_or_else(|| Arc::new(wait::Guard::new(self.shared.requests.clone())));
        *known = Arc::downgrade(&guard);
        Ok(Lifetime::new(self.clone(), guard))
    }

    /// Stops the proxy gracefully. One that was never started has stopped at once.
    pub fn shutdown(&self, why: impl Into<String>) {
        self.tell(Command::Shutdown { cause: Reason::new(why) });
    }

    /// Stops the proxy now; it has not ended well then.
    pub fn halt(&self, why: impl Into<String>) {
        self.tell(Command::Halt { cause: Reason::new(why) });
    }

    fn tell(&self, command: Command) {
        if lock(&self.shared.inbox).is_some() {
            // Nobody supervises yet, so nothing is there to be carried out either.
            let mut out = Vec::new();
            let mut machine = lock(&self.shared.machine);
            let refused = machine.command(command, self.shared.clock.now(), &mut out).is_err();
            debug_assert!(!refused, "a proxy can always be told to stop");
            self.shared.ended.send_replace(machine.result().cloned());
        } else {
            // An error means that the supervisor is gone: the proxy has stopped.
            let _ = self.shared.requests.send(Request::Tell(command));
        }
    }

    /// For a listener of the proxy's.
    pub(crate) fn acceptor(&self) -> Acceptor {
        self.shared.accepting.clone().listener()
    }

    /// Waits until the supervisor answers; false where it is gone.
    pub(crate) async fn is_alive(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Answer(answer));
        answered.await.is_ok()
    }

    /// Waits until the proxy has stopped, without being a reason for it to stop.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.shared.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.expect("the sender is in the proxy itself");
        ended.clone().expect("waited for")
    }

    /// Takes clients off a virtual cluster.
    pub async fn drain(&self, name: ClusterName) -> Result<(), Refused> {
        self.ask(Command::Drain(name)).await
    }

    /// Brings a failed or drained virtual cluster back.
    pub async fn retry(&self, name: ClusterName) -> Result<(), Refused> {
        self.ask(Command::Retry(name)).await
    }

    async fn ask(&self, command: Command) -> Result<(), Refused> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Command(command, answer));
        answered.await.unwrap_or_else(|_| Err(self.not_running()))
    }

    /// Puts a configuration in force, and says how that went once it is over, or at once where it is not begun.
    ///
    /// # Errors
    /// Where the proxy does not run.
    pub async fn reload(&self, trigger: Trigger, loaded: Loaded) -> Result<ReloadReport, Refused> {
        self.try_reload(trigger, Ok(Box::new(loaded))).await
    }

    /// The same with the configuration read again, from where it came.
    ///
    /// # Errors
    /// Where the proxy does not run.
    pub async fn reload_source(&self, trigger: Trigger) -> Result<ReloadReport, Refused> {
        let read = self.read_again().map(Box::new).map_err(|e| e.lines().map(str::to_owned).collect());
        self.try_reload(trigger, read).await
    }

    async fn try_reload(
        &self,
        trigger: Trigger,
        wanted: Result<Box<Loaded>, Vec<String>>,
    ) -> Result<ReloadReport, Refused> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Reload(trigger, wanted, answer));
        answered.await.unwrap_or_else(|_| Err(self.not_running()))
    }

    fn send(&self, request: Request) {
        // An error means that the supervisor is gone; the dropped answer channel says so to whoever asks.
        let _ = self.shared.requests.send(request);
    }

    fn not_running(&self) -> Refused {
        Refused::NotRunning(lock(&self.shared.machine).state())
    }

    /// Reads the configuration again, from where it came.
    ///
    /// # Errors
    /// With what is wrong with it, ready to be shown.
    pub fn read_again(&self) -> Result<Loaded, String> {
        (self.shared.source.read)()
    }

    /// Reads a configuration that may come to stand in the place of the one in force, and names files as if it stood
    /// there. `name` is what messages call it.
    ///
    /// # Errors
    /// With what is wrong with it, a line for each thing.
    pub(crate) fn read_instead(&self, name: &str, contents: &[u8]) -> Result<Loaded, String> {
        let place = self.shared.source.name.as_deref().map(Path::new).and_then(Path::parent);
        config::parse_within(place.unwrap_or(Path::new("")), name, contents).map(load::loaded).map_err(|e| e.lines())
    }

    /// What a reload of this configuration would do now. Changes nothing.
    pub fn plan(&self, loaded: &Loaded) -> Plan {
        lock(&self.shared.machine).plan(loaded)
    }

    /// The settings of the proxy itself that are in force.
    pub(crate) fn settings(&self) -> Config {
        lock(&self.shared.machine).settings().config().clone()
    }

    /// Over what is in force: equal to [`Loaded::digest`] of a configuration exactly where that has nothing to add.
    pub(crate) fn digest(&self) -> Digest {
        lock(&self.shared.machine).digest()
    }

    /// Everything that can be seen of the proxy.
    pub fn status(&self) -> Status {
        let shared = &*self.shared;
        let wall = WallClock { origin_unix_ms: shared.clock.unix_ms_at(kroxy_core::time::Instant::ZERO) };
        let now = shared.clock.now();
        let mut status = lock(&shared.machine).snapshot(now, wall);
        env!("CARGO_PKG_VERSION").clone_into(&mut status.version);
        status.proxy.process_id = std::process::id();
        status.proxy.uptime_ms = now.as_micros() / 1_000;
        status.configuration.source.clone_from(&shared.source.name);
        status.last_event_seq = shared.events.last();
        let builds = lock(&shared.builds);
        for cluster in &mut status.virtual_clusters {
            if let Some(metrics) = builds.counted(&cluster.name) {
                status::fill_totals(metrics, cluster);
            }
            if let Some(build) = builds.shown(&cluster.name) {
                status::fill_traffic(&build.shared, now, wall, cluster);
                cluster.gateways = build.gateways();
                cluster.certificates = build.tls.own.iter().map(tls::Own::status).collect();
            }
        }
        status
    }

    /// Transitions and reloads as they happen.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Those after `seq` that are kept, and those that come from now on.
    pub(crate) fn events_after(&self, seq: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        self.shared.events.after(seq)
    }

    /// [`Event::seq`] of the last one.
    pub(crate) fn last_event(&self) -> u64 {
        self.shared.events.last()
    }

    /// The time of day.
    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.shared.clock.unix_ms()
    }

    /// The time of day at which the proxy was made, which no other process on this machine shares.
    pub(crate) fn began_unix_ms(&self) -> u64 {
        self.shared.clock.unix_ms_at(kroxy_core::time::Instant::ZERO)
    }

    /// Where the admin API listens, once it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        *lock(&self.shared.admin_address)
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}
