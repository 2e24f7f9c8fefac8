//! Reading: Fetch and ListOffsets, for the partitions of one topic.

use super::{Client, ClientError, Purpose, records, records::Received, text};
use crate::{demo::limits, net::Net};
use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, FetchRequest, FetchResponse, ListOffsetsRequest, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
};
use std::{collections::BTreeMap, time::Duration};

/// The first version that names topics by id (KIP-516).
const TOPIC_IDS: i16 = 13;

/// Which end of a partition is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whence {
    /// The first record that is there.
    Earliest,
    /// Behind the last record.
    Latest,
}

impl<N: Net> Client<N> {
    /// Where each of the partitions ends: the offset that its next record will have.
    pub async fn end_offsets(&mut self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, ClientError> {
        self.list_offsets(topic, partitions, Whence::Latest).await
    }

    pub(super) async fn list_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        whence: Whence,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let mut offsets = BTreeMap::new();
        let mut patience = self.patience();
        for &partition in partitions {
            let offset = loop {
                match self.list_offset(topic, partition, whence).await {
                    Ok(offset) => break offset,
                    Err(e) => patience.after(e).await?,
                }
                // What went wrong now may go wrong once more: the next failure of the question counts.
                if let Err(e) = self.refresh(topic).await {
                    patience.after(e).await?;
                }
            };
            offsets.insert(partition, offset);
        }
        Ok(offsets)
    }

    async fn list_offset(&mut self, topic: &str, partition: i32, whence: Whence) -> Result<i64, ClientError> {
        let timestamp = match whence {
            Whence::Latest => -1,
            Whence::Earliest => -2,
        };
        let asked = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
        let asked = ListOffsetsTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
        let leader = self.leader(topic, partition).ok_or(ClientError::NoLeader(partition))?;
        let connection = self.connection(leader, Purpose::Data).await?;
        let response = connection.call(&request, Duration::ZERO).await.inspect_err(|_| {
            self.disconnect(leader, Purpose::Data);
        })?;
        let answered = response.topics.iter().flat_map(|t| &t.partitions).find(|p| p.partition_index == partition);
        let answered = answered.ok_or(ClientError::NoLeader(partition))?;
        ClientError::broker(ApiKey::ListOffsets, answered.error_code)?;
        Ok(answered.offset)
    }

    /// A request for records of these partitions, each from its offset on.
    pub(super) fn fetch_request(&self, topic: &str, version: i16, positions: &[(i32, i64)]) -> FetchRequest {
        let (max_bytes, partition_max_bytes) = limits::FETCH_BYTES;
        let partition = |&(partition, offset): &(i32, i64)| {
            FetchPartition::default()
                .with_partition(partition)
                .with_fetch_offset(offset)
                .with_partition_max_bytes(partition_max_bytes)
        };
        let mut asked = FetchTopic::default().with_partitions(positions.iter().map(partition).collect());
        if version < TOPIC_IDS {
            asked.topic = TopicName(text(topic));
        } else if let Some(known) = self.topics.get(topic) {
            asked.topic_id = known.topic_id;
        }
        FetchRequest::default()
            .with_max_wait_ms(i32::try_from(limits::FETCH_WAIT.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(max_bytes)
            .with_session_epoch(-1)
            .with_topics(vec![asked])
    }
}

/// The records of one partition, or why there are none.
pub(super) type Brought = Result<Vec<Received>, ClientError>;

/// What a Fetch brought for each of the partitions that were asked for, in their order.
pub(super) fn fetched(response: &FetchResponse, positions: &[(i32, i64)]) -> Result<Vec<(i32, Brought)>, ClientError> {
    ClientError::broker(ApiKey::Fetch, response.error_code)?;
    let one = |&(partition, position): &(i32, i64)| {
        let mut answered = response.responses.iter().flat_map(|t| &t.partitions);
        let records = match answered.find(|p| p.partition_index == partition) {
            // As if nobody led it: asked again, with fresh metadata.
            None => ClientError::broker(ApiKey::Fetch, ResponseError::NotLeaderOrFollower.code()).map(|()| Vec::new()),
            Some(found) => ClientError::broker(ApiKey::Fetch, found.error_code).and_then(|()| {
                found.records.as_ref().map_or(Ok(Vec::new()), |batches| records::read(batches, position))
            }),
        };
        (partition, records)
    };
    Ok(positions.iter().map(one).collect())
}
