//! Clients that stop in the middle of a request, or take nothing of what they have asked for.

use super::{
    super::{Event, Leg},
    Pair,
    frames::*,
    spec,
};
use crate::time::Instant;

const fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A connection on which something has been asked and answered.
fn old() -> Pair {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&opaque_ok(1, b"")).reached(Leg::Client);
    p.take_actions();
    p
}

#[test]
fn a_request_that_is_read_whole_has_its_time_from_its_first_byte_however_it_dribbles() {
    let mut p = old();
    let request = api_versions(2);
    p.at(10_000).client(&request[..5]);
    p.at(39_000).client(&request[5..20]).expect_nothing();
    assert_eq!(p.relay.deadline(), Some(at(40_000)));
    p.at(39_999).happens(Event::Tick).expect_nothing();
    p.at(40_000).happens(Event::Tick).expect_closed("unfinished_request_timeout");
}

#[test]
fn the_time_begins_anew_with_each_request() {
    let mut p = old();
    let (second, third) = (api_versions(2), api_versions(3));
    p.at(10_000).client(&second[..9]);
    p.at(30_000).client(&[&second[9..], &third[..9]].concat()).expect_upstream(&second);
    assert_eq!(p.relay.deadline(), Some(at(60_000)));
    p.at(50_000).client(&third[9..]).expect_upstream(&third);
    assert_eq!(p.relay.deadline(), None, "nothing is begun");
}

#[test]
fn a_request_that_streams_may_take_any_time_as_long_as_it_goes_on() {
    let mut p = old();
    let request = produce(9, 2, 1, 1_000);
    for (n, part) in request.chunks(100).enumerate() {
        p.at(20_000 * n as u64).client(part).happens(Event::Tick).expect_upstream(part);
    }
    assert_eq!(p.relay.deadline(), None);
    let request = produce(9, 3, 1, 1_000);
    p.at(500_000).client(&request[..999]).expect_upstream(&request[..999]);
    p.at(530_000).happens(Event::Tick).expect_closed("unfinished_request_timeout");
}

#[test]
fn what_the_proxy_does_not_read_is_not_late() {
    let mut p = old();
    let request = produce(9, 2, 1, 1_000);
    p.at(1_000).client(&request[..500]).expect_upstream(&request[..500]);
    p.relay.hold_back(true, at(2_000));
    assert_eq!(p.relay.deadline(), None);
    p.at(900_000).happens(Event::Tick).expect_nothing();
    p.relay.hold_back(false, at(900_000));
    p.relay.hold_back(false, at(910_000)); // no news
    assert_eq!(p.relay.deadline(), Some(at(930_000)), "it has its time again");
    p.happens(Event::Tick).client(&request[500..]).expect_upstream(&request[500..]);
    assert_eq!(p.relay.deadline(), None);
}

#[test]
fn a_request_that_waits_for_upstream_is_not_late() {
    let mut p = Pair::new(spec());
    p.client(&api_versions(1)).take_actions();
    p.relay.hold_back(false, at(0));
    assert_eq!(p.relay.deadline(), Some(at(15_000)), "for its address, and nothing else");
}

#[test]
fn a_client_that_takes_nothing_has_its_time_and_each_byte_that_it_takes_gives_it_more() {
    let mut p = old();
    p.relay.delivers(true, false, at(10_000));
    p.relay.delivers(true, false, at(300_000));
    assert_eq!(p.relay.deadline(), Some(at(310_000)));
    p.relay.delivers(true, true, at(309_999));
    p.at(310_000).happens(Event::Tick).expect_nothing();
    assert_eq!(p.relay.deadline(), Some(at(609_999)));
    p.at(609_999).happens(Event::Tick).expect_closed("unread_response_timeout");
}

#[test]
fn a_client_that_has_taken_all_is_waited_for_no_more() {
    let mut p = old();
    p.relay.delivers(true, false, at(10_000));
    p.relay.delivers(false, true, at(11_000));
    assert_eq!(p.relay.deadline(), None);
    p.relay.delivers(true, false, at(400_000));
    assert_eq!(p.relay.deadline(), Some(at(700_000)), "it is another response");
}
