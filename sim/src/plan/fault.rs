//! What can go wrong in a world.

use serde::{Deserialize, Serialize};

/// A fault and its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// ms since the beginning.
    pub at_ms: u64,
    /// Whose it is, where it concerns a proxy or one of its links and there are several.
    #[serde(default, skip_serializing_if = "is_first")]
    pub proxy: u8,
    /// What goes wrong.
    pub fault: Fault,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_first(proxy: &u8) -> bool {
    *proxy == 0
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
    /// Another broker coordinates the consumer group and the transactions.
    CoordinatorMove {
        /// The cluster.
        cluster: u8,
        /// The new coordinator.
        to: u8,
    },
    /// A broker is given another name, under which alone it is found from then on; its connections are lost.
    BrokerMoves {
        /// Its cluster.
        cluster: u8,
        /// Its id.
        node: u8,
    },
    /// The next answer of a broker is wrong.
    WrongAnswer {
        /// The cluster.
        cluster: u8,
        /// What is wrong with it.
        how: Wrong,
    },
    /// Nothing gets through, and connections are lost.
    Partition {
        /// Where.
        link: Link,
        /// For how long.
        for_ms: u64,
    },
    /// Nothing gets through in one direction, and connections are lost.
    OneWayPartition {
        /// Where.
        link: Link,
        /// What is lost.
        way: Way,
        /// For how long.
        for_ms: u64,
    },
    /// Whatever is sent vanishes, nobody is refused, and after a while connections are lost.
    BlackHole {
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
    /// The proxy's machine loses power: nobody is told anything.
    PowerLoss {
        /// How long it is away.
        down_ms: u64,
    },
    /// The time of day jumps, on all hosts but the brokers'. A process that runs may not notice before it is started again.
    ClockJump {
        /// How far, forth or back.
        by_ms: i64,
    },
    /// A new configuration.
    Reload {
        /// What is new in it.
        change: Change,
    },
    /// The same, asked for over HTTP.
    ReloadOverHttp {
        /// What is new in it.
        change: Change,
    },
    /// The proxy is asked over HTTP to stop gracefully, and started again.
    ShutdownOverHttp {
        /// How long it stays away after it has stopped.
        down_ms: u64,
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

/// A direction of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Way {
    /// From clients to brokers.
    Requests,
    /// From brokers to clients.
    Answers,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Wrong {
    /// It has another correlation id than the request.
    Correlation,
    /// The broker hangs up in its middle.
    Cut,
    /// Its end is missing, and its length says so.
    Truncated,
    /// Other bytes are in its place.
    Garbage,
    /// The next answer overtakes it.
    OutOfOrder,
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
    /// Asks as fast as it can, and reads.
    Flood,
    /// 2,000 connections at once, each with a question, all of them kept for a while.
    Storm,
    /// Asks without having logged in, or with a wrong password, where that is needed.
    Intruder,
    /// Waits for records that nobody sends: not rude, but a drain must not wait for it.
    Patient,
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
    /// The first cluster is to listen on an address that somebody else holds and that it cannot have before it lets go of its
    /// own: that shows behind the drain only, and it goes back to what it was.
    TakenAddress,
    /// The last cluster gets another order of its upstream servers, which comes into force, and the first one is to have a port
    /// that somebody else holds, which shows before anything is drained: it stays what it is.
    HalfBad,
    /// Gateways' certificates are renewed: connections stay, and new ones are shown the new one.
    Renewed,
    /// The file of the first gateway's certificate is cut off in its middle.
    Broken,
    /// The first gateway's certificate has expired.
    Expired,
    /// The first cluster is to trust brokers whose certificates somebody else has signed.
    ForeignCa,
    /// The file of the proxy's password at the first cluster's brokers has another one.
    WrongPassword,
    /// The file with those who may log in at the first cluster knows none of its clients.
    NoUsers,
}

impl Fault {
    /// Its kind, for counts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BrokerBounce { .. } => "broker bounce",
            Self::BrokerHangs { .. } => "broker hangs",
            Self::LeaderMove { .. } => "leader move",
            Self::CoordinatorMove { .. } => "coordinator move",
            Self::BrokerMoves { .. } => "broker moves",
            Self::WrongAnswer { how: Wrong::Correlation, .. } => "wrong correlation id",
            Self::WrongAnswer { how: Wrong::Cut, .. } => "cut answer",
            Self::WrongAnswer { how: Wrong::Truncated, .. } => "truncated answer",
            Self::WrongAnswer { how: Wrong::Garbage, .. } => "garbage answer",
            Self::WrongAnswer { how: Wrong::OutOfOrder, .. } => "answer out of order",
            Self::Partition { .. } => "partition",
            Self::OneWayPartition { .. } => "one-way partition",
            Self::BlackHole { .. } => "black hole",
            Self::Hold { .. } => "hold",
            Self::Latency { .. } => "latency",
            Self::Client { rude: Rude::Storm, .. } => "connection storm",
            Self::Client { .. } => "rude client",
            Self::ProxyRestart { .. } => "proxy restart",
            Self::ProxyCrash { .. } => "proxy crash",
            Self::PowerLoss { .. } => "power loss",
            Self::ClockJump { .. } => "clock jump",
            Self::Reload { change: Change::Limits | Change::Upstream | Change::Grow } => "good reload",
            Self::Reload { change: Change::Unreadable } => "bad reload",
            Self::Reload { change: Change::HalfBad } => "half-bad reload",
            Self::Reload { change: Change::TakenAddress } => "reload that fails behind its drain",
            Self::Reload { change: Change::Renewed } => "certificate renewed",
            Self::Reload { change: Change::WrongPassword | Change::NoUsers } => "credentials spoiled",
            Self::Reload { change: Change::Broken | Change::Expired | Change::ForeignCa } => "certificate spoiled",
            Self::ReloadOverHttp { .. } => "reload over HTTP",
            Self::ShutdownOverHttp { .. } => "shutdown over HTTP",
            Self::Drain { .. } => "drain and retry",
            Self::PortTaken { .. } => "port taken",
        }
    }
}
