//! What came of a run.

use crate::{
    findings::Finding,
    history::{History, Outcome},
    hosts::proxy::Seen,
    journal::Journal,
    net::Wires,
    plan::{Change, Plan},
};
use kroxy_core::status::{ClusterState, ReloadOutcome};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What is wrong; empty if nothing is.
    pub violations: Vec<Finding>,
    /// Faults by kind.
    pub faults: BTreeMap<String, usize>,
    /// Records acknowledged, refused, and of unknown fate.
    pub operations: (usize, usize, usize),
    /// Transactions committed and aborted.
    pub transactions: (usize, usize),
    /// Records that consumers got more than once.
    pub redelivered: u64,
    /// Answers in whose middle a client's connection was closed.
    pub cut_answers: u64,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// Ends of connections that there were.
    pub streams: u64,
    /// What became of each proxy.
    pub proxies: Vec<Fate>,
    /// By client: the longest that an acknowledged record took, and how many were acknowledged.
    pub slowest: BTreeMap<String, (Duration, usize)>,
    /// Places in kroxy's life that the run came by.
    pub marks: BTreeSet<String>,
    /// Lines of the journal, and a digest over them.
    pub journal: (u64, u64),
    /// The journal's last lines, without reads and writes.
    pub tail: Vec<String>,
}

/// What became of a proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fate {
    /// Every state that a virtual cluster came to, and when.
    pub transitions: Vec<(Duration, String, ClusterState)>,
    /// How each reload ended.
    pub reloads: Vec<(Change, ReloadOutcome)>,
    /// How each life ended; crashes have no end.
    pub lives: Vec<Result<(), String>>,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        violations: Vec<Finding>,
        simulated: Duration,
        seen: Vec<Seen>,
        history: &History,
        wires: &Wires,
        journal: &Journal,
    ) -> Self {
        let mut faults = BTreeMap::new();
        plan.faults.iter().for_each(|timed| *faults.entry(timed.fault.kind().to_owned()).or_default() += 1);
        let mut operations = (0, 0, 0);
        let mut slowest: BTreeMap<String, (Duration, usize)> = BTreeMap::new();
        for sent in history.all_sent().into_values() {
            match sent.outcome {
                Outcome::Ok => {
                    operations.0 += 1;
                    let (longest, count) =
                        slowest.entry(sent.by.split('#').next().unwrap_or_default().to_owned()).or_default();
                    *longest = sent.took.max(*longest);
                    *count += 1;
                }
                Outcome::Failed => operations.1 += 1,
                Outcome::Written | Outcome::Indefinite => operations.2 += 1,
            }
        }
        let editions = wires.editions();
        let editions = editions.into_iter().map(|edition| format!("gateway certificate {edition} shown"));
        Self {
            violations,
            faults,
            operations,
            transactions: history.ledger().counts(),
            redelivered: history.redelivered(),
            simulated,
            cut_answers: wires.exchanges.cut_answers(),
            streams: wires.streams(),
            marks: seen.iter().flat_map(|seen| seen.marks.iter().cloned()).chain(editions).collect(),
            proxies: seen.into_iter().map(fate).collect(),
            slowest,
            journal: journal.digest(),
            tail: journal.tail(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The states that a virtual cluster of the first proxy came to, in their order.
    pub fn states_of(&self, cluster: u8) -> Vec<ClusterState> {
        self.proxies[0].states_of(cluster)
    }
}

fn fate(Seen { transitions, reloads, lives, .. }: Seen) -> Fate {
    Fate { transitions, reloads, lives }
}

impl Fate {
    /// The states that a virtual cluster came to, in their order.
    pub fn states_of(&self, cluster: u8) -> Vec<ClusterState> {
        let name = crate::topology::cluster_name(cluster);
        self.transitions.iter().filter(|(_, of, _)| *of == name).map(|(.., to)| *to).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ok, failed, indefinite) = self.operations;
        writeln!(f, "simulated   {:.1} s, {} ends of connections", self.simulated.as_secs_f64(), self.streams)?;
        writeln!(f, "operations  {ok} acknowledged, {failed} refused, {indefinite} of unknown fate")?;
        if self.transactions != (0, 0) {
            let (committed, aborted) = self.transactions;
            writeln!(f, "transactions {committed} committed, {aborted} aborted")?;
        }
        if self.redelivered > 0 {
            writeln!(f, "redelivered {}", self.redelivered)?;
        }
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(f, "faults      {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") })?;
        writeln!(f, "journal     {} lines, digest {:016x}", self.journal.0, self.journal.1)?;
        if !self.is_clean() {
            writeln!(f, "\nthe last events:")?;
            self.tail.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            writeln!(f, "\nwrong:")?;
            self.violations.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}
