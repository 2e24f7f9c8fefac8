//! What a world is made of and what goes wrong in it: a value that can be written down and played again.

mod fault;

pub use self::fault::{Change, Fault, Link, Rude, Timed, Way, Wrong};

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A world and its faults.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides about everything that is left to chance: latencies, lengths of reads, the order of hosts.
    pub seed: u64,
    /// Proxies, each on a host of its own before the same clusters. Clients begin at any of them.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub proxies: u8,
    /// Virtual clusters, each with a Kafka cluster of its own.
    pub clusters: u8,
    /// Brokers of each cluster.
    pub nodes: u8,
    /// Partitions of each topic.
    pub partitions: u8,
    /// How the network behaves when nothing is wrong.
    pub weather: Weather,
    /// What clients do.
    pub load: Load,
    /// By virtual cluster, where TLS is spoken; those without an entry speak none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<Tls>,
    /// By virtual cluster, who has to log in where; those without an entry let everybody in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sasl: Vec<Sasl>,
    /// What goes wrong, and when.
    pub faults: Vec<Timed>,
    /// ms until all faults are healed and everybody has to get on.
    pub heal_at_ms: u64,
}

const fn one() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_one(proxies: &u8) -> bool {
    *proxies == 1
}

/// Where a virtual cluster speaks TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// With its clients.
    pub clients: bool,
    /// With its brokers, who demand a certificate in turn.
    pub upstream: bool,
}

/// Who has to log in at a virtual cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// Clients at the proxy.
    pub clients: bool,
    /// The proxy at the brokers.
    pub upstream: bool,
    /// ms that a login at the brokers is good for.
    #[serde(default)]
    pub session_ms: Option<u64>,
}

/// The network on a usual day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// ms that a message takes: at least and at most.
    pub latency_ms: (u64, u64),
    /// Of 1000 reads and writes, so many move a few bytes only.
    pub short_per_mille: u16,
    /// Of 1000 reads and writes, so many are kept waiting.
    pub stall_per_mille: u16,
    /// ms that a read or write is kept waiting at most.
    pub stall_max_ms: u64,
    /// Bytes on their way in one direction of a connection.
    pub window: u32,
}

/// What the clients of each cluster do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Idempotent producers.
    pub idempotent: u8,
    /// Producers with acks=1 that never send anything twice.
    pub acks_one: u8,
    /// Producers with acks=0.
    pub acks_none: u8,
    /// Producers with acks=all that never send anything twice.
    #[serde(default)]
    pub acks_all: u8,
    /// Transactional producers; with any there is a consumer that reads what is committed.
    #[serde(default)]
    pub transactional: u8,
    /// Operators of Kafka, who create, configure and delete topics.
    #[serde(default)]
    pub operators: u8,
    /// Requests that a producer which never sends anything twice sends one behind the other; 0 is as 1.
    #[serde(default)]
    pub pipeline: u8,
    /// Members of the consumer group that reads what idempotent producers send.
    pub consumers: u8,
    /// ms between two records of a producer.
    pub pace_ms: u64,
    /// Bytes of a record: at least and at most.
    pub record_bytes: (u32, u32),
}

impl Weather {
    /// A network without surprises.
    pub const FAIR: Self =
        Self { latency_ms: (1, 3), short_per_mille: 0, stall_per_mille: 0, stall_max_ms: 0, window: 256 << 10 };

    /// Every stream arrives in small pieces, and now and then pauses.
    pub const ROUGH: Self =
        Self { latency_ms: (1, 20), short_per_mille: 300, stall_per_mille: 20, stall_max_ms: 30, window: 32 << 10 };
}

impl Tls {
    /// Everywhere.
    pub const BOTH: Self = Self { clients: true, upstream: true };
}

impl Sasl {
    /// Everywhere, and at the brokers again after a while.
    pub const BOTH: Self = Self { clients: true, upstream: true, session_ms: Some(2_000) };
}

impl Load {
    /// One of each kind, and a group of two.
    pub const ONE_OF_EACH: Self = Self {
        idempotent: 1,
        acks_one: 1,
        acks_none: 1,
        acks_all: 1,
        transactional: 1,
        operators: 1,
        pipeline: 3,
        consumers: 2,
        pace_ms: 20,
        record_bytes: (40, 2_000),
    };
}

impl Plan {
    /// Two brokers, two partitions, one cluster, and nothing that goes wrong.
    pub const fn quiet(seed: u64) -> Self {
        Self {
            seed,
            proxies: 1,
            clusters: 1,
            nodes: 2,
            partitions: 2,
            weather: Weather::FAIR,
            load: Load::ONE_OF_EACH,
            tls: Vec::new(),
            sasl: Vec::new(),
            faults: Vec::new(),
            heal_at_ms: 5_000,
        }
    }

    /// The same with these faults, by their time in ms.
    #[must_use]
    pub fn with(self, faults: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        self.with_at(0, faults)
    }

    /// The same with these faults of one of the proxies.
    #[must_use]
    pub fn with_at(mut self, proxy: u8, faults: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        self.faults.extend(faults.into_iter().map(|(at_ms, fault)| Timed { at_ms, proxy, fault }));
        self
    }

    /// Where a virtual cluster speaks TLS.
    pub fn tls_of(&self, cluster: u8) -> Tls {
        self.tls.get(usize::from(cluster)).copied().unwrap_or_default()
    }

    /// Who has to log in at a virtual cluster.
    pub fn sasl_of(&self, cluster: u8) -> Sasl {
        self.sasl.get(usize::from(cluster)).copied().unwrap_or_default()
    }

    /// As it is kept in a file.
    pub fn to_ron(&self) -> String {
        ron::ser::to_string_pretty(self, ron::ser::PrettyConfig::default()).expect("a plan has a text")
    }

    /// What a file says.
    ///
    /// # Errors
    /// With what is wrong with it and where.
    pub fn from_ron(text: &str) -> Result<Self, ron::error::SpannedError> {
        ron::from_str(text)
    }
}

/// The banner of a run.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxies, clusters, nodes, partitions, weather, load, faults, heal_at_ms, .. } = self;
        writeln!(
            f,
            "world    {proxies} proxies, {clusters} clusters of {nodes} brokers, {partitions} partitions, healed after {heal_at_ms} ms"
        )?;
        writeln!(
            f,
            "clients  of each cluster: {} idempotent, {}/{}/{} acks=0/1/all, {} in flight, {} transactional, {} operators, {} consumers",
            load.idempotent,
            load.acks_none,
            load.acks_one,
            load.acks_all,
            load.pipeline.max(1),
            load.transactional,
            load.operators,
            load.consumers
        )?;
        writeln!(
            f,
            "weather  {}..{} ms, {} in 1000 short, {} in 1000 stalled, a window of {} bytes",
            weather.latency_ms.0,
            weather.latency_ms.1,
            weather.short_per_mille,
            weather.stall_per_mille,
            weather.window
        )?;
        for (cluster, Tls { clients, upstream }) in self.tls.iter().enumerate() {
            let yes = |spoken| if spoken { "TLS" } else { "plain" };
            writeln!(f, "cluster  {cluster}: {} with clients, {} with brokers", yes(*clients), yes(*upstream))?;
        }
        for (cluster, Sasl { clients, upstream, .. }) in self.sasl.iter().enumerate() {
            let yes = |asked| if asked { "log in" } else { "are let in" };
            writeln!(f, "cluster  {cluster}: clients {}, proxies {}", yes(*clients), yes(*upstream))?;
        }
        let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
        faults.iter().for_each(|timed| *kinds.entry(timed.fault.kind()).or_default() += 1);
        let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(f, "swarm    {}", if kinds.is_empty() { "no faults".to_owned() } else { kinds.join(", ") })
    }
}
