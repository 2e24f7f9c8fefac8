//! A small Kafka client over [`Net`]: what the demo and the simulations need, and no more.
//!
//! [`Client`] knows the brokers and who leads what; [`Producer`] is idempotent; [`Consumer`] is a member of a consumer
//! group. Errors that may pass are tried again, after a pause and with fresh metadata, until the patience given to the
//! client is over. Nothing that a broker sends makes it panic or reserve memory beyond what was sent.
//!
//! It speaks the flexible versions of each API only (Kafka 3.1 and later), without TLS, SASL, compression, transactions
//! or fetch sessions.

mod connection;
mod consumer;
mod fetch;
mod group;
mod guard;
mod producer;
mod records;

#[cfg(test)]
mod tests;

pub use self::{
    consumer::{Consumer, ConsumerSpec, Delivery},
    producer::{Outgoing, Producer},
    records::Received,
};

use self::connection::Connection;
use crate::{demo::limits, net::Net};
use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, MetadataRequest, MetadataResponse, TopicName, metadata_request::MetadataRequestTopic,
        metadata_response::MetadataResponseTopic,
    },
    protocol::{Request, StrBytes},
};
use kroxy_core::address::HostPort;
use std::{collections::BTreeMap, io, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::debug;

/// Why a broker's answer is not there, or not what was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {to}: {cause}")]
    Connect {
        /// Where to.
        to: HostPort,
        /// What the network says.
        #[source]
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The broker has closed the connection.
    #[error("the broker has closed the connection")]
    Disconnected,
    /// No answer in time.
    #[error("no answer to {0:?} in time")]
    TimedOut(ApiKey),
    /// The broker does not speak a version of the API that the client speaks.
    #[error("{0:?} is not to be had in a version that both sides speak")]
    Unsupported(ApiKey),
    /// The answer says no.
    #[error("{api:?} was answered with error {code} ({})", error_name(*.code))]
    Broker {
        /// What was asked.
        api: ApiKey,
        /// The error code.
        code: i16,
    },
    /// The answer cannot be read.
    #[error("the answer to {api:?} cannot be read: {why}")]
    Unreadable {
        /// What was asked.
        api: ApiKey,
        /// What is wrong.
        why: String,
    },
    /// The request has no encoding.
    #[error("{api:?} cannot be encoded: {why}")]
    Unsendable {
        /// What was to be asked.
        api: ApiKey,
        /// What is wrong.
        why: String,
    },
    /// An answer of an impossible length.
    #[error("a frame of {0} bytes is none")]
    FrameLength(i32),
    /// An answer to another question than the one whose turn it is.
    #[error("got the answer {got:?} where {expected:?} was due")]
    OutOfTurn {
        /// The correlation id that was due; `None` where nothing was.
        expected: Option<i32>,
        /// The correlation id that came; `None` where there was none.
        got: Option<i32>,
    },
    /// No broker leads the partition, or none is known.
    #[error("nobody leads partition {0}")]
    NoLeader(i32),
    /// The patience is over.
    #[error("given up after {after:?}: {last}")]
    GaveUp {
        /// How long it was tried.
        after: Duration,
        /// What happened last.
        #[source]
        last: Box<ClientError>,
    },
}

fn error_name(code: i16) -> String {
    ResponseError::try_from_code(code).map_or_else(|| "unknown".to_owned(), |error| format!("{error:?}"))
}

impl ClientError {
    fn broker(api: ApiKey, code: i16) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self::Broker { api, code }) }
    }

    /// The error that the broker named.
    fn named(&self) -> Option<ResponseError> {
        match self {
            Self::Broker { code, .. } => ResponseError::try_from_code(*code),
            Self::Connect { .. }
            | Self::Io(_)
            | Self::Disconnected
            | Self::TimedOut(_)
            | Self::Unsupported(_)
            | Self::Unreadable { .. }
            | Self::Unsendable { .. }
            | Self::FrameLength(_)
            | Self::OutOfTurn { .. }
            | Self::NoLeader(_)
            | Self::GaveUp { .. } => None,
        }
    }

    /// Whether it may pass: another try, perhaps with another broker, may do.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { .. } => self.named().is_some_and(|error| error.is_retriable()),
            // What a connection brings into disorder, another one may do right.
            Self::Connect { .. }
            | Self::Io(_)
            | Self::Disconnected
            | Self::TimedOut(_)
            | Self::Unreadable { .. }
            | Self::FrameLength(_)
            | Self::OutOfTurn { .. }
            | Self::NoLeader(_) => true,
            Self::Unsupported(_) | Self::Unsendable { .. } | Self::GaveUp { .. } => false,
        }
    }
}

/// What a connection is for: a request that a broker parks must not hold up others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Purpose {
    /// Records and metadata.
    Data,
    /// The group.
    Coordination,
}

/// Brokers, who leads what, and connections to them. Dropping it closes all.
#[derive(Debug)]
pub struct Client<N: Net> {
    net: N,
    client_id: StrBytes,
    bootstrap: Vec<HostPort>,
    patience: Duration,
    nodes: BTreeMap<i32, HostPort>,
    topics: BTreeMap<String, MetadataResponseTopic>,
    connections: BTreeMap<(i32, Purpose), Connection>,
    /// Whose turn it is to be asked for metadata.
    turn: usize,
    tasks: JoinSet<()>,
}

impl<N: Net> Client<N> {
    /// A client that has not connected to anybody yet. It goes on trying what fails for as long as `patience`.
    pub fn new(net: N, client_id: &str, bootstrap: Vec<HostPort>, patience: Duration) -> Self {
        Self {
            net,
            client_id: text(client_id),
            bootstrap,
            patience,
            nodes: BTreeMap::new(),
            topics: BTreeMap::new(),
            connections: BTreeMap::new(),
            turn: 0,
            tasks: JoinSet::new(),
        }
    }

    /// How many partitions a topic has; it is created if brokers do that.
    pub async fn partitions(&mut self, topic: &str) -> Result<i32, ClientError> {
        let mut patience = self.patience();
        loop {
            match self.refresh(topic).await {
                Ok(()) => break,
                Err(e) => patience.after(e).await?,
            }
        }
        Ok(self.partition_count(topic))
    }

    fn patience(&self) -> Patience {
        Patience::new(self.patience)
    }

    fn partition_count(&self, topic: &str) -> i32 {
        self.topics.get(topic).map_or(0, |known| i32::try_from(known.partitions.len()).unwrap_or(i32::MAX))
    }

    fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let known = self.topics.get(topic)?.partitions.iter().find(|known| known.partition_index == partition)?;
        (known.error_code == 0 && known.leader_id.0 >= 0).then_some(known.leader_id.0)
    }

    /// Asks one broker who leads what; another one each time, since the last one may be the problem.
    async fn refresh(&mut self, topic: &str) -> Result<(), ClientError> {
        let asked = MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))));
        let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true);
        let response = self.ask_anybody(&request).await?;
        self.learn_nodes(&response);
        let is_it = |t: &MetadataResponseTopic| t.name.as_ref().is_some_and(|name| name.0.as_str() == topic);
        let described = response.topics.into_iter().find(is_it).ok_or_else(|| ClientError::Unreadable {
            api: ApiKey::Metadata,
            why: "it is not about the topic that was asked for".to_owned(),
        })?;
        ClientError::broker(ApiKey::Metadata, described.error_code)?;
        self.topics.insert(topic.to_owned(), described);
        Ok(())
    }

    fn learn_nodes(&mut self, response: &MetadataResponse) {
        let address = |host: &StrBytes, port: i32| Some(HostPort::new(host.as_str(), u16::try_from(port).ok()?));
        let nodes: BTreeMap<i32, HostPort> =
            response.brokers.iter().filter_map(|b| Some((b.node_id.0, address(&b.host, b.port)?))).collect();
        // A broker that has moved is not where its connection leads.
        self.connections.retain(|(node, _), _| nodes.contains_key(node) && nodes.get(node) == self.nodes.get(node));
        self.nodes = nodes;
    }

    async fn ask_anybody<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let nodes: Vec<i32> = self.nodes.keys().copied().collect();
        // Bootstrap servers now and then, for the case that all known addresses are history.
        let place = turn % (nodes.len() + 1);
        if let Some(node) = nodes.get(place) {
            let connection = self.connection(*node, Purpose::Data).await?;
            return connection
                .call(request, Duration::ZERO)
                .await
                .inspect_err(|_| self.disconnect(*node, Purpose::Data));
        }
        let servers = self.bootstrap.len().max(1);
        let server = self.bootstrap.get(turn / (nodes.len() + 1) % servers).cloned();
        let server = server.ok_or(ClientError::Disconnected)?;
        let connection = Connection::open(&self.net, &server, self.client_id.clone(), &mut self.tasks).await?;
        connection.call(request, Duration::ZERO).await
    }

    /// The connection to a broker, made if there is none.
    async fn connection(&mut self, node: i32, purpose: Purpose) -> Result<Connection, ClientError> {
        while self.tasks.try_join_next().is_some() {}
        if let Some(open) = self.connections.get(&(node, purpose)).filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let address = self.nodes.get(&node).ok_or(ClientError::Disconnected)?.clone();
        let connection = Connection::open(&self.net, &address, self.client_id.clone(), &mut self.tasks).await?;
        self.connections.insert((node, purpose), connection.clone());
        Ok(connection)
    }

    /// Forgets a connection that has failed.
    fn disconnect(&mut self, node: i32, purpose: Purpose) {
        self.connections.remove(&(node, purpose));
    }
}

/// How much longer something is tried again, and after which pause.
#[derive(Debug)]
struct Patience {
    began: Option<Instant>,
    pause: Duration,
    lasts: Duration,
}

impl Patience {
    fn new(lasts: Duration) -> Self {
        Self { began: None, pause: limits::BACKOFF.0, lasts }
    }

    /// Waits after a failure, or says that it is enough.
    async fn after(&mut self, failure: ClientError) -> Result<(), ClientError> {
        let pause = self.next_pause(failure)?;
        sleep(pause).await;
        Ok(())
    }

    fn next_pause(&mut self, failure: ClientError) -> Result<Duration, ClientError> {
        if !failure.is_retriable() {
            return Err(failure);
        }
        let tried = self.began.get_or_insert_with(Instant::now).elapsed();
        if tried >= self.lasts {
            return Err(ClientError::GaveUp { after: tried, last: Box::new(failure) });
        }
        debug!("trying again in {:?}: {failure}", self.pause);
        let pause = self.pause;
        self.pause = (pause * 2).min(limits::BACKOFF.1);
        Ok(pause)
    }

    /// Something went right.
    fn restore(&mut self) {
        *self = Self::new(self.lasts);
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
