//! What virtual clusters hold: for each build its listeners, its connections, and what those share.

use crate::{
    cluster::ClusterShared,
    listen::{self, Bound, Settings, Spot, SpotKey, Stage},
    metrics::ClusterMetrics,
    net::Net,
    tls::ClusterTls,
};
use kroxy_core::{
    address::HostPort,
    cluster::BuildId,
    config::{ClusterName, VirtualCluster},
    gateway::GatewayKind,
    status::{GatewayStatus, ListenerStatus},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::watch, task::JoinSet};

/// The builds of all virtual clusters.
pub(super) struct Builds<N: Net> {
    builds: BTreeMap<BuildId, Build<N>>,
    /// What is counted of a virtual cluster outlives its builds: totals count from the start of the process.
    metrics: BTreeMap<String, Arc<ClusterMetrics>>,
}

impl<N: Net> Default for Builds<N> {
    fn default() -> Self {
        Self { builds: BTreeMap::new(), metrics: BTreeMap::new() }
    }
}

/// One build.
pub(super) struct Build<N: Net> {
    pub(super) config: Arc<VirtualCluster>,
    pub(super) tls: ClusterTls,
    pub(super) shared: Arc<ClusterShared>,
    /// Bound, and not accepting yet.
    pub(super) waiting: Vec<Bound<N>>,
    /// Accepting or draining.
    pub(super) listeners: BTreeMap<SpotKey, Listening>,
    /// The listeners' tasks, which own those of their connections.
    pub(super) tasks: JoinSet<()>,
    /// It has begun to serve: a status shows it for its virtual cluster.
    shown: bool,
}

/// A listener at work.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) stage: watch::Sender<Stage>,
    pub(super) settings: watch::Sender<Settings>,
    spot: Spot,
}

impl<N: Net> Builds<N> {
    pub(super) fn insert(
        &mut self,
        id: BuildId,
        config: Arc<VirtualCluster>,
        tls: ClusterTls,
        shared: Arc<ClusterShared>,
    ) {
        let build = Build {
            config,
            tls,
            shared,
            waiting: Vec::new(),
            listeners: BTreeMap::new(),
            tasks: JoinSet::new(),
            shown: false,
        };
        self.builds.insert(id, build);
    }

    pub(super) fn get_mut(&mut self, id: BuildId) -> Option<&mut Build<N>> {
        self.builds.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: BuildId) -> Option<Build<N>> {
        self.builds.remove(&id)
    }

    /// What is counted of a cluster, from its first build on.
    pub(super) fn metrics_of(
        &mut self,
        name: &ClusterName,
        new: impl FnOnce() -> ClusterMetrics,
    ) -> Arc<ClusterMetrics> {
        self.metrics.entry(name.to_string()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// What was counted of a cluster that was ever built.
    pub(super) fn counted(&self, name: &str) -> Option<&ClusterMetrics> {
        self.metrics.get(name).map(Arc::as_ref)
    }

    /// The build that clients of a cluster are connected to.
    pub(super) fn shown(&self, name: &str) -> Option<&Build<N>> {
        self.builds.values().find(|b| b.shown && b.config.name.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether some build listens where an address could not be bound, or a name not be taken, beside it.
    pub(super) fn exclude(&self, wanted: &Spot) -> bool {
        let held = |b: &Build<N>| {
            let waiting = b.waiting.iter().map(|bound| &bound.spot);
            waiting.chain(b.listeners.values().map(|l| &l.spot)).any(|held| held.place().excludes(&wanted.place()))
        };
        self.builds.values().any(held)
    }
}

impl<N: Net> Builds<N> {
    /// The builds that clients are connected to.
    pub(super) fn all_shown(&self) -> impl Iterator<Item = &Build<N>> {
        self.builds.values().filter(|b| b.shown)
    }
}

impl<N: Net> Build<N> {
    /// The addresses that it still has to bind.
    pub(super) fn unbound(&self) -> Vec<listen::Wanted> {
        let mut wanted = listen::wanted(&self.config, &self.tls);
        wanted.retain(|w| {
            let key = w.spot.key();
            !self.listeners.contains_key(&key) && self.waiting.iter().all(|bound| bound.spot.key() != key)
        });
        wanted
    }

    /// Starts to accept on everything that is bound; `serve` makes a listener's task.
    pub(super) fn serve<F>(&mut self, serve: impl Fn(Bound<N>, watch::Receiver<Stage>, watch::Receiver<Settings>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shown = true;
        for bound in std::mem::take(&mut self.waiting) {
            let (stage, told) = watch::channel(Stage::Serving);
            let (settings, current) = watch::channel(bound.settings.clone());
            let spot = bound.spot.clone();
            self.listeners.insert(spot.key(), Listening { stage, settings, spot });
            self.tasks.spawn(serve(bound, told, current));
        }
    }

    /// Takes over the listeners, connections and books of the build that it replaces while they stay open. What the new
    /// configuration has no place for any more ends as in a drain.
    pub(super) fn take_over(&mut self, from: Self) {
        let wanted: BTreeMap<_, _> =
            listen::wanted(&self.config, &self.tls).into_iter().map(|w| (w.spot.key(), w)).collect();
        for (key, listening) in from.listeners {
            match wanted.get(&key) {
                Some(wanted) => {
                    listening.settings.send_replace(wanted.settings.clone());
                    self.listeners.insert(key, listening);
                }
                None => {
                    listening.stage.send_replace(Stage::Draining);
                    self.listeners.insert(key, listening);
                }
            }
        }
        from.shared.take_sasl_of(&self.shared);
        self.shared = from.shared;
        self.shared.set_limits(self.config.limits);
        let fresh = std::mem::replace(&mut self.tasks, from.tasks);
        debug_assert!(fresh.is_empty(), "a build that only now takes over has no listener at work");
    }

    pub(super) fn tell(&self, stage: Stage) {
        for listening in self.listeners.values() {
            listening.stage.send_replace(stage);
        }
    }

    /// Lets go of everything, and returns once the operating system has it back.
    pub(super) async fn release(mut self) {
        self.waiting.clear();
        self.tasks.shutdown().await;
    }

    pub(super) fn gateways(&self) -> Vec<GatewayStatus> {
        let gateways = self.config.gateways.iter().map(|gateway| {
            let name = gateway.name.to_string();
            let listening = self.listeners.values().map(|l| &l.spot).filter(|spot| spot.gateway == name);
            let route = |spot: &Spot| spot.route.map_or_else(|| "by server name".to_owned(), |route| route.to_string());
            let listeners = listening
                .map(|spot| ListenerStatus { address: spot.address.to_string(), route: route(spot) })
                .collect();
            let (kind, bootstrap) = match &gateway.kind {
                GatewayKind::PortPerBroker(ports) => {
                    ("port", HostPort::new(ports.advertised_host(), ports.bootstrap_port()))
                }
                GatewayKind::Sni(sni) => ("sni", sni.bootstrap().clone()),
            };
            let (kind, bootstrap) = (kind.to_owned(), Some(bootstrap));
            GatewayStatus { name, kind, bootstrap, tls: gateway.tls.is_some(), listeners }
        });
        gateways.collect()
    }
}
