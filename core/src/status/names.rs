//! The states, by the names that JSON, metrics and logs have for them.

use serde::{Deserialize, Serialize};

/// Where a virtual cluster is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// Being built: certificates read, filters made, listeners bound.
    Initializing,
    /// Clients are served.
    Serving,
    /// Clients are being asked to leave; `why` of its drain says what for.
    Draining,
    /// It could not be built. It has a reason and holds nothing.
    Failed,
    /// Gone from the configuration, for good.
    Stopped,
    /// A state that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a drain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DrainReason {
    /// A new configuration that connections cannot be kept across.
    Reload,
    /// The cluster is no longer in the configuration.
    Removal,
    /// The proxy stops.
    Shutdown,
    /// An operator asked for it. The cluster stays drained until it is retried, reloaded or removed.
    Operator,
    /// A reason that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where the proxy is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ProxyState {
    /// Made, not asked to start.
    New,
    /// Virtual clusters are being built for the first time.
    Starting,
    /// Up.
    Started,
    /// Virtual clusters are draining for the last time.
    Stopping,
    /// Over. Whether it went well is in the exit code.
    Stopped,
    /// A state that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

macro_rules! named {
    ($($type:ident { $($variant:ident => $name:literal),+ $(,)? })+) => {$(
        impl $type {
            /// The name as it stands in JSON, metrics labels and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }
    )+};
}

pub(super) use named;

named! {
    ClusterState {
        Initializing => "initializing", Serving => "serving", Draining => "draining", Failed => "failed",
        Stopped => "stopped", Unknown => "unknown",
    }
    ProxyState {
        New => "new", Starting => "starting", Started => "started", Stopping => "stopping", Stopped => "stopped",
        Unknown => "unknown",
    }
    DrainReason {
        Reload => "reload", Removal => "removal", Shutdown => "shutdown", Operator => "operator", Unknown => "unknown",
    }
}
