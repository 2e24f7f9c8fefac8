//! Just enough of Kafka's protocol for clients that speak for themselves.

use crate::limits;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        FetchRequest, MetadataRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
        TransactionalId,
        fetch_request::{FetchPartition, FetchTopic},
        metadata_request::MetadataRequestTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
    records::{Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of Metadata that is spoken.
pub(crate) const METADATA: i16 = 9;
/// The version of FindCoordinator that is spoken.
pub(super) const FIND_COORDINATOR: i16 = 4;
/// The version of DescribeConfigs that is spoken.
pub(super) const DESCRIBE_CONFIGS: i16 = 4;
/// The version of Fetch that is spoken: records and no addresses.
pub(super) const FETCH: i16 = 11;
/// The version of Produce that is spoken.
pub(super) const PRODUCE: i16 = 9;

/// A request as it goes over the wire.
pub(crate) fn frame<R: Request>(client: &str, version: i16, correlation: i32, request: &R) -> io::Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_string(client.to_owned())));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header
        .encode(&mut frame, R::header_version(version))
        .and_then(|()| request.encode(&mut frame, version))
        .map_err(|e| io::Error::other(e.to_string()))?;
    let length = i32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// Reads the answer to the last request of this kind. Whether it is the right one the stream itself checks.
pub(crate) async fn answer<R: Request>(stream: &mut (impl AsyncRead + Unpin), version: i16) -> io::Result<R::Response> {
    let length = usize::try_from(stream.read_i32().await?).map_err(io::Error::other)?;
    if !(4..=limits::RESPONSE).contains(&length) {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let mut body = Bytes::from(body);
    ResponseHeader::decode(&mut body, R::Response::header_version(version))
        .and_then(|_| R::Response::decode(&mut body, version))
        .map_err(|e| io::Error::other(e.to_string()))
}

/// Sends a request whole.
pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await
}

/// Asks who leads a topic, which is created if it is not there.
pub(crate) fn metadata(topic: &'static str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str(topic))));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
}

/// Everything that is in the first partition of a topic, once there are so many bytes or so much time has passed.
pub(super) fn fetch(topic: &'static str, least_bytes: i32, wait: Duration) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(limits::FETCH);
    let topic =
        FetchTopic::default().with_topic(TopicName(StrBytes::from_static_str(topic))).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(i32::try_from(wait.as_millis()).expect("a few seconds"))
        .with_min_bytes(least_bytes)
        .with_max_bytes(limits::FETCH)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// A record as it is sent; of an idempotent producer with its id, epoch and sequence number.
pub(super) fn record(value: Bytes, at_ms: i64, by: Option<(i64, i16, i32)>) -> Record {
    let (producer_id, producer_epoch, sequence) = by.unwrap_or((-1, -1, -1));
    Record {
        transactional: by.is_some(),
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id,
        producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence,
        timestamp: at_ms,
        key: None,
        value: Some(value),
        headers: Default::default(),
    }
}

/// Records for one partition.
pub(super) fn produce(
    topic: &'static str,
    partition: i32,
    acks: i16,
    transactional_id: Option<TransactionalId>,
    records: &[Record],
) -> ProduceRequest {
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, records, &options).expect("a few records of our own");
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.freeze()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_partition_data(vec![data]);
    let timeout_ms = i32::try_from(limits::OPERATION.as_millis()).expect("a few seconds");
    ProduceRequest::default()
        .with_transactional_id(transactional_id)
        .with_acks(acks)
        .with_timeout_ms(timeout_ms)
        .with_topic_data(vec![topic])
}

/// What a broker says of the one partition that it was sent records for.
pub(super) fn produced(answer: &ProduceResponse) -> Option<i16> {
    answer.responses.iter().flat_map(|topic| &topic.partition_responses).map(|p| p.error_code).next()
}
