//! What is wrong with a run, and which checker says so.

use crate::lock;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::{Arc, Mutex},
};

/// What is looked at. Its name stands in front of every finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Checker {
    /// Nothing panics, and no host's software fails.
    Panics,
    /// What was acknowledged is in the log, what was refused is not, all of it once and in its sender's order.
    Logs,
    /// Consumers are handed what is in the log, all of it, and commit to its end.
    Consumers,
    /// Readers of committed records get exactly those, transaction by transaction, and offsets move with them.
    Transactions,
    /// Topics are there or not, and configured, as operators were told.
    Topics,
    /// What the admin API says over HTTP can be read and agrees with itself.
    Admin,
    /// A broker is asked what a client of its cluster has asked, and as often.
    Requests,
    /// An answer fits the next request of its connection, and says what a broker has said.
    Answers,
    /// No client is told an upstream address.
    Addresses,
    /// Who has to log in is asked and answered nothing before.
    Logins,
    /// States go along the edges, and events, status and metrics tell of the same ones.
    States,
    /// No connection holds more than its limit.
    Memory,
    /// What was answered is in flight no more.
    InFlight,
    /// What has a deadline is over by then, and a retry has its pause.
    Deadlines,
    /// What concerns one virtual cluster is not noticed in another.
    Neighbours,
    /// Within bounded time after the healing everybody gets on.
    Progress,
    /// The proxy lets go of what it has no use for.
    Leaks,
    /// The proxy stops in time, and ends well.
    Ending,
}

impl Checker {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panics => "panics",
            Self::Logs => "logs",
            Self::Consumers => "consumers",
            Self::Transactions => "transactions",
            Self::Topics => "topics",
            Self::Admin => "admin",
            Self::Requests => "requests",
            Self::Answers => "answers",
            Self::Addresses => "addresses",
            Self::Logins => "logins",
            Self::States => "states",
            Self::Memory => "memory",
            Self::InFlight => "in flight",
            Self::Deadlines => "deadlines",
            Self::Neighbours => "neighbours",
            Self::Progress => "progress",
            Self::Leaks => "leaks",
            Self::Ending => "ending",
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Who says so.
    pub checker: Checker,
    /// What it is.
    pub what: String,
}

impl Finding {
    pub(crate) fn new(checker: Checker, what: impl Into<String>) -> Self {
        Self { checker, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// Findings of one run that are kept: the first ones have led to the others.
const KEPT: usize = 50;

/// What was found while the world ran, each thing once and in its order. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings(Arc<Mutex<Vec<Finding>>>);

impl Findings {
    pub(crate) fn note(&self, checker: Checker, what: impl Into<String>) {
        let (finding, mut all) = (Finding::new(checker, what), lock(&self.0));
        if all.len() < KEPT && !all.contains(&finding) {
            all.push(finding);
        }
    }

    pub(crate) fn all(&self) -> Vec<Finding> {
        lock(&self.0).clone()
    }
}
