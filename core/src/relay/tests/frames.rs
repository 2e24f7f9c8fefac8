//! Frames for the stories, encoded by the kafka-protocol crate.

use crate::api::{Api, ApiKey};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, BrokerId, FetchRequest, FetchResponse, MetadataRequest,
        MetadataResponse, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
        api_versions_response::ApiVersion,
        fetch_response::{FetchableTopicResponse, NodeEndpoint, PartitionData},
        metadata_response::MetadataResponseBroker,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Encodable, StrBytes},
};

pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).expect("small").to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

pub(super) fn request(key: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(key.0)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("story")));
    let flexible = Api::find(key).is_some_and(|api| api.is_flexible(version));
    let mut out = BytesMut::new();
    header.encode(&mut out, if flexible { 2 } else { 1 }).expect("encodable");
    body.encode(&mut out, version).expect("encodable");
    framed(&out)
}

pub(super) fn response(key: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Vec<u8> {
    let header_version = Api::find(key).expect("known").response_header_version(version);
    let mut out = BytesMut::new();
    ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut out, header_version).expect("encodable");
    body.encode(&mut out, version).expect("encodable");
    framed(&out)
}

pub(super) fn api_versions(correlation_id: i32) -> Vec<u8> {
    let body = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("apache-kafka-java"))
        .with_client_software_version(StrBytes::from_static_str("4.3.1"));
    request(ApiKey::API_VERSIONS, 3, correlation_id, &body)
}

pub(super) fn api_versions_ok(correlation_id: i32, ranges: &[(i16, i16, i16)]) -> Vec<u8> {
    let keys = ranges
        .iter()
        .map(|(key, min, max)| ApiVersion::default().with_api_key(*key).with_min_version(*min).with_max_version(*max));
    response(ApiKey::API_VERSIONS, 3, correlation_id, &ApiVersionsResponse::default().with_api_keys(keys.collect()))
}

pub(super) fn metadata(correlation_id: i32) -> Vec<u8> {
    request(ApiKey::METADATA, 12, correlation_id, &MetadataRequest::default().with_topics(None))
}

/// A metadata response of one broker.
pub(super) fn metadata_ok(correlation_id: i32, node: i32, host: &str, port: u16) -> Vec<u8> {
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(node))
        .with_host(StrBytes::from_string(host.to_owned()))
        .with_port(i32::from(port));
    response(ApiKey::METADATA, 12, correlation_id, &MetadataResponse::default().with_brokers(vec![broker]))
}

pub(super) fn produce(version: i16, correlation_id: i32, acks: i16, records: usize) -> Vec<u8> {
    let partition = PartitionProduceData::default().with_records(Some(Bytes::from(vec![0xab; records])));
    let mut topic = TopicProduceData::default().with_partition_data(vec![partition]);
    if version < 13 {
        topic = topic.with_name(TopicName(StrBytes::from_static_str("orders")));
    }
    let body = ProduceRequest::default().with_acks(acks).with_timeout_ms(1_000).with_topic_data(vec![topic]);
    request(ApiKey::PRODUCE, version, correlation_id, &body)
}

pub(super) fn fetch(correlation_id: i32) -> Vec<u8> {
    request(ApiKey::FETCH, 16, correlation_id, &FetchRequest::default().with_max_wait_ms(500))
}

/// A fetch response (version 16) with so many bytes of records, and node endpoints if there are any.
pub(super) fn fetch_ok(correlation_id: i32, records: usize, endpoints: &[(i32, &str, u16)]) -> Vec<u8> {
    let partition = PartitionData::default().with_records(Some(Bytes::from(vec![0xcd; records])));
    let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
    let endpoints = endpoints.iter().map(|(node, host, port)| {
        NodeEndpoint::default()
            .with_node_id(BrokerId(*node))
            .with_host(StrBytes::from_string((*host).to_owned()))
            .with_port(i32::from(*port))
    });
    let body = FetchResponse::default().with_responses(vec![topic]).with_node_endpoints(endpoints.collect());
    response(ApiKey::FETCH, 16, correlation_id, &body)
}

/// A frame of an API that flows unread: a heartbeat (version 4), whose body is opaque here.
pub(super) fn opaque(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 12, 0, 4];
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&[0, 1, b's', 0]);
    frame.extend_from_slice(body);
    framed(&frame)
}

pub(super) fn opaque_ok(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = correlation_id.to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    framed(&frame)
}
