//! The proxy's host: the proxy of `kroxy serve`, one life after the other.

use super::{Surroundings, claims::Claims, tunnel};
use crate::{
    findings::Checker,
    limits, lock,
    logins::{self, Logins},
    mailbox::Mailbox,
    net::{Role, SimListener, SimNet},
    plan::{Change, Plan},
    tls::{self, Certificates, Spoiled},
    topology,
};
use kroxy_core::{
    proxy::Trigger,
    status::{
        ClusterOutcome, ClusterReload, ClusterState, ClusterStatus, Event, EventKind, ProxyState, ReloadOutcome,
        ReloadReport, Status,
    },
};
use runtime::{
    net::Net,
    proxy::{Proxy, Source},
    tls::Crypto,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

/// Ports of the host that somebody else holds.
type Squatters = BTreeMap<u16, SimListener>;

/// What the world asks of the proxy's host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Starts it again, unless it runs.
    Start,
    Shutdown,
    Retry(u8),
    Reload(Change),
    /// Puts the last configuration that worked in force again: a cluster that never served has none to go back to.
    PutRight,
    /// Somebody else takes a port of this host, or gives it back.
    Squat {
        port: u16,
        on: bool,
    },
}

/// What the world sees of the proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) running: bool,
    pub(crate) state: ProxyState,
    /// By name: state, connections, requests in flight.
    pub(crate) clusters: BTreeMap<String, (ClusterState, u64, u64)>,
    /// Every state that a cluster came to, and when; without those of earlier lives.
    pub(crate) transitions: Vec<(Duration, String, ClusterState)>,
    /// Reloads that have begun and not ended, in this life.
    pub(crate) reloading: usize,
    /// How reloads ended.
    pub(crate) reloads: Vec<(Change, ReloadOutcome)>,
    /// How lives ended.
    pub(crate) lives: Vec<Result<(), String>>,
    /// Places in kroxy's life that it came by: edges, outcomes, causes.
    pub(crate) marks: BTreeSet<String>,
}

/// The configuration and the certificates that it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Files {
    text: String,
    certificates: Certificates,
    logins: Logins,
}

/// The disk of the proxy's host.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    now: Files,
    /// What its owner puts back when something goes wrong: what came into force last, and works.
    good: Files,
}

impl Disk {
    pub(crate) fn new(plan: &Plan, proxy: u8) -> Self {
        let text = topology::configuration(plan, proxy, None);
        let good = Files { text, certificates: Certificates::default(), logins: Logins::Right };
        Self { now: good.clone(), good }
    }

    /// Writes what a change comes to, and returns it.
    fn write(&mut self, plan: &Plan, proxy: u8, change: Change) -> Files {
        let Certificates { edition, .. } = self.good.certificates;
        let (edition, spoiled, logins) = match change {
            Change::Renewed => (edition + 1, None, Logins::Right),
            Change::Broken => (edition, Some(Spoiled::Broken), Logins::Right),
            Change::Expired => (edition, Some(Spoiled::Expired), Logins::Right),
            Change::ForeignCa => (edition, Some(Spoiled::ForeignCa), Logins::Right),
            Change::WrongPassword => (edition, None, Logins::WrongPassword),
            Change::NoUsers => (edition, None, Logins::NoUsers),
            Change::Limits
            | Change::Upstream
            | Change::Grow
            | Change::Unreadable
            | Change::TakenAddress
            | Change::HalfBad => (edition, None, Logins::Right),
        };
        let text = match change {
            Change::Unreadable => "( admin: nonsense".to_owned(),
            Change::Limits
            | Change::Upstream
            | Change::Grow
            | Change::TakenAddress
            | Change::HalfBad
            | Change::Renewed
            | Change::Broken
            | Change::Expired
            | Change::ForeignCa
            | Change::WrongPassword
            | Change::NoUsers => topology::configuration(plan, proxy, Some(change)),
        };
        self.now = Files { text, certificates: Certificates { edition, spoiled }, logins };
        self.now.clone()
    }

    fn put_back(&mut self) {
        self.now.clone_from(&self.good);
    }

    /// What was written is in force, unless somebody else has written something since. With spoiled files that is nothing to keep.
    fn keep(&mut self, written: &Files) {
        let works = written.certificates.spoiled.is_none() && written.logins == Logins::Right;
        if works && self.now == *written {
            self.good.clone_from(written);
        }
    }
}

/// A proxy, as the world sees it.
#[derive(Clone, Debug)]
pub(crate) struct ProxyHost {
    pub(crate) number: u8,
    /// The name of its host.
    pub(crate) host: String,
    pub(crate) plan: Plan,
    pub(crate) orders: Mailbox<Order>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) disk: Arc<Mutex<Disk>>,
    pub(crate) around: Surroundings,
}

impl Seen {
    /// Whether a virtual cluster was draining at any time between these.
    pub(crate) fn has_drained(&self, cluster: u8, from: Duration, to: Duration) -> bool {
        let name = topology::cluster_name(cluster);
        let mut of_cluster = self.transitions.iter().filter(|(_, of, _)| *of == name).peekable();
        while let Some((at, _, state)) = of_cluster.next() {
            let until = of_cluster.peek().map_or(Duration::MAX, |(next, ..)| *next);
            if *state == ClusterState::Draining && *at <= to && until >= from {
                return true;
            }
        }
        false
    }
}

impl ProxyHost {
    /// The host's software: it is called again after a crash.
    pub(crate) async fn run(self) -> turmoil::Result {
        let net = SimNet::new(&self.host, Role::Proxy, &self.around.wires);
        let mut squatters = Squatters::new();
        let mut aside = JoinSet::new();
        aside.spawn(tunnel::run(self.around.wires.clone()));
        loop {
            let later = self.live(&net, &mut squatters).await?;
            self.orders.put_first(later);
            loop {
                match self.orders.next().await {
                    Order::Start => break,
                    Order::Squat { port, on } => self.squat(&net, &mut squatters, port, on).await,
                    // Nobody is there to be asked.
                    order @ (Order::Shutdown | Order::Retry(_) | Order::Reload(_) | Order::PutRight) => {
                        self.note(format_args!("not running: {order:?}"));
                    }
                }
            }
        }
    }

    /// From start to stop. Returns the orders that have to wait for the end.
    async fn live(&self, net: &SimNet, squatters: &mut Squatters) -> turmoil::Result<VecDeque<Order>> {
        // It may have died while it was given something that does not work.
        lock(&self.disk).put_back();
        let (disk, vault) = (self.disk.clone(), self.around.wires.vault.clone());
        let read = Box::new(move || {
            let Files { text, certificates, logins } = lock(&disk).now.clone();
            topology::read(&text, |path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                logins::read(name, logins).map_or_else(|| vault.read(path, certificates), Ok)
            })
        });
        let source = Source { name: Some("sim.ron".to_owned()), read };
        let loaded = (source.read)()?;
        let crypto = Crypto::of(tls::provider(), self.around.clock()).hashing_here();
        let seed = self.around.seed.wrapping_add(self.number.into());
        let proxy = Proxy::with_crypto(loaded, source, net.clone(), crypto, seed);
        let mut events = proxy.events();
        let mut lifetime = Box::pin(proxy.startup()?);
        self.note(format_args!("the proxy starts"));
        {
            let mut seen = lock(&self.seen);
            (seen.running, seen.state, seen.reloading) = (true, ProxyState::New, 0);
        }
        let mut looks = interval(limits::LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = JoinSet::new();
        let mut claims = Claims::new(self.around.clone(), self.plan.clone(), self.number);
        let (mut stopping, mut later) = (false, VecDeque::new());
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut lifetime => break ended,
                Ok(event) = events.recv() => self.happened(&event, &mut claims),
                order = self.orders.next() => match order {
                    Order::Start | Order::Squat { .. } if stopping || lock(&self.seen).state == ProxyState::Stopping => {
                        later.push_back(order);
                    }
                    Order::Start => {}
                    Order::Shutdown => {
                        stopping = true;
                        proxy.shutdown("the plan says so");
                    }
                    Order::Squat { port, on } => self.squat(net, squatters, port, on).await,
                    Order::Retry(cluster) => { asked.spawn(self.clone().retry(proxy.clone(), cluster)); }
                    Order::PutRight => { asked.spawn(self.clone().put_right(proxy.clone())); }
                    Order::Reload(change) => { asked.spawn(self.clone().reload(proxy.clone(), change)); }
                },
                _ = looks.tick() => self.look(&proxy, &claims),
            }
        };
        self.check_released(squatters);
        while let Ok(event) = events.try_recv() {
            self.happened(&event, &mut claims);
        }
        self.look(&proxy, &claims);
        claims.compare(&proxy.metrics().text(&proxy.status()));
        self.note(format_args!("the proxy has ended: {ended:?}"));
        let mut seen = lock(&self.seen);
        seen.running = false;
        seen.lives.push(ended.map_err(|e| e.to_string()));
        Ok(later)
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.around.journal.note(&self.host, what);
    }

    /// Takes note of an event and of whether it may be.
    fn happened(&self, event: &Event, claims: &mut Claims) {
        match &event.kind {
            EventKind::ClusterTransition { virtual_cluster, transition } => {
                let to = transition.to;
                self.note(format_args!("{virtual_cluster} is {to}"));
                claims.went(virtual_cluster, transition);
                let mut seen = lock(&self.seen);
                let at = turmoil::sim_elapsed().unwrap_or_default();
                seen.marks.insert(format!(
                    "edge {} → {to}",
                    transition.from.map_or_else(|| "(new)".to_owned(), |from| from.to_string())
                ));
                seen.transitions.push((at, virtual_cluster.clone(), to));
            }
            EventKind::ProxyTransition { transition } => self.note(format_args!("proxy is {}", transition.to)),
            EventKind::Reload { report } => {
                self.note(format_args!("reload {}", report.outcome));
                lock(&self.seen).marks.insert(format!("reload {}", report.outcome));
            }
            EventKind::Disconnects { .. } | EventKind::Log { .. } | EventKind::Missed { .. } | EventKind::Unknown => {}
        }
    }

    /// When a life is over, everything of it is given back.
    fn check_released(&self, squatters: &Squatters) {
        let (streams, mut ports) = self.around.wires.left(&self.host);
        ports.retain(|port| !squatters.contains_key(port));
        if streams > 0 || !ports.is_empty() {
            let what = format!("the proxy has ended, {streams} streams are open and it listens on {ports:?}");
            self.around.findings.note(Checker::Leaks, what);
        }
    }

    fn look(&self, proxy: &Proxy<SimNet>, claims: &Claims) {
        let status = proxy.status();
        claims.look(&status);
        let mut seen = lock(&self.seen);
        seen.state = status.proxy.state;
        let causes = status.virtual_clusters.iter().flat_map(|cluster| cluster.disconnects.keys());
        seen.marks.extend(causes.map(|cause| format!("disconnect {cause}")));
        let clusters = status.virtual_clusters.into_iter();
        seen.clusters = clusters.map(|c| (c.name, (c.state, c.connections, c.in_flight))).collect();
    }

    async fn squat(&self, net: &SimNet, squatters: &mut Squatters, port: u16, on: bool) {
        if !on {
            squatters.remove(&port);
        } else if let Ok(listener) = net.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await {
            squatters.insert(port, listener);
        }
    }

    async fn retry(self, proxy: Proxy<SimNet>, cluster: u8) {
        let name = topology::cluster_name(cluster);
        let done = proxy.retry(name.parse().expect("a name")).await;
        self.note(format_args!("retry {name}: {done:?}"));
    }

    async fn put_right(self, proxy: Proxy<SimNet>) {
        lock(&self.disk).put_back();
        while let Ok(loaded) = proxy.read_again() {
            let done = proxy.reload(Trigger::Api, loaded).await.map(|report| report.outcome);
            self.note(format_args!("put right: {done:?}"));
            if done != Ok(ReloadOutcome::Busy) {
                break;
            }
            sleep(limits::RETRY_PAUSE).await;
        }
    }

    /// Writes a new file and reloads. A change that does not come into force is taken back, as an operator would.
    async fn reload(self, proxy: Proxy<SimNet>, change: Change) {
        lock(&self.seen).reloading += 1;
        let written = self.write(change);
        let before = proxy.status();
        let generation = before.configuration.generation;
        let outcome = match proxy.read_again() {
            Err(_) => ReloadOutcome::Rejected,
            Ok(loaded) => match proxy.reload(Trigger::Api, loaded).await {
                Ok(report) => {
                    if self.plan.can_go_back() && !before.configuration.reloading {
                        self.check_gone_back(&before, &report, &proxy.status());
                    }
                    report.outcome
                }
                Err(refused) => {
                    self.note(format_args!("reload {change:?}: {refused}"));
                    ReloadOutcome::Busy
                }
            },
        };
        self.note(format_args!("reload {change:?}: {outcome}"));
        if outcome == ReloadOutcome::Applied && proxy.status().configuration.generation <= generation {
            let what = format!("{change:?} is in force and the generation is still {generation}");
            self.around.findings.note(Checker::States, what);
        }
        self.settle(change, &written, outcome);
        let mut seen = lock(&self.seen);
        seen.reloading = seen.reloading.saturating_sub(1);
    }

    /// What served before a reload that came to nothing in it serves again, and with what it had.
    fn check_gone_back(&self, before: &Status, report: &ReloadReport, after: &Status) {
        for ClusterReload { name, outcome, .. } in &report.virtual_clusters {
            let of =
                |status: &Status| status.virtual_clusters.iter().find(|c| c.name == *name).map(generation_and_state);
            let (Some((was, ClusterState::Serving)), Some((is, state))) = (of(before), of(after)) else { continue };
            let has_it = match (outcome, state) {
                (ClusterOutcome::RolledBack | ClusterOutcome::NotPrepared, ClusterState::Serving) => is == was,
                // An operator's drain or a shutdown can follow at once.
                (ClusterOutcome::RolledBack | ClusterOutcome::NotPrepared, _) => state != ClusterState::Failed,
                (ClusterOutcome::Failed, _) => false,
                (
                    ClusterOutcome::Applied
                    | ClusterOutcome::Unchanged
                    | ClusterOutcome::Overtaken
                    | ClusterOutcome::Unknown,
                    _,
                ) => true,
            };
            if !has_it {
                let what = format!(
                    "{name} served generation {was}, and is {state} with {is} after a reload that was {outcome} in it"
                );
                self.around.findings.note(Checker::States, what);
            }
        }
    }

    /// Writes what a change comes to, and returns it.
    pub(crate) fn write(&self, change: Change) -> Files {
        lock(&self.disk).write(&self.plan, self.number, change)
    }

    /// A change that was written has come into force or not: what did not is taken back.
    pub(crate) fn settle(&self, change: Change, written: &Files, outcome: ReloadOutcome) {
        match outcome {
            ReloadOutcome::Applied | ReloadOutcome::Unchanged => lock(&self.disk).keep(written),
            ReloadOutcome::Partial
            | ReloadOutcome::Failed
            | ReloadOutcome::Rejected
            | ReloadOutcome::Busy
            | ReloadOutcome::Unknown => lock(&self.disk).put_back(),
        }
        lock(&self.seen).reloads.push((change, outcome));
    }
}

const fn generation_and_state(of: &ClusterStatus) -> (u64, ClusterState) {
    (of.generation, of.state)
}
