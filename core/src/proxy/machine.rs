//! The machine itself: states, the registry, and what a virtual cluster's failure means for the rest.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{Command, Failure, Input, Output, Refused, Reloaded, Transition, has_edge, reloading::Reload};
use crate::{
    cluster::{self, Cluster, Reason, Spec},
    config::{ClusterName, Serve, VirtualCluster},
    limits,
    reload::{Digest, Loaded},
    seed::SplitMix64,
    status::{ClusterState, ProxyState},
    time::{Instant, earliest},
};

/// The generation of the configuration that a proxy is made with.
const FIRST_GENERATION: u64 = 1;

/// One proxy, from before its start to after its end.
///
/// ```text
///    new ──► starting ──► started
///     │         │            │
///     │         └──► stopping ◄┘
///     │                 │
///     └────────────► stopped
/// ```
///
/// Decided where the specification leaves it open:
/// - With `serve: None` the proxy is started once every virtual cluster serves. With `serve: Remaining` it is started once
///   every one has been tried and one serves: a proxy that serves nothing is not up.
/// - `serve: Remaining` gives up when every virtual cluster has given up: then nothing is left to serve, and nobody but
///   an operator could change that. While one is being retried the proxy stays, so that it can be repaired by a reload.
/// - Commands for virtual clusters and reloads are taken while starting as well: they may be what is missing.
#[derive(Debug)]
pub struct Proxy {
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) members: BTreeMap<ClusterName, Member>,
    /// Every configuration that something may still be built from, by generation.
    pub(super) loaded: BTreeMap<u64, Arc<Loaded>>,
    pub(super) last_generation: u64,
    /// The generation whose settings of the proxy itself are in force.
    pub(super) settings: u64,
    pub(super) in_force_since: Instant,
    /// The generation of the last reload that changed anything: of one that only removed, nothing else would tell.
    pub(super) last_applied: u64,
    pub(super) reload: Option<Reload>,
    pub(super) last_reload: Option<Reloaded>,
    /// Clusters that gave up and whose failure has not been weighed yet. Empty between inputs.
    gave_up: Vec<(ClusterName, Reason)>,
    entities: u32,
    random: SplitMix64,
    pub(super) transitions: VecDeque<Transition>,
}

#[derive(Debug)]
pub(super) enum State {
    New,
    Starting,
    Started,
    Stopping { result: Result<(), Failure> },
    Stopped { result: Result<(), Failure> },
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) cluster: Cluster,
    /// It has served or failed once.
    settled: bool,
}

impl Proxy {
    /// A proxy that has not been started. The seed spreads the retries of its clusters.
    pub fn new(loaded: Loaded, seed: u64, now: Instant) -> Self {
        Self {
            state: State::New,
            since: now,
            members: BTreeMap::new(),
            loaded: [(FIRST_GENERATION, Arc::new(loaded))].into(),
            last_generation: FIRST_GENERATION,
            settings: FIRST_GENERATION,
            in_force_since: now,
            last_applied: FIRST_GENERATION,
            reload: None,
            last_reload: None,
            gave_up: Vec::new(),
            entities: 0,
            random: SplitMix64::new(seed),
            transitions: VecDeque::with_capacity(limits::TRANSITIONS_KEPT),
        }
    }

    /// Takes in what happened. Total.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        self.forget_generations();
        match input {
            Input::Cluster { name, input } => self.tell(&name, out, |c, said| c.handle(input, now, said)),
            Input::Tick => {
                let is_due = |m: &Member| m.cluster.deadline().is_some_and(|d| now >= d);
                let due = self.members.iter().filter(|(_, m)| is_due(m)).map(|(name, _)| name.clone());
                for name in due.collect::<Vec<_>>() {
                    self.tell(&name, out, |c, said| c.handle(cluster::Input::Tick, now, said));
                }
            }
            Input::Fault(reason) => self.fail(reason, now, out),
            Input::ReloadNotBegun { trigger, outcome, errors } => self.note_reload(trigger, outcome, errors, now, out),
        }
        self.settle(now, out);
    }

    /// Does what somebody asks for, or says why not.
    pub fn command(&mut self, command: Command, now: Instant, out: &mut Vec<Output>) -> Result<(), Refused> {
        self.forget_generations();
        match command {
            Command::Startup => self.startup(now, out)?,
            Command::Shutdown { cause } => self.stop(Ok(()), cause, now, out),
            Command::Halt { cause } => self.halt(cause, now, out),
            Command::Reload { trigger, loaded } => self.begin_reload(trigger, *loaded, now, out)?,
            Command::Drain(name) => self.forward(name, cluster::Command::Drain, now, out)?,
            Command::Retry(name) => self.forward(name, cluster::Command::Retry, now, out)?,
        }
        self.settle(now, out);
        Ok(())
    }

    /// When an [`Input::Tick`] will have something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.members.values().fold(None, |d, m| earliest(d, m.cluster.deadline()))
    }

    /// Where it is in its life.
    pub const fn state(&self) -> ProxyState {
        self.state.name()
    }

    /// How it ended, if it has.
    pub const fn result(&self) -> Option<&Result<(), Failure>> {
        match &self.state {
            State::Stopped { result } => Some(result),
            State::New | State::Starting | State::Started | State::Stopping { .. } => None,
        }
    }

    /// The configuration of a generation, if anything may be built from it; every one that an output has named is there
    /// until the next input or command.
    pub fn loaded(&self, generation: u64) -> Option<&Arc<Loaded>> {
        self.loaded.get(&generation)
    }

    /// The settings of the proxy itself that are in force.
    pub fn settings(&self) -> &Loaded {
        self.loaded.get(&self.settings).expect("the settings in force are kept")
    }

    /// The highest generation of which something is in force, the absence of a virtual cluster included.
    pub fn generation(&self) -> u64 {
        let highest = self.settings.max(self.last_applied);
        self.members.values().map(|m| m.cluster.generation()).fold(highest, u64::max)
    }

    /// Over what is in force, of whatever generations. A failed cluster counts with what it is retried with.
    pub fn digest(&self) -> Digest {
        let clusters = self.members.iter().filter_map(|(name, m)| {
            let loaded = self.loaded.get(&m.cluster.generation())?;
            Some(loaded.cluster(name)?.1.digest)
        });
        clusters.fold(self.settings().settings_digest(), Digest::with)
    }

    fn startup(&mut self, now: Instant, out: &mut Vec<Output>) -> Result<(), Refused> {
        match self.state {
            State::New => {
                self.enter(State::Starting, Reason::new("start-up was asked for"), now, out);
                let loaded = Arc::clone(self.loaded.get(&FIRST_GENERATION).expect("nothing was reloaded yet"));
                for cluster in loaded.config().virtual_clusters() {
                    self.add(cluster, FIRST_GENERATION, now, out);
                }
                Ok(())
            }
            State::Starting | State::Started => Ok(()),
            State::Stopping { .. } | State::Stopped { .. } => Err(Refused::Over(self.state())),
        }
    }

    /// Begins to stop gracefully, if that has not begun. `result` is what it all ends with.
    fn stop(&mut self, result: Result<(), Failure>, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        match &mut self.state {
            State::New => self.end(result, cause, now, out),
            State::Starting | State::Started => {
                self.enter(State::Stopping { result }, cause, now, out);
                self.overtake_reload();
                self.tell_all(&cluster::Command::Shutdown, now, out);
            }
            // The first failure is what led to the others.
            State::Stopping { result: first } => {
                if first.is_ok() {
                    *first = result;
                }
            }
            State::Stopped { .. } => {}
        }
    }

    fn halt(&mut self, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        let failure = Failure::Shutdown(cause.clone().within("it was told to stop at once"));
        self.stop(Err(failure), cause, now, out);
        self.tell_all(&cluster::Command::Halt, now, out);
    }

    fn fail(&mut self, reason: Reason, now: Instant, out: &mut Vec<Output>) {
        let failure = match self.state {
            State::New | State::Starting => Failure::Startup(reason.clone()),
            State::Started => Failure::Running(reason.clone()),
            State::Stopping { .. } | State::Stopped { .. } => Failure::Shutdown(reason.clone()),
        };
        self.stop(Err(failure), reason, now, out);
    }

    fn forward(
        &mut self,
        name: ClusterName,
        command: cluster::Command,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        self.check_running()?;
        if !self.members.contains_key(&name) {
            return Err(Refused::NoSuchCluster(name));
        }
        let mut refused = None;
        self.tell(&name, out, |c, said| refused = c.command(command, now, said).err());
        refused.map_or(Ok(()), |r| Err(r.into()))
    }

    pub(super) fn check_running(&self) -> Result<(), Refused> {
        match self.state {
            State::Starting | State::Started => Ok(()),
            State::New | State::Stopping { .. } | State::Stopped { .. } => Err(Refused::NotRunning(self.state())),
        }
    }

    /// Takes a cluster into the registry.
    pub(super) fn add(&mut self, values: &VirtualCluster, generation: u64, now: Instant, out: &mut Vec<Output>) {
        self.entities += 1;
        let spec = Spec { generation, drain_timeout: values.drain_timeout };
        let retry = self.settings().config().on_virtual_cluster_failure().retry;
        let (seed, mut said) = (self.random.next_u64(), Vec::new());
        let cluster = Cluster::new(self.entities, spec, retry, seed, now, &mut said);
        self.members.insert(values.name.clone(), Member { cluster, settled: false });
        self.take_in(&values.name, said, out);
    }

    /// Has a cluster do something, and takes in what it says. One that is gone is not told anything.
    pub(super) fn tell(
        &mut self,
        name: &ClusterName,
        out: &mut Vec<Output>,
        what: impl FnOnce(&mut Cluster, &mut Vec<cluster::Output>),
    ) {
        if let Some(member) = self.members.get_mut(name) {
            let mut said = Vec::new();
            what(&mut member.cluster, &mut said);
            self.take_in(name, said, out);
        }
    }

    fn tell_all(&mut self, command: &cluster::Command, now: Instant, out: &mut Vec<Output>) {
        for name in self.members.keys().cloned().collect::<Vec<_>>() {
            self.tell(&name, out, |c, said| {
                c.command(command.clone(), now, said).expect("a cluster never refuses to stop");
            });
        }
    }

    fn take_in(&mut self, name: &ClusterName, said: Vec<cluster::Output>, out: &mut Vec<Output>) {
        for output in said {
            match &output {
                cluster::Output::Transitioned(t) => {
                    if let Some(reload) = &mut self.reload {
                        reload.cluster_went(name, t);
                    }
                    if t.to == ClusterState::Stopped {
                        self.members.remove(name);
                    } else if t.from == Some(ClusterState::Initializing)
                        && let Some(member) = self.members.get_mut(name)
                    {
                        member.settled = true;
                    }
                }
                cluster::Output::Reloaded { outcome, cause } => {
                    if let Some(reload) = &mut self.reload {
                        reload.cluster_is_done(name, *outcome, cause.clone());
                    }
                }
                cluster::Output::GaveUp { reason } => self.gave_up.push((name.clone(), reason.clone())),
                cluster::Output::Prepare { .. }
                | cluster::Output::Bind { .. }
                | cluster::Output::Serve { .. }
                | cluster::Output::Swap { .. }
                | cluster::Output::Drain { .. }
                | cluster::Output::Cut { .. }
                | cluster::Output::Release { .. }
                | cluster::Output::Drained(_) => {}
            }
            out.push(Output::Cluster { name: name.clone(), output });
        }
    }

    /// Draws the conclusions from what the clusters have said.
    fn settle(&mut self, now: Instant, out: &mut Vec<Output>) {
        for (name, reason) in core::mem::take(&mut self.gave_up) {
            self.weigh_failure(&name, reason, now, out);
        }
        self.let_go_on(now, out);
        self.end_reload(now, out);
        if matches!(self.state, State::Starting) && self.is_up() {
            self.enter(State::Started, Reason::new("what is configured is being served"), now, out);
        }
        if let State::Stopping { result } = &self.state
            && self.members.is_empty()
        {
            let result = result.clone();
            self.end(result, Reason::new("every virtual cluster has stopped"), now, out);
        }
    }

    /// What `on_virtual_cluster_failure` says about a cluster that has given up.
    fn weigh_failure(&mut self, name: &ClusterName, reason: Reason, now: Instant, out: &mut Vec<Output>) {
        if self.check_running().is_err() {
            return;
        }
        let reason = reason.within(format!("virtual cluster {name} cannot be served"));
        match self.settings().config().on_virtual_cluster_failure().serve {
            Serve::None => self.fail(reason, now, out),
            Serve::Remaining if self.members.values().all(|m| m.cluster.gave_up()) => {
                self.fail(reason.within("no virtual cluster is left to serve"), now, out);
            }
            Serve::Remaining => {}
        }
    }

    fn is_up(&self) -> bool {
        let serves = |m: &Member| matches!(m.cluster.state(), ClusterState::Serving | ClusterState::Draining);
        match self.settings().config().on_virtual_cluster_failure().serve {
            Serve::None => self.members.values().all(serves),
            Serve::Remaining => self.members.values().all(|m| m.settled) && self.members.values().any(serves),
        }
    }

    /// At the beginning of a step, so that what the last one named can be looked up until then.
    fn forget_generations(&mut self) {
        let mut kept: BTreeSet<u64> = self.members.values().flat_map(|m| m.cluster.generations()).collect();
        kept.insert(self.settings);
        self.loaded.retain(|generation, _| kept.contains(generation));
    }

    fn end(&mut self, result: Result<(), Failure>, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        self.enter(State::Stopped { result: result.clone() }, cause, now, out);
        out.push(Output::Ended(result));
    }

    fn enter(&mut self, state: State, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        let (from, to) = (self.state.name(), state.name());
        debug_assert!(has_edge(from, to), "no edge from {from} to {to}");
        let transition = Transition { from, to, cause, at: now, lasted: now.since(self.since) };
        if self.transitions.len() == limits::TRANSITIONS_KEPT {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition.clone());
        (self.state, self.since) = (state, now);
        out.push(Output::Transitioned(transition));
    }
}

impl State {
    const fn name(&self) -> ProxyState {
        match self {
            Self::New => ProxyState::New,
            Self::Starting => ProxyState::Starting,
            Self::Started => ProxyState::Started,
            Self::Stopping { .. } => ProxyState::Stopping,
            Self::Stopped { .. } => ProxyState::Stopped,
        }
    }
}
