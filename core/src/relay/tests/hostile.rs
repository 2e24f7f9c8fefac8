//! Peers that break the protocol: each costs its own connection, bounded memory, and gives one clear reason.

use super::{super::Leg, Pair, frames::*, spec};
use crate::limits;

#[track_caller]
fn client_says(bytes: &[u8], reason: &str) {
    let mut p = Pair::new(spec());
    p.client(bytes);
    let why = p.expect_closed("client_misbehaved").to_string();
    assert!(why.contains(reason), "{why}");
    assert!(p.reached(Leg::Upstream).is_empty());
}

#[test]
fn other_protocols_are_called_by_their_name() {
    client_says(&[0x16, 0x03, 0x01, 0x02, 0x00], "it speaks TLS");
    client_says(b"GET / HTTP/1.1\r\n", "it speaks HTTP");
    client_says(b"SSH-2.0-OpenSSH", "it speaks SSH");
    client_says(b"PROXY TCP4 1.2.3.4 ", "it speaks the PROXY protocol");
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_kept() {
    client_says(&(-1i32).to_be_bytes(), "a frame of -1 bytes");
    client_says(&i32::MIN.to_be_bytes(), "a frame of -2147483648 bytes");
    client_says(&9i32.to_be_bytes(), "a frame of 9 bytes");
    client_says(&i32::MAX.to_be_bytes(), "above the limit of 1048576 (max_request_frame)");
}

#[test]
fn unknown_apis_and_versions_are_named() {
    let mut unknown = opaque(1, b"");
    unknown[4..6].copy_from_slice(&999i16.to_be_bytes());
    client_says(&unknown, "unknown API key 999");
    let mut ahead = opaque(1, b"");
    ahead[6..8].copy_from_slice(&77i16.to_be_bytes());
    client_says(&ahead, "Heartbeat version 77 is not offered");
    let mut old = produce(3, 1, 1, 10);
    old[7] = 2;
    client_says(&old, "Produce version 2 is not offered");
}

#[test]
fn a_head_that_runs_over_its_frame_is_refused() {
    let mut long_id = opaque(1, b"");
    long_id[12..14].copy_from_slice(&30_000i16.to_be_bytes());
    client_says(&long_id, "it ends inside its head");
    let mut negative = opaque(1, b"");
    negative[12..14].copy_from_slice(&(-2i16).to_be_bytes());
    client_says(&negative, "a negative string length");
}

#[test]
fn a_produce_head_of_endless_tagged_fields_is_given_up() {
    // Flexible header: tagged fields announced by the million, in a frame that is large enough to hold them.
    let mut frame = vec![0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    frame.resize(900_000, 0);
    let frame = framed(&frame);
    let mut p = Pair::open(spec(), &opaque(1, b""));
    for piece in frame.chunks(1_000) {
        p.client(piece);
    }
    let why = p.expect_closed("client_misbehaved").to_string();
    assert!(why.contains("its head is too long"), "{why}");
    assert!(p.most_kept <= limits::REQUEST_PEEK_MAX + 1_000, "{}", p.most_kept);
}

#[test]
fn a_request_that_is_read_whole_has_a_small_limit() {
    let mut big = api_versions(1);
    big.resize(70_000, 0);
    let size = u32::try_from(big.len() - 4).expect("small").to_be_bytes();
    big[..4].copy_from_slice(&size);
    client_says(&big, "above the limit");
}

#[test]
fn a_client_that_stops_inside_a_request_ends_its_connection() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.client(&produce(9, 2, 1, 1_000)[..500]).reached(Leg::Upstream);
    p.eof(Leg::Client).expect_closed("client_misbehaved");
}

#[test]
fn responses_out_of_order_or_unasked_end_the_connection() {
    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.client(&opaque(2, b"")).upstream(&opaque_ok(2, b""));
    let why = p.expect_closed("upstream_misbehaved").to_string();
    assert!(why.contains("correlation id 2, where 1 was due (Heartbeat)"), "{why}");
    p.expect_client(&[]);

    let mut p = Pair::open(spec(), &opaque(1, b""));
    p.upstream(&[opaque_ok(1, b""), opaque_ok(1, b"")].concat());
    p.expect_closed("upstream_misbehaved");
    p.expect_client(&opaque_ok(1, b""));
}

#[test]
fn a_response_that_cannot_be_read_for_addresses_does_not_pass() {
    let mut p = Pair::open(spec(), &metadata(1));
    let mut whole = metadata_ok(1, 7, "kafka-7.internal", 9007);
    whole.truncate(30); // inside the address
    let size = u32::try_from(whole.len() - 4).expect("small").to_be_bytes();
    whole[..4].copy_from_slice(&size);
    p.upstream(&whole).expect_client(&[]);
    p.expect_closed("upstream_misbehaved");
}

#[test]
fn upstream_lengths_are_checked_as_well() {
    for bad in [-1i32, 3, i32::MIN] {
        let mut p = Pair::open(spec(), &opaque(1, b""));
        p.upstream(&[&bad.to_be_bytes()[..], &[0; 8]].concat()).expect_closed("upstream_misbehaved");
    }
    let mut p = Pair::open(spec(), &metadata(1));
    p.upstream(&[&i32::MAX.to_be_bytes()[..], &1i32.to_be_bytes()].concat()).expect_closed("upstream_misbehaved");
}
