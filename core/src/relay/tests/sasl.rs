//! SASL exchanges pass: with headers (`SaslHandshake` v1) and as raw tokens (v0).

use super::{Pair, frames::*, spec};
use crate::api::ApiKey;
use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse},
    protocol::StrBytes,
};

fn handshake(version: i16, id: i32, mechanism: &'static str) -> Vec<u8> {
    let body = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    request(ApiKey::SASL_HANDSHAKE, version, id, &body)
}

fn handshake_answer(id: i32, error: i16) -> Vec<u8> {
    response(ApiKey::SASL_HANDSHAKE, 0, id, &SaslHandshakeResponse::default().with_error_code(error))
}

#[test]
fn tokens_with_headers_are_requests_like_any_other_at_any_time() {
    let mut p = Pair::open(spec(), &handshake(1, 1, "PLAIN"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    for id in [2, 3] {
        let token = request(ApiKey::SASL_AUTHENTICATE, 2, id, &SaslAuthenticateRequest::default());
        let answer = response(ApiKey::SASL_AUTHENTICATE, 2, id, &SaslAuthenticateResponse::default());
        p.client(&token).expect_upstream(&token);
        p.upstream(&answer).expect_client(&answer);
    }
    p.client(&opaque(4, b"")).expect_upstream(&opaque(4, b""));
}

#[test]
fn one_token_without_header_is_followed_by_requests() {
    // PLAIN's token reads like API key 97, were it a request.
    for (mechanism, token) in [("PLAIN", &b"\0alice\0secret"[..]), ("OAUTHBEARER", b"n,,\x01auth=Bearer x.y.z\x01\x01")]
    {
        let token = framed(token);
        let mut p = Pair::open(spec(), &handshake(0, 1, mechanism));
        p.client(&token).expect_nothing();
        p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0)).expect_upstream(&token);
        assert_eq!(p.relay.in_flight(), 1, "{mechanism}");
        p.upstream(&framed(b"")).expect_client(&framed(b""));
        assert_eq!(p.relay.in_flight(), 0, "{mechanism}");
        p.client(&opaque(2, b"")).expect_upstream(&opaque(2, b""));
        p.upstream(&opaque_ok(2, b"")).expect_client(&opaque_ok(2, b""));
    }
}

#[test]
fn scram_takes_two_tokens_each_way() {
    let mut p = Pair::open(spec(), &handshake(0, 1, "SCRAM-SHA-512"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    for (from_client, from_server) in
        [(&b"n,,n=alice,r=x"[..], &b"r=xy,s=c2FsdA==,i=4096"[..]), (b"c=biws,r=xy,p=cA==", b"v=dg==")]
    {
        p.client(&framed(from_client)).expect_upstream(&framed(from_client));
        p.upstream(&framed(from_server)).expect_client(&framed(from_server));
    }
    p.client(&opaque(2, b"")).expect_upstream(&opaque(2, b""));
}

#[test]
fn a_refused_handshake_leaves_requests_as_they_were() {
    let mut p = Pair::open(spec(), &handshake(0, 1, "PLAIN"));
    p.upstream(&handshake_answer(1, 33)).expect_client(&handshake_answer(1, 33));
    p.client(&handshake(0, 2, "SCRAM-SHA-256")).expect_upstream(&handshake(0, 2, "SCRAM-SHA-256"));
}

#[test]
fn an_unknown_mechanism_takes_tokens_until_a_request_comes() {
    let mut p = Pair::open(spec(), &handshake(0, 1, "GSSAPI"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    let token = framed(&[0x60, 0x82, 0x02, 0x00, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12]);
    for _ in 0..3 {
        p.client(&token).expect_upstream(&token);
        p.upstream(&token).expect_client(&token);
    }
    p.client(&token).expect_upstream(&token); // the last one is not answered
    p.client(&opaque(2, b"")).expect_upstream(&opaque(2, b""));
    p.upstream(&opaque_ok(2, b"")).expect_client(&opaque_ok(2, b""));
    assert_eq!(p.closed, None);
}

#[test]
fn a_token_has_a_limit() {
    let mut p = Pair::open(spec(), &handshake(0, 1, "PLAIN"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    p.client(&u32::MAX.to_be_bytes());
    p.expect_closed("client_misbehaved");
}
