//! A member of a consumer group that reads one topic and commits what it has handed over.
//!
//! Its position in a partition moves when records have been handed over, and it commits before it gives its partitions
//! up. So while members keep their sessions nothing is handed over twice, by whomever.

use super::{
    Client, ClientError, Patience, Purpose,
    fetch::{Whence, fetched},
    group::Member,
    records::Received,
};
use crate::{
    demo::{limits, turned},
    net::Net,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kafka_protocol::{
    ResponseError,
    messages::{ApiKey, FetchResponse},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::debug;

/// What a consumer reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerSpec {
    /// The group that it joins.
    pub group: String,
    /// The topic that it reads.
    pub topic: String,
}

/// Records of one partition, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The partition.
    pub partition: i32,
    /// At least one record.
    pub records: Vec<Received>,
}

/// A member of a consumer group.
#[derive(Debug)]
pub struct Consumer<N: Net> {
    client: Client<N>,
    topic: String,
    member: Member,
    /// The offset to be read next in each partition that is assigned.
    positions: BTreeMap<i32, i64>,
    committed: BTreeMap<i32, i64>,
    patience: Patience,
}

type Fetches = FuturesUnordered<Pin<Box<dyn Future<Output = Fetched> + Send>>>;

#[derive(Debug)]
struct Fetched {
    node: i32,
    positions: Vec<(i32, i64)>,
    result: Result<FetchResponse, ClientError>,
}

/// Whoever takes the records has gone away.
#[derive(Debug)]
struct NobodyListens;

/// Why a generation ended.
#[derive(Debug)]
enum Ended {
    Rebalance,
    NobodyListens,
}

impl<N: Net> Consumer<N> {
    /// A consumer that has not joined yet.
    pub fn new(client: Client<N>, spec: &ConsumerSpec) -> Self {
        Self {
            member: Member::new(&spec.group, &spec.topic),
            topic: spec.topic.clone(),
            positions: BTreeMap::new(),
            committed: BTreeMap::new(),
            patience: client.patience(),
            client,
        }
    }

    /// Reads until `leave` turns true, or until nobody takes what it reads; then commits and leaves the group.
    ///
    /// It reads no further, and does not heartbeat, while what it has read is not taken.
    pub async fn run(
        mut self,
        deliveries: mpsc::Sender<Delivery>,
        mut leave: watch::Receiver<bool>,
    ) -> Result<(), ClientError> {
        tokio::select! {
            biased;
            () = turned(&mut leave) => {}
            ended = self.consume(&deliveries) => ended?,
        }
        let left = if self.member.is_in_generation() { self.commit().await } else { Ok(()) };
        self.member.leave(&mut self.client).await.and(left)
    }

    /// One generation after the other.
    async fn consume(&mut self, deliveries: &mpsc::Sender<Delivery>) -> Result<(), ClientError> {
        loop {
            match self.generation(deliveries).await {
                Ok(Ended::Rebalance) => {}
                Ok(Ended::NobodyListens) => return Ok(()),
                Err(e) if is_membership_lost(&e) => debug!("joining again: {e}"),
                Err(e) => self.patience.after(e).await?,
            }
        }
    }

    async fn generation(&mut self, deliveries: &mpsc::Sender<Delivery>) -> Result<Ended, ClientError> {
        self.positions.clear();
        self.committed.clear();
        let assigned = self.member.join(&mut self.client).await?;
        self.client.refresh(&self.topic).await?;
        self.committed = self.member.committed(&mut self.client, &assigned).await?;
        let fresh: Vec<i32> = assigned.iter().copied().filter(|p| !self.committed.contains_key(p)).collect();
        let earliest = self.client.list_offsets(&self.topic, &fresh, Whence::Earliest).await?;
        self.positions = self.committed.iter().chain(&earliest).map(|(p, offset)| (*p, *offset)).collect();
        debug!(?assigned, "joined the group");
        self.patience.restore();
        let mut fetches = Fetches::new();
        let mut busy = BTreeSet::new();
        let mut heartbeat = interval(limits::HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut commit_at = Instant::now() + limits::COMMIT;
        loop {
            self.send_fetches(&mut fetches, &mut busy).await?;
            tokio::select! {
                biased;
                _ = heartbeat.tick() => {
                    if let Some(ended) = self.beat().await? {
                        return Ok(ended);
                    }
                    if Instant::now() >= commit_at {
                        self.commit().await?;
                        commit_at = Instant::now() + limits::COMMIT;
                    }
                }
                Some(fetched) = fetches.next() => {
                    busy.remove(&fetched.node);
                    if let Err(NobodyListens) = self.take(fetched, deliveries).await? {
                        return Ok(Ended::NobodyListens);
                    }
                }
            }
        }
    }

    /// Says that it is alive and learns whether the generation is over.
    async fn beat(&mut self) -> Result<Option<Ended>, ClientError> {
        match self.member.heartbeat(&mut self.client).await {
            Ok(()) => Ok(None),
            Err(e) if e.named() == Some(ResponseError::RebalanceInProgress) => {
                self.commit().await?;
                Ok(Some(Ended::Rebalance))
            }
            Err(e) if is_membership_lost(&e) => Err(e),
            // The coordinator is gone or has moved; the generation goes on with the next one.
            Err(e) => self.patience.after(e).await.map(|()| None),
        }
    }

    /// Commits what has been handed over since the last time.
    async fn commit(&mut self) -> Result<(), ClientError> {
        let mut patience = self.client.patience();
        while self.committed != self.positions {
            match self.member.commit(&mut self.client, &self.positions).await {
                Ok(()) => self.committed.clone_from(&self.positions),
                Err(e) if is_membership_lost(&e) => return Err(e),
                Err(e) => patience.after(e).await?,
            }
        }
        Ok(())
    }

    /// Sends a Fetch to every leader of assigned partitions that has none to answer.
    async fn send_fetches(&mut self, fetches: &mut Fetches, busy: &mut BTreeSet<i32>) -> Result<(), ClientError> {
        let mut by_leader: BTreeMap<i32, Vec<(i32, i64)>> = BTreeMap::new();
        for (&partition, &position) in &self.positions {
            match self.client.leader(&self.topic, partition) {
                Some(node) => by_leader.entry(node).or_default().push((partition, position)),
                None => {
                    self.patience.after(ClientError::NoLeader(partition)).await?;
                    return self.refresh().await;
                }
            }
        }
        for (node, positions) in by_leader {
            if busy.contains(&node) {
                continue;
            }
            let connection = match self.client.connection(node, Purpose::Data).await {
                Ok(connection) => connection,
                Err(e) => {
                    self.patience.after(e).await?;
                    return self.refresh().await;
                }
            };
            let version = connection.version(ApiKey::Fetch)?;
            let call =
                connection.call(&self.client.fetch_request(&self.topic, version, &positions), limits::FETCH_WAIT);
            busy.insert(node);
            fetches.push(Box::pin(async move { Fetched { node, positions, result: call.await } }));
        }
        Ok(())
    }

    /// Hands over what a Fetch has brought.
    async fn take(
        &mut self,
        Fetched { node, positions, result }: Fetched,
        deliveries: &mpsc::Sender<Delivery>,
    ) -> Result<Result<(), NobodyListens>, ClientError> {
        let all = match result.and_then(|response| fetched(&response, &positions)) {
            Ok(all) => all,
            Err(e) => {
                self.client.disconnect(node, Purpose::Data);
                self.patience.after(e).await?;
                return self.refresh().await.map(Ok);
            }
        };
        let mut failure = None;
        for ((partition, records), (_, asked_from)) in all.into_iter().zip(positions) {
            // A partition whose leader has moved may have been asked for twice: only one answer counts.
            if self.positions.get(&partition) != Some(&asked_from) {
                continue;
            }
            match records {
                Ok(records) => {
                    let Some(last) = records.last() else { continue };
                    let next = last.offset + 1;
                    if deliveries.send(Delivery { partition, records }).await.is_err() {
                        return Ok(Err(NobodyListens));
                    }
                    self.positions.insert(partition, next);
                    self.patience.restore();
                }
                Err(e) if e.named() == Some(ResponseError::OffsetOutOfRange) => {
                    let earliest = self.client.list_offsets(&self.topic, &[partition], Whence::Earliest).await?;
                    self.positions.extend(earliest);
                }
                Err(e) => failure = Some(e),
            }
        }
        if let Some(e) = failure {
            self.patience.after(e).await?;
            self.refresh().await?;
        }
        Ok(Ok(()))
    }

    /// Asks who leads what; a failure counts as one more.
    async fn refresh(&mut self) -> Result<(), ClientError> {
        match self.client.refresh(&self.topic).await {
            Ok(()) => Ok(()),
            Err(e) => self.patience.after(e).await,
        }
    }
}

/// Whether the member has to join again, and may do so at once.
fn is_membership_lost(e: &ClientError) -> bool {
    matches!(
        e.named(),
        Some(ResponseError::UnknownMemberId | ResponseError::IllegalGeneration | ResponseError::RebalanceInProgress)
    )
}
