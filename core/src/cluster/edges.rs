//! The edges of the lifecycle: the table that the machine may not leave and that the documentation is made from.

use crate::status::ClusterState::{self, Draining, Failed, Initializing, Serving, Stopped};

/// One way from one state to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The state left; `None` for a cluster that is new.
    pub from: Option<ClusterState>,
    /// The state entered.
    pub to: ClusterState,
    /// When that happens.
    pub when: &'static str,
}

const fn edge(from: Option<ClusterState>, to: ClusterState, when: &'static str) -> Edge {
    Edge { from, to, when }
}

/// Every edge there is.
pub const EDGES: &[Edge] = &[
    edge(None, Initializing, "its name appears in the configuration"),
    edge(Some(Initializing), Serving, "files are read, filters built, listeners bound"),
    edge(Some(Initializing), Failed, "any of these fails or takes too long, or a removal or shutdown arrives first"),
    edge(
        Some(Serving),
        Draining,
        "a reload that connections cannot be kept across, a removal, a shutdown, an operator",
    ),
    edge(Some(Draining), Initializing, "the drain is over and was for a reload, or an operator wants it back"),
    edge(Some(Draining), Stopped, "the drain is over and was for a removal or shutdown"),
    edge(Some(Failed), Initializing, "the retry timer, an operator, a changed configuration, a rollback"),
    edge(Some(Failed), Stopped, "a removal or shutdown"),
];

/// Whether there is such an edge.
pub fn has_edge(from: Option<ClusterState>, to: ClusterState) -> bool {
    EDGES.iter().any(|e| e.from == from && e.to == to)
}

/// The edges as a Mermaid state diagram.
pub fn diagram() -> String {
    let lines = EDGES.iter().map(|e| match e.from {
        None => format!("    [*] --> {}\n", e.to),
        Some(from) => format!("    {from} --> {}\n", e.to),
    });
    format!("stateDiagram-v2\n{}    {Stopped} --> [*]\n", lines.collect::<String>())
}
