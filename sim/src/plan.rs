//! What a world is made of and what goes wrong in it: a value that can be written down and played again.

use serde::{Deserialize, Serialize};

/// A world and its faults.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides about everything that is left to chance: latencies, lengths of reads, the order of hosts.
    pub seed: u64,
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
    /// What goes wrong, and when.
    pub faults: Vec<Timed>,
    /// ms until all faults are healed and everybody has to get on.
    pub heal_at_ms: u64,
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
    /// Members of the consumer group that reads what idempotent producers send.
    pub consumers: u8,
    /// ms between two records of a producer.
    pub pace_ms: u64,
    /// Bytes of a record: at least and at most.
    pub record_bytes: (u32, u32),
}

/// A fault and its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// ms since the beginning.
    pub at_ms: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// Two places between which the network can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Link {
    /// Clients and the proxy.
    Clients,
    /// The proxy and the brokers of this cluster.
    Upstream(u8),
}

/// What can go wrong. Everything that lasts has its length with it and heals by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fault {
    /// A broker stops and starts again.
    BrokerBounce {
        /// Its cluster.
        cluster: u8,
        /// Its id.
        node: u8,
        /// How long it is away.
        down_ms: u64,
    },
    /// A broker takes no part in anything, and its connections stay open.
    BrokerHangs {
        /// Its cluster.
        cluster: u8,
        /// Its id.
        node: u8,
        /// For how long.
        for_ms: u64,
    },
    /// Another broker leads a partition of all topics.
    LeaderMove {
        /// The cluster.
        cluster: u8,
        /// The partition.
        partition: u8,
        /// The new leader.
        to: u8,
    },
    /// Another broker coordinates the consumer group.
    CoordinatorMove {
        /// The cluster.
        cluster: u8,
        /// The new coordinator.
        to: u8,
    },
    /// A broker's next answer has another correlation id than the request.
    WrongCorrelation {
        /// The cluster.
        cluster: u8,
    },
    /// A broker hangs up in the middle of its next answer.
    CutAnswer {
        /// The cluster.
        cluster: u8,
    },
    /// Nothing gets through, and connections are lost.
    Partition {
        /// Where.
        link: Link,
        /// For how long.
        for_ms: u64,
    },
    /// Everything is held back, and then delivered.
    Hold {
        /// Where.
        link: Link,
        /// For how long.
        for_ms: u64,
    },
    /// Messages take longer.
    Latency {
        /// Where.
        link: Link,
        /// How long they take.
        ms: u64,
        /// For how long.
        for_ms: u64,
    },
    /// A client that misbehaves.
    Client {
        /// Its cluster.
        cluster: u8,
        /// What it does.
        rude: Rude,
    },
    /// The proxy is stopped gracefully, and started again.
    ProxyRestart {
        /// How long it stays away after it has stopped.
        down_ms: u64,
    },
    /// The proxy's process dies, and is started again.
    ProxyCrash {
        /// How long it is away.
        down_ms: u64,
    },
    /// A new configuration.
    Reload {
        /// What is new in it.
        change: Change,
    },
    /// An operator drains a cluster, and brings it back.
    Drain {
        /// The cluster.
        cluster: u8,
        /// How long after the drain began it is asked to come back.
        retry_after_ms: u64,
    },
    /// Somebody else holds the port of a cluster while the proxy is restarted.
    PortTaken {
        /// The cluster.
        cluster: u8,
        /// How long after the proxy has begun to start again the port becomes free.
        for_ms: u64,
    },
}

/// What a misbehaving client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rude {
    /// Disconnects in the middle of a request.
    HalfRequest,
    /// Sends bytes that are no request.
    Garbage,
    /// Asks for much and does not read.
    Deaf,
    /// Connects and says nothing.
    Silent,
    /// Sends a request byte by byte.
    Dribble,
    /// Asks and disconnects before the answer is there.
    Impatient,
}

/// What is new in a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A limit of the first cluster: connections stay.
    Limits,
    /// The order of the upstream servers of the first cluster: its connections are drained.
    Upstream,
    /// Ports for further nodes of the first cluster.
    Grow,
    /// Text that is no configuration.
    Unreadable,
    /// The first cluster is to have a port that somebody else holds: it goes back to what it was.
    TakenPort,
}

impl Fault {
    /// Its kind, for counts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BrokerBounce { .. } => "broker bounce",
            Self::BrokerHangs { .. } => "broker hangs",
            Self::LeaderMove { .. } => "leader move",
            Self::CoordinatorMove { .. } => "coordinator move",
            Self::WrongCorrelation { .. } => "wrong correlation id",
            Self::CutAnswer { .. } => "cut answer",
            Self::Partition { .. } => "partition",
            Self::Hold { .. } => "hold",
            Self::Latency { .. } => "latency",
            Self::Client { .. } => "rude client",
            Self::ProxyRestart { .. } => "proxy restart",
            Self::ProxyCrash { .. } => "proxy crash",
            Self::Reload { .. } => "reload",
            Self::Drain { .. } => "drain and retry",
            Self::PortTaken { .. } => "port taken",
        }
    }
}

impl Weather {
    /// A network without surprises.
    pub const FAIR: Self =
        Self { latency_ms: (1, 3), short_per_mille: 0, stall_per_mille: 0, stall_max_ms: 0, window: 256 << 10 };

    /// Every stream arrives in small pieces, and now and then pauses.
    pub const ROUGH: Self =
        Self { latency_ms: (1, 20), short_per_mille: 300, stall_per_mille: 20, stall_max_ms: 30, window: 32 << 10 };
}

impl Load {
    /// One of each kind, and a group of two.
    pub const ONE_OF_EACH: Self =
        Self { idempotent: 1, acks_one: 1, acks_none: 1, consumers: 2, pace_ms: 20, record_bytes: (40, 2_000) };
}

impl Plan {
    /// Two brokers, two partitions, one cluster, and nothing that goes wrong.
    pub const fn quiet(seed: u64) -> Self {
        Self {
            seed,
            clusters: 1,
            nodes: 2,
            partitions: 2,
            weather: Weather::FAIR,
            load: Load::ONE_OF_EACH,
            faults: Vec::new(),
            heal_at_ms: 5_000,
        }
    }

    /// The same with these faults, by their time in ms.
    #[must_use]
    pub fn with(mut self, faults: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        self.faults.extend(faults.into_iter().map(|(at_ms, fault)| Timed { at_ms, fault }));
        self
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
