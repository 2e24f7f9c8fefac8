//! A consumer without a group that reads all partitions from their beginning, and only what is committed.

use super::{Client, lines::Lines};
use crate::{limits, topology};
use bytes::Bytes;
use kafka_protocol::{
    messages::{
        BrokerId, FetchRequest, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::PartitionData,
    },
    protocol::StrBytes,
    records::{Record, RecordBatchDecoder},
};
use kroxy_core::address::HostPort;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};
use tokio::time::sleep;

/// The version of Fetch that is spoken: the last one that names topics.
const FETCH: i16 = 12;
/// The isolation level of those who read what is committed.
const READ_COMMITTED: i8 = 1;
/// ms that a broker waits for records.
const WAIT_MS: i32 = 100;
/// Bytes of records in one answer.
const BYTES: i32 = 1 << 20;
/// In the key of a marker, behind its version: the transaction was aborted.
const ABORT: &[u8] = &[0, 0];

struct Reader {
    me: Client,
    lines: Lines,
    leaders: BTreeMap<i32, HostPort>,
    /// The offset to be read next.
    positions: BTreeMap<i32, i64>,
}

/// Reads until no transaction comes any more and everything was read.
pub(super) async fn run(me: Client) {
    let lines = Lines::new(me.clone());
    let mut reader = Reader { me, lines, leaders: BTreeMap::new(), positions: BTreeMap::new() };
    loop {
        // Asked before the logs' ends are: nothing comes behind those any more.
        let nothing_comes = reader.me.is_finishing() && !reader.me.is_producing_transactions();
        match reader.round().await {
            Ok(true) if nothing_comes => break,
            Ok(_) => {}
            Err(e) => {
                reader.me.note(format_args!("cannot read: {e}"));
                reader.leaders.clear();
                sleep(limits::RETRY_PAUSE).await;
            }
        }
    }
    reader.me.done();
}

impl Reader {
    /// Reads once from every partition; whether all were read to their ends.
    async fn round(&mut self) -> io::Result<bool> {
        if self.leaders.len() < usize::from(self.me.partitions) {
            self.leaders = self.lines.leaders(topology::PAYMENTS).await?;
        }
        let mut all_read = self.leaders.len() == usize::from(self.me.partitions);
        for (partition, leader) in self.leaders.clone() {
            all_read &= self.fetch(partition, &leader).await?;
        }
        sleep(Duration::from_millis(self.me.load.pace_ms)).await;
        Ok(all_read)
    }

    async fn fetch(&mut self, partition: i32, leader: &HostPort) -> io::Result<bool> {
        let position = self.positions.get(&partition).copied().unwrap_or_default();
        let wanted = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(position)
            .with_partition_max_bytes(BYTES);
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(topology::PAYMENTS)))
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(BYTES)
            .with_isolation_level(READ_COMMITTED)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let answer = self.lines.ask(leader, FETCH, &request).await?;
        let got = answer.responses.iter().flat_map(|topic| &topic.partitions).find(|p| p.partition_index == partition);
        let got = got.filter(|got| answer.error_code == 0 && got.error_code == 0);
        let got = got.ok_or_else(|| io::Error::other("not to be had here"))?;
        let position = self.take(position, got)?;
        self.positions.insert(partition, position);
        Ok(position >= got.high_watermark)
    }

    /// Takes note of the records that are committed, as consumers find them: aborted producers are listed, each from its
    /// first offset up to its marker. Returns the next position.
    fn take(&self, mut position: i64, got: &PartitionData) -> io::Result<i64> {
        let listed = got.aborted_transactions.iter().flatten().map(|a| (a.first_offset, a.producer_id.0));
        let mut to_come: BTreeSet<(i64, i64)> = listed.collect();
        let mut aborted = BTreeSet::new();
        let mut records = got.records.clone().unwrap_or_default();
        let batches = RecordBatchDecoder::decode_all(&mut records).map_err(|e| io::Error::other(e.to_string()))?;
        for record in batches.into_iter().flat_map(|batch| batch.records) {
            while let Some(next) = to_come.first().copied().filter(|(first, _)| *first <= record.offset) {
                to_come.remove(&next);
                aborted.insert(next.1);
            }
            if is_abort(&record) {
                aborted.remove(&record.producer_id);
            }
            let wanted = record.offset >= position && !record.control;
            position = position.max(record.offset + 1);
            if wanted && !(record.transactional && aborted.contains(&record.producer_id)) {
                self.me.history.ledger().read(record.value.unwrap_or_else(Bytes::new));
            }
        }
        Ok(position)
    }
}

fn is_abort(record: &Record) -> bool {
    record.control && record.key.as_ref().is_some_and(|key| key.get(2..4) == Some(ABORT))
}
