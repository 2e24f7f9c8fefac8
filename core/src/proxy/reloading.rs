//! A reload while it runs: each virtual cluster goes its own way, and the whole is over when all of them have arrived.

use core::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use super::{Output, Proxy, Refused, Reloaded, Trigger};
use crate::{
    cluster::{self, Change, Reason, Spec},
    config::ClusterName,
    reload::{self, ClusterPlan, InForce, Loaded, Plan},
    status::{ClusterOutcome, ClusterReload, ClusterState, ReloadAction, ReloadOutcome},
    time::Instant,
};

/// A reload that has begun.
#[derive(Debug)]
pub(super) struct Reload {
    trigger: Trigger,
    generation: u64,
    began: Instant,
    settings_changed: bool,
    warnings: Vec<String>,
    parts: BTreeMap<ClusterName, Part>,
}

#[derive(Debug)]
struct Part {
    plan: ClusterPlan,
    end: Option<(ClusterOutcome, Option<Reason>)>,
}

impl Reload {
    /// A cluster reports how its part of the reload ended.
    pub(super) fn cluster_is_done(&mut self, name: &ClusterName, outcome: ClusterOutcome, cause: Option<Reason>) {
        if let Some(part) = self.parts.get_mut(name) {
            part.end.get_or_insert((outcome, cause));
        }
    }

    /// A cluster that was added or is being removed knows of no reload: how it fares shows in its states.
    pub(super) fn cluster_went(&mut self, name: &ClusterName, to: &cluster::Transition) {
        let Some(part) = self.parts.get(name) else { return };
        match (part.plan.action, to.to) {
            (ReloadAction::Add, ClusterState::Serving) | (ReloadAction::Remove, ClusterState::Stopped) => {
                self.cluster_is_done(name, ClusterOutcome::Applied, None);
            }
            (ReloadAction::Add, ClusterState::Failed) => {
                self.cluster_is_done(name, ClusterOutcome::Failed, Some(to.cause.clone()));
            }
            (
                ReloadAction::Add
                | ReloadAction::Remove
                | ReloadAction::Live
                | ReloadAction::Drain
                | ReloadAction::Unchanged
                | ReloadAction::Unknown,
                ClusterState::Initializing
                | ClusterState::Serving
                | ClusterState::Draining
                | ClusterState::Failed
                | ClusterState::Stopped
                | ClusterState::Unknown,
            ) => {}
        }
    }

    fn is_over(&self) -> bool {
        self.parts.values().all(|p| p.end.is_some())
    }

    fn outcome(&self) -> ReloadOutcome {
        let ends = || self.parts.values().filter_map(|p| p.end.as_ref().map(|(outcome, _)| *outcome));
        let applied = self.settings_changed || ends().any(|o| o == ClusterOutcome::Applied);
        let failed = ends().any(|o| !matches!(o, ClusterOutcome::Applied | ClusterOutcome::Unchanged));
        match (applied, failed) {
            (false, false) => ReloadOutcome::Unchanged,
            (true, false) => ReloadOutcome::Applied,
            (true, true) => ReloadOutcome::Partial,
            (false, true) => ReloadOutcome::Failed,
        }
    }
}

impl Part {
    fn report(&self) -> ClusterReload {
        let (outcome, cause) = self.end.clone().unwrap_or((ClusterOutcome::Unknown, None));
        ClusterReload {
            name: self.plan.name.to_string(),
            action: self.plan.action,
            fields: self.plan.fields.iter().map(ToString::to_string).collect(),
            outcome,
            cause: cause.map(|c| c.links().to_vec()).unwrap_or_default(),
        }
    }
}

impl Proxy {
    /// What a reload of this configuration would do now. Changes nothing.
    pub fn plan(&self, loaded: &Loaded) -> Plan {
        let mut in_force = InForce::settings(self.settings());
        for (name, member) in &self.members {
            let of = self.loaded.get(&member.cluster.generation()).expect("what a cluster is made from is kept");
            in_force.add(name, of, member.cluster.failure().is_some());
        }
        reload::plan(&in_force, loaded)
    }

    pub(super) fn begin_reload(
        &mut self,
        trigger: Trigger,
        loaded: Loaded,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        self.check_running()?;
        if self.reload.is_some() {
            return Err(Refused::Busy);
        }
        let plan = self.plan(&loaded);
        if !plan.refused.is_empty() {
            return Err(Refused::CannotChange(plan.refused.iter().map(ToString::to_string).collect()));
        }
        let loaded = Arc::new(loaded);
        if !plan.is_unchanged() {
            self.last_generation += 1;
            self.loaded.insert(self.last_generation, Arc::clone(&loaded));
        }
        let generation = self.last_generation;
        let settings_changed = !plan.settings.is_empty();
        if settings_changed {
            self.settings = generation;
            let retry = loaded.config().on_virtual_cluster_failure().retry;
            self.members.values_mut().for_each(|m| m.cluster.set_retry(retry));
            out.push(Output::ApplySettings { generation });
        }
        let part = |plan: &ClusterPlan| (plan.name.clone(), Part { plan: plan.clone(), end: None });
        let parts = plan.virtual_clusters.iter().map(part).collect();
        self.reload =
            Some(Reload { trigger, generation, began: now, settings_changed, warnings: plan.warnings, parts });
        for part in &plan.virtual_clusters {
            self.begin_part(part, generation, &loaded, now, out);
        }
        Ok(())
    }

    /// Remembers a reload that was not begun. One that runs goes on, and is the last one once it is over.
    pub(super) fn note_reload(
        &mut self,
        trigger: Trigger,
        outcome: ReloadOutcome,
        errors: Vec<String>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if self.check_running().is_err() {
            return; // nobody asks a proxy that stops how a reload went
        }
        let noted = Reloaded {
            trigger,
            at: now,
            lasted: Duration::ZERO,
            outcome,
            generation: self.generation(),
            digest: self.digest(),
            errors,
            warnings: Vec::new(),
            virtual_clusters: Vec::new(),
        };
        self.last_reload = Some(noted.clone());
        out.push(Output::ReloadNotBegun(noted));
    }

    fn begin_part(
        &mut self,
        part: &ClusterPlan,
        generation: u64,
        loaded: &Loaded,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let name = &part.name;
        let command = match (part.action, loaded.cluster(name)) {
            (ReloadAction::Live, Some((values, _))) => {
                let spec = Spec { generation, drain_timeout: values.drain_timeout };
                cluster::Command::Reload { spec, change: Change::Live }
            }
            (ReloadAction::Drain, Some((values, _))) => {
                let spec = Spec { generation, drain_timeout: values.drain_timeout };
                cluster::Command::Reload { spec, change: Change::Drain }
            }
            (ReloadAction::Add, Some((values, _))) => {
                self.add(values, generation, now, out);
                self.hold(part);
                return;
            }
            (ReloadAction::Remove, _) => cluster::Command::Remove,
            (ReloadAction::Unchanged | ReloadAction::Unknown, _)
            | (ReloadAction::Live | ReloadAction::Drain | ReloadAction::Add, None) => {
                return self.end_part(name, ClusterOutcome::Unchanged, None);
            }
        };
        self.hold(part);
        let mut refused = None;
        self.tell(name, out, |c, said| refused = c.command(command, now, said).err());
        if let Some(refused) = refused {
            self.end_part(name, ClusterOutcome::Overtaken, Some(Reason::of(&refused)));
        }
    }

    fn hold(&mut self, part: &ClusterPlan) {
        if let Some(member) = self.members.get_mut(&part.name)
            && !part.after.is_empty()
        {
            member.cluster.hold();
        }
    }

    fn end_part(&mut self, name: &ClusterName, outcome: ClusterOutcome, cause: Option<Reason>) {
        if let Some(reload) = &mut self.reload {
            reload.cluster_is_done(name, outcome, cause);
        }
    }

    /// The proxy stops: what has not arrived will not.
    pub(super) fn overtake_reload(&mut self) {
        for part in self.reload.iter_mut().flat_map(|r| r.parts.values_mut()) {
            if matches!(part.plan.action, ReloadAction::Add | ReloadAction::Remove) {
                part.end.get_or_insert((ClusterOutcome::Overtaken, Some(Reason::new("the proxy stops"))));
            }
        }
    }

    /// Has clusters bind their listeners that waited for others to let go of the addresses.
    pub(super) fn let_go_on(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(reload) = &mut self.reload else { return };
        let (members, mut free) = (&self.members, Vec::new());
        let arrived: Vec<_> = reload.parts.iter().filter(|(_, p)| p.end.is_some()).map(|(n, _)| n.clone()).collect();
        for (name, part) in reload.parts.iter_mut().filter(|(_, p)| !p.plan.after.is_empty()) {
            part.plan.after.retain(|other| {
                let holds = members.get(other).is_some_and(|m| has_listeners(m.cluster.state()));
                holds && !arrived.contains(other)
            });
            if part.plan.after.is_empty() {
                free.push(name.clone());
            }
        }
        for name in free {
            self.tell(&name, out, |c, said| c.proceed(now, said));
        }
    }

    pub(super) fn end_reload(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(reload) = self.reload.take_if(|r| r.is_over()) else { return };
        let outcome = reload.outcome();
        if matches!(outcome, ReloadOutcome::Applied | ReloadOutcome::Partial) {
            self.in_force_since = now;
            self.last_applied = reload.generation;
        }
        let reloaded = Reloaded {
            trigger: reload.trigger,
            at: reload.began,
            lasted: now.since(reload.began),
            outcome,
            generation: self.generation(),
            digest: self.digest(),
            errors: Vec::new(),
            warnings: reload.warnings,
            virtual_clusters: reload.parts.values().map(Part::report).collect(),
        };
        self.last_reload = Some(reloaded.clone());
        out.push(Output::Reloaded(reloaded));
    }
}

/// Whether a cluster that a reload changes may still have the listeners of before.
const fn has_listeners(state: ClusterState) -> bool {
    match state {
        ClusterState::Serving | ClusterState::Draining => true,
        ClusterState::Initializing | ClusterState::Failed | ClusterState::Stopped | ClusterState::Unknown => false,
    }
}
