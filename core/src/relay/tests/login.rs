//! The proxy logs in to upstream, and again, and in place of its clients.

use super::{
    Action, Pair,
    authentication::{admitting, connects, handshake, lets_in, token},
    frames::*,
    hex, spec,
};
use crate::{
    api::ApiKey,
    relay::{Event, Leg, Spec},
    reload::Secret,
    sasl::{
        client,
        directory::Directory,
        scram::{Credential, Iterations, Nonce, Scram},
        server::{Exchange, Verdict},
    },
};
use bytes::Bytes;
use kafka_protocol::{
    messages::{SaslAuthenticateResponse, SaslHandshakeResponse},
    protocol::StrBytes,
};
use std::sync::Arc;

pub(super) fn logging_in() -> Spec {
    Spec { logs_in: true, ..spec() }
}

/// What the proxy sends of its own has its own client id.
fn own(key: ApiKey, id: i32, body: &[u8]) -> Vec<u8> {
    let mut head = key.0.to_be_bytes().to_vec();
    head.extend_from_slice(&1i16.to_be_bytes());
    head.extend_from_slice(&id.to_be_bytes());
    head.extend_from_slice(b"\0\x05kroxy");
    framed(&[&head, body].concat())
}

fn own_handshake(mechanism: &str) -> Vec<u8> {
    let name = [&u16::try_from(mechanism.len()).expect("short").to_be_bytes(), mechanism.as_bytes()].concat();
    own(ApiKey::SASL_HANDSHAKE, 1, &name)
}

fn own_token(id: i32, token: &[u8]) -> Vec<u8> {
    let token = [&u32::try_from(token.len()).expect("short").to_be_bytes(), token].concat();
    own(ApiKey::SASL_AUTHENTICATE, id, &token)
}

fn handshake_ok() -> Vec<u8> {
    response(ApiKey::SASL_HANDSHAKE, 1, 1, &SaslHandshakeResponse::default())
}

fn accepted(id: i32, token: &[u8], session_ms: i64) -> Vec<u8> {
    let body = SaslAuthenticateResponse::default()
        .with_auth_bytes(Bytes::copy_from_slice(token))
        .with_session_lifetime_ms(session_ms);
    response(ApiKey::SASL_AUTHENTICATE, 1, id, &body)
}

pub(super) fn plain() -> Event {
    Event::Secrets(Ok(Box::new(client::Exchange::plain("kroxy", &Secret("chalk".into())))))
}

/// The proxy logs in with PLAIN, asked for just now.
fn logs_in(p: &mut Pair, session_ms: i64) {
    p.expect_action(&Action::LogIn);
    p.happens(plain()).expect_upstream(&own_handshake("PLAIN"));
    p.upstream(&handshake_ok()).expect_upstream(&own_token(2, b"\0kroxy\0chalk"));
    p.upstream(&accepted(2, b"", session_ms));
}

#[test]
fn the_first_request_waits_for_the_login() {
    let mut p = Pair::new(logging_in());
    p.client(&[metadata(1), opaque(2, b"x")].concat());
    connects(&mut p);
    p.expect_upstream(&[]);
    logs_in(&mut p, 0);
    p.expect_upstream(&[metadata(1), opaque(2, b"x")].concat()).expect_client(&[]);
    p.expect_action(&Action::LoggedIn);
}

#[test]
fn the_question_for_versions_does_not_wait_and_the_second_one_does() {
    let mut p = Pair::open(logging_in(), &api_versions(1));
    p.client(&api_versions(2)).expect_nothing();
    p.upstream(&api_versions_ok(1, &[(3, 0, 12)])).reached(Leg::Client);
    logs_in(&mut p, 0);
    p.expect_upstream(&api_versions(2));
}

#[test]
fn scram_proves_both_sides() {
    let mut directory = Directory::new([7; 32]);
    let credential =
        Credential::of_password(Scram::Sha512, b"chalk", b"salt".to_vec(), Iterations::new(4_096).expect("the fewest"));
    directory.insert("kroxy", Scram::Sha512, credential).expect("once");
    let directory = Arc::new(directory);
    for (password, closed) in [("chalk", None), ("cheese", Some("upstream_login_failed"))] {
        let mut broker = Exchange::scram(Scram::Sha512, directory.clone(), Nonce::of([1; 18]));
        let mut p = Pair::new(logging_in());
        p.client(&metadata(1));
        connects(&mut p);
        p.take_actions();
        let proxy = client::Exchange::scram(Scram::Sha512, "kroxy", Secret(password.into()), Nonce::of([2; 18]));
        p.happens(Event::Secrets(Ok(Box::new(proxy)))).expect_upstream(&own_handshake("SCRAM-SHA-512"));
        p.upstream(&handshake_ok());
        let head = own_token(2, b"").len();
        for id in [2, 3] {
            let token = p.reached(Leg::Upstream).split_off(head);
            let answer = match broker.step(&token) {
                Verdict::Challenge(token) | Verdict::Accepted { token, .. } => accepted(id, &token.0, 0),
                Verdict::Derive(_) => panic!("SCRAM takes no password"),
                Verdict::Refused(_) => {
                    let body = SaslAuthenticateResponse::default().with_error_code(58);
                    response(ApiKey::SASL_AUTHENTICATE, 1, id, &body)
                }
            };
            p.upstream(&answer);
        }
        match closed {
            None => drop(p.expect_upstream(&metadata(1)).expect_action(&Action::LoggedIn)),
            Some(closed) => assert!(p.expect_closed(closed).to_string().contains("error 58")),
        }
    }
}

#[test]
fn the_proxy_logs_in_again_when_nothing_is_in_flight() {
    let mut p = Pair::new(logging_in());
    p.client(&opaque(1, b""));
    connects(&mut p);
    logs_in(&mut p, 10_000);
    p.expect_upstream(&opaque(1, b"")).expect_action(&Action::LoggedIn);
    p.at(8_499).client(&opaque(2, b"")).expect_upstream(&opaque(2, b""));
    // Due: what is in flight comes first, and nothing new goes out.
    p.at(8_500).client(&opaque(3, b"")).expect_nothing();
    p.upstream(&opaque_ok(1, b"")).expect_client(&opaque_ok(1, b"")).expect_nothing();
    p.upstream(&opaque_ok(2, b"")).expect_client(&opaque_ok(2, b""));
    logs_in(&mut p, 10_000);
    p.expect_upstream(&opaque(3, b"")).expect_client(&[]);
    p.upstream(&opaque_ok(3, b"")).expect_client(&opaque_ok(3, b""));
}

#[test]
fn upstream_that_does_not_let_the_proxy_in_is_told_of_and_the_client_may_try_again() {
    let refused = SaslAuthenticateResponse::default()
        .with_error_code(58)
        .with_error_message(Some(StrBytes::from_static_str("Invalid username or password")));
    let unsupported = SaslHandshakeResponse::default()
        .with_error_code(33)
        .with_mechanisms(vec![StrBytes::from_static_str("GSSAPI"), StrBytes::from_static_str("SCRAM-SHA-512")]);
    let too_early = SaslHandshakeResponse::default().with_error_code(34);
    let answers = [
        (
            vec![handshake_ok(), response(ApiKey::SASL_AUTHENTICATE, 1, 2, &refused)],
            "it refuses PLAIN with error 58: Invalid username or password",
        ),
        (
            vec![response(ApiKey::SASL_HANDSHAKE, 1, 1, &unsupported)],
            "it does not take PLAIN, but GSSAPI, SCRAM-SHA-512",
        ),
        (vec![response(ApiKey::SASL_HANDSHAKE, 1, 1, &too_early)], "it refuses PLAIN with error 34"),
        (vec![metadata(1)], "its answer to SaslHandshake cannot be read: it is the answer to something else"),
        (
            vec![framed(&[0, 0, 0, 1, 0])],
            "its answer to SaslHandshake cannot be read: the bytes end before the field does",
        ),
    ];
    for (answers, said) in answers {
        let mut p = Pair::new(logging_in());
        p.client(&metadata(1));
        connects(&mut p);
        p.take_actions();
        p.happens(plain());
        for answer in answers {
            p.upstream(&answer);
        }
        p.expect_action(&Action::NotLoggedIn);
        p.expect_client(&[]);
        let cause = p.expect_closed("upstream_login_failed").to_string();
        assert_eq!(cause, format!("the proxy cannot log in to upstream: {said}"));
        assert!(!format!("{:?}", p.relay).contains("chalk"));
    }
}

#[test]
fn a_login_has_a_deadline_whoever_is_late() {
    for has_secrets in [false, true] {
        let mut p = Pair::new(logging_in());
        p.client(&metadata(1));
        connects(&mut p);
        if has_secrets {
            p.at(10).happens(plain());
        }
        p.at(4_999).happens(Event::Tick);
        assert_eq!(p.closed, None);
        p.at(5_000).happens(Event::Tick).expect_closed("upstream_login_failed");
    }
    let mut p = Pair::new(logging_in());
    p.client(&metadata(1));
    connects(&mut p);
    p.happens(Event::Secrets(Err("there is no token".to_owned()))).expect_closed("upstream_login_failed");
}

#[test]
fn where_the_proxy_logs_in_clients_need_not_and_are_told_so() {
    let mut p = Pair::new(logging_in());
    p.client(&handshake(1, 1, "PLAIN"));
    let body = SaslHandshakeResponse::default().with_error_code(34);
    p.expect_client(&response(ApiKey::SASL_HANDSHAKE, 1, 1, &body)).expect_nothing();
    p.client(&token(2, 2, b"\0alice\0pencil"));
    assert!(!p.reached(Leg::Client).is_empty());
    p.expect_nothing();
}

#[test]
fn credentials_are_swapped() {
    let mut p = Pair::open(Spec { logs_in: true, ..admitting() }, &api_versions(1));
    p.upstream(&api_versions_ok(1, &[(3, 0, 12)])).reached(Leg::Client);
    lets_in(&mut p, 2, 0);
    p.client(&metadata(4));
    logs_in(&mut p, 0);
    let upstream = p.reached(Leg::Upstream);
    assert_eq!(hex(&upstream), hex(&metadata(4)), "and nothing of the client's own credentials");
}

#[test]
fn a_drain_turns_away_who_waits_for_a_login_and_lets_records_through_that_nobody_answers() {
    let mut p = Pair::new(logging_in());
    p.client(&metadata(1));
    connects(&mut p);
    p.take_actions();
    p.happens(plain()).happens(Event::Drain);
    let unanswered = produce(9, 2, 0, 10);
    p.client(&unanswered);
    p.reached(Leg::Upstream);
    p.upstream(&handshake_ok()).reached(Leg::Upstream);
    p.upstream(&accepted(2, b"", 0));
    assert!(hex(&p.reached(Leg::Upstream)).ends_with(&hex(&unanswered)));
}
