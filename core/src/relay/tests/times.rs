//! Whose time it is: what upstream takes, and what the proxy adds.

use super::{
    super::{AnsweredBy, Event},
    Pair,
    frames::*,
    server, spec,
};
use crate::api::ApiKey;
use core::time::Duration;
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// For each request that is over: what upstream took, and what the proxy took to hand it on, in ms.
fn times(p: &Pair) -> Vec<(u128, u128)> {
    let upstream = |by| match by {
        AnsweredBy::Upstream(took) => took.as_millis(),
        AnsweredBy::Proxy | AnsweredBy::Nobody => 0,
    };
    p.over.iter().map(|e| (upstream(e.by), e.asked.took().as_millis())).collect()
}

fn open() -> Pair {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&opaque_ok(1, b""));
    p.over.clear();
    p.writing = ms(1);
    p
}

#[test]
fn neither_a_client_that_sends_slowly_nor_a_response_that_comes_slowly_is_the_proxys_time() {
    let mut p = open();
    let (request, response) = (opaque(2, &[7; 100]), opaque_ok(2, &[7; 100]));
    p.at(100).client(&request[..60]);
    p.at(900).client(&request[60..]);
    p.at(951).upstream(&response[..60]);
    p.at(1_001).upstream(&response[60..]);
    assert_eq!(times(&p), [(100, 1)], "from 901, when the end of it had been handed over");
}

#[test]
fn a_request_behind_another_begins_when_upstream_turns_to_it() {
    let mut p = open();
    p.at(100).client(&[fetch(2), opaque(3, b"")].concat()); // one read
    p.at(601).upstream(&fetch_ok(2, 10, &[]));
    p.at(604).upstream(&opaque_ok(3, b""));
    assert_eq!(times(&p), [(500, 1), (3, 1)], "the poll's time is not the heartbeat's");
}

#[test]
fn the_wait_for_a_connection_is_nobodys_time() {
    let mut p = Pair::new(spec());
    p.writing = ms(1);
    p.at(0).client(&opaque(1, b""));
    p.at(50).happens(Event::Resolved(vec![server(1)]));
    p.at(900).happens(Event::Connected);
    p.at(903).upstream(&opaque_ok(1, b""));
    assert_eq!(times(&p), [(2, 1)]);
}

#[test]
fn a_long_poll_that_a_drain_cut_short_takes_no_time_from_what_follows() {
    let mut p = open();
    let commit = request(ApiKey::OFFSET_COMMIT, 8, 3, &OffsetCommitRequest::default());
    p.at(100).client(&fetch(2)).client(&commit);
    p.at(200).happens(Event::Drain);
    p.at(601).upstream(&fetch_ok(2, 0, &[]));
    let done = response(ApiKey::OFFSET_COMMIT, 8, 3, &OffsetCommitResponse::default());
    p.at(605).upstream(&done);
    assert_eq!(times(&p), [(0, 1), (4, 1)]);
}

#[test]
fn records_that_nobody_answers_take_the_proxys_time_only() {
    let mut p = open();
    p.at(100).client(&produce(9, 2, 0, 500));
    assert_eq!(p.over.iter().map(|e| e.by).collect::<Vec<_>>(), [AnsweredBy::Nobody]);
}
