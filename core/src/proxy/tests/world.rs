//! A driver in a world of ports: carries out what the machine says, and checks each output as it comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::{
    cluster::BuildId,
    config::Serve,
    gateway::GatewayKind,
    proxy::has_edge,
    status::{ClusterOutcome, ClusterState},
};

pub(super) fn cluster_name(name: &str) -> ClusterName {
    name.parse().expect("a name")
}

/// The others are served, and retries never end.
pub(super) fn remaining() -> OnVirtualClusterFailure {
    OnVirtualClusterFailure::unless_configured(Serve::Remaining)
}

/// One build, as far as the driver is with it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) name: ClusterName,
    generation: u64,
    /// The ports that are bound.
    ports: BTreeSet<u16>,
    pub(super) draining: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Prepare,
    Bind,
}

pub(super) struct World {
    pub(super) proxy: Proxy,
    pub(super) now: Instant,
    pub(super) held: BTreeMap<BuildId, Held>,
    /// What the machine waits for, oldest first.
    pending: VecDeque<(BuildId, Stage)>,
    /// Generations of a cluster whose listeners cannot be bound.
    unbindable: BTreeSet<(ClusterName, u64)>,
    /// What clusters were told to do or told, in short.
    pub(super) heard: Vec<(ClusterName, String)>,
    pub(super) reloaded: Vec<Reloaded>,
    pub(super) reloads_open: usize,
    pub(super) not_begun: Vec<ReloadOutcome>,
    pub(super) applied_settings: Vec<u64>,
    pub(super) ended: Option<Result<(), Failure>>,
    state: ProxyState,
    cluster_states: BTreeMap<ClusterName, ClusterState>,
}

impl World {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self {
            proxy: Proxy::new(loaded, 11, Instant::ZERO),
            now: Instant::ZERO,
            held: BTreeMap::new(),
            pending: VecDeque::new(),
            unbindable: BTreeSet::new(),
            heard: Vec::new(),
            reloaded: Vec::new(),
            reloads_open: 0,
            not_begun: Vec::new(),
            applied_settings: Vec::new(),
            ended: None,
            state: ProxyState::New,
            cluster_states: BTreeMap::new(),
        }
    }

    pub(super) fn cannot_bind(&mut self, name: &str, generation: u64) {
        self.unbindable.insert((cluster_name(name), generation));
    }

    pub(super) fn repair(&mut self) {
        self.unbindable.clear();
    }

    pub(super) fn states(&self) -> Vec<(&str, ClusterState)> {
        self.proxy.clusters().map(|(name, c)| (name.as_str(), c.state())).collect()
    }

    pub(super) fn said_of(&self, name: &str) -> Vec<&str> {
        self.heard.iter().filter(|(n, _)| *n == cluster_name(name)).map(|(_, text)| text.as_str()).collect()
    }

    pub(super) fn ask(&mut self, command: Command) -> Result<(), Refused> {
        let mut out = Vec::new();
        let is_reload = matches!(command, Command::Reload { .. });
        let result = self.proxy.command(command, self.now, &mut out);
        assert!(result.is_ok() || out.is_empty(), "a refused command changes nothing: {out:?}");
        if is_reload && result.is_ok() {
            self.reloads_open += 1;
        }
        self.carry_out(&out);
        result
    }

    pub(super) fn observe(&mut self, input: Input) {
        let mut out = Vec::new();
        let subject = match &input {
            Input::Cluster { name, .. } => Some(name.clone()),
            Input::Fault(_) | Input::Tick | Input::ReloadNotBegun { .. } => None,
        };
        let was_running = !matches!(self.proxy.state(), ProxyState::Stopping | ProxyState::Stopped);
        self.proxy.handle(input, self.now, &mut out);
        let stops = was_running && matches!(self.proxy.state(), ProxyState::Stopping | ProxyState::Stopped);
        for output in &out {
            if let (Some(subject), Output::Cluster { name, output }) = (&subject, output) {
                // A cluster may be let go on that waited for this one. Nothing else reaches a neighbour.
                let let_go_on = matches!(output, cluster::Output::Bind { .. });
                assert!(name == subject || stops || let_go_on, "{name} is disturbed by {subject}: {output:?}");
            }
        }
        self.carry_out(&out);
    }

    pub(super) fn tick_at_deadline(&mut self) {
        let Some(deadline) = self.proxy.deadline() else { return };
        self.now = self.now.max(deadline);
        self.observe(Input::Tick);
        assert!(self.proxy.deadline().is_none_or(|d| d > deadline), "the deadline stayed at {deadline:?}");
    }

    /// Answers the oldest question: as the ports are, unless it is to fail.
    pub(super) fn answer(&mut self, good: bool) {
        let Some((build, stage)) = self.pending.pop_front() else { return };
        let Some(held) = self.held.get(&build).cloned() else { return };
        let name = held.name.clone();
        let reason = |text: &str| Reason::new("address in use").within(text);
        let input = match stage {
            Stage::Prepare if good => cluster::Input::Prepared { build },
            Stage::Prepare => cluster::Input::PreparationFailed { build, reason: reason("cannot prepare") },
            Stage::Bind => {
                let wanted = self.ports(&name, held.generation);
                let bindable = !self.unbindable.contains(&(name.clone(), held.generation));
                if good && bindable && self.are_free(&name, &wanted) {
                    self.held.get_mut(&build).expect("seen above").ports = wanted;
                    cluster::Input::Bound { build }
                } else {
                    cluster::Input::BindFailed { build, reason: reason("cannot bind") }
                }
            }
        };
        self.observe(Input::Cluster { name, input });
    }

    /// Answers everything that is asked, and lets no connection go.
    pub(super) fn answer_all(&mut self) {
        for _ in 0..100 {
            self.answer(true);
        }
        assert!(self.pending.is_empty(), "it goes on for ever");
    }

    /// The last client of the oldest draining build leaves.
    pub(super) fn leave(&mut self) {
        if let Some((build, held)) = self.held.iter().find(|(_, h)| h.draining) {
            let (build, name) = (*build, held.name.clone());
            let input = cluster::Input::ConnectionsLeft { build, connections: 0, in_flight: 0 };
            self.observe(Input::Cluster { name, input });
        }
    }

    /// The world is well: everything asked for is done, everybody leaves. No time passes.
    pub(super) fn settle(&mut self) {
        for _ in 0..10 {
            self.answer_all();
            self.leave();
        }
    }

    fn ports(&self, name: &ClusterName, generation: u64) -> BTreeSet<u16> {
        let loaded = self.proxy.loaded(generation).expect("a generation that is named is kept");
        let (values, _) = loaded.cluster(name).expect("a cluster is built from what has it");
        let ports = values.gateways.iter().flat_map(|g| match &g.kind {
            GatewayKind::PortPerBroker(ports) => ports.ports().map(|(port, _)| port).collect::<Vec<_>>(),
            GatewayKind::Sni(sni) => vec![sni.bind().port()],
        });
        ports.collect()
    }

    fn are_free(&self, name: &ClusterName, wanted: &BTreeSet<u16>) -> bool {
        self.held.values().all(|h| h.name == *name || h.ports.is_disjoint(wanted))
    }

    fn carry_out(&mut self, out: &[Output]) {
        assert!(self.ended.is_none() || out.is_empty(), "there is nothing after the end: {out:?}");
        assert!(out.len() <= 12 * (self.cluster_states.len() + 4), "outputs are bounded: {out:?}");
        for output in out {
            assert!(self.ended.is_none(), "the end comes last");
            match output {
                Output::Cluster { name, output } => self.carry_out_for(name, output),
                Output::Transitioned(t) => {
                    assert!(has_edge(t.from, t.to) && t.from == self.state, "{t:?}");
                    self.state = t.to;
                }
                Output::ApplySettings { generation } => {
                    assert!(self.proxy.loaded(*generation).is_some());
                    self.applied_settings.push(*generation);
                }
                Output::Reloaded(reloaded) => {
                    self.reloads_open = self.reloads_open.checked_sub(1).expect("one report for each reload");
                    self.check_report(reloaded);
                    self.reloaded.push(reloaded.clone());
                }
                Output::ReloadNotBegun(noted) => {
                    assert!(!noted.errors.is_empty() && noted.virtual_clusters.is_empty(), "{noted:?}");
                    self.not_begun.push(noted.outcome);
                }
                Output::Ended(result) => {
                    assert!(self.held.is_empty() && self.reloads_open == 0, "{:?}", self.held);
                    assert_eq!(self.proxy.result(), Some(result));
                    self.ended = Some(result.clone());
                }
            }
        }
        assert_eq!(self.proxy.state(), self.state);
        assert!(self.reloads_open <= 1);
        let shown = self.proxy.snapshot(self.now, WallClock { origin_unix_ms: 0 });
        assert_eq!(shown.configuration.reloading, self.reloads_open == 1);
        assert_eq!(shown.virtual_clusters.len(), self.cluster_states.len());
        for (name, state) in &self.cluster_states {
            assert!(*state != ClusterState::Failed || self.held.values().all(|h| h.name != *name));
        }
    }

    fn check_report(&self, reloaded: &Reloaded) {
        assert!(!reloaded.virtual_clusters.iter().any(|c| c.outcome == ClusterOutcome::Unknown), "{reloaded:?}");
        for c in &reloaded.virtual_clusters {
            let as_planned = matches!(c.outcome, ClusterOutcome::Applied | ClusterOutcome::Unchanged);
            assert_eq!(c.cause.is_empty(), as_planned, "{c:?}");
        }
    }

    fn carry_out_for(&mut self, name: &ClusterName, output: &cluster::Output) {
        use cluster::Output as O;
        let text = match output {
            O::Prepare { build, generation } => {
                let held =
                    Held { name: name.clone(), generation: *generation, ports: BTreeSet::new(), draining: false };
                assert!(self.held.insert(*build, held).is_none(), "{build} is used twice");
                // What a colliding name would ask for must not be answered by an older entity's news.
                self.ports(name, *generation);
                self.pending.push_back((*build, Stage::Prepare));
                format!("prepare of generation {generation}")
            }
            O::Bind { build } => {
                assert!(self.held.contains_key(build));
                self.pending.push_back((*build, Stage::Bind));
                "bind".to_owned()
            }
            O::Serve { build } => {
                assert!(!self.held[build].ports.is_empty());
                "serve".to_owned()
            }
            O::Swap { from, to } => {
                let old = self.held.remove(from).expect("it serves");
                let wanted = self.ports(name, self.held[to].generation);
                assert!(!old.draining && self.are_free(name, &wanted), "what is swapped in cannot fail");
                self.held.get_mut(to).expect("it is prepared").ports = wanted;
                "swap".to_owned()
            }
            O::Drain { build, .. } => {
                self.held.get_mut(build).expect("it serves").draining = true;
                "drain".to_owned()
            }
            O::Cut { build } => {
                assert!(self.held[build].draining);
                "cut".to_owned()
            }
            O::Release { build } => {
                assert!(self.held.remove(build).is_some(), "{build} is not held");
                "release".to_owned()
            }
            O::Drained(_) => "drained".to_owned(),
            O::Transitioned(t) => {
                assert_eq!(self.cluster_states.get(name).copied(), t.from, "{name}: {t:?}");
                if t.to == ClusterState::Stopped {
                    self.cluster_states.remove(name);
                } else {
                    self.cluster_states.insert(name.clone(), t.to);
                }
                t.to.to_string()
            }
            O::Reloaded { outcome, .. } => format!("reload {outcome}"),
            O::GaveUp { .. } => "gave up".to_owned(),
        };
        self.heard.push((name.clone(), text));
    }
}
