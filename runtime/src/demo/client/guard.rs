//! A look at each response before it is decoded.
//!
//! `kafka-protocol` reserves memory for whatever count it reads, so a response of twenty bytes could ask for gigabytes.
//! The shapes below, taken from Kafka's message definitions, let [`check`] go through a response without allocating:
//! afterwards every count is known to be backed by bytes that are there. They also say which versions the client speaks,
//! all of them flexible (KIP-482).

use super::super::limits::RESPONSE_ELEMENTS;
use kafka_protocol::messages::ApiKey;
use kroxy_core::wire::{Reader, Unread};

use Shape::{Blob, Fixed, Ints, List, Since, Tagged, Text, Until};

/// An API as the client speaks it: its first and last version, and how a response is made up.
pub(super) struct Spoken {
    pub(super) versions: (i16, i16),
    response: &'static [Shape],
}

/// A field of a response.
enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// A compact string, nullable or not.
    Text,
    /// Compact bytes, nullable or not.
    Blob,
    /// A compact array of integers of so many bytes.
    Ints(usize),
    /// A compact array of structures.
    List(&'static [Shape]),
    /// From a version on.
    Since(i16, &'static Shape),
    /// Up to a version.
    Until(i16, &'static Shape),
    /// A tagged field: its number and what is in it. A structure in it is spelled out with [`End`](Shape::End).
    Tagged(u32, &'static [Shape]),
    /// The tagged fields of a structure that is no element of an array.
    End,
}

/// Node endpoints (KIP-951): node id, host, port, rack.
const ENDPOINTS: &[Shape] = &[List(&[Fixed(4), Text, Fixed(4), Text])];

/// Features (KIP-584): name, first level, last level.
const FEATURES: &[Shape] = &[List(&[Text, Fixed(4)])];

/// How the client speaks an API; `None` for what it has no use for.
#[rustfmt::skip]
pub(super) const fn spoken(api: ApiKey) -> Option<Spoken> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is kafka-protocol's: everything else is not spoken")]
    let (versions, response): (_, &'static [Shape]) = match api {
        ApiKey::Metadata => ((12, 13), &[Fixed(4), List(&[Fixed(4), Text, Fixed(4), Text]), Text, Fixed(4),
            List(&[Fixed(2), Text, Fixed(16), Fixed(1), List(&[Fixed(14), Ints(4), Ints(4), Ints(4)]), Fixed(4)]),
            Since(13, &Fixed(2))]),
        ApiKey::Produce => ((9, 12), &[List(&[Text, List(&[Fixed(30), List(&[Fixed(4), Text]), Text,
            Tagged(0, &[Fixed(8), Shape::End])])]), Fixed(4), Tagged(0, ENDPOINTS)]),
        ApiKey::Fetch => ((12, 17), &[Fixed(10), List(&[Until(12, &Text), Since(13, &Fixed(16)), List(&[Fixed(30),
            List(&[Fixed(16)]), Fixed(4), Blob, Tagged(0, &[Fixed(12), Shape::End]),
            Tagged(1, &[Fixed(8), Shape::End]), Tagged(2, &[Fixed(12), Shape::End])])]), Tagged(0, ENDPOINTS)]),
        ApiKey::ListOffsets => ((6, 7), &[Fixed(4), List(&[Text, List(&[Fixed(26)])])]),
        ApiKey::FindCoordinator => ((4, 6), &[Fixed(4), List(&[Text, Fixed(4), Text, Fixed(4), Fixed(2), Text])]),
        ApiKey::JoinGroup => ((7, 9), &[Fixed(10), Text, Text, Text, Since(9, &Fixed(1)), Text,
            List(&[Text, Text, Blob])]),
        ApiKey::SyncGroup => ((5, 5), &[Fixed(6), Text, Text, Blob]),
        ApiKey::Heartbeat => ((4, 4), &[Fixed(6)]),
        ApiKey::LeaveGroup => ((4, 5), &[Fixed(6), List(&[Text, Text, Fixed(2)])]),
        ApiKey::OffsetCommit => ((8, 9), &[Fixed(4), List(&[Text, List(&[Fixed(6)])])]),
        ApiKey::OffsetFetch => ((8, 9), &[Fixed(4), List(&[Text, List(&[Text, List(&[Fixed(16), Text, Fixed(2)])]),
            Fixed(2)])]),
        ApiKey::ApiVersions => ((3, 3), &[Fixed(2), List(&[Fixed(6)]), Fixed(4), Tagged(0, FEATURES), Tagged(1, &[Fixed(8)]),
            Tagged(2, FEATURES)]),
        ApiKey::InitProducerId => ((2, 5), &[Fixed(16)]),
        _ => return None,
    };
    Some(Spoken { versions, response })
}

/// Goes through the body of a response.
pub(super) fn check(spoken: &Spoken, version: i16, body: &[u8]) -> Result<(), Unread> {
    let mut walk = Walk { reader: Reader::new(body), version, elements: 0 };
    walk.structure(spoken.response)
}

struct Walk<'a> {
    reader: Reader<'a>,
    version: i16,
    elements: usize,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &[Shape]) -> Result<(), Unread> {
        fields.iter().try_for_each(|field| self.field(field))?;
        self.tags(fields)
    }

    fn field(&mut self, field: &Shape) -> Result<(), Unread> {
        match field {
            Fixed(size) => self.reader.take(*size).map(drop),
            Text | Blob => self.reader.compact_nullable_string().map(drop),
            Ints(size) => {
                let count = self.count()?;
                let bytes = size.checked_mul(count).ok_or(Unread::Wrong("a count beyond all memory"))?;
                self.reader.take(bytes).map(drop)
            }
            List(element) => (0..self.count()?).try_for_each(|_| self.structure(element)),
            Since(from, field) if self.version >= *from => self.field(field),
            Until(to, field) if self.version <= *to => self.field(field),
            // Not in this version, or behind the other fields.
            Since(..) | Until(..) | Tagged(..) => Ok(()),
            Shape::End => self.tags(&[]),
        }
    }

    /// The number of elements of a compact array, null having none.
    fn count(&mut self) -> Result<usize, Unread> {
        let count = (self.reader.uvarint()? as usize).saturating_sub(1);
        self.elements = self.elements.saturating_add(count);
        if self.elements > RESPONSE_ELEMENTS { Err(Unread::Wrong("too many elements")) } else { Ok(count) }
    }

    /// The decoder reads a tag that it knows without looking at its size, so the size has to be right.
    fn tags(&mut self, fields: &[Shape]) -> Result<(), Unread> {
        for _ in 0..self.reader.uvarint()? {
            self.elements += 1;
            if self.elements > RESPONSE_ELEMENTS {
                return Err(Unread::Wrong("too many tagged fields"));
            }
            let number = self.reader.uvarint()?;
            let size = self.reader.uvarint()? as usize;
            let known = fields.iter().find_map(|field| match field {
                Tagged(tag, inner) if *tag == number => Some(*inner),
                Tagged(..) | Fixed(_) | Text | Blob | Ints(_) | List(_) | Since(..) | Until(..) | Shape::End => None,
            });
            let before = self.reader.position();
            match known {
                Some(inner) => inner.iter().try_for_each(|field| self.field(field))?,
                None => self.reader.take(size).map(drop)?,
            }
            if self.reader.position() - before != size {
                return Err(Unread::Wrong("a tagged field is not of the size that it claims"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::{
        messages::{
            ApiVersionsResponse, BrokerId, FetchResponse, MetadataResponse, ProduceResponse,
            api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey},
            fetch_response::{self, AbortedTransaction, FetchableTopicResponse, PartitionData},
            metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
            produce_response::{self, PartitionProduceResponse, TopicProduceResponse},
        },
        protocol::Encodable,
    };

    fn passes(api: ApiKey, version: i16, response: &impl Encodable) {
        let mut body = BytesMut::new();
        response.encode(&mut body, version).expect("encodes");
        let spoken = spoken(api).expect("spoken");
        assert_eq!(check(&spoken, version, &body), Ok(()), "{api:?} v{version}");
        for short in 0..body.len() {
            assert!(check(&spoken, version, &body[..short]).is_err(), "{api:?} v{version} cut to {short} bytes");
        }
    }

    #[test]
    fn responses_with_every_array_filled_pass_and_cut_ones_do_not() {
        for version in 12..=13 {
            let partition = MetadataResponsePartition::default()
                .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
                .with_isr_nodes(vec![BrokerId(1)])
                .with_offline_replicas(vec![BrokerId(2)]);
            let topic = MetadataResponseTopic::default().with_partitions(vec![partition]);
            let metadata = MetadataResponse::default()
                .with_brokers(vec![MetadataResponseBroker::default()])
                .with_topics(vec![topic]);
            passes(ApiKey::Metadata, version, &metadata);
        }
        for version in 9..=12 {
            let mut partition = PartitionProduceResponse::default()
                .with_record_errors(vec![produce_response::BatchIndexAndErrorMessage::default()]);
            let mut response = ProduceResponse::default();
            if version >= 10 {
                partition.current_leader = produce_response::LeaderIdAndEpoch::default().with_leader_id(BrokerId(3));
                response.node_endpoints = vec![produce_response::NodeEndpoint::default()];
            }
            let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
            passes(ApiKey::Produce, version, &response.with_responses(vec![topic]));
        }
        for version in 12..=17 {
            let mut partition = PartitionData::default()
                .with_aborted_transactions(Some(vec![AbortedTransaction::default()]))
                .with_records(Some(vec![1, 2, 3].into()));
            partition.current_leader = fetch_response::LeaderIdAndEpoch::default().with_leader_id(BrokerId(3));
            partition.diverging_epoch = fetch_response::EpochEndOffset::default().with_epoch(1);
            partition.snapshot_id = fetch_response::SnapshotId::default().with_epoch(1);
            let mut response = FetchResponse::default()
                .with_responses(vec![FetchableTopicResponse::default().with_partitions(vec![partition])]);
            if version >= 16 {
                response.node_endpoints = vec![fetch_response::NodeEndpoint::default()];
            }
            passes(ApiKey::Fetch, version, &response);
        }
    }

    #[test]
    fn versions_with_features_pass_and_cut_ones_do_not() {
        let response = ApiVersionsResponse::default()
            .with_api_keys(vec![ApiVersion::default(); 3])
            .with_supported_features(vec![SupportedFeatureKey::default()])
            .with_finalized_features_epoch(7)
            .with_finalized_features(vec![FinalizedFeatureKey::default(); 2]);
        passes(ApiKey::ApiVersions, 3, &response);
    }

    #[test]
    fn a_count_without_the_bytes_is_refused_before_anything_is_reserved() {
        let metadata = spoken(ApiKey::Metadata).expect("spoken");
        let body = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(check(&metadata, 12, &body), Err(Unread::Wrong("too many elements")));
    }
}
