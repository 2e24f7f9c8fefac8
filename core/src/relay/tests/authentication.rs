//! Clients that the proxy lets in, or does not.

use super::{Action, Pair, frames::*, server, spec};
use crate::{
    api::ApiKey,
    relay::{Authentication, Event, Leg, Spec},
    reload::Secret,
    sasl::{
        Mechanism, client,
        directory::Directory,
        scram::{Credential, Iterations, Nonce, Scram},
        server::Exchange,
    },
};
use bytes::Bytes;
use core::time::Duration;
use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse},
    protocol::StrBytes,
};
use std::sync::Arc;

pub(super) fn admitting() -> Spec {
    let authentication = Authentication {
        mechanisms: vec![Mechanism::Plain, Mechanism::ScramSha256],
        session_max: None,
        failure_delay: Duration::from_millis(100),
        timeout: Duration::from_secs(30),
    };
    Spec { authentication: Some(authentication), ..spec() }
}

fn with_sessions(ms: u64) -> Spec {
    let mut spec = admitting();
    if let Some(authentication) = &mut spec.authentication {
        authentication.session_max = Some(Duration::from_millis(ms));
    }
    spec
}

/// Knows `alice` and `bob`, each with the password `pencil`.
fn directory() -> Arc<Directory> {
    let mut directory = Directory::new([7; 32]);
    for user in ["alice", "bob"] {
        let iterations = Iterations::new(4_096).expect("the fewest");
        let credential = Credential::of_password(Scram::Sha256, b"pencil", b"salt".to_vec(), iterations);
        directory.insert(user, Scram::Sha256, credential).expect("once");
    }
    Arc::new(directory)
}

pub(super) fn handshake(version: i16, id: i32, mechanism: &'static str) -> Vec<u8> {
    let body = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    request(ApiKey::SASL_HANDSHAKE, version, id, &body)
}

fn handshake_answer(id: i32, error: i16) -> Vec<u8> {
    let mechanisms = ["PLAIN", "SCRAM-SHA-256"].map(StrBytes::from_static_str).to_vec();
    let body = SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(mechanisms);
    response(ApiKey::SASL_HANDSHAKE, 1, id, &body)
}

pub(super) fn token(version: i16, id: i32, token: &[u8]) -> Vec<u8> {
    let body = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(token));
    request(ApiKey::SASL_AUTHENTICATE, version, id, &body)
}

fn accepted(version: i16, id: i32, token: &[u8], lasts_ms: i64) -> Vec<u8> {
    let body = SaslAuthenticateResponse::default().with_auth_bytes(Bytes::copy_from_slice(token));
    let body = if version >= 1 { body.with_session_lifetime_ms(lasts_ms) } else { body };
    response(ApiKey::SASL_AUTHENTICATE, version, id, &body)
}

fn refused(version: i16, id: i32, mechanism: &str) -> Vec<u8> {
    let said = format!("Authentication failed: invalid credentials with SASL mechanism {mechanism}");
    let said = Some(StrBytes::from_string(said));
    let body = SaslAuthenticateResponse::default().with_error_code(58).with_error_message(said);
    response(ApiKey::SASL_AUTHENTICATE, version, id, &body)
}

pub(super) fn plain() -> Event {
    Event::Examiner(Ok(Box::new(Exchange::plain(directory()))))
}

fn scram() -> Event {
    Event::Examiner(Ok(Box::new(Exchange::scram(Scram::Sha256, directory(), Nonce::of([1; 18])))))
}

fn examine(mechanism: Mechanism, token: &[u8]) -> Action {
    Action::Examine { mechanism, token: Secret(Bytes::copy_from_slice(token)) }
}

/// A client that is let in with PLAIN, by requests from `id` on.
pub(super) fn lets_in(p: &mut Pair, id: i32, lasts_ms: i64) {
    p.client(&handshake(1, id, "PLAIN")).expect_client(&handshake_answer(id, 0));
    p.client(&token(2, id + 1, b"\0alice\0pencil"));
    p.expect_action(&examine(Mechanism::Plain, b"\0alice\0pencil"));
    p.happens(plain()).expect_client(&accepted(2, id + 1, b"", lasts_ms));
    p.expect_action(&Action::LetIn(Mechanism::Plain));
}

/// Connects upstream, which the request that waits wants.
pub(super) fn connects(p: &mut Pair) {
    p.expect_action(&Action::Resolve);
    p.happens(Event::Resolved(vec![server(1)]));
    p.expect_action(&Action::Connect(server(1)));
    p.happens(Event::Connected);
}

#[test]
fn nothing_but_sasl_and_one_question_for_versions_is_taken_from_a_stranger() {
    for first in [metadata(1), opaque(1, b"x"), produce(9, 1, 0, 10), token(2, 1, b"\0alice\0pencil")] {
        let mut p = Pair::new(admitting());
        p.client(&first).expect_upstream(&[]).expect_closed("client_misbehaved");
        assert!(!p.took(&Action::Resolve), "upstream is not bothered");
    }
    let mut p = Pair::open(admitting(), &api_versions(1));
    p.upstream(&api_versions_ok(1, &[(3, 0, 12)])).reached(Leg::Client);
    p.client(&api_versions(2)).expect_upstream(&[]).expect_closed("client_misbehaved");
    let mut p = Pair::new(admitting());
    p.client(&handshake(1, 1, "PLAIN")).expect_client(&handshake_answer(1, 0));
    p.client(&metadata(2)).expect_closed("client_misbehaved");
}

#[test]
fn who_has_the_password_is_let_in_and_relayed() {
    for version in 0..=2 {
        let mut p = Pair::open(admitting(), &api_versions(1));
        p.upstream(&api_versions_ok(1, &[(3, 0, 12)])).reached(Leg::Client);
        p.client(&handshake(1, 2, "PLAIN")).expect_client(&handshake_answer(2, 0));
        p.client(&token(version, 3, b"\0alice\0pencil"));
        assert_eq!(p.relay.in_flight(), 1);
        p.expect_action(&examine(Mechanism::Plain, b"\0alice\0pencil"));
        p.happens(plain()).expect_client(&accepted(version, 3, b"", 0));
        p.expect_action(&Action::LetIn(Mechanism::Plain));
        let principal = p.relay.client().and_then(|client| client.principal.clone()).expect("it is known");
        assert_eq!((principal.name.as_deref(), principal.mechanism), (Some("alice"), "PLAIN"));
        p.client(&api_versions(4)).expect_upstream(&api_versions(4));
        p.client(&opaque(5, b"x")).expect_upstream(&opaque(5, b"x"));
        assert_eq!(p.over.iter().filter(|exchange| exchange.is_own()).count(), 2);
    }
}

#[test]
fn upstream_is_connected_by_the_first_request_of_somebody_who_is_in() {
    let mut p = Pair::new(admitting());
    lets_in(&mut p, 1, 0);
    p.client(&metadata(3));
    connects(&mut p);
    p.expect_upstream(&metadata(3));
}

#[test]
fn a_wrong_password_is_told_late_and_without_a_reason() {
    for wrong in [&b"\0alice\0wrong"[..], b"\0nobody\0pencil", b"\0alice\0", b"bob\0alice\0pencil"] {
        let mut p = Pair::new(admitting());
        p.client(&handshake(1, 1, "PLAIN")).expect_client(&handshake_answer(1, 0));
        p.at(10).client(&token(2, 2, wrong)).happens(plain());
        // What it sends behind is not looked at.
        p.at(20).client(&token(2, 3, b"\0alice\0pencil")).at(109).happens(Event::Tick);
        p.expect_client(&[]);
        assert_eq!(p.relay.deadline().map(|at| at.as_micros()), Some(110_000));
        p.at(110).happens(Event::Tick).expect_client(&refused(2, 2, "PLAIN"));
        let said = p.expect_closed("authentication_failed").to_string();
        assert!(!said.contains("pencil"), "{said}");
    }
}

#[test]
fn a_password_is_judged_elsewhere_and_nothing_behind_it_is_looked_at_meanwhile() {
    let mut p = Pair::new(admitting());
    p.derives = false;
    p.client(&handshake(1, 1, "PLAIN")).expect_client(&handshake_answer(1, 0));
    p.client(&[token(2, 2, b"\0alice\0pencil"), metadata(3)].concat());
    p.expect_action(&examine(Mechanism::Plain, b"\0alice\0pencil"));
    p.happens(plain()).expect_client(&[]);
    let Some(Action::Derive(Leg::Client, derivation)) = p.actions.pop() else { panic!("no password is judged here") };
    p.happens(plain()).expect_nothing();
    assert!(!format!("{derivation:?}").contains("pencil"));
    p.happens(Event::Derived(Leg::Upstream, Box::new(derivation.keys()))).expect_nothing();
    p.happens(Event::Derived(Leg::Client, Box::new(derivation.keys()))).expect_client(&accepted(2, 2, b"", 0));
    assert!(p.took(&Action::LetIn(Mechanism::Plain)) && p.took(&Action::Resolve));
    p.happens(Event::Derived(Leg::Client, Box::new(derivation.keys()))).expect_client(&[]);
}

#[test]
fn a_refusal_names_who_was_claimed_and_no_password() {
    let mut p = Pair::new(admitting());
    p.client(&handshake(1, 1, "PLAIN")).client(&token(2, 2, b"\0al\nice\0pencil-box")).take_actions();
    p.happens(plain());
    p.expect_action(&Action::Denied {
        mechanism: Some(Mechanism::Plain),
        name: Some("al\u{fffd}ice".into()),
        why: "there is no such user with that password".to_owned(),
    });
    assert!(!format!("{:?}", p.relay).contains("pencil-box"));
}

/// Both framings, and whatever way the bytes come in.
#[test]
fn scram_lets_in_with_and_without_headers() {
    for (version, chunk) in [(0, 1_000), (0, 1), (1, 1_000), (1, 1), (1, 7)] {
        let mut p = Pair::new(admitting());
        let mut alice = client::Exchange::scram(Scram::Sha256, "alice", Secret("pencil".into()), Nonce::of([2; 18]));
        let say = |p: &mut Pair, bytes: &[u8]| {
            for piece in bytes.chunks(chunk) {
                p.client(piece);
            }
        };
        let framed = |id: i32, bytes: &[u8]| if version == 0 { framed(bytes) } else { token(1, id, bytes) };
        say(&mut p, &handshake(version, 1, "SCRAM-SHA-256"));
        p.expect_client(&handshake_answer(1, 0));
        let first = alice.first().expect("the first").0;
        say(&mut p, &framed(2, &first));
        p.expect_action(&examine(Mechanism::ScramSha256, &first));
        p.happens(scram());
        let challenge = unframed(&p.reached(Leg::Client), version);
        let last = proof(&mut alice, &challenge);
        say(&mut p, &framed(3, &last));
        let signature = unframed(&p.reached(Leg::Client), version);
        assert_eq!(alice.challenged(&signature), Ok(client::Next::Done));
        p.expect_action(&Action::LetIn(Mechanism::ScramSha256));
        say(&mut p, &metadata(4));
        connects(&mut p);
        p.expect_upstream(&metadata(4));
    }
}

/// What a client answers to a challenge.
fn proof(client: &mut client::Exchange, challenge: &[u8]) -> Bytes {
    let Ok(client::Next::Derive(derivation)) = client.challenged(challenge) else { panic!("no challenge") };
    let Ok(client::Next::Send(last)) = client.derived(&derivation.keys()) else { panic!("no proof") };
    last.0
}

/// The token in an answer: raw, or in a `SaslAuthenticate` response v1.
fn unframed(answer: &[u8], version: i16) -> Vec<u8> {
    if version == 0 {
        return answer[4..].to_vec();
    }
    let at = 4 + 4 + 2 + 2; // length, correlation id, error, null message
    let len = u32::from_be_bytes(answer[at..at + 4].try_into().expect("four bytes")) as usize;
    answer[at + 4..at + 4 + len].to_vec()
}

#[test]
fn a_refusal_without_headers_is_a_hang_up() {
    let mut p = Pair::new(admitting());
    p.client(&handshake(0, 1, "PLAIN")).expect_client(&handshake_answer(1, 0));
    p.client(&framed(b"\0alice\0wrong")).happens(plain()).expect_client(&[]);
    p.at(100).happens(Event::Tick).expect_client(&[]).expect_closed("authentication_failed");
}

#[test]
fn a_mechanism_that_is_not_there_is_answered_with_those_that_are() {
    for mechanism in ["SCRAM-SHA-512", "GSSAPI", ""] {
        let mut p = Pair::new(admitting());
        p.client(&handshake(1, 1, mechanism)).expect_client(&[]);
        p.at(100).happens(Event::Tick).expect_client(&handshake_answer(1, 33)).expect_closed("authentication_failed");
    }
}

#[test]
fn a_client_that_does_not_say_who_it_is_has_its_time_from_connecting() {
    let mut p = Pair::open(admitting(), &api_versions(1));
    p.upstream(&api_versions_ok(1, &[])).client(&handshake(1, 2, "PLAIN")).at(29_999).happens(Event::Tick);
    p.reached(Leg::Client);
    p.expect_nothing();
    assert_eq!(p.relay.deadline(), Some(crate::time::Instant::from_millis(30_000)));
    p.at(30_000).happens(Event::Tick).expect_closed("authentication_timeout");
    let mut p = Pair::new(admitting());
    lets_in(&mut p, 1, 0);
    p.at(60_000).happens(Event::Tick).expect_nothing();
}

#[test]
fn where_nobody_can_tell_who_it_is_the_client_is_closed_and_may_try_again() {
    let mut p = Pair::new(admitting());
    p.client(&handshake(1, 1, "PLAIN")).client(&token(2, 2, b"\0alice\0pencil"));
    p.expect_client(&handshake_answer(1, 0));
    p.happens(Event::Examiner(Err("the keys cannot be fetched".to_owned())));
    p.expect_client(&[]).expect_closed("authentication_unavailable");
}

#[test]
fn a_session_ends_with_the_first_request_after_its_time() {
    let mut p = Pair::new(with_sessions(5_000));
    lets_in(&mut p, 1, 5_000);
    p.at(4_999).client(&opaque(3, b""));
    connects(&mut p);
    p.expect_upstream(&opaque(3, b""));
    p.at(5_000).happens(Event::Tick).expect_nothing();
    p.upstream(&opaque_ok(3, b"")).expect_client(&opaque_ok(3, b""));
    p.client(&opaque(4, b"")).expect_upstream(&[]).expect_closed("session_expired");
}

#[test]
fn a_client_that_says_again_who_it_is_goes_on() {
    let mut p = Pair::new(with_sessions(5_000));
    lets_in(&mut p, 1, 5_000);
    p.client(&opaque(3, b""));
    connects(&mut p);
    p.expect_upstream(&opaque(3, b""));
    // A response is owed: the handshake waits for it.
    p.at(6_000).client(&handshake(1, 4, "PLAIN")).expect_nothing();
    p.upstream(&opaque_ok(3, b"")).expect_client(&[opaque_ok(3, b""), handshake_answer(4, 0)].concat());
    p.client(&token(2, 5, b"\0alice\0pencil")).take_actions();
    p.happens(plain()).expect_client(&accepted(2, 5, b"", 5_000)).expect_action(&Action::LetIn(Mechanism::Plain));
    p.at(10_999).client(&opaque(6, b"")).expect_upstream(&opaque(6, b""));
    // Out of turn, it is told what a broker would tell it.
    p.upstream(&opaque_ok(6, b"")).expect_client(&opaque_ok(6, b""));
    p.client(&token(2, 7, b"\0alice\0pencil"));
    let body = SaslAuthenticateResponse::default()
        .with_error_code(34)
        .with_error_message(Some(StrBytes::from_static_str("SaslAuthenticate comes behind a SaslHandshake")));
    p.expect_client(&response(ApiKey::SASL_AUTHENTICATE, 2, 7, &body));
}

#[test]
fn nobody_becomes_somebody_else_on_the_way() {
    let mut p = Pair::new(with_sessions(5_000));
    lets_in(&mut p, 1, 5_000);
    p.client(&handshake(1, 3, "PLAIN")).expect_client(&handshake_answer(3, 0));
    p.client(&token(2, 4, b"\0bob\0pencil")).happens(plain()).expect_client(&[]);
    p.at(100).happens(Event::Tick).expect_client(&refused(2, 4, "PLAIN")).expect_closed("authentication_failed");

    let mut p = Pair::new(admitting());
    lets_in(&mut p, 1, 0);
    let mut alice = client::Exchange::scram(Scram::Sha256, "alice", Secret("pencil".into()), Nonce::of([2; 18]));
    p.client(&handshake(1, 3, "SCRAM-SHA-256")).expect_client(&handshake_answer(3, 0));
    p.client(&token(1, 4, &alice.first().expect("the first").0)).happens(scram());
    let challenge = unframed(&p.reached(Leg::Client), 1);
    let last = proof(&mut alice, &challenge);
    p.client(&token(1, 5, &last)).expect_client(&[]);
    p.at(100).happens(Event::Tick).expect_closed("authentication_failed");
}

#[test]
fn all_of_it_may_come_at_once() {
    let mut p = Pair::new(admitting());
    let all = [handshake(1, 1, "PLAIN"), token(2, 2, b"\0alice\0pencil"), metadata(3), opaque(4, b"")].concat();
    p.client(&all).expect_client(&handshake_answer(1, 0)).take_actions();
    p.happens(plain()).expect_client(&accepted(2, 2, b"", 0));
    p.take_actions();
    p.happens(Event::Resolved(vec![server(1)])).take_actions();
    p.happens(Event::Connected).expect_upstream(&[metadata(3), opaque(4, b"")].concat());
}

#[test]
fn a_drain_waits_for_a_verdict_and_for_nothing_else_of_a_stranger() {
    let mut p = Pair::new(admitting());
    p.client(&handshake(1, 1, "PLAIN")).expect_client(&handshake_answer(1, 0));
    p.client(&token(2, 2, b"\0alice\0pencil")).take_actions();
    p.happens(Event::Drain).expect_nothing();
    p.happens(plain()).expect_client(&accepted(2, 2, b"", 0));
    assert!(p.took(&Action::LetIn(Mechanism::Plain)) && p.took(&Action::Finish));

    let mut p = Pair::new(admitting());
    p.client(&handshake(1, 1, "PLAIN")).expect_client(&handshake_answer(1, 0));
    p.happens(Event::Drain).expect_action(&Action::Finish);
}

#[test]
fn a_token_too_large_to_be_one_closes() {
    for (version, large) in [(1, token(2, 2, &[b'x'; 70_000])), (0, framed(&[b'x'; 70_000]))] {
        let mut p = Pair::new(admitting());
        p.client(&handshake(version, 1, "PLAIN")).client(&large).expect_closed("client_misbehaved");
    }
}
