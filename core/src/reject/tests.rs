//! Every rejection of every version, against the codec of the kafka-protocol crate.

use super::*;
use crate::api::{APIS, DrainTreatment};
use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        AddPartitionsToTxnRequest, BrokerId, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
        DeleteGroupsRequest, DeleteGroupsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DescribeGroupsRequest,
        DescribeGroupsResponse, DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
        DescribeTransactionsResponse, FetchRequest, GroupId, ListOffsetsRequest, ListOffsetsResponse,
        OffsetFetchRequest, OffsetFetchResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        ProduceRequest, ProduceResponse, ResponseHeader, ShareFetchRequest, ShareFetchResponse,
        ShareGroupDescribeRequest, ShareGroupDescribeResponse, TopicName, TransactionalId,
        add_partitions_to_txn_request::AddPartitionsToTxnTopic,
        add_partitions_to_txn_response::{AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult},
        consumer_group_describe_response,
        delete_groups_response::DeletableGroupResult,
        delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
        describe_groups_response::DescribedGroup,
        describe_producers_request::TopicRequest,
        describe_producers_response::{PartitionResponse, TopicResponse},
        describe_transactions_response::TransactionState,
        fetch_request::{FetchPartition, FetchTopic, ForgottenTopic},
        fetch_response::{FetchableTopicResponse, PartitionData},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
        offset_fetch_response::{OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic},
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
        share_fetch_request::{AcknowledgementBatch, FetchPartition as SharePartition, FetchTopic as ShareTopic},
        share_group_describe_response,
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Topics, by a name or an id that a number stands for, and the partitions asked for in each.
type Asked = Vec<(u8, Vec<i32>)>;

const NAMING: [ApiKey; 8] = [
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::LIST_OFFSETS,
    ApiKey::OFFSET_FOR_LEADER_EPOCH,
    ApiKey::ADD_PARTITIONS_TO_TXN,
    ApiKey::OFFSET_FETCH,
    ApiKey::DELETE_RECORDS,
    ApiKey::DESCRIBE_PRODUCERS,
];

fn topic(n: u8) -> TopicName {
    TopicName(StrBytes::from_string("t".repeat(usize::from(n))))
}

fn encoded(version: i16, message: &impl Encodable) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).expect("encodable");
    out.to_vec()
}

fn unknown_tags(flexible: bool) -> BTreeMap<i32, Bytes> {
    BTreeMap::from_iter(flexible.then(|| (77, Bytes::from_static(&[9; 200]))))
}

/// A request's body, and the body of the response that rejects it.
fn exchange(key: ApiKey, version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    match key {
        ApiKey::PRODUCE => produce(version, asked),
        ApiKey::FETCH => fetch(version, asked),
        ApiKey::LIST_OFFSETS => list_offsets(version, asked),
        ApiKey::OFFSET_FOR_LEADER_EPOCH => offset_for_leader_epoch(version, asked),
        ApiKey::ADD_PARTITIONS_TO_TXN => add_partitions_to_txn(version, asked),
        ApiKey::OFFSET_FETCH => offset_fetch(version, asked),
        ApiKey::DELETE_RECORDS => delete_records(version, asked),
        ApiKey::DESCRIBE_PRODUCERS => describe_producers(version, asked),
        other => unreachable!("{other} does not name partitions"),
    }
}

fn produce(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let tags = unknown_tags(version >= 9);
    let topics = asked.iter().map(|(n, partitions)| {
        let data = partitions.iter().map(|p| {
            PartitionProduceData::default()
                .with_index(*p)
                .with_records((p % 3 != 0).then(|| Bytes::from(vec![0xab; usize::from(*n) * 7])))
                .with_unknown_tagged_fields(tags.clone())
        });
        let topic_data = TopicProduceData::default().with_partition_data(data.collect());
        let topic_data = topic_data.with_unknown_tagged_fields(tags.clone());
        if version < 13 { topic_data.with_name(topic(*n)) } else { topic_data.with_topic_id(uuid(*n)) }
    });
    let request = ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("tx"))))
        .with_acks(-1)
        .with_topic_data(topics.collect())
        .with_unknown_tagged_fields(tags.clone());
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions
            .iter()
            .map(|p| PartitionProduceResponse::default().with_index(*p).with_error_code(6).with_base_offset(-1));
        let response = TopicProduceResponse::default().with_partition_responses(of.collect());
        if version < 13 { response.with_name(topic(*n)) } else { response.with_topic_id(uuid(*n)) }
    });
    let response = ProduceResponse::default().with_responses(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn fetch(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let tags = unknown_tags(version >= 12);
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| {
            FetchPartition::default().with_partition(*p).with_fetch_offset(7).with_unknown_tagged_fields(tags.clone())
        });
        let fetched = FetchTopic::default().with_partitions(of.collect()).with_unknown_tagged_fields(tags.clone());
        if version < 13 { fetched.with_topic(topic(*n)) } else { fetched.with_topic_id(uuid(*n)) }
    });
    let mut request = FetchRequest::default().with_topics(topics.collect());
    if version < 15 {
        request = request.with_replica_id(BrokerId(-1));
    }
    if version >= 7 {
        let forgotten = ForgottenTopic::default().with_partitions(vec![1, 2]);
        let forgotten = if version < 13 { forgotten.with_topic(topic(3)) } else { forgotten };
        request = request.with_session_epoch(0).with_forgotten_topics_data(vec![forgotten]);
    }
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| {
            PartitionData::default()
                .with_partition_index(*p)
                .with_error_code(6)
                .with_high_watermark(-1)
                .with_aborted_transactions(Some(vec![]))
                .with_records(Some(Bytes::new()))
        });
        let response = FetchableTopicResponse::default().with_partitions(of.collect());
        if version < 13 { response.with_topic(topic(*n)) } else { response.with_topic_id(uuid(*n)) }
    });
    let response = FetchResponse::default().with_responses(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn offset_fetch(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let topics = asked.iter().map(|(n, partitions)| {
        OffsetFetchRequestTopic::default().with_name(topic(*n)).with_partition_indexes(partitions.clone())
    });
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("billing")))
        .with_topics(Some(topics.collect()));
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(*p)
                .with_committed_offset(-1)
                .with_metadata(Some(StrBytes::default()))
                .with_error_code(16)
        });
        OffsetFetchResponseTopic::default().with_name(topic(*n)).with_partitions(of.collect())
    });
    let mut response = OffsetFetchResponse::default().with_topics(topics.collect());
    if version >= 2 {
        response = response.with_error_code(16);
    }
    (encoded(version, &request), encoded(version, &response))
}

fn delete_records(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| DeleteRecordsPartition::default().with_partition_index(*p).with_offset(9));
        DeleteRecordsTopic::default().with_name(topic(*n)).with_partitions(of.collect())
    });
    let request = DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(7);
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| {
            let partition = DeleteRecordsPartitionResult::default().with_partition_index(*p);
            partition.with_low_watermark(-1).with_error_code(6)
        });
        DeleteRecordsTopicResult::default().with_name(topic(*n)).with_partitions(of.collect())
    });
    let response = DeleteRecordsResponse::default().with_topics(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn describe_producers(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let topics = asked
        .iter()
        .map(|(n, partitions)| TopicRequest::default().with_name(topic(*n)).with_partition_indexes(partitions.clone()));
    let request = DescribeProducersRequest::default().with_topics(topics.collect());
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| PartitionResponse::default().with_partition_index(*p).with_error_code(6));
        TopicResponse::default().with_name(topic(*n)).with_partitions(of.collect())
    });
    let response = DescribeProducersResponse::default().with_topics(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn list_offsets(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| ListOffsetsPartition::default().with_partition_index(*p).with_timestamp(-2));
        ListOffsetsTopic::default().with_name(topic(*n)).with_partitions(of.collect())
    });
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics.collect());
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions
            .iter()
            .map(|p| ListOffsetsPartitionResponse::default().with_partition_index(*p).with_error_code(6));
        ListOffsetsTopicResponse::default().with_name(topic(*n)).with_partitions(of.collect())
    });
    let response = ListOffsetsResponse::default().with_topics(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn offset_for_leader_epoch(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| OffsetForLeaderPartition::default().with_partition(*p).with_leader_epoch(5));
        OffsetForLeaderTopic::default().with_topic(topic(*n)).with_partitions(of.collect())
    });
    let request = OffsetForLeaderEpochRequest::default().with_topics(topics.collect());
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| EpochEndOffset::default().with_partition(*p).with_error_code(6));
        OffsetForLeaderTopicResult::default().with_topic(topic(*n)).with_partitions(of.collect())
    });
    let response = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn add_partitions_to_txn(version: i16, asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let topics = asked.iter().map(|(n, partitions)| {
        AddPartitionsToTxnTopic::default().with_name(topic(*n)).with_partitions(partitions.clone())
    });
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(StrBytes::from_static_str("tx")))
        .with_v3_and_below_producer_id(ProducerId(9))
        .with_v3_and_below_topics(topics.collect());
    let topics = asked.iter().map(|(n, partitions)| {
        let of = partitions.iter().map(|p| {
            AddPartitionsToTxnPartitionResult::default().with_partition_index(*p).with_partition_error_code(16)
        });
        AddPartitionsToTxnTopicResult::default().with_name(topic(*n)).with_results_by_partition(of.collect())
    });
    let response = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect());
    (encoded(version, &request), encoded(version, &response))
}

fn uuid<T: core::str::FromStr<Err: core::fmt::Debug>>(n: u8) -> T {
    format!("{n:02x}").repeat(16).parse().expect("a topic id")
}

/// The versions of an API whose rejections name partitions, as far as the other codec knows them.
fn versions(key: ApiKey) -> core::ops::RangeInclusive<i16> {
    let api = Api::find(key).expect("known");
    match key {
        ApiKey::ADD_PARTITIONS_TO_TXN => 0..=3,
        ApiKey::LIST_OFFSETS => api.min..=10,
        ApiKey::OFFSET_FETCH => 1..=7,
        _ => api.min..=api.max,
    }
}

/// Feeds a request in pieces of the given sizes, showing again what was not taken.
fn walk(mut naming: Naming, body: &[u8], sizes: &[usize]) -> Result<Bytes, Unnamed> {
    let (mut settled, mut shown, mut sizes) = (0, 0, sizes.iter().cycle());
    while !naming.is_done() {
        shown = (shown + sizes.next().expect("not empty")).min(body.len());
        settled += naming.feed(&body[settled..shown])?;
    }
    assert_eq!(settled, body.len());
    Ok(naming.into_answer())
}

fn naming(key: ApiKey, version: i16, body: &[u8]) -> Naming {
    Naming::new(key, version, 42, u32::try_from(body.len()).expect("small")).expect("it names partitions")
}

fn whole(key: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let header = ResponseHeader::default().with_correlation_id(42);
    let head = encoded(Api::find(key).expect("known").response_header_version(version), &header);
    let len = u32::try_from(head.len() + body.len()).expect("small").to_be_bytes();
    [&len[..], &head, body].concat()
}

fn asked() -> impl Strategy<Value = Asked> {
    prop::collection::vec((1..200u8, prop::collection::vec(0..1_000i32, 0..6)), 0..5).prop_map(|mut asked| {
        asked.sort();
        asked.dedup_by_key(|(n, _)| *n);
        asked
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_asked_for_is_named_byte_for_byte_in_every_version_and_any_pieces(
        asked in asked(),
        sizes in prop::collection::vec(1..300usize, 1..5),
    ) {
        for key in NAMING {
            for version in versions(key) {
                let (request, response) = exchange(key, version, &asked);
                let answer = walk(naming(key, version, &request), &request, &sizes);
                prop_assert_eq!(answer, Ok(Bytes::from(whole(key, version, &response))), "{} {}", key, version);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived_and_the_answer_grows_with_bytes_not_with_counts(
        body in prop::collection::vec(any::<u8>(), 1..400),
        sizes in prop::collection::vec(1..100usize, 1..5),
    ) {
        for key in NAMING {
            for version in versions(key) {
                if let Ok(answer) = walk(naming(key, version, &body), &body, &sizes) {
                    prop_assert!(answer.len() <= 64 + body.len() * 20);
                }
            }
        }
    }
}

#[test]
fn a_request_that_ends_inside_a_field_has_no_answer() {
    let asked = vec![(5, vec![1, 2]), (9, vec![3])];
    for key in [ApiKey::PRODUCE, ApiKey::ADD_PARTITIONS_TO_TXN] {
        for version in versions(key) {
            let (request, _) = exchange(key, version, &asked);
            let cut = request.len() - 1;
            for end in 1..cut {
                let body = &request[..end];
                let behind_topics = if version >= 9 { cut - 205 } else { cut };
                if end < behind_topics {
                    assert!(walk(naming(key, version, body), body, &[7]).is_err(), "{key} {version}: {end} bytes");
                }
            }
        }
    }
}

#[test]
fn a_request_that_names_too_many_partitions_is_given_up_early() {
    let asked = vec![(5, (0..400_000).collect())];
    let (request, _) = exchange(ApiKey::ADD_PARTITIONS_TO_TXN, 3, &asked);
    assert!(walk(naming(ApiKey::ADD_PARTITIONS_TO_TXN, 3, &request), &request, &[1_000]).is_ok());
    let asked = vec![(5, (0..400_000).collect())];
    let (request, _) = exchange(ApiKey::LIST_OFFSETS, 1, &asked);
    assert_eq!(walk(naming(ApiKey::LIST_OFFSETS, 1, &request), &request, &[1_000]), Err(Unnamed::TooMany));
}

#[test]
fn every_rejected_api_has_an_answer_in_every_version() {
    for api in &APIS {
        let DrainTreatment::Reject(error) = api.drain else { continue };
        for version in api.min..=api.max {
            let answer = from_head(api.key, version, 42);
            let named = Naming::new(api.key, version, 42, 1).is_some() || lists_names(api.key, version);
            assert!(answer.is_some() || named, "{} version {version}", api.name);
            if let Some(answer) = answer {
                let codes = [error, Retriable::FetchSessionIdNotFound].map(|e| e.code().to_be_bytes());
                assert!(answer.windows(2).any(|w| codes.contains(&[w[0], w[1]])), "{} version {version}", api.name);
                assert_eq!(answer[..4], (answer.len() as u32 - 4).to_be_bytes());
                assert_eq!(answer[4..8], 42i32.to_be_bytes());
            }
        }
    }
}

/// The body of an answer behind its length and header.
fn body(key: ApiKey, version: i16, answer: &Bytes) -> Bytes {
    let header_version = Api::find(key).expect("known").response_header_version(version);
    answer.slice(if header_version == 0 { 8 } else { 9 }..)
}

fn decoded<T: Decodable>(key: ApiKey, version: i16, answer: Option<Bytes>) -> T {
    let mut body = body(key, version, &answer.expect("answered from its head"));
    let message = T::decode(&mut body, version).expect("decodable");
    assert!(body.is_empty(), "{key} version {version} leaves bytes behind");
    message
}

#[test]
fn answers_from_the_head_read_as_the_error_in_every_version() {
    macro_rules! check {
        ($key:ident, $response:ty, $versions:expr) => {
            for version in $versions {
                let read: $response = decoded(ApiKey::$key, version, from_head(ApiKey::$key, version, 42));
                assert_eq!(read.error_code, Retriable::NotCoordinator.code(), "version {version}");
            }
        };
    }
    check!(OFFSET_DELETE, OffsetDeleteResponse, 0..=0);
    check!(JOIN_GROUP, JoinGroupResponse, 0..=9);
    check!(SYNC_GROUP, SyncGroupResponse, 0..=5);
    check!(HEARTBEAT, HeartbeatResponse, 0..=4);
    check!(INIT_PRODUCER_ID, InitProducerIdResponse, 0..=5);
    check!(ADD_PARTITIONS_TO_TXN, AddPartitionsToTxnResponse, 4..=5);
    check!(ADD_OFFSETS_TO_TXN, AddOffsetsToTxnResponse, 0..=4);
    check!(CONSUMER_GROUP_HEARTBEAT, ConsumerGroupHeartbeatResponse, 0..=1);
    check!(SHARE_GROUP_HEARTBEAT, ShareGroupHeartbeatResponse, 1..=1);
    for version in 7..=18 {
        let read: FetchResponse = decoded(ApiKey::FETCH, version, from_head(ApiKey::FETCH, version, 42));
        assert_eq!((read.error_code, read.session_id, read.responses.len()), (70, 0, 0));
    }
    let read: ShareFetchResponse = decoded(ApiKey::SHARE_FETCH, 1, from_head(ApiKey::SHARE_FETCH, 1, 42));
    assert_eq!(read, ShareFetchResponse::default().with_error_code(122));
}

fn listing_versions(api: &'static Api) -> impl Iterator<Item = i16> {
    (api.min..=api.max).filter(|version| lists_names(api.key, *version))
}

/// The codec at hand ends with version 9: in 10 topics have ids instead of names.
#[test]
fn offsets_of_topics_by_id_are_rejected_group_by_group() {
    let group = [&[2, b'g', 0][..], &[0; 4], &[2], &[7; 16], &[3], &[0; 8], &[0, 0]].concat();
    let request = [&[3][..], &group, &group, &[1, 0]].concat();
    let answer = listing(ApiKey::OFFSET_FETCH, 10, 42, &mut Reader::new(&request));
    let group = [2, b'g', 1, 0, 16, 0];
    let response = [&[0, 0, 0, 0, 3][..], &group, &group, &[0]].concat();
    assert_eq!(answer, Ok(Some(Bytes::from(whole(ApiKey::OFFSET_FETCH, 10, &response)))));
}

/// The body of a request that lists `names`, and of the response that rejects it.
fn list(key: ApiKey, version: i16, names: &[String]) -> (Vec<u8>, Vec<u8>) {
    let texts = || names.iter().map(|name| StrBytes::from_string(name.clone()));
    let groups = || texts().map(GroupId);
    match key {
        ApiKey::OFFSET_FETCH => {
            let wanted = |name: StrBytes| {
                let topic = OffsetFetchRequestTopics::default().with_partition_indexes(vec![1, 2, 3]);
                let topic = topic.with_name(TopicName(name.clone()));
                let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(name.clone()));
                let group = if version >= 9 { group.with_member_id(Some(name)).with_member_epoch(4) } else { group };
                group.with_topics(Some(vec![topic]))
            };
            let request = OffsetFetchRequest::default().with_groups(texts().map(wanted).collect());
            let of = groups().map(|id| OffsetFetchResponseGroup::default().with_group_id(id).with_error_code(16));
            let response = OffsetFetchResponse::default().with_groups(of.collect());
            (encoded(version, &request), encoded(version, &response))
        }
        ApiKey::DESCRIBE_GROUPS => {
            let request = DescribeGroupsRequest::default().with_groups(groups().collect());
            let of = groups().map(|id| DescribedGroup::default().with_group_id(id).with_error_code(16));
            let response = DescribeGroupsResponse::default().with_groups(of.collect());
            (encoded(version, &request), encoded(version, &response))
        }
        ApiKey::DELETE_GROUPS => {
            let request = DeleteGroupsRequest::default().with_groups_names(groups().collect());
            let of = groups().map(|id| DeletableGroupResult::default().with_group_id(id).with_error_code(16));
            let response = DeleteGroupsResponse::default().with_results(of.collect());
            (encoded(version, &request), encoded(version, &response))
        }
        ApiKey::DESCRIBE_TRANSACTIONS => {
            let ids = || texts().map(TransactionalId);
            let request = DescribeTransactionsRequest::default().with_transactional_ids(ids().collect());
            let of = ids().map(|id| {
                let state = TransactionState::default().with_transactional_id(id).with_error_code(16);
                state.with_transaction_start_time_ms(-1).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
            });
            let response = DescribeTransactionsResponse::default().with_transaction_states(of.collect());
            (encoded(version, &request), encoded(version, &response))
        }
        ApiKey::CONSUMER_GROUP_DESCRIBE => {
            let request = ConsumerGroupDescribeRequest::default().with_group_ids(groups().collect());
            let of = groups().map(|id| {
                consumer_group_describe_response::DescribedGroup::default().with_group_id(id).with_error_code(16)
            });
            let response = ConsumerGroupDescribeResponse::default().with_groups(of.collect());
            (encoded(version, &request), encoded(version, &response))
        }
        ApiKey::SHARE_GROUP_DESCRIBE => {
            let request = ShareGroupDescribeRequest::default().with_group_ids(groups().collect());
            let of = groups().map(|id| {
                share_group_describe_response::DescribedGroup::default().with_group_id(id).with_error_code(16)
            });
            let response = ShareGroupDescribeResponse::default().with_groups(of.collect());
            (encoded(version, &request), encoded(version, &response))
        }
        other => unreachable!("{other} does not list names"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_listed_is_rejected_name_by_name_in_every_version(
        names in prop::collection::vec("[a-zé-]{0,200}", 0..6),
    ) {
        for api in &APIS {
            for version in listing_versions(api).filter(|version| (api.key, *version) != (ApiKey::OFFSET_FETCH, 10)) {
                let (request, response) = list(api.key, version, &names);
                let answer = listing(api.key, version, 42, &mut Reader::new(&request));
                prop_assert_eq!(answer, Ok(Some(Bytes::from(whole(api.key, version, &response)))), "{} {}", api.name, version);
                for cut in 0..request.len().min(40) {
                    let cut = listing(api.key, version, 42, &mut Reader::new(&request[..cut]));
                    prop_assert!(cut == Err(Unread::Short) || names.is_empty() || cut.is_ok(), "{:?}", cut);
                }
            }
        }
    }

    #[test]
    fn any_list_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for api in &APIS {
            for version in listing_versions(api) {
                if let Ok(Some(answer)) = listing(api.key, version, 42, &mut Reader::new(&bytes)) {
                    prop_assert!(answer.len() <= 64 + bytes.len() * 40);
                }
            }
        }
    }
}

/// No codec at hand knows the API: these are the fields of its message definition, one a line.
#[test]
fn a_streams_heartbeat_is_rejected_as_its_definition_says() {
    let answer = from_head(ApiKey::STREAMS_GROUP_HEARTBEAT, 0, 42).expect("answered from its head");
    let fields: [&[u8]; 15] = [
        &[0; 4],  // throttle time
        &[0, 16], // NOT_COORDINATOR
        &[0],     // no message
        &[1],     // an empty member id
        &[0; 4],  // member epoch
        &[0; 4],  // heartbeat interval
        &[0; 4],  // acceptable recovery lag
        &[0; 4],  // task offset interval
        &[1],     // no status
        &[0],     // active tasks: no news
        &[0],     // standby tasks
        &[0],     // warm-up tasks
        &[0; 4],  // endpoint information epoch
        &[0],     // partitions by endpoint: no news
        &[0],     // no tagged fields
    ];
    assert_eq!(answer, whole(ApiKey::STREAMS_GROUP_HEARTBEAT, 0, &fields.concat()));
}

#[test]
fn nothing_new_is_said_in_the_session_that_was_asked_for() {
    for version in 4..=18 {
        let read: FetchResponse = decoded(ApiKey::FETCH, version, Some(nothing_fetched(version, 42, None)));
        assert_eq!(read, FetchResponse::default().with_throttle_time_ms(1), "version {version}");
    }
    for version in 7..=18 {
        let read: FetchResponse = decoded(ApiKey::FETCH, version, Some(nothing_fetched(version, 42, Some(99))));
        assert_eq!(read, FetchResponse::default().with_session_id(99), "version {version}");
    }
    let read: ShareFetchResponse = decoded(ApiKey::SHARE_FETCH, 1, Some(nothing_share_fetched(1, 42)));
    assert_eq!(read, ShareFetchResponse::default());
}

#[test]
fn sessions_and_acknowledgements_are_found_where_they_stand() {
    for version in 4..=18 {
        for (session, epoch) in [(0, -1), (7, 0), (7, 1), (7, i32::MAX)] {
            let mut request = FetchRequest::default().with_max_wait_ms(500);
            if version >= 7 {
                request = request.with_session_id(session).with_session_epoch(epoch);
            }
            let body = encoded(version, &request);
            let found = incremental_session(version, &mut Reader::new(&body));
            assert_eq!(found, Ok((version >= 7 && epoch > 0).then_some(session)), "version {version}");
        }
    }
    for batches in 0..=1 {
        let batch = AcknowledgementBatch::default().with_acknowledge_types(vec![1]);
        let asked = SharePartition::default();
        let acknowledged = SharePartition::default().with_acknowledgement_batches(vec![batch; batches]);
        let topics = [vec![asked.clone()], vec![asked, acknowledged]];
        let topics = topics.map(|partitions| ShareTopic::default().with_partitions(partitions));
        let body = encoded(1, &ShareFetchRequest::default().with_topics(topics.to_vec()));
        assert_eq!(carries_acknowledgements(1, &mut Reader::new(&body)), Ok(batches > 0));
        assert_eq!(carries_acknowledgements(1, &mut Reader::new(&body[..body.len() / 2])), Err(Unread::Short));
    }
}
