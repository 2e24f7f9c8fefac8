//! A drain as a client sees it: what is turned away, what is executed, which long polls end early, and the end.

use super::{
    super::{Action, Event, Leg},
    Pair,
    frames::*,
    server, spec,
};
use crate::{api::ApiKey, reject, rewrite, time::Instant};
use core::time::Duration;
use kafka_protocol::{
    messages::{
        ConsumerGroupHeartbeatRequest, CreateTopicsRequest, DescribeGroupsRequest, DescribeGroupsResponse,
        FetchRequest, FetchResponse, GroupId, JoinGroupRequest, OffsetCommitRequest, ProduceRequest, ProduceResponse,
        ShareFetchRequest, TopicName,
        describe_groups_response::DescribedGroup,
        fetch_request::{FetchPartition, FetchTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
        share_fetch_request::{AcknowledgementBatch, FetchPartition as SharePartition, FetchTopic as ShareTopic},
    },
    protocol::StrBytes,
};

/// A connection that is draining, because a request with correlation id 1 is still to be answered.
fn draining() -> Pair {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.at(10).happens(Event::Drain).expect_nothing();
    p
}

fn fetch_of(id: i32, session: i32, epoch: i32) -> Vec<u8> {
    let topic = FetchTopic::default().with_partitions(vec![FetchPartition::default().with_partition(3)]);
    let body = FetchRequest::default()
        .with_max_wait_ms(30_000)
        .with_session_id(session)
        .with_session_epoch(epoch)
        .with_topics(vec![topic]);
    request(ApiKey::FETCH, 16, id, &body)
}

fn join_group(id: i32) -> Vec<u8> {
    request(ApiKey::JOIN_GROUP, 9, id, &JoinGroupRequest::default())
}

fn not_coordinator(key: ApiKey, version: i16, id: i32) -> Vec<u8> {
    reject::from_head(key, version, id).expect("answered from its head").to_vec()
}

fn offset_commit(id: i32) -> Vec<u8> {
    request(ApiKey::OFFSET_COMMIT, 8, id, &OffsetCommitRequest::default())
}

fn produce_to(id: i32, partitions: &[i32], records: usize) -> Vec<u8> {
    let data = partitions.iter().map(|p| {
        PartitionProduceData::default().with_index(*p).with_records(Some(bytes::Bytes::from(vec![0xab; records])))
    });
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_data(data.collect());
    request(ApiKey::PRODUCE, 9, id, &ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]))
}

fn not_leader(id: i32, partitions: &[i32]) -> Vec<u8> {
    let of = partitions
        .iter()
        .map(|p| PartitionProduceResponse::default().with_index(*p).with_error_code(6).with_base_offset(-1));
    let topic = TopicProduceResponse::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_responses(of.collect());
    response(ApiKey::PRODUCE, 9, id, &ProduceResponse::default().with_responses(vec![topic]))
}

#[test]
fn a_produce_request_is_turned_away_in_its_turn_without_keeping_its_records() {
    let mut p = draining();
    let batch = produce_to(2, &[0, 7], 300_000);
    for piece in batch.chunks(10_000) {
        p.client(piece);
    }
    assert!(p.most_kept < 10_064, "records are not kept: {} bytes", p.most_kept);
    p.expect_nothing();
    assert_eq!(p.relay.in_flight(), 2);
    p.upstream(&opaque_ok(1, b""));
    p.expect_client(&[opaque_ok(1, b""), not_leader(2, &[0, 7])].concat());
    p.expect_upstream(&[]).expect_action(&Action::Finish);
    assert_eq!(p.relay.in_flight(), 0);
    assert_eq!(p.over.iter().map(super::super::Exchange::is_own).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn after_a_rejected_batch_only_what_nobody_is_told_about_is_executed() {
    let mut p = draining();
    p.client(&produce_to(2, &[0], 10)).client(&produce_to(3, &[0], 10)).expect_upstream(&[]);
    p.client(&produce(9, 4, 0, 10)).expect_upstream(&produce(9, 4, 0, 10));
    p.client(&produce_to(5, &[0], 10)).expect_upstream(&[]);
    p.upstream(&opaque_ok(1, b""));
    let rejected = [2, 3, 5].map(|id| not_leader(id, &[0])).concat();
    p.expect_client(&[opaque_ok(1, b""), rejected].concat());
}

#[test]
fn commits_and_metadata_are_forwarded_and_rewritten_as_before() {
    let mut p = draining();
    p.client(&offset_commit(2)).expect_upstream(&offset_commit(2));
    p.client(&metadata(3)).expect_upstream(&metadata(3));
    p.upstream(&[opaque_ok(1, b""), opaque_ok(2, b"")].concat()).reached(Leg::Client);
    p.upstream(&metadata_ok(3, 7, "kafka-7.internal", 9007));
    p.expect_client(&metadata_ok(3, 7, "kroxy.test", 9107)).expect_action(&Action::Finish);
}

#[test]
fn groups_are_told_to_look_for_their_coordinator() {
    let mut p = draining();
    p.client(&opaque(2, b"")).client(&join_group(3)).expect_nothing();
    p.upstream(&opaque_ok(1, b""));
    let heartbeat = not_coordinator(ApiKey::HEARTBEAT, 4, 2);
    p.expect_client(&[opaque_ok(1, b""), heartbeat, not_coordinator(ApiKey::JOIN_GROUP, 9, 3)].concat());
}

#[test]
fn a_member_of_a_newer_group_may_leave_but_not_stay() {
    let mut p = draining();
    for (id, epoch) in [(2, 5), (3, -1)] {
        let body = ConsumerGroupHeartbeatRequest::default().with_member_epoch(epoch);
        let heartbeat = request(ApiKey::CONSUMER_GROUP_HEARTBEAT, 1, id, &body);
        p.client(&heartbeat).expect_upstream(if epoch < 0 { &heartbeat } else { &[] });
    }
}

#[test]
fn a_new_fetch_is_turned_away_by_partition_or_by_session() {
    let mut p = draining();
    p.client(&fetch_of(2, 0, 0)).client(&fetch_of(3, 77, 5)).expect_upstream(&[]);
    p.upstream(&opaque_ok(1, b""));
    let partition = kafka_protocol::messages::fetch_response::PartitionData::default()
        .with_partition_index(3)
        .with_error_code(6)
        .with_high_watermark(-1)
        .with_aborted_transactions(Some(vec![]))
        .with_records(Some(bytes::Bytes::new()));
    let topic = kafka_protocol::messages::fetch_response::FetchableTopicResponse::default();
    let body = FetchResponse::default().with_responses(vec![topic.with_partitions(vec![partition])]);
    let full = response(ApiKey::FETCH, 16, 2, &body);
    let session = response(ApiKey::FETCH, 16, 3, &FetchResponse::default().with_error_code(70));
    p.expect_client(&[opaque_ok(1, b""), full, session].concat());
}

#[test]
fn an_api_without_an_error_to_retry_ends_the_connection_after_all_answers() {
    let mut p = draining();
    let create = request(ApiKey(19), 7, 2, &CreateTopicsRequest::default());
    p.client(&[create, opaque(3, b"")].concat()).expect_nothing();
    assert_eq!(p.relay.in_flight(), 1, "neither is taken");
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b"")).expect_action(&Action::Finish);
    p.expect_nothing();
    p.eof(Leg::Client).expect_closed("drained");
}

#[test]
fn parked_fetches_are_answered_at_once_and_late_responses_go_nowhere() {
    for (session, epoch, nothing) in [(77, 5, Some(77)), (0, 0, None), (0, -1, None)] {
        let mut p = Pair::open(spec(), &fetch_of(1, session, epoch));
        p.at(10).happens(Event::Drain);
        p.expect_client(&reject::nothing_fetched(16, 1, nothing)).expect_action(&Action::Finish);
        assert_eq!(p.relay.in_flight(), 0);
        assert!(p.relay.leaves_only_long_polls());
        p.at(20).upstream(&fetch_ok(1, 100, &[])).expect_nothing();
        p.at(30).eof(Leg::Client).expect_closed("drained");
    }
}

#[test]
fn a_long_poll_between_others_is_answered_in_its_turn() {
    let mut p = Pair::open(spec(), &offset_commit(1));
    p.client(&[fetch_of(2, 77, 5), join_group(3), offset_commit(4)].concat()).reached(Leg::Upstream);
    p.happens(Event::Drain).expect_nothing();
    p.upstream(&opaque_ok(1, b""));
    let cut_short = [&reject::nothing_fetched(16, 2, Some(77))[..], &not_coordinator(ApiKey::JOIN_GROUP, 9, 3)];
    p.expect_client(&[opaque_ok(1, b""), cut_short.concat()].concat());
    assert_eq!(p.relay.in_flight(), 1);
    p.upstream(&fetch_ok(2, 100_000, &[(3, "kafka-3.internal", 9003)])).expect_nothing();
    p.upstream(&opaque_ok(3, b"late")).expect_nothing();
    p.upstream(&opaque_ok(4, b"")).expect_client(&opaque_ok(4, b"")).expect_action(&Action::Finish);
    assert!(!p.relay.leaves_only_long_polls(), "upstream has answered everything");
}

/// A broker reads the next request only when the poll is over, which may take longer than a drain.
#[test]
fn what_only_asks_behind_a_long_poll_is_left_to_be_asked_elsewhere() {
    let mut p = Pair::open(spec(), &fetch_of(1, 77, 5));
    p.client(&[metadata(2), opaque(3, b""), fetch_of(4, 77, 6)].concat()).reached(Leg::Upstream);
    p.at(10).happens(Event::Drain).expect_client(&reject::nothing_fetched(16, 1, Some(77)));
    p.expect_action(&Action::Finish);
    assert_eq!(p.relay.in_flight(), 0);
    assert!(p.relay.leaves_only_long_polls());
    p.at(20).upstream(&[fetch_ok(1, 100, &[]), metadata_ok(2, 7, "kafka-7.internal", 9007)].concat()).expect_nothing();
    p.at(30).eof(Leg::Client).expect_closed("drained");

    let mut p = Pair::open(spec(), &[fetch_of(1, 77, 5), offset_commit(2)].concat());
    p.at(10).happens(Event::Drain).expect_client(&reject::nothing_fetched(16, 1, Some(77)));
    p.client(&metadata(3)).expect_upstream(&metadata(3)).expect_nothing();
    assert_eq!(p.relay.in_flight(), 2, "the commit is waited for, and what comes behind it with it");
    p.upstream(&[fetch_ok(1, 100, &[]), opaque_ok(2, b"")].concat()).expect_client(&opaque_ok(2, b""));
    p.upstream(&metadata_ok(3, 7, "kafka-7.internal", 9007));
    p.expect_client(&metadata_ok(3, 7, "kroxy.test", 9107)).expect_action(&Action::Finish);

    let mut p = Pair::open(spec(), &[fetch_of(1, 77, 5), offset_commit(2)].concat());
    p.at(10).happens(Event::Drain).upstream(&[fetch_ok(1, 100, &[]), opaque_ok(2, b"")].concat()).reached(Leg::Client);
    p.expect_action(&Action::Finish);
}

#[test]
fn a_response_that_has_begun_is_relayed_to_its_end() {
    let mut p = Pair::open(spec(), &fetch_of(1, 77, 5));
    let whole = fetch_ok(1, 200_000, &[]);
    p.upstream(&whole[..100_000]).happens(Event::Drain).upstream(&whole[100_000..]);
    p.expect_client(&whole).expect_action(&Action::Finish);
}

#[test]
fn a_long_poll_that_is_still_being_sent_is_cut_short_with_its_last_byte() {
    let mut p = Pair::open(spec(), &offset_commit(1));
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    let poll = fetch_of(2, 77, 5);
    let (first, rest) = poll.split_at(poll.len() - 5);
    p.client(first).expect_upstream(first).happens(Event::Drain).expect_nothing();
    p.client(rest).expect_upstream(rest).expect_client(&reject::nothing_fetched(16, 2, Some(77)));
    p.expect_action(&Action::Finish);
}

#[test]
fn acknowledgements_of_a_share_consumer_are_executed_and_waited_for() {
    let share_fetch = |id, batches| {
        let batch = AcknowledgementBatch::default().with_acknowledge_types(vec![1]);
        let partition = SharePartition::default().with_acknowledgement_batches(vec![batch; batches]);
        let topic = ShareTopic::default().with_partitions(vec![partition]);
        request(ApiKey::SHARE_FETCH, 1, id, &ShareFetchRequest::default().with_topics(vec![topic]))
    };
    let mut p = Pair::open(spec(), &share_fetch(1, 0));
    p.client(&share_fetch(2, 1)).expect_upstream(&share_fetch(2, 1));
    p.happens(Event::Drain).expect_client(&reject::nothing_share_fetched(1, 1));
    p.client(&share_fetch(3, 1)).expect_upstream(&share_fetch(3, 1));
    p.client(&share_fetch(4, 0)).expect_nothing();
    assert_eq!(p.relay.in_flight(), 3);
}

#[test]
fn with_nothing_in_flight_the_client_is_read_until_it_closes() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.at(5).upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    p.at(10).happens(Event::Drain).expect_action(&Action::Finish).expect_nothing();
    p.at(20).client(&[produce_to(2, &[0], 10), offset_commit(3)].concat()).expect_nothing();
    let unanswered = produce(9, 4, 0, 5_000);
    for piece in unanswered.chunks(9) {
        p.client(piece);
    }
    p.expect_upstream(&unanswered).expect_nothing();
    assert_eq!((p.relay.in_flight(), p.over.len()), (0, 2), "counted like any other");
    p.at(30).eof(Leg::Client).expect_closed("drained");
}

#[test]
fn a_client_that_does_not_close_is_not_waited_for_but_its_records_are() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    p.at(1_000).happens(Event::Drain).expect_action(&Action::Finish);
    p.at(1_499).happens(Event::Tick).expect_nothing();
    let unanswered = produce(9, 2, 0, 100);
    p.client(&unanswered[..50]).at(6_499).happens(Event::Tick).client(&unanswered[50..]).expect_upstream(&unanswered);
    p.at(11_498).happens(Event::Tick).expect_nothing();
    p.at(11_499).happens(Event::Tick).expect_closed("drained");
}

#[test]
fn a_client_that_upstream_holds_back_has_its_time_once_it_is_read_again() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    p.happens(Event::Drain).expect_action(&Action::Finish);
    p.relay.hold_back(true, Instant::from_millis(10));
    p.at(5_000).happens(Event::Tick).expect_nothing();
    p.relay.hold_back(false, Instant::from_millis(5_000));
    p.at(5_499).happens(Event::Tick).expect_nothing();
    p.at(5_500).happens(Event::Tick).expect_closed("drained");
}

#[test]
fn draining_lets_a_request_that_has_begun_end() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    let unanswered = produce(9, 2, 0, 1_000);
    p.client(&unanswered[..500]).happens(Event::Drain).client(&unanswered[500..]);
    p.expect_upstream(&unanswered).expect_action(&Action::Finish);
}

#[test]
fn a_client_that_closes_its_half_while_draining_gets_what_it_is_owed() {
    let mut p = draining();
    p.at(20).eof(Leg::Client).expect_nothing();
    p.at(30).upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    p.expect_closed("client_closed");
    let mut p = Pair::open(spec(), &fetch_of(1, 77, 5));
    p.eof(Leg::Client).expect_nothing();
    p.happens(Event::Drain).expect_client(&reject::nothing_fetched(16, 1, Some(77)));
    p.expect_closed("client_closed");
}

#[test]
fn a_list_of_groups_is_rejected_unless_it_is_too_long_which_ends_the_connection() {
    let groups = |n: usize| {
        let groups = vec![GroupId(StrBytes::from_static_str("billing")); n];
        request(ApiKey::DESCRIBE_GROUPS, 5, 2, &DescribeGroupsRequest::default().with_groups(groups))
    };
    let mut p = draining();
    p.client(&groups(2)).upstream(&opaque_ok(1, b""));
    let of =
        vec![
            DescribedGroup::default().with_group_id(GroupId(StrBytes::from_static_str("billing"))).with_error_code(16);
            2
        ];
    let rejected = response(ApiKey::DESCRIBE_GROUPS, 5, 2, &DescribeGroupsResponse::default().with_groups(of));
    p.expect_client(&[opaque_ok(1, b""), rejected].concat()).expect_action(&Action::Finish);
    let mut p = draining();
    p.client(&groups(10_000)).expect_nothing();
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b"")).expect_action(&Action::Finish);
}

/// A connection whose first request waits for upstream, which is being dialed when the drain begins.
fn dialing(first: &[u8]) -> Pair {
    let mut p = Pair::new(spec());
    p.client(first).happens(Event::Resolved(vec![server(1)]));
    p.expect_upstream(&[]);
    p.take_actions();
    p.at(10).happens(Event::Drain);
    p
}

#[test]
fn a_first_request_is_rejected_without_waiting_for_upstream() {
    let mut p = dialing(&produce_to(1, &[0, 7], 100));
    p.expect_client(&not_leader(1, &[0, 7])).expect_upstream(&[]).expect_action(&Action::Finish);
    p.at(20).eof(Leg::Client).expect_closed("drained");
}

#[test]
fn first_records_that_nobody_is_told_about_wait_for_upstream() {
    let records = produce(9, 1, 0, 3_000);
    let mut p = dialing(&records);
    p.expect_nothing();
    p.at(900).happens(Event::Connected).expect_upstream(&records).expect_action(&Action::Finish);
}

#[test]
fn what_a_drain_serves_waits_for_upstream_too() {
    let mut p = dialing(&metadata(1));
    p.expect_nothing();
    p.client(&produce_to(2, &[0], 10)).expect_nothing();
    p.at(900).happens(Event::Connected).expect_upstream(&metadata(1));
    p.upstream(&metadata_ok(1, 7, "kafka-7.internal", 9007));
    p.expect_client(&[metadata_ok(1, 7, "kroxy.test", 9107), not_leader(2, &[0])].concat());
    p.expect_upstream(&[]).expect_action(&Action::Finish);
}

#[test]
fn a_drain_does_not_keep_dialing_an_upstream_that_nobody_answers_for() {
    let mut p = dialing(&offset_commit(1));
    p.expect_nothing();
    p.at(5_000).happens(Event::Tick).expect_closed("upstream_unreachable");
}

#[test]
fn a_client_that_asks_nothing_gets_its_fin_after_a_while() {
    let mut p = silent_and_drained();
    p.at(510).client(&produce_to(1, &[0], 10)).expect_nothing();
    p.at(1_000).happens(Event::Tick).expect_closed("drained");
}

#[test]
fn a_client_that_is_about_to_ask_gets_an_answer_before_its_fin() {
    let mut p = Pair::new(spec());
    p.happens(Event::Drain).at(400).client(&produce_to(1, &[0], 10));
    p.expect_client(&not_leader(1, &[0])).expect_action(&Action::Finish);
}

#[test]
fn a_client_that_only_heard_in_which_version_to_ask_is_about_to_ask_too() {
    let mut p = Pair::new(spec());
    let mut ahead = super::frames::api_versions(1);
    ahead[6..8].copy_from_slice(&99_i16.to_be_bytes());
    let answer = rewrite::api_versions::too_new(1);
    p.client(&ahead).expect_client(&answer);
    p.happens(Event::Drain).expect_nothing();
    p.client(&ahead).expect_client(&answer);
    p.expect_nothing();
    assert!(!p.relay.is_served());
    p.client(&produce_to(1, &[0], 10)).expect_client(&not_leader(1, &[0])).expect_action(&Action::Finish);
    assert!(p.relay.is_served());
}

/// A connection on which nothing has been asked, not even in the time that a drain gives.
fn silent_and_drained() -> Pair {
    let mut p = Pair::new(spec());
    p.happens(Event::Drain).at(499).happens(Event::Tick).expect_nothing();
    p.at(500).happens(Event::Tick).expect_action(&Action::Finish);
    p
}

#[test]
fn records_that_cross_the_fin_open_upstream_if_they_have_to() {
    let (mut p, records) = (silent_and_drained(), produce(9, 1, 0, 3_000));
    p.at(900).client(&records).expect_action(&Action::Resolve).expect_nothing();
    p.at(1_000).happens(Event::Tick).expect_nothing();
    p.at(1_100).happens(Event::Resolved(vec![server(1)])).expect_action(&Action::Connect(server(1)));
    p.at(1_200).happens(Event::Connected).expect_upstream(&records);
    p.at(6_200).happens(Event::Tick).expect_closed("drained");
}

#[test]
fn a_request_that_names_more_than_can_be_answered_ends_the_connection() {
    let mut p = Pair::open(super::Spec { request_frame_max: 8 << 20, ..spec() }, &opaque(1, b""));
    p.happens(Event::Drain).expect_nothing();
    let partitions: Vec<i32> = (0..200_000).collect();
    for piece in produce_to(2, &partitions, 0).chunks(50_000) {
        p.client(piece);
    }
    p.client(&offset_commit(3)).expect_nothing();
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b"")).expect_action(&Action::Finish);
    p.expect_nothing();
    p.later(1).client(&produce(9, 4, 0, 10)).expect_upstream(&produce(9, 4, 0, 10));
}

#[test]
fn records_behind_a_long_poll_keep_upstream_until_they_can_be_read() {
    let mut p = Pair::open(spec(), &fetch_of(1, 77, 5));
    p.client(&produce(9, 2, 0, 10)).expect_upstream(&produce(9, 2, 0, 10));
    p.happens(Event::Drain).reached(Leg::Client);
    p.expect_action(&Action::Finish);
    p.at(10).eof(Leg::Client).expect_nothing();
    assert!(!p.relay.leaves_only_long_polls(), "a broker reads the records only when the poll is over");
    p.at(20).upstream(&fetch_ok(1, 100, &[])).expect_client(&[]).expect_closed("drained");
    let mut p = Pair::open(spec(), &produce(9, 1, 0, 10));
    p.client(&fetch_of(2, 77, 5)).happens(Event::Drain);
    assert!(p.relay.leaves_only_long_polls(), "the records stand before the poll");
}

#[test]
fn the_linger_is_the_last_deadline() {
    let mut p = Pair::open(spec(), &fetch_of(1, 77, 5));
    p.at(100).happens(Event::Drain);
    let left = p.relay.deadline().map(|d| d.since(Instant::from_millis(100)));
    assert_eq!(left, Some(Duration::from_millis(500)));
}
