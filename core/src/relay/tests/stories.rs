//! What a well-behaved client and a well-behaved broker see.

use super::{
    super::{Action, Event, Leg},
    Pair,
    frames::*,
    server, spec,
};
use crate::{address::NodeId, api::ApiKey};
use core::time::Duration;

#[test]
fn the_first_request_opens_the_connection_to_upstream_and_waits_for_it() {
    let mut p = Pair::new(spec());
    p.at(0).expect_nothing();
    p.at(1).client(&metadata(1)).expect_action(&Action::Resolve);
    p.at(2).happens(Event::Resolved(vec![server(1)])).expect_action(&Action::Connect(server(1)));
    p.at(3).expect_nothing();
    p.at(4).happens(Event::Connected).expect_upstream(&metadata(1));
    p.at(9).upstream(&metadata_ok(1, 7, "kafka-7.internal", 9007)).expect_client(&metadata_ok(
        1,
        7,
        "kroxy.test",
        9107,
    ));
    assert_eq!(p.learned, [(NodeId(7), crate::address::HostPort::new("kafka-7.internal", 9007))]);
    assert_eq!(p.relay.in_flight(), 0);
    assert_eq!(p.over.len(), 1);
    assert_eq!(p.over[0].done.since(p.over[0].asked.since), Duration::from_millis(5), "counted from when it was taken");
}

#[test]
fn candidates_are_tried_in_turn_each_with_its_own_timeout() {
    let mut p = Pair::new(spec());
    p.at(0).client(&metadata(1)).expect_action(&Action::Resolve);
    p.happens(Event::Resolved(vec![server(1), server(2), server(3)])).expect_action(&Action::Connect(server(1)));
    p.at(10).happens(Event::ConnectFailed("refused".into())).expect_action(&Action::Connect(server(2)));
    p.at(5_009).happens(Event::Tick).expect_nothing();
    p.at(5_010).happens(Event::Tick).expect_action(&Action::Connect(server(3)));
    p.at(5_020).happens(Event::ConnectFailed("refused".into()));
    let why = p.expect_closed("upstream_unreachable").to_string();
    assert!(why.contains("kafka-1.internal:9001: refused; kafka-2.internal:9002: no answer within 5s"), "{why}");
}

#[test]
fn each_attempt_to_connect_is_told_with_its_end() {
    let mut p = Pair::new(spec());
    p.at(0).client(&metadata(1));
    p.happens(Event::Resolved(vec![server(1), server(2), server(3)]));
    p.at(10).happens(Event::ConnectFailed("refused".into()));
    p.at(5_010).happens(Event::Tick).happens(Event::Connected);
    let (refused, silent) = ("refused".to_owned(), "no answer within 5s".to_owned());
    assert_eq!(p.attempts, [(server(1), Err(refused)), (server(2), Err(silent)), (server(3), Ok(()))]);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let mut p = Pair::new(spec());
    assert_eq!(p.relay.deadline().map(|d| d.as_micros()), Some(60_000_000));
    p.at(59_999).happens(Event::Tick).expect_nothing();
    p.at(60_000).happens(Event::Tick).expect_closed("first_request_timeout");
}

#[test]
fn an_idle_connection_ends_only_with_nothing_in_flight() {
    let mut p = Pair::open(super::Spec { idle_timeout: Some(Duration::from_secs(10)), ..spec() }, &opaque(1, b""));
    p.at(60_000).happens(Event::Tick).expect_nothing();
    p.at(61_000).upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    p.at(70_999).happens(Event::Tick).expect_nothing();
    p.at(71_000).happens(Event::Tick).expect_closed("idle_timeout");
}

#[test]
fn pipelined_requests_flow_as_one_and_their_responses_too() {
    let mut p = Pair::open(spec(), &opaque(1, b"one"));
    let (requests, responses) =
        ([opaque(2, b"two"), opaque(3, b"")].concat(), [opaque_ok(2, b""), opaque_ok(3, b"3")].concat());
    p.client(&requests).expect_upstream(&requests);
    assert_eq!(p.relay.in_flight(), 3);
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b""));
    p.upstream(&responses).expect_client(&responses);
    assert_eq!(p.relay.in_flight(), 0);
}

#[test]
fn produce_without_acks_owes_nothing_in_every_version() {
    for version in 3..=13 {
        let mut p = Pair::open(spec(), &opaque(1, b""));
        let unanswered = produce(version, 2, 0, 5_000);
        let (first, rest) = unanswered.split_at(100);
        p.client(first).expect_upstream(first);
        assert_eq!(p.relay.in_flight(), 2, "version {version}: its last byte is still to come");
        p.client(rest).expect_upstream(rest);
        assert_eq!(p.relay.in_flight(), 1, "version {version}: it is over");
        p.client(&produce(version, 3, 1, 10)).reached(Leg::Upstream);
        p.client(&produce(version, 4, -1, 10)).reached(Leg::Upstream);
        assert_eq!(p.relay.in_flight(), 3, "version {version}");
        for id in [1, 3, 4] {
            p.upstream(&opaque_ok(id, &[0; 16]));
            if p.closed.is_some() {
                // Versions from 10 on are read for addresses; these bytes are no such response.
                p.expect_closed("upstream_misbehaved");
                break;
            }
        }
    }
}

#[test]
fn a_large_fetch_response_streams_and_loses_its_addresses_on_the_way() {
    let mut p = Pair::open(spec(), &fetch(1));
    let whole = fetch_ok(1, 1 << 20, &[(3, "kafka-3.internal", 9003)]);
    for piece in whole.chunks(40_000) {
        p.upstream(piece);
    }
    let got = p.reached(Leg::Client);
    assert_eq!(got.len(), whole.len(), "the length stood in front already");
    assert!(!contains(&got, b"kafka-3.internal"));
    assert!(p.most_kept < 64, "nothing is collected: {} bytes kept", p.most_kept);
    assert_eq!(p.relay.in_flight(), 0);
}

#[test]
fn a_small_fetch_response_gets_the_gateways_addresses() {
    let mut p = Pair::open(spec(), &fetch(1));
    p.upstream(&fetch_ok(1, 100, &[(3, "kafka-3.internal", 9003)]));
    p.expect_client(&fetch_ok(1, 100, &[(3, "kroxy.test", 9103)]));
}

#[test]
fn api_versions_offer_what_both_sides_know() {
    let mut p = Pair::open(spec(), &api_versions(1));
    let upstream = api_versions_ok(1, &[(0, 0, 99), (3, 0, 12), (18, 0, 4), (52, 0, 1), (10_000, 0, 0)]);
    p.upstream(&upstream).expect_client(&api_versions_ok(1, &[(0, 0, 13), (3, 0, 12), (18, 0, 4)]));
    let software = p.relay.client().and_then(|c| c.software.clone()).expect("introduced");
    assert_eq!(&*software.0, "apache-kafka-java");
}

#[test]
fn a_client_ahead_of_us_is_told_our_range_without_upstream() {
    let mut ahead = api_versions(9);
    ahead[7] = 5; // the version
    let mut p = Pair::new(spec());
    let answer = crate::rewrite::api_versions::too_new(9);
    p.client(&ahead).expect_client(&answer);
    p.expect_nothing();
    assert_eq!(p.relay.in_flight(), 0);
}

#[test]
fn an_answer_of_ours_waits_for_the_responses_owed_before_it() {
    let mut ahead = api_versions(2);
    ahead[7] = 5;
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.client(&ahead).client(&opaque(3, b"")).expect_upstream(&opaque(3, b""));
    p.expect_client(&[]);
    assert_eq!(p.relay.in_flight(), 3);
    p.upstream(&opaque_ok(1, b""));
    p.expect_client(&[opaque_ok(1, b""), crate::rewrite::api_versions::too_new(2).to_vec()].concat());
    p.upstream(&opaque_ok(3, b"")).expect_client(&opaque_ok(3, b""));
    assert_eq!(p.relay.in_flight(), 0);
    assert_eq!(p.over.iter().map(super::super::Exchange::is_own).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn an_api_that_is_not_for_clients_is_refused_in_protocol() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    let vote = request(ApiKey(52), 0, 2, &kafka_protocol::messages::VoteRequest::default());
    p.client(&vote).expect_upstream(&[]);
    p.upstream(&opaque_ok(1, b"")).reached(Leg::Client);
    assert_eq!(p.closed, None);
    assert_eq!(p.relay.in_flight(), 0);
    p.client(&opaque(3, b"")).expect_upstream(&opaque(3, b""));
}

#[test]
fn a_client_that_closes_its_half_gets_what_it_is_owed() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.at(10).eof(Leg::Client).expect_nothing();
    p.at(20).upstream(&opaque_ok(1, b"late")).expect_client(&opaque_ok(1, b"late"));
    p.expect_closed("client_closed");
}

#[test]
fn a_client_that_left_does_not_hold_upstream_for_ever() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.at(10).eof(Leg::Client).expect_nothing();
    p.at(30_009).happens(Event::Tick).expect_nothing();
    p.at(30_010).happens(Event::Tick).expect_closed("client_left");
}

#[test]
fn upstream_closing_ends_the_connection_after_what_it_said() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&opaque_ok(1, b"bye")).expect_client(&opaque_ok(1, b"bye"));
    p.eof(Leg::Upstream).expect_closed("upstream_closed");
}

#[test]
fn more_requests_than_may_be_in_flight_wait_in_the_clients_socket() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    let limit = i32::try_from(crate::limits::IN_FLIGHT_MAX).expect("small");
    for id in 2..=limit {
        p.client(&opaque(id, b""));
    }
    p.reached(Leg::Upstream);
    p.client(&opaque(limit + 1, b"")).expect_nothing();
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b"")).expect_upstream(&opaque(limit + 1, b""));
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
