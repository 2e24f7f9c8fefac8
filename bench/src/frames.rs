//! Frames of Kafka whose size is chosen, and a counter of frames in a stream.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::{FetchableTopicResponse, PartitionData},
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
    },
    protocol::{Encodable, StrBytes},
};

/// Which of the two directions carries the bulk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Produce,
    Fetch,
}

/// The last versions in which topics have names.
const FETCH_VERSION: i16 = 12;
const PRODUCE_VERSION: i16 = 9;

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "consume",
        }
    }

    const fn api(self) -> (ApiKey, i16) {
        match self {
            Self::Produce => (ApiKey::Produce, PRODUCE_VERSION),
            Self::Fetch => (ApiKey::Fetch, FETCH_VERSION),
        }
    }
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("bench"))
}

/// A request; one that produces has `bytes` bytes of records.
pub(crate) fn request(kind: Kind, bytes: usize) -> Bytes {
    let (api, version) = kind.api();
    match kind {
        Kind::Produce => {
            let partition = PartitionProduceData::default().with_records(Some(vec![b'r'; bytes].into()));
            let topic = TopicProduceData::default().with_name(topic()).with_partition_data(vec![partition]);
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
            asked(api, version, &request)
        }
        Kind::Fetch => {
            let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
            let topic = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
            let request = FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(vec![topic]);
            asked(api, version, &request)
        }
    }
}

/// A response; one to a fetch has `bytes` bytes of records.
pub(crate) fn response(kind: Kind, bytes: usize) -> Bytes {
    let (api, version) = kind.api();
    match kind {
        Kind::Produce => {
            let partition = PartitionProduceResponse::default();
            let topic = TopicProduceResponse::default().with_name(topic()).with_partition_responses(vec![partition]);
            answered(api, version, &ProduceResponse::default().with_responses(vec![topic]))
        }
        Kind::Fetch => {
            let partition = PartitionData::default().with_records(Some(vec![b'r'; bytes].into()));
            let topic = FetchableTopicResponse::default().with_topic(topic()).with_partitions(vec![partition]);
            answered(api, version, &FetchResponse::default().with_responses(vec![topic]))
        }
    }
}

/// A request in its frame, with correlation id 0.
pub(crate) fn asked(api: ApiKey, version: i16, request: &impl Encodable) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("bench")));
    framed(api.request_header_version(version), &header, version, request)
}

/// A response in its frame, with correlation id 0.
pub(crate) fn answered(api: ApiKey, version: i16, response: &impl Encodable) -> Bytes {
    framed(api.response_header_version(version), &ResponseHeader::default(), version, response)
}

fn framed(header_version: i16, header: &impl Encodable, version: i16, body: &impl Encodable) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, header_version).expect("a header");
    body.encode(&mut frame, version).expect("a body");
    let length = u32::try_from(frame.len() - LENGTH).expect("not that large");
    frame[..LENGTH].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

const LENGTH: usize = 4;

/// Where the correlation id stands in a request and in a response.
pub(crate) const IN_REQUEST: std::ops::Range<usize> = 8..12;
pub(crate) const IN_RESPONSE: std::ops::Range<usize> = 4..8;

/// The first bytes of a frame, with the correlation id in them; every frame here is longer.
pub(crate) type Head = [u8; 12];

/// Finds the ends of frames in a stream.
#[derive(Default)]
pub(crate) struct Frames {
    head: Head,
    known: usize,
    left: usize,
}

impl Frames {
    /// Calls `ended` with the head of each frame that ends in `bytes`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut ended: impl FnMut(&Head)) {
        while !bytes.is_empty() {
            if self.known < self.head.len() {
                let take = bytes.len().min(self.head.len() - self.known);
                self.head[self.known..self.known + take].copy_from_slice(&bytes[..take]);
                self.known += take;
                bytes = &bytes[take..];
                if self.known < self.head.len() {
                    return;
                }
                let length = u32::from_be_bytes(self.head[..LENGTH].try_into().expect("four bytes"));
                self.left = length as usize + LENGTH - self.head.len();
            }
            let take = bytes.len().min(self.left);
            self.left -= take;
            bytes = &bytes[take..];
            if self.left == 0 {
                ended(&self.head);
                self.known = 0;
            }
        }
    }
}
