//! What is wrong with a run, and which checker says so.

use crate::lock;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
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
    /// An answer fits the next request of its connection, and says what a broker has said.
    Answers,
    /// No client is told an upstream address.
    Addresses,
    /// States go along the edges, and events, status and metrics tell of the same ones.
    States,
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
            Self::Answers => "answers",
            Self::Addresses => "addresses",
            Self::States => "states",
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

/// What was found while the world ran, each thing once. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings(Arc<Mutex<BTreeSet<Finding>>>);

impl Findings {
    pub(crate) fn note(&self, checker: Checker, what: impl Into<String>) {
        lock(&self.0).insert(Finding::new(checker, what));
    }

    pub(crate) fn all(&self) -> Vec<Finding> {
        lock(&self.0).iter().cloned().collect()
    }
}
