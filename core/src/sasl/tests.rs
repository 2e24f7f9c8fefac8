//! What tokens say, right ones and others.

use super::*;
use proptest::prelude::*;

fn named(mechanism: impl Into<Option<Mechanism>>, token: &[u8]) -> Option<String> {
    let mut exchange = Exchange::new(mechanism.into());
    exchange.client_token(token);
    exchange.claimed.map(Into::into)
}

fn bearer(claims: &str) -> Vec<u8> {
    let engine = &base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = base64::Engine::encode(engine, claims);
    format!("n,a=ignored,\x01auth=Bearer eyJhbGciOiJub25lIn0.{claims}.c2ln\x01\x01").into_bytes()
}

#[test]
fn each_mechanism_tells_who_it_is_in_its_first_token() {
    assert_eq!(named(Mechanism::Plain, b"\0alice\0secret").as_deref(), Some("alice"));
    assert_eq!(named(Mechanism::Plain, b"alice\0alice\0secret").as_deref(), Some("alice"));
    assert_eq!(named(Mechanism::ScramSha256, b"n,,n=alice,r=fyko").as_deref(), Some("alice"));
    assert_eq!(named(Mechanism::ScramSha512, b"n,,n=a=2Cb=3Dc,r=fyko").as_deref(), Some("a,b=c"));
    assert_eq!(named(Mechanism::OAuthBearer, &bearer(r#"{"sub":"alice","exp":1}"#)).as_deref(), Some("alice"));
    assert_eq!(named(None, b"\x60\x82alice"), None);
}

#[test]
fn a_name_that_cannot_be_told_is_none() {
    for (mechanism, token) in [
        (Mechanism::Plain, &b"alice"[..]),
        (Mechanism::ScramSha256, b"n,,r=fyko"),
        (Mechanism::ScramSha256, b"n,,n=a=4Cb,r=fyko"),
        (Mechanism::ScramSha256, b"n,,n=tokenid,r=fyko,tokenauth=true"),
        (Mechanism::OAuthBearer, b"n,,\x01auth=Bearer x.y.z\x01\x01"),
        (Mechanism::OAuthBearer, b"n,,\x01auth=Basic eHg=\x01\x01"),
    ] {
        assert_eq!(named(mechanism, token), None, "{mechanism:?} {token:?}");
    }
    assert_eq!(named(Mechanism::OAuthBearer, &bearer(r#"{"azp":"alice"}"#)), None);
}

#[test]
fn a_name_is_fit_for_a_log_line() {
    assert_eq!(named(Mechanism::Plain, b"\0al\nice\x1b[2J\0secret").as_deref(), Some("al\u{fffd}ice\u{fffd}[2J"));
    let long = [b"\0".as_slice(), &[b'a'; 9_000], b"\0secret"].concat();
    assert_eq!(named(Mechanism::Plain, &long).map(|name| name.len()), Some(crate::limits::SHOWN_NAME_MAX));
}

#[test]
fn an_exchange_is_accepted_when_its_last_token_is() {
    let mut plain = Exchange::new(Some(Mechanism::Plain));
    assert_eq!(plain.accepted(0), None);
    plain.client_token(b"\0alice\0secret");
    assert_eq!(plain.accepted(0), Some(Principal { name: Some("alice".into()), mechanism: "PLAIN" }));

    let mut scram = Exchange::new(Some(Mechanism::ScramSha512));
    scram.client_token(b"n,,n=alice,r=fyko");
    assert_eq!(scram.accepted(60), None, "that was the challenge");
    scram.client_token(b"c=biws,r=fyko,p=cA==");
    assert_eq!(scram.accepted(30), Some(Principal { name: Some("alice".into()), mechanism: "SCRAM-SHA-512" }));

    let mut bearer_token = Exchange::new(Some(Mechanism::OAuthBearer));
    bearer_token.client_token(&bearer(r#"{"sub":"alice"}"#));
    assert_eq!(bearer_token.accepted(20), None, "that is why it was refused");
    assert!(bearer_token.accepted(0).is_some());
}

proptest! {
    #[test]
    fn any_token_is_survived_and_no_password_is_kept(
        mechanism in prop::sample::select(&[Some(Mechanism::Plain), Some(Mechanism::ScramSha256), Some(Mechanism::OAuthBearer), None][..]),
        token in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let name = named(mechanism, &token);
        prop_assert!(name.is_none_or(|name| name.chars().count() <= token.len()));
        let secret = [b"\0user\0pass-".as_slice(), &token].concat();
        let mut exchange = Exchange::new(Some(Mechanism::Plain));
        exchange.client_token(&secret);
        let kept = format!("{exchange:?}");
        prop_assert!(!kept.contains("pass-"), "{}", kept);
    }
}
