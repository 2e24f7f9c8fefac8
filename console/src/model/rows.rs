//! The virtual clusters of the overview: which, in what order, and what is wrong with them.

use std::cmp::Ordering;

use kroxy_core::status::{ClusterState, ClusterStatus, Latency, NodeStatus};

use super::{Model, Proxy};
use crate::model::history::Rates;

/// One virtual cluster with what the model adds to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// What the proxy says.
    pub(crate) cluster: &'a ClusterStatus,
    /// How it moves; absent until two statuses have come.
    pub(crate) rates: Option<Rates>,
    /// What is the matter.
    pub(crate) condition: Condition,
}

/// What is the matter with a virtual cluster, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// It has failed.
    Failed,
    /// It serves, but upstream nodes cannot be reached.
    Unreachable {
        /// How many can.
        reachable: usize,
        /// How many are known.
        known: usize,
    },
    /// It serves, but requests end in faults.
    Erring,
    /// It drains.
    Draining,
    /// It is being built.
    Initializing,
    /// It is in a state that this console does not know.
    Unknown,
    /// It serves and nothing is known to be wrong.
    Serving,
    /// It has gone.
    Stopped,
}

/// What the order of the overview goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SortBy {
    /// What is wrong first, then by name.
    #[default]
    Trouble,
    /// By name.
    Name,
    /// Shortest time in its state first: what has just changed.
    Age,
    /// Most connections first.
    Connections,
    /// Most requests in flight first.
    InFlight,
    /// Most requests a second first.
    Requests,
    /// Most bytes from clients first.
    BytesIn,
    /// Most bytes to clients first.
    BytesOut,
    /// Slowest first.
    Latency,
    /// Most errors first.
    Errors,
}

impl SortBy {
    /// The next one, for a key that goes round.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Trouble => Self::Name,
            Self::Name => Self::Age,
            Self::Age => Self::Connections,
            Self::Connections => Self::InFlight,
            Self::InFlight => Self::Requests,
            Self::Requests => Self::BytesIn,
            Self::BytesIn => Self::BytesOut,
            Self::BytesOut => Self::Latency,
            Self::Latency => Self::Errors,
            Self::Errors => Self::Trouble,
        }
    }

    /// As the overview's title says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Name => "name",
            Self::Age => "time in state",
            Self::Connections => "connections",
            Self::InFlight => "in flight",
            Self::Requests => "requests",
            Self::BytesIn => "bytes in",
            Self::BytesOut => "bytes out",
            Self::Latency => "p99",
            Self::Errors => "errors",
        }
    }
}

/// The rows of the proxy that is shown, filtered and in order.
pub(crate) fn rows(model: &Model) -> Vec<Row<'_>> {
    let needle = model.table.filter.to_lowercase();
    let mut rows: Vec<_> = all(model.proxy()).into_iter().filter(|row| matches(row, &needle)).collect();
    rows.sort_by(|a, b| {
        let order = compare(a, b, model.table.sort);
        let order = if model.table.reversed { order.reverse() } else { order };
        order.then_with(|| a.cluster.name.cmp(&b.cluster.name))
    });
    rows
}

/// Every virtual cluster of a proxy, as it comes.
pub(crate) fn all(proxy: &Proxy) -> Vec<Row<'_>> {
    let clusters = proxy.status.iter().flat_map(|status| &status.virtual_clusters);
    clusters.map(|cluster| row(proxy, cluster)).collect()
}

/// One virtual cluster of a proxy.
pub(crate) fn row<'a>(proxy: &Proxy, cluster: &'a ClusterStatus) -> Row<'a> {
    let rates = proxy.histories.get(&cluster.name).and_then(|history| history.now());
    Row { cluster, rates, condition: condition(cluster, rates) }
}

/// Where the selection is in `rows`.
pub(crate) fn selected_index(model: &Model, rows: &[Row<'_>]) -> usize {
    let selected = model.table.selected.as_deref();
    rows.iter().position(|row| Some(row.cluster.name.as_str()) == selected).unwrap_or(0)
}

/// The selected row, if there is any row.
pub(crate) fn selected(model: &Model) -> Option<Row<'_>> {
    let rows = rows(model);
    let index = selected_index(model, &rows);
    rows.get(index).copied()
}

/// Whether an upstream node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The last attempt succeeded, or connections to it are open.
    Reached,
    /// The last attempt failed.
    Unreachable,
    /// Nobody has tried.
    NotTried,
}

/// Whether `node` can be reached, as far as that is known.
pub(crate) fn reach(node: &NodeStatus) -> Reach {
    match (node.reachable, node.connections) {
        (Some(true), _) | (None, 1..) => Reach::Reached,
        (Some(false), _) => Reach::Unreachable,
        (None, 0) => Reach::NotTried,
    }
}

/// How many upstream nodes are that way.
pub(crate) fn nodes(cluster: &ClusterStatus, wanted: Reach) -> usize {
    cluster.upstream.nodes.iter().filter(|node| reach(node) == wanted).count()
}

fn condition(cluster: &ClusterStatus, rates: Option<Rates>) -> Condition {
    match cluster.state {
        ClusterState::Failed => Condition::Failed,
        ClusterState::Draining => Condition::Draining,
        ClusterState::Initializing => Condition::Initializing,
        ClusterState::Stopped => Condition::Stopped,
        ClusterState::Unknown => Condition::Unknown,
        ClusterState::Serving => {
            if nodes(cluster, Reach::Unreachable) > 0 {
                let (reachable, known) = (nodes(cluster, Reach::Reached), cluster.upstream.nodes.len());
                Condition::Unreachable { reachable, known }
            } else if rates.is_some_and(|rates| rates.errors > 0.0) {
                Condition::Erring
            } else {
                Condition::Serving
            }
        }
    }
}

fn matches(row: &Row<'_>, needle: &str) -> bool {
    let cluster = row.cluster;
    needle.is_empty()
        || cluster.name.to_lowercase().contains(needle)
        || cluster.state.name().contains(needle)
        || cluster.reason.iter().flatten().any(|part| part.to_lowercase().contains(needle))
}

fn compare(a: &Row<'_>, b: &Row<'_>, by: SortBy) -> Ordering {
    let most_first = |of: fn(&Rates) -> f64| {
        let value = |row: &Row<'_>| row.rates.as_ref().map_or(0.0, of);
        value(b).total_cmp(&value(a))
    };
    let p99 = |latency: &Latency| latency.proxy.map_or(0, |quantiles| quantiles.p99_us);
    match by {
        SortBy::Trouble => a.condition.cmp(&b.condition),
        SortBy::Name => a.cluster.name.cmp(&b.cluster.name),
        SortBy::Age => b.cluster.since_unix_ms.cmp(&a.cluster.since_unix_ms),
        SortBy::Connections => b.cluster.connections.cmp(&a.cluster.connections),
        SortBy::InFlight => b.cluster.in_flight.cmp(&a.cluster.in_flight),
        SortBy::Requests => most_first(|rates| rates.requests),
        SortBy::BytesIn => most_first(|rates| rates.bytes_in),
        SortBy::BytesOut => most_first(|rates| rates.bytes_out),
        SortBy::Errors => most_first(|rates| rates.errors),
        SortBy::Latency => p99(&b.cluster.latency).cmp(&p99(&a.cluster.latency)),
    }
}
