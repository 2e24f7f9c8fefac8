//! How a reload went.

use serde::{Deserialize, Serialize};

use super::names::named;

/// How a reload ended: the answer to `POST /api/v1/reload` as well.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ReloadReport {
    /// Who asked: `signal`, `api` or `watch`.
    pub trigger: String,
    /// When it was asked for.
    pub at_unix_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The whole of it.
    pub outcome: ReloadOutcome,
    /// The generation in force after it.
    pub generation: u64,
    /// The digest in force after it.
    pub digest: String,
    /// Why nothing was tried, outermost first: what is wrong with the file, or which settings need a restart.
    pub errors: Vec<String>,
    /// What the operator should know all the same, such as "looks like a rename".
    pub warnings: Vec<String>,
    /// What happened to each virtual cluster, sorted by name; empty where nothing was tried.
    pub virtual_clusters: Vec<ClusterReload>,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// There was nothing to change.
    Unchanged,
    /// Everything asked for is in force.
    Applied,
    /// Some virtual clusters run with the new configuration and some do not.
    Partial,
    /// Nothing of it is in force.
    Failed,
    /// The configuration was not accepted; nothing was touched.
    Rejected,
    /// Another reload was running; nothing was touched.
    Busy,
    /// An outcome that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a reload did to one virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ClusterReload {
    /// Its name.
    pub name: String,
    /// What the plan said.
    pub action: ReloadAction,
    /// The fields that made it so.
    pub fields: Vec<String>,
    /// How it went.
    pub outcome: ClusterOutcome,
    /// Why it went otherwise than planned, outermost first.
    pub cause: Vec<String>,
}

/// What a reload does to a virtual cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ReloadAction {
    /// Nothing: it is as it was.
    Unchanged,
    /// Applied while connections stay open.
    Live,
    /// Connections are drained, then it is built anew.
    Drain,
    /// It is new.
    Add,
    /// It goes.
    Remove,
    /// An action that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ReloadAction {
    /// One sign for it, as in a diff.
    pub const fn sign(self) -> char {
        match self {
            Self::Unchanged => '=',
            Self::Live => '~',
            Self::Drain => '!',
            Self::Add => '+',
            Self::Remove => '-',
            Self::Unknown => '?',
        }
    }

    /// What it is for clients.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Live => "changed while connections stay open",
            Self::Drain => "drained and built anew",
            Self::Add => "added",
            Self::Remove => "drained and removed",
            Self::Unknown => "something that this version does not know",
        }
    }
}

/// How one virtual cluster's part of a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterOutcome {
    /// There was nothing to do.
    Unchanged,
    /// The new configuration is in force.
    Applied,
    /// It could not be prepared; the cluster went on with the old one, undisturbed.
    NotPrepared,
    /// It failed after the drain; the cluster serves with the old one again.
    RolledBack,
    /// It failed, and so did the way back or there was none: the cluster is `failed`.
    Failed,
    /// A removal, shutdown or operator came in between.
    Overtaken,
    /// An outcome that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

named! {
    ReloadAction {
        Unchanged => "unchanged", Live => "live", Drain => "drain", Add => "add", Remove => "remove",
        Unknown => "unknown",
    }
    ReloadOutcome {
        Unchanged => "unchanged", Applied => "applied", Partial => "partial", Failed => "failed",
        Rejected => "rejected", Busy => "busy", Unknown => "unknown",
    }
    ClusterOutcome {
        Unchanged => "unchanged", Applied => "applied", NotPrepared => "not_prepared", RolledBack => "rolled_back",
        Failed => "failed", Overtaken => "overtaken", Unknown => "unknown",
    }
}
