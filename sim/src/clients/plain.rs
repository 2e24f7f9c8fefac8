//! Producers without idempotence that send each record once, whatever becomes of it.

use super::{Client, bootstrap, kafka};
use crate::{
    history::{Outcome, value},
    limits,
    net::SimStream,
    topology,
};
use bytes::Bytes;
use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use kroxy_core::address::HostPort;
use runtime::net::Net;
use std::{collections::BTreeMap, io, time::Duration};
use tokio::time::{sleep, timeout};

/// Who has to say that a record is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Acks {
    /// Nobody.
    None,
    /// The partition's leader.
    Leader,
}

/// What a producer knows.
struct Producer {
    me: Client,
    acks: Acks,
    correlation: i32,
    /// Where the leader of each partition is.
    leaders: BTreeMap<i32, HostPort>,
    streams: BTreeMap<HostPort, SimStream>,
}

/// Sends records at its pace until the faults are over.
pub(super) async fn run(me: Client, acks: Acks) {
    let mut producer = Producer { me, acks, correlation: 0, leaders: BTreeMap::new(), streams: BTreeMap::new() };
    let mut sequence = 0;
    while !producer.me.is_finishing() {
        sleep(Duration::from_millis(producer.me.load.pace_ms)).await;
        let (partition, bytes) = (producer.me.partition(), producer.me.record_bytes());
        let Some(leader) = producer.leader(partition).await else {
            sleep(limits::RETRY_PAUSE).await;
            continue;
        };
        let me = &producer.me;
        let record = value(&me.name, partition, sequence, bytes);
        me.history.sent(record.clone(), me.place(topology::READINGS, partition), &me.name, sequence);
        sequence += 1;
        let outcome = producer.send(&leader, partition, record.clone()).await;
        producer.me.history.settled(&record, outcome);
        if outcome != Outcome::Ok && acks == Acks::Leader {
            producer.leaders.clear();
            sleep(limits::RETRY_PAUSE).await;
        }
    }
    // What was sent and is never answered must not be destroyed by a reset.
    for stream in producer.streams.values_mut() {
        let _ = tokio::io::AsyncWriteExt::shutdown(stream).await; // the proxy may have closed it before
    }
    producer.me.done();
}

impl Producer {
    /// Where the leader of a partition is, as far as that can be found out now.
    async fn leader(&mut self, partition: i32) -> Option<HostPort> {
        if let Some(known) = self.leaders.get(&partition) {
            return Some(known.clone());
        }
        match timeout(limits::OPERATION, self.ask()).await {
            Ok(Ok(leaders)) => self.leaders = leaders,
            Ok(Err(e)) => self.me.note(format_args!("no metadata: {:?}", e.kind())),
            Err(_) => self.me.note(format_args!("no metadata in time")),
        }
        self.leaders.get(&partition).cloned()
    }

    async fn ask(&mut self) -> io::Result<BTreeMap<i32, HostPort>> {
        let mut stream = self.me.net.connect(&bootstrap(self.me.cluster)).await?;
        let request = kafka::metadata(topology::READINGS);
        kafka::send(&mut stream, &kafka::frame(&self.me.name, kafka::METADATA, 0, &request)?).await?;
        let answer = kafka::answer::<MetadataRequest>(&mut stream, kafka::METADATA).await?;
        let place = |node: i32| {
            let broker = answer.brokers.iter().find(|broker| broker.node_id.0 == node)?;
            Some(HostPort::new(broker.host.as_str(), u16::try_from(broker.port).ok()?))
        };
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions.filter_map(|p| Some((p.partition_index, place(p.leader_id.0)?))).collect())
    }

    async fn send(&mut self, leader: &HostPort, partition: i32, record: Bytes) -> Outcome {
        let mut stream = match self.streams.remove(leader) {
            Some(stream) => stream,
            None => match timeout(limits::OPERATION, self.me.net.connect(leader)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) | Err(_) => {
                    self.leaders.clear();
                    return Outcome::Failed;
                }
            },
        };
        match timeout(limits::OPERATION, self.exchange(&mut stream, partition, record)).await {
            Ok(Ok(outcome)) => {
                self.streams.insert(leader.clone(), stream);
                outcome
            }
            Ok(Err(_)) | Err(_) => {
                self.leaders.clear();
                Outcome::Indefinite
            }
        }
    }

    async fn exchange(&mut self, stream: &mut SimStream, partition: i32, record: Bytes) -> io::Result<Outcome> {
        let acks = match self.acks {
            Acks::None => 0,
            Acks::Leader => 1,
        };
        let at_ms = i64::try_from(self.me.around.clock().unix_ms()).unwrap_or(i64::MAX);
        let request = kafka::produce(topology::READINGS, partition, acks, record, at_ms)?;
        self.correlation += 1;
        kafka::send(stream, &kafka::frame(&self.me.name, kafka::PRODUCE, self.correlation, &request)?).await?;
        if self.acks == Acks::None {
            return Ok(Outcome::Indefinite);
        }
        let answer = kafka::answer::<ProduceRequest>(stream, kafka::PRODUCE).await?;
        let code = answer.responses.iter().flat_map(|t| &t.partition_responses).map(|p| p.error_code).next();
        Ok(match code {
            Some(0) => Outcome::Ok,
            Some(_) => Outcome::Failed,
            None => Outcome::Indefinite,
        })
    }
}
