//! SASL exchanges pass: with headers (`SaslHandshake` v1) and as raw tokens (v0).

use super::{Action, Pair, frames::*, spec};
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

/// One `SaslAuthenticate` there and back.
fn authenticate(p: &mut Pair, version: i16, id: i32, token: &[u8], answer: &SaslAuthenticateResponse) {
    let token = SaslAuthenticateRequest::default().with_auth_bytes(token.to_vec().into());
    let token = request(ApiKey::SASL_AUTHENTICATE, version, id, &token);
    let answer = response(ApiKey::SASL_AUTHENTICATE, version, id, answer);
    p.client(&token).expect_upstream(&token);
    p.upstream(&answer).expect_client(&answer);
}

fn principal(p: &Pair) -> Option<(Option<String>, &'static str)> {
    let principal = p.relay.client()?.principal.clone()?;
    Some((principal.name.map(Into::into), principal.mechanism))
}

#[test]
fn a_client_is_known_once_upstream_has_accepted_it() {
    let mut p = Pair::open(spec(), &handshake(1, 1, "PLAIN"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    let refused = SaslAuthenticateResponse::default().with_error_code(58);
    authenticate(&mut p, 2, 2, b"\0mallory\0guess", &refused);
    assert_eq!(principal(&p), None);
    p.expect_action(&Action::NotAuthenticated);
    authenticate(&mut p, 2, 3, b"\0alice\0secret", &SaslAuthenticateResponse::default());
    assert_eq!(principal(&p), None, "an exchange begins with a handshake");

    // Another try, and later a re-authentication (KIP-368), begin with a handshake.
    for (version, id, user, token) in [(0, 10, "alice", &b"\0alice\0secret"[..]), (2, 20, "bob", b"\0bob\0secret")] {
        p.client(&handshake(1, id, "PLAIN")).expect_upstream(&handshake(1, id, "PLAIN"));
        p.upstream(&handshake_answer(id, 0)).expect_client(&handshake_answer(id, 0));
        authenticate(&mut p, version, id + 1, token, &SaslAuthenticateResponse::default());
        assert_eq!(principal(&p), Some((Some(user.to_owned()), "PLAIN")));
    }
}

#[test]
fn a_client_is_known_by_its_raw_tokens_too() {
    let mut p = Pair::open(spec(), &handshake(0, 1, "SCRAM-SHA-256"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    for (token, answer) in
        [(&b"n,,n=alice,r=x"[..], &b"r=xy,s=c2FsdA==,i=4096"[..]), (b"c=biws,r=xy,p=cA==", b"v=dg==")]
    {
        assert_eq!(principal(&p), None);
        p.client(&framed(token)).expect_upstream(&framed(token));
        p.upstream(&framed(answer)).expect_client(&framed(answer));
    }
    assert_eq!(principal(&p), Some((Some("alice".to_owned()), "SCRAM-SHA-256")));
}

#[test]
fn a_token_too_large_to_be_read_in_passing_passes() {
    let mut p = Pair::open(spec(), &handshake(1, 1, "OAUTHBEARER"));
    p.upstream(&handshake_answer(1, 0)).expect_client(&handshake_answer(1, 0));
    let token = SaslAuthenticateRequest::default().with_auth_bytes(vec![b'x'; 100_000].into());
    let token = request(ApiKey::SASL_AUTHENTICATE, 2, 2, &token);
    let answer = response(ApiKey::SASL_AUTHENTICATE, 2, 2, &SaslAuthenticateResponse::default());
    p.client(&token).expect_upstream(&token);
    p.upstream(&answer).expect_client(&answer);
    assert_eq!(principal(&p), None);
}
