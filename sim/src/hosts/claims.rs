//! What the proxy says of itself, in three ways: events, status and metrics. They must tell of the same, and of nothing that
//! may not be.

use super::Surroundings;
use crate::{findings::Checker, limits, plan::Plan};
use kroxy_core::{
    cluster::has_edge,
    status::{ClusterState, ClusterTransition, DrainReason, Status},
};
use std::{collections::BTreeMap, time::Duration};

/// The metric that counts changes of state.
const TRANSITIONS: &str = "kroxy_virtual_cluster_transitions_total";

/// What events have told in one life of the proxy.
pub(super) struct Claims {
    around: Surroundings,
    plan: Plan,
    /// Whose they are.
    proxy: u8,
    /// By name: the state, and since when.
    clusters: BTreeMap<String, (ClusterState, Duration)>,
    /// By name and the states left and entered.
    changes: BTreeMap<(String, ClusterState, ClusterState), u64>,
}

impl Claims {
    pub(super) const fn new(around: Surroundings, plan: Plan, proxy: u8) -> Self {
        Self { around, plan, proxy, clusters: BTreeMap::new(), changes: BTreeMap::new() }
    }

    /// An event tells of a change of state.
    pub(super) fn went(&mut self, name: &str, transition: &ClusterTransition) {
        let (to, now) = (transition.to, now());
        let before = self.clusters.insert(name.to_owned(), (to, now));
        let from = before.map(|(state, _)| state);
        if !has_edge(from, to) || transition.from != from {
            self.accuse(Checker::States, format!("{name} went from {from:?} to {to}, says {:?}", transition.from));
        }
        if let Some(from) = from {
            *self.changes.entry((name.to_owned(), from, to)).or_default() += 1;
        }
        let by_itself = transition.cause.first().is_some_and(|cause| cause.starts_with("retry "));
        if let Some((ClusterState::Failed, since)) = before
            && by_itself
            && now.saturating_sub(since) < limits::RETRY_PAUSE_MIN
        {
            let pause = now.saturating_sub(since);
            self.accuse(Checker::Deadlines, format!("{name} was tried again after {pause:?}"));
        }
        let asked_for = match transition.why {
            Some(DrainReason::Operator) => self.plan.has_drain_of(self.proxy, name),
            Some(DrainReason::Reload) => self.plan.has_reload_of(self.proxy, name),
            Some(DrainReason::Removal) => false,
            Some(DrainReason::Shutdown | DrainReason::Unknown) | None => true,
        };
        if !asked_for {
            self.accuse(
                Checker::Neighbours,
                format!("{name} drains for {:?}, which nobody asked of it", transition.why),
            );
        }
    }

    /// The status, when all events are read.
    pub(super) fn look(&self, status: &Status) {
        for cluster in &status.virtual_clusters {
            let name = &cluster.name;
            let Some((state, since)) = self.clusters.get(name) else { continue };
            if cluster.state != *state {
                self.accuse(Checker::States, format!("{name} is {state} and its status says {}", cluster.state));
            }
            if cluster.last_transitions.last().is_some_and(|last| last.to != *state) {
                self.accuse(Checker::States, format!("{name} is {state} and not where its last transition led"));
            }
            let lasts = now().saturating_sub(*since);
            if *state == ClusterState::Draining
                && cluster.connections > 0
                && lasts > limits::DRAIN + limits::DRAIN_OVERRUN
            {
                self.accuse(
                    Checker::Deadlines,
                    format!("{name} still has connections {lasts:?} after its drain began"),
                );
            }
            if *state == ClusterState::Failed && lasts > limits::RETRY_PAUSE_MAX {
                self.accuse(Checker::Deadlines, format!("{name} failed {lasts:?} ago and was not tried again"));
            }
            for client in &cluster.clients {
                if let Err(what) =
                    self.around.wires.exchanges.counted(self.proxy, &client.client_id, client.in_flight, now())
                {
                    self.accuse(Checker::InFlight, what);
                }
            }
        }
    }

    /// The metrics at the end of the life.
    pub(super) fn compare(&self, metrics: &str) {
        let counted: u64 = metrics
            .lines()
            .filter(|line| line.starts_with(TRANSITIONS))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        let mut told = 0;
        for ((name, from, to), count) in &self.changes {
            told += count;
            let line = format!("{TRANSITIONS}{{from=\"{from}\",to=\"{to}\",virtual_cluster=\"{name}\"}} {count}");
            if !metrics.lines().any(|counted| counted == line) {
                self.accuse(Checker::States, format!("the metrics do not have {line}"));
            }
        }
        if counted != told {
            self.accuse(
                Checker::States,
                format!("the metrics count {counted} changes of state, events tell of {told}"),
            );
        }
    }

    fn accuse(&self, checker: Checker, what: String) {
        self.around.findings.note(checker, what);
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
