//! The one task that carries out what the proxy's machine decides, and tells it what came of it.

use super::{Request, Shared};
use crate::{
    admin::{self, Door, Guard},
    cluster::ClusterShared,
    limits,
    listen::{self, Bound, Stage},
    lock, logging,
    net::{Listener, Net},
    sasl::{self, ClusterSasl},
    tls::ClusterTls,
};
use kroxy_core::{
    cluster::{self, BuildId, Reason},
    config::{
        ClusterName,
        tls::{Trust, UpstreamTls},
    },
    proxy::{Command, Input, Output, Refused, Reloaded, Trigger},
    status::{ClusterState, ClusterTransition, EventKind, ReloadOutcome, ReloadReport, WallClock},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, interval_at},
};
use tracing::{Instrument, error, info, info_span, warn};

/// How often a drain's progress is counted when no connection ends.
const DRAIN_PROGRESS: Duration = Duration::from_millis(100);

/// How long requests to the admin listener may take to finish when the proxy has stopped.
const ADMIN_LINGER: Duration = Duration::from_millis(500);

pub(super) struct Supervisor<N: Net> {
    shared: Arc<Shared<N>>,
    inbox: mpsc::UnboundedReceiver<Request>,
    news: mpsc::UnboundedReceiver<News<N>>,
    newsroom: mpsc::UnboundedSender<News<N>>,
    /// Everything that is under way; nothing outlives the supervisor.
    work: JoinSet<()>,
    /// Builds whose release has not ended: their ports may still be taken.
    releasing: watch::Sender<usize>,
    admin: Option<JoinSet<()>>,
    stop_admin: watch::Sender<bool>,
    /// Who waits for the reload that is running.
    reloading: Option<ReloadAnswer>,
}

type ReloadAnswer = oneshot::Sender<Result<ReloadReport, Refused>>;

/// What a task has to tell.
enum News<N: Net> {
    /// The ports that were free are bound, or some could not be.
    Prepared(ClusterName, BuildId, Result<Vec<Bound<N>>, Reason>),
    /// All others are bound, or some could not be.
    Bound(ClusterName, BuildId, Result<Vec<Bound<N>>, Reason>),
    /// So much is left to drain.
    Left { name: ClusterName, build: BuildId, connections: u64, in_flight: u64 },
}

impl<N: Net> Supervisor<N> {
    pub(super) fn new(shared: Arc<Shared<N>>, inbox: mpsc::UnboundedReceiver<Request>) -> Self {
        let (newsroom, news) = mpsc::unbounded_channel();
        Self {
            shared,
            inbox,
            news,
            newsroom,
            work: JoinSet::new(),
            releasing: watch::Sender::new(0),
            admin: None,
            stop_admin: watch::Sender::new(false),
            reloading: None,
        }
    }

    pub(super) async fn run(mut self, first: Vec<Output>) {
        self.apply_settings();
        self.start_admin().await;
        self.carry_out(first);
        let mut look_at_expiry = interval_at(Instant::now() + limits::EXPIRY_LOOK, limits::EXPIRY_LOOK);
        while !self.is_over() {
            let deadline = lock(&self.shared.machine).deadline().map(|at| self.shared.clock.tokio(at));
            tokio::select! {
                biased;
                Some(request) = self.inbox.recv() => self.request(request),
                Some(news) = self.news.recv() => self.tell(news),
                Some(ended) = self.work.join_next() => self.note_panic(ended),
                _ = look_at_expiry.tick() => self.warn_of_expiry(),
                () = async { tokio::time::sleep_until(deadline.expect("checked")).await }, if deadline.is_some() => {
                    self.handle(Input::Tick);
                }
            }
        }
        // What was released has to be given back to the operating system before anybody is told that it is over.
        while self.work.join_next().await.is_some() {}
        self.stop_admin.send_replace(true);
        if let Some(mut admin) = self.admin.take()
            && tokio::time::timeout(ADMIN_LINGER, admin.join_next()).await.is_err()
        {
            admin.shutdown().await;
        }
        let result = lock(&self.shared.machine).result().cloned();
        self.shared.ended.send_replace(result);
    }

    fn is_over(&self) -> bool {
        lock(&self.shared.machine).result().is_some()
    }

    /// All other settings are read where they are used.
    fn apply_settings(&self) {
        let config = lock(&self.shared.machine).settings().config().clone();
        logging::apply(config.log());
        self.shared.unfinished.resize(config.max_unfinished_requests());
    }

    async fn start_admin(&mut self) {
        let admin = lock(&self.shared.machine).settings().config().admin().clone();
        let guard = match Guard::new(&admin) {
            Ok(guard) => guard,
            Err(e) => return self.handle(Input::Fault(Reason::of(&e))),
        };
        let door = match admin.tls.clone().map(|tls| Door::new(tls, self.shared.crypto.clone())).transpose() {
            Ok(door) => door,
            Err(e) => return self.handle(Input::Fault(Reason::of(&e).within("TLS of the admin API"))),
        };
        let at = admin.bind;
        if admin.is_exposed() && door.is_none() {
            warn!("the admin API on {at} has no TLS: the token that it asks for can be read on the way");
        }
        match self.shared.net.bind(at).await {
            Ok(listener) => {
                if let Ok(address) = listener.local_addr() {
                    info!(%address, "the admin API listens");
                    *lock(&self.shared.admin_address) = Some(address);
                }
                let proxy = super::Proxy { shared: self.shared.clone() };
                let stop = self.stop_admin.subscribe();
                let mut admin = JoinSet::new();
                admin.spawn(async move {
                    admin::serve(listener, proxy, guard, door, stop).await;
                });
                self.admin = Some(admin);
            }
            Err(e) => {
                let reason = Reason::of(&e).within(format!("the admin API cannot listen on {at}"));
                self.handle(Input::Fault(reason));
            }
        }
    }

    fn request(&mut self, request: Request) {
        let (now, mut out) = (self.shared.clock.now(), Vec::new());
        match request {
            Request::Tell(command) => {
                if let Err(refused) = lock(&self.shared.machine).command(command, now, &mut out) {
                    info!("not done: {refused}");
                }
            }
            Request::Answer(answer) => drop(answer.send(())), // whoever asked may have gone
            Request::Command(command, answer) => {
                let done = lock(&self.shared.machine).command(command, now, &mut out);
                let _ = answer.send(done); // whoever asked may have gone
            }
            Request::Reload(trigger, Ok(loaded), answer) => {
                let command = Command::Reload { trigger, loaded };
                let begun = lock(&self.shared.machine).command(command, now, &mut out);
                match begun {
                    Ok(()) => self.reloading = Some(answer),
                    Err(refused) => self.refuse_reload(trigger, refused, answer),
                }
            }
            Request::Reload(trigger, Err(errors), answer) => {
                self.note_reload(trigger, ReloadOutcome::Rejected, errors, answer);
            }
        }
        self.carry_out(out);
    }

    fn refuse_reload(&mut self, trigger: Trigger, refused: Refused, answer: ReloadAnswer) {
        let (outcome, errors) = match refused {
            Refused::Busy => (ReloadOutcome::Busy, vec![refused.to_string()]),
            Refused::CannotChange(settings) => {
                let errors = settings.iter().map(|setting| format!("this takes a restart: {setting}")).collect();
                (ReloadOutcome::Rejected, errors)
            }
            Refused::Over(_) | Refused::NotRunning(_) | Refused::NoSuchCluster(_) | Refused::Cluster(_) => {
                let _ = answer.send(Err(refused)); // whoever asked may have gone
                return;
            }
        };
        self.note_reload(trigger, outcome, errors, answer);
    }

    /// A reload was not begun: whoever asked is told, and so is everybody who looks.
    fn note_reload(&mut self, trigger: Trigger, outcome: ReloadOutcome, errors: Vec<String>, answer: ReloadAnswer) {
        let mut out = Vec::new();
        let input = Input::ReloadNotBegun { trigger, outcome, errors };
        lock(&self.shared.machine).handle(input, self.shared.clock.now(), &mut out);
        let noted = out.iter().find_map(|output| match output {
            Output::ReloadNotBegun(noted) => Some(noted.report(self.wall())),
            Output::Cluster { .. }
            | Output::Transitioned(_)
            | Output::ApplySettings { .. }
            | Output::Reloaded(_)
            | Output::Ended(_) => None,
        });
        let told = noted.ok_or_else(|| Refused::NotRunning(lock(&self.shared.machine).state()));
        self.carry_out(out);
        let _ = answer.send(told); // whoever asked may have gone
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        lock(&self.shared.machine).handle(input, self.shared.clock.now(), &mut out);
        self.carry_out(out);
    }

    fn tell(&mut self, news: News<N>) {
        use cluster::Input::{BindFailed, Bound, ConnectionsLeft, PreparationFailed, Prepared};
        let (name, input) = match news {
            News::Prepared(name, build, Ok(bound)) => {
                self.keep(build, bound);
                (name, Prepared { build })
            }
            News::Prepared(name, build, Err(reason)) => (name, PreparationFailed { build, reason }),
            News::Bound(name, build, Ok(bound)) => {
                self.keep(build, bound);
                (name, Bound { build })
            }
            News::Bound(name, build, Err(reason)) => (name, BindFailed { build, reason }),
            News::Left { name, build, connections, in_flight } => {
                (name, ConnectionsLeft { build, connections, in_flight })
            }
        };
        self.handle(Input::Cluster { name, input });
    }

    /// Listeners of a build that was released meanwhile are closed by being dropped.
    fn keep(&self, build: BuildId, bound: Vec<Bound<N>>) {
        if let Some(build) = lock(&self.shared.builds).get_mut(build) {
            build.waiting.extend(bound);
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Cluster { name, output } => self.carry_out_for(name, output),
                Output::Transitioned(transition) => {
                    info!(from = %transition.from, to = %transition.to, "the proxy is {}: {}", transition.to, transition.cause);
                    self.shared.metrics.proxy_transition(&transition);
                    let transition = transition.status(self.wall());
                    self.publish(EventKind::ProxyTransition { transition });
                }
                Output::ApplySettings { .. } => self.apply_settings(),
                Output::Reloaded(reloaded) => {
                    let report = self.reloaded(&reloaded);
                    if let Some(answer) = self.reloading.take() {
                        let _ = answer.send(Ok(report)); // whoever asked may have gone
                    }
                }
                Output::ReloadNotBegun(noted) => drop(self.reloaded(&noted)),
                Output::Ended(Ok(())) => info!("the proxy has stopped"),
                Output::Ended(Err(failure)) => error!("{failure}"),
            }
        }
    }

    /// Tells everybody how a reload went.
    fn reloaded(&mut self, reloaded: &Reloaded) -> ReloadReport {
        let report = reloaded.report(self.wall());
        let (outcome, trigger, generation) = (report.outcome, &report.trigger, report.generation);
        match outcome {
            ReloadOutcome::Unchanged | ReloadOutcome::Applied => info!(%outcome, trigger, generation, "reload over"),
            ReloadOutcome::Partial
            | ReloadOutcome::Failed
            | ReloadOutcome::Rejected
            | ReloadOutcome::Busy
            | ReloadOutcome::Unknown => {
                warn!(%outcome, trigger, generation, "reload over: {}", report.errors.join("; "));
            }
        }
        self.shared.metrics.reloaded(reloaded);
        self.publish(EventKind::Reload { report: report.clone() });
        report
    }

    fn carry_out_for(&mut self, name: ClusterName, output: cluster::Output) {
        use cluster::Output;
        match output {
            Output::Prepare { build, generation } => self.prepare(name, build, generation),
            Output::Bind { build } => self.bind(name, build),
            Output::Serve { build } => self.serve(&name, build),
            Output::Swap { from, to } => self.swap(&name, from, to),
            Output::Drain { build, .. } => self.drain(name, build),
            Output::Cut { build } => {
                if let Some(build) = lock(&self.shared.builds).get_mut(build) {
                    build.tell(Stage::Cut);
                }
            }
            Output::Release { build } => self.release(build),
            Output::Drained(drained) => {
                info!(cluster = %name, why = %drained.why, lasted = ?drained.lasted, connections = drained.connections,
                    cut_connections = drained.cut_connections, cut_in_flight = drained.cut_in_flight, "drained");
                self.shared.metrics.drained(name.as_str(), &drained);
            }
            Output::Transitioned(transition) => {
                let cause = &transition.cause;
                if transition.to == ClusterState::Failed {
                    error!(cluster = %name, "failed: {cause}");
                } else {
                    info!(cluster = %name, "{}: {cause}", transition.to);
                }
                self.shared.metrics.cluster_transition(name.as_str(), &transition);
                let transition: ClusterTransition = transition.status(self.wall());
                self.publish(EventKind::ClusterTransition { virtual_cluster: name.to_string(), transition });
            }
            Output::Reloaded { outcome, cause } => match cause {
                Some(cause) => warn!(cluster = %name, %outcome, "reload: {cause}"),
                None => info!(cluster = %name, %outcome, "reload"),
            },
            // Why has been said with the failure itself.
            Output::GaveUp { .. } => warn!(cluster = %name, "no further retry by itself"),
        }
    }

    fn prepare(&mut self, name: ClusterName, build: BuildId, generation: u64) {
        let loaded = lock(&self.shared.machine).loaded(generation).cloned();
        let loaded = loaded.expect("a generation is kept for as long as an output names it");
        let (config, material) = loaded.cluster(&name).expect("a cluster is in the generation that it is built from");
        let tls = match ClusterTls::new(config, material, &self.shared.crypto) {
            Ok(tls) => tls,
            Err(e) => {
                let failed = News::Prepared(name, build, Err(Reason::of(&e)));
                let _ = self.newsroom.send(failed); // an error means that the supervisor is gone
                return;
            }
        };
        let sasl = match ClusterSasl::new(config, material, &self.shared.crypto) {
            Ok(sasl) => sasl,
            Err(e) => {
                let failed = News::Prepared(name, build, Err(Reason::of(&e)));
                let _ = self.newsroom.send(failed); // an error means that the supervisor is gone
                return;
            }
        };
        sasl::warn_of_secrets_in_the_clear(config);
        tls.own.iter().for_each(|own| own.warn_if_near(name.as_str(), &self.shared.crypto));
        if matches!(&config.upstream.tls, Some(UpstreamTls { trust: Trust::Anybody, .. })) {
            warn!(cluster = %name, "insecure: upstream's certificates are not verified, so whoever is on the way can read and change everything");
        }
        let metrics = lock(&self.shared.builds).metrics_of(&name, || self.shared.metrics.cluster(name.as_str()));
        let (accepting, unfinished) = (self.shared.accepting.clone(), self.shared.unfinished.clone());
        let books = ClusterShared::new(config, metrics.clone(), accepting, unfinished, tls.upstream.clone(), sasl);
        let free = {
            let mut builds = lock(&self.shared.builds);
            let mut free = listen::wanted(config, &tls);
            free.retain(|wanted| !builds.exclude(&wanted.spot));
            builds.insert(build, Arc::new(config.clone()), tls, Arc::new(books));
            free
        };
        self.bind_then(free, move |bound| News::Prepared(name, build, bound));
    }

    fn bind(&mut self, name: ClusterName, build: BuildId) {
        let missing = lock(&self.shared.builds).get_mut(build).map(|b| b.unbound()).unwrap_or_default();
        self.bind_then(missing, move |bound| News::Bound(name, build, bound));
    }

    /// Binds ports, once those that are being given back are free.
    fn bind_then(
        &mut self,
        wanted: Vec<listen::Wanted>,
        news: impl FnOnce(Result<Vec<Bound<N>>, Reason>) -> News<N> + Send + 'static,
    ) {
        let (shared, newsroom) = (self.shared.clone(), self.newsroom.clone());
        let mut releasing = self.releasing.subscribe();
        self.work.spawn(async move {
            // An error means that the supervisor is gone, and with it the need.
            let _ = releasing.wait_for(|builds| *builds == 0).await;
            let bound = listen::bind(&shared.net, &shared.switchboard, wanted).await.map_err(|e| Reason::of(&e));
            let _ = newsroom.send(news(bound)); // likewise
        });
    }

    fn serve(&self, name: &ClusterName, build: BuildId) {
        let (net, clock) = (self.shared.net.clone(), self.shared.clock);
        if let Some(build) = lock(&self.shared.builds).get_mut(build) {
            let books = build.shared.clone();
            build.serve(|bound, stage, settings| {
                let span = info_span!("cluster", cluster = %name);
                listen::serve(bound, net.clone(), clock, books.clone(), stage, settings).instrument(span)
            });
        }
    }

    fn warn_of_expiry(&self) {
        for build in lock(&self.shared.builds).all_shown() {
            build.tls.own.iter().for_each(|own| own.warn_if_near(build.config.name.as_str(), &self.shared.crypto));
        }
    }

    fn swap(&self, name: &ClusterName, from: BuildId, to: BuildId) {
        {
            let mut builds = lock(&self.shared.builds);
            if let Some(old) = builds.remove(from)
                && let Some(new) = builds.get_mut(to)
            {
                new.take_over(old);
            }
        }
        self.serve(name, to);
    }

    fn drain(&mut self, name: ClusterName, build: BuildId) {
        let books = {
            let mut builds = lock(&self.shared.builds);
            let Some(build) = builds.get_mut(build) else { return };
            build.tell(Stage::Draining);
            build.shared.clone()
        };
        let newsroom = self.newsroom.clone();
        self.work.spawn(async move {
            loop {
                let (connections, in_flight) = (books.connection_count() as u64, books.in_flight());
                let left = News::Left { name: name.clone(), build, connections, in_flight };
                if newsroom.send(left).is_err() || connections == 0 {
                    return;
                }
                // Whether a connection has ended or only time has passed: it is counted again.
                let _ = tokio::time::timeout(DRAIN_PROGRESS, books.left.notified()).await;
            }
        });
    }

    fn release(&mut self, build: BuildId) {
        let Some(build) = lock(&self.shared.builds).remove(build) else { return };
        self.releasing.send_modify(|builds| *builds += 1);
        let (shared, releasing) = (self.shared.clone(), self.releasing.clone());
        self.work.spawn(async move {
            build.release().await;
            shared.switchboard.settled().await;
            releasing.send_modify(|builds| *builds -= 1);
        });
    }

    fn note_panic(&mut self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(e) = ended
            && e.is_panic()
        {
            self.handle(Input::Fault(Reason::of(&e).within("a task of the supervisor panicked")));
        }
    }

    fn publish(&mut self, kind: EventKind) {
        self.shared.events.publish(self.shared.clock.unix_ms(), kind);
    }

    fn wall(&self) -> WallClock {
        WallClock { origin_unix_ms: self.shared.clock.unix_ms_at(kroxy_core::time::Instant::ZERO) }
    }
}
