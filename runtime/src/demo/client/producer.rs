//! An idempotent producer (KIP-98).
//!
//! Of each partition one batch is in flight at a time, and it is sent again as it was until it is acknowledged; so its
//! sequence number decides whether it is in the log already, and nothing is written twice or out of order. Requests for
//! different partitions are pipelined. While a batch is in flight the next one fills: no linger is needed.

use super::{Client, ClientError, Patience, Purpose, records, records::Writer, text};
use crate::{clock::Clock, demo::limits, net::Net};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, InitProducerIdRequest, ProduceRequest, ProduceResponse, ProducerId, TopicName,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Acknowledged by all replicas in sync: what idempotence requires.
const ACKS_ALL: i16 = -1;

/// A record to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Where to; partitions that the topic does not have are an error.
    pub partition: i32,
    /// Its value.
    pub value: Bytes,
}

/// Sends records to one topic.
#[derive(Debug)]
pub struct Producer<N: Net> {
    client: Client<N>,
    clock: Clock,
    topic: String,
    producer_id: i64,
    producer_epoch: i16,
    lanes: BTreeMap<i32, Lane>,
    waiting_bytes: usize,
    in_flight: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    in_flight_to: BTreeMap<i32, usize>,
    patience: Patience,
    retry_at: Option<Instant>,
}

/// One partition.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Bytes>,
    /// What is to be acknowledged next.
    batch: Option<Batch>,
    in_flight: bool,
    next_sequence: i32,
    patience: Patience,
}

#[derive(Debug)]
struct Batch {
    encoded: Bytes,
    records: i32,
}

#[derive(Debug)]
struct Outcome {
    node: i32,
    partitions: Vec<i32>,
    result: Result<ProduceResponse, ClientError>,
}

impl<N: Net> Producer<N> {
    /// A producer with an id of its own.
    pub async fn new(mut client: Client<N>, clock: Clock, topic: &str) -> Result<Self, ClientError> {
        let partitions = client.partitions(topic).await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let mut patience = client.patience();
        let given = loop {
            let answer = client.ask_anybody(&request).await;
            let answer = answer.and_then(|r| ClientError::broker(ApiKey::InitProducerId, r.error_code).map(|()| r));
            match answer {
                Ok(given) => break given,
                Err(e) => patience.after(e).await?,
            }
        };
        let lane = || Lane {
            waiting: VecDeque::new(),
            batch: None,
            in_flight: false,
            next_sequence: 0,
            patience: client.patience(),
        };
        Ok(Self {
            lanes: (0..partitions).map(|partition| (partition, lane())).collect(),
            patience: client.patience(),
            client,
            clock,
            topic: topic.to_owned(),
            producer_id: given.producer_id.0,
            producer_epoch: given.producer_epoch,
            waiting_bytes: 0,
            in_flight: FuturesUnordered::new(),
            in_flight_to: BTreeMap::new(),
            retry_at: None,
        })
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.lanes.len()).unwrap_or(i32::MAX)
    }

    /// Sends what comes in until that ends and everything is acknowledged; `acknowledged` counts records.
    ///
    /// An error means that it is not known of the records in flight whether they are in the log.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Vec<Outgoing>>,
        acknowledged: &watch::Sender<u64>,
    ) -> Result<(), ClientError> {
        let mut open = true;
        while open || !self.is_idle() {
            if self.retry_at.is_none() {
                self.send_ready().await?;
            }
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next() => {
                    let records = self.settle(outcome)?;
                    acknowledged.send_modify(|count| *count += records);
                }
                () = sleep_until(self.retry_at.unwrap_or_else(Instant::now)), if self.retry_at.is_some() => {
                    self.retry_at = None;
                    if let Err(e) = self.client.refresh(&self.topic).await {
                        self.pause_after(e)?;
                    }
                }
                outgoing = inbox.recv(), if open && self.waiting_bytes < limits::PRODUCER_BYTES_WAITING => match outgoing {
                    Some(outgoing) => outgoing.into_iter().try_for_each(|record| self.take(record))?,
                    None => open = false,
                },
            }
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.lanes.values().all(|lane| lane.batch.is_none() && lane.waiting.is_empty())
    }

    fn take(&mut self, Outgoing { partition, value }: Outgoing) -> Result<(), ClientError> {
        let lane = self
            .lanes
            .get_mut(&partition)
            .ok_or(ClientError::Broker { api: ApiKey::Produce, code: ResponseError::UnknownTopicOrPartition.code() })?;
        self.waiting_bytes += value.len();
        lane.waiting.push_back(value);
        Ok(())
    }

    /// Sends one request to each leader that can take one, with a batch of each of its partitions that has one.
    async fn send_ready(&mut self) -> Result<(), ClientError> {
        let ready = |lane: &Lane| !lane.in_flight && (lane.batch.is_some() || !lane.waiting.is_empty());
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (&partition, _) in self.lanes.iter().filter(|(_, lane)| ready(lane)) {
            match self.client.leader(&self.topic, partition) {
                Some(node) => by_leader.entry(node).or_default().push(partition),
                None => self.retry_at = self.retry_at.or(Some(Instant::now() + limits::BACKOFF.0)),
            }
        }
        for (node, partitions) in by_leader {
            if self.in_flight_to.get(&node).is_some_and(|count| *count >= limits::PRODUCES_IN_FLIGHT) {
                continue;
            }
            match self.client.connection(node, Purpose::Data).await {
                Ok(connection) => {
                    let call = connection.call(&self.request(&partitions)?, Duration::ZERO);
                    *self.in_flight_to.entry(node).or_default() += 1;
                    self.in_flight.push(Box::pin(async move { Outcome { node, partitions, result: call.await } }));
                }
                Err(e) => self.pause_after(e)?,
            }
        }
        Ok(())
    }

    fn request(&mut self, partitions: &[i32]) -> Result<ProduceRequest, ClientError> {
        let mut data = Vec::new();
        let timestamp_ms = i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX);
        for (partition, lane) in self.lanes.iter_mut().filter(|(partition, _)| partitions.contains(partition)) {
            if lane.batch.is_none() {
                let writer = Writer {
                    producer_id: self.producer_id,
                    producer_epoch: self.producer_epoch,
                    base_sequence: lane.next_sequence,
                };
                let (batch, bytes) = lane.next_batch(writer, timestamp_ms)?;
                self.waiting_bytes -= bytes;
                lane.batch = Some(batch);
            }
            lane.in_flight = true;
            let records = lane.batch.as_ref().map(|batch| batch.encoded.clone());
            data.push(PartitionProduceData::default().with_index(*partition).with_records(records));
        }
        let topic = TopicProduceData::default().with_name(TopicName(text(&self.topic))).with_partition_data(data);
        Ok(ProduceRequest::default()
            .with_acks(ACKS_ALL)
            .with_timeout_ms(i32::try_from(limits::REQUEST.as_millis()).unwrap_or(i32::MAX))
            .with_topic_data(vec![topic]))
    }

    /// Takes in how a request went and returns how many records are acknowledged by it.
    fn settle(&mut self, outcome: Outcome) -> Result<u64, ClientError> {
        let Outcome { node, partitions, result } = outcome;
        if let Some(count) = self.in_flight_to.get_mut(&node) {
            *count -= 1;
        }
        for partition in &partitions {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.in_flight = false;
            }
        }
        let response = match result {
            Ok(response) => response,
            Err(e) => {
                self.client.disconnect(node, Purpose::Data);
                self.pause_after(e)?;
                return Ok(0);
            }
        };
        self.patience.restore();
        let mut records = 0;
        for partition in partitions {
            let answered =
                response.responses.iter().flat_map(|t| &t.partition_responses).find(|p| p.index == partition);
            let Some(lane) = self.lanes.get_mut(&partition) else { continue };
            // Whatever is not answered is as if nobody led it: asked again, with fresh metadata.
            let code = answered.map_or(ResponseError::NotLeaderOrFollower.code(), |p| p.error_code);
            if code == 0 || code == ResponseError::DuplicateSequenceNumber.code() {
                records += lane.acknowledge();
            } else {
                let pause = lane.patience.next_pause(ClientError::Broker { api: ApiKey::Produce, code })?;
                self.retry_at = self.retry_at.or(Some(Instant::now() + pause));
            }
        }
        Ok(records)
    }

    fn pause_after(&mut self, failure: ClientError) -> Result<(), ClientError> {
        let pause = self.patience.next_pause(failure)?;
        self.retry_at = self.retry_at.or(Some(Instant::now() + pause));
        Ok(())
    }
}

impl Lane {
    /// As many waiting records as make a batch, and how many bytes they have.
    fn next_batch(&mut self, writer: Writer, timestamp_ms: i64) -> Result<(Batch, usize), ClientError> {
        let (mut values, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.front()
            && (values.is_empty() || bytes + next.len() <= limits::BATCH_BYTES)
        {
            bytes += next.len();
            values.extend(self.waiting.pop_front());
        }
        let encoded = records::write(&values, writer, timestamp_ms)?;
        let records = i32::try_from(values.len()).expect("a batch has no more records than bytes, and few of those");
        Ok((Batch { encoded, records }, bytes))
    }

    fn acknowledge(&mut self) -> u64 {
        self.patience.restore();
        let records = self.batch.take().map_or(0, |batch| batch.records);
        // Sequence numbers go from 0 to i32::MAX and round.
        self.next_sequence = self.next_sequence.wrapping_add(records) & i32::MAX;
        u64::try_from(records).unwrap_or(0)
    }
}
