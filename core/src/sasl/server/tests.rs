//! Exchanges of both our sides: the vectors of RFC 7677, agreement, and nothing that lets anybody in who should not be.

use super::*;
use crate::sasl::{
    client::{self, Mistrust, Next},
    scram::Iterations,
};
use proptest::prelude::*;

const USER_SALT: &[u8] = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";

fn few() -> Iterations {
    Iterations::new(4_096).expect("the fewest")
}

/// A directory with `user`, whose password is `pencil` as in the RFCs.
fn directory() -> Arc<Directory> {
    let mut directory = Directory::new([7; 32]);
    for scram in [Scram::Sha256, Scram::Sha512] {
        let credential = Credential::of_password(scram, b"pencil", USER_SALT.to_vec(), few());
        directory.insert("user", scram, credential).expect("once");
    }
    Arc::new(directory)
}

fn secret(text: &str) -> Secret {
    Secret(text.to_owned().into())
}

fn challenge(verdict: Verdict) -> Bytes {
    match verdict {
        Verdict::Challenge(challenge) => challenge.0,
        Verdict::Accepted { .. } | Verdict::Refused(_) | Verdict::Derive(_) => panic!("no challenge: {verdict:?}"),
    }
}

fn to_send(next: Next) -> Bytes {
    match next {
        Next::Send(token) => token.0,
        Next::Done | Next::Derive(_) => panic!("nothing is left to be sent"),
    }
}

/// What a client says to a server's token, keys included.
fn challenged(client: &mut client::Exchange, token: &[u8]) -> Result<Next, Mistrust> {
    match client.challenged(token)? {
        Next::Derive(derivation) => client.derived(&derivation.keys()),
        next @ (Next::Send(_) | Next::Done) => Ok(next),
    }
}

/// What a server says to a client's token, keys included.
fn judged(server: &mut Exchange, token: &[u8]) -> Verdict {
    match server.step(token) {
        Verdict::Derive(derivation) => server.derived(&derivation.keys()),
        verdict @ (Verdict::Challenge(_) | Verdict::Accepted { .. } | Verdict::Refused(_)) => verdict,
    }
}

/// `user=user`, `pass=pencil` and the nonces of RFC 7677, section 3; SHA-512 was computed by Python's hashlib.
#[test]
fn both_sides_say_what_the_rfc_says() {
    let rest = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let vectors = [
        (Scram::Sha256, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        (
            Scram::Sha512,
            "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ),
    ];
    for (scram, proof, signature) in vectors {
        let mut server = Exchange::scram(scram, directory(), Nonce::written("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"));
        let mut client =
            client::Exchange::scram(scram, "user", secret("pencil"), Nonce::written("rOprNGfwEbeRWgbNEkqO"));
        let first = client.first().expect("the first").0;
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let asked = challenge(server.step(&first));
        assert_eq!(asked, format!("r={rest},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        let last = to_send(challenged(&mut client, &asked).expect("an honest server"));
        assert_eq!(last, format!("c=biws,r={rest},p={proof}"));
        let Verdict::Accepted { token, user, valid_for: None } = server.step(&last) else { panic!("refused") };
        assert_eq!((token.0.as_ref(), &*user), (format!("v={signature}").as_bytes(), "user"));
        assert_eq!(client.challenged(&token.0), Ok(Next::Done));
        assert_eq!(server.step(&last), Verdict::Refused(Refusal::Over));
    }
}

/// How far the client of a password gets with a server, where the n-th token is changed on its way.
fn scram_with(
    user: &str,
    password: &str,
    change: impl Fn(usize, &[u8]) -> Vec<u8>,
) -> Result<Result<Box<str>, Refusal>, Mistrust> {
    let mut server = Exchange::scram(Scram::Sha256, directory(), Nonce::of([1; 18]));
    let mut client = client::Exchange::scram(Scram::Sha256, user, secret(password), Nonce::of([2; 18]));
    let mut token = client.first()?.0;
    let mut n = 0;
    loop {
        let (answer, over) = match server.step(&change(n, &token)) {
            Verdict::Challenge(challenge) => (challenge.0, None),
            Verdict::Accepted { token, user, .. } => (token.0, Some(user)),
            Verdict::Refused(refusal) => return Ok(Err(refusal)),
            Verdict::Derive(_) => panic!("SCRAM takes no password"),
        };
        match (challenged(&mut client, &change(n + 1, &answer))?, over) {
            (Next::Done, Some(user)) => return Ok(Ok(user)),
            (Next::Send(next), None) => token = next.0,
            (Next::Done, None) | (Next::Send(_), Some(_)) | (Next::Derive(_), _) => {
                panic!("one side is done and the other is not")
            }
        }
        n += 2;
    }
}

fn unchanged(_: usize, token: &[u8]) -> Vec<u8> {
    token.to_owned()
}

#[test]
fn who_does_not_exist_looks_like_who_does() {
    assert_eq!(scram_with("user", "pencil", unchanged), Ok(Ok("user".into())));
    assert_eq!(scram_with("user", "pencils", unchanged), Ok(Err(Refusal::Credentials)));
    assert_eq!(scram_with("nobody", "pencil", unchanged), Ok(Err(Refusal::Credentials)));
    let asked = |user: &str| {
        let mut server = Exchange::scram(Scram::Sha256, directory(), Nonce::of([1; 18]));
        let challenge = challenge(server.step(format!("n,,n={user},r=abc").as_bytes()));
        String::from_utf8(challenge.to_vec()).expect("text")
    };
    assert_eq!(asked("nobody"), asked("nobody"), "a salt that changes would give the decoy away");
    assert_ne!(asked("nobody"), asked("somebody"));
    assert_eq!(asked("nobody").len(), asked("user").len());
}

#[test]
fn plain_takes_the_password_and_nothing_else() {
    let judged = |token: &[u8]| judged(&mut Exchange::plain(directory()), token);
    let accepted = Verdict::Accepted { token: Secret(Bytes::new()), user: "user".into(), valid_for: None };
    assert_eq!(judged(b"\0user\0pencil"), accepted);
    assert_eq!(judged(b"user\0user\0pencil"), accepted);
    assert_eq!(judged(b"admin\0user\0pencil"), Verdict::Refused(Refusal::ActingFor));
    assert_eq!(judged(b"admin\0user\0wrong"), Verdict::Refused(Refusal::Credentials));
    assert_eq!(judged(b"\0nobody\0pencil"), Verdict::Refused(Refusal::Credentials));
    for token in [b"".as_slice(), b"user", b"\0user\0", b"\0\0pencil", b"\0user\0pencil\0", b"\0\xff\0pencil"] {
        assert!(matches!(judged(token), Verdict::Refused(Refusal::Malformed(_))), "{token:?}");
    }
}

#[test]
fn a_client_is_told_apart_from_one_that_wants_more() {
    let judged = |first: &str| Exchange::scram(Scram::Sha256, directory(), Nonce::of([1; 18])).step(first.as_bytes());
    for good in ["n,,n=user,r=x", "y,,n=user,r=x", "n,a=user,n=user,r=x", "n,,n=user,r=x,ext=1"] {
        assert!(matches!(judged(good), Verdict::Challenge(_)), "{good}");
    }
    assert_eq!(judged("n,a=admin,n=user,r=x"), Verdict::Refused(Refusal::ActingFor));
    for bad in [
        "",
        "n,,",
        "p=tls-unique,,n=user,r=x",
        "n,x,n=user,r=x",
        "n,,m=1,n=user,r=x",
        "n,,n=us=er,r=x",
        "n,,n=user,r=",
        "n,,n=user,r=x y",
        "n,,n=user,r=x,tokenauth=true",
    ] {
        assert!(matches!(judged(bad), Verdict::Refused(Refusal::Malformed(_))), "{bad}");
    }
}

#[test]
fn our_client_proves_nothing_to_a_server_that_is_none() {
    let answered = |challenge: &str| {
        let mut client = client::Exchange::scram(Scram::Sha256, "user", secret("pencil"), Nonce::written("abc"));
        client.first().expect("the first");
        challenged(&mut client, challenge.as_bytes())
    };
    assert!(matches!(answered("r=abcdef,s=W22ZaJ0SNY4=,i=4096"), Ok(Next::Send(_))));
    assert_eq!(answered("r=abc,s=W22ZaJ0SNY4=,i=4096"), Err(Mistrust::Nonce), "nothing is the server's");
    assert_eq!(answered("r=other,s=W22ZaJ0SNY4=,i=4096"), Err(Mistrust::Nonce));
    for iterations in ["1", "4095", "100001", "4294967296", "-1", "x"] {
        let challenge = format!("r=abcdef,s=W22ZaJ0SNY4=,i={iterations}");
        assert_eq!(answered(&challenge), Err(Mistrust::Iterations(iterations.to_owned())));
    }
    for bad in ["", "e=unknown-user", "r=abcdef", "r=abcdef,s=%,i=4096"] {
        assert_eq!(answered(bad), Err(Mistrust::Malformed("challenge")), "{bad}");
    }
    let mut client = client::Exchange::scram(Scram::Sha256, "user", secret("pencil"), Nonce::written("abc"));
    client.first().expect("the first");
    challenged(&mut client, b"r=abcdef,s=W22ZaJ0SNY4=,i=4096").expect("a challenge");
    assert_eq!(client.challenged(b"v=W22ZaJ0SNY4="), Err(Mistrust::Server));
}

#[test]
fn nothing_secret_is_shown() {
    let mut shown = format!("{:?}", directory());
    for mut client in [
        client::Exchange::plain("user", &secret("pencil")),
        client::Exchange::scram(Scram::Sha256, "user", secret("pencil"), Nonce::of([2; 18])),
        client::Exchange::bearer(&secret("pencil")),
    ] {
        shown += &format!("{client:?}");
        shown += &format!("{:?}", client.first());
        shown += &format!("{client:?}");
    }
    shown += &format!("{:?}", Credential::of_password(Scram::Sha256, b"pencil", USER_SALT.to_vec(), few()));
    let mut server = Exchange::plain(directory());
    let asked = server.step(b"\0user\0pencilpencil");
    shown += &format!("{server:?} {asked:?}");
    assert!(!shown.contains("pencil"), "{shown}");
    let keys = Credential::of_password(Scram::Sha256, b"pencil", USER_SALT.to_vec(), few());
    assert!(!shown.contains(&keys.stored_key_text()) && !shown.contains(&keys.salt_text()), "{shown}");
}

#[test]
fn a_credential_has_keys_of_its_hash() {
    let made = |salt: &[u8], stored, server| {
        Credential::new(Scram::Sha256, salt.to_vec(), few(), vec![0; stored], vec![0; server])
    };
    assert!(made(b"s", 32, 32).is_ok());
    assert_eq!(made(b"", 32, 32).map_err(|e| e.to_string()), Err("its salt is empty".to_owned()));
    assert!(made(b"s", 64, 32).is_err() && made(b"s", 32, 31).is_err());
    let mut directory = Directory::new([0; 32]);
    let credential = made(b"s", 32, 32).expect("good");
    directory.insert("user", Scram::Sha256, credential.clone()).expect("once");
    assert!(directory.insert("user", Scram::Sha256, credential).is_err(), "which of the two would hold?");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn our_two_sides_agree(user in "[^\0]{1,12}", password in "[^\0]{1,12}", guess in "[^\0]{1,12}", salt in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut directory = Directory::new([7; 32]);
        directory.insert(&user, Scram::Sha512, Credential::of_password(Scram::Sha512, password.as_bytes(), salt, few())).expect("once");
        let directory = Arc::new(directory);
        let lets_in = |password: &str| {
            let mut server = Exchange::scram(Scram::Sha512, directory.clone(), Nonce::of([1; 18]));
            let mut client = client::Exchange::scram(Scram::Sha512, &user, secret(password), Nonce::of([2; 18]));
            let asked = challenge(server.step(&client.first().expect("the first").0));
            let last = to_send(challenged(&mut client, &asked).expect("an honest server"));
            match server.step(&last) {
                Verdict::Accepted { token, user: who, .. } => {
                    assert_eq!((&*who, client.challenged(&token.0)), (user.as_str(), Ok(Next::Done)));
                    true
                }
                Verdict::Refused(refusal) => {
                    assert_eq!(refusal, Refusal::Credentials);
                    false
                }
                Verdict::Challenge(_) | Verdict::Derive(_) => panic!("a third message"),
            }
        };
        prop_assert!(lets_in(&password));
        prop_assert_eq!(lets_in(&guess), guess == password);
        let mut plain = Exchange::plain(directory.clone());
        let is_in = matches!(judged(&mut plain, format!("\0{user}\0{guess}").as_bytes()), Verdict::Accepted { .. });
        prop_assert_eq!(is_in, guess == password);
    }

    /// One bit, anywhere, in either direction: nobody ends up believing anything else than what was said.
    #[test]
    fn a_tampered_exchange_convinces_nobody(which in 0usize..4, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let changed = |n: usize, token: &[u8]| {
            let mut token = token.to_owned();
            if n == which {
                let at = at.index(token.len());
                token[at] ^= 1 << bit;
            }
            token
        };
        let let_in = scram_with("user", "pencil", changed).ok().and_then(Result::ok);
        prop_assert_eq!(let_in, None);
    }

    #[test]
    fn any_tokens_are_survived(tokens in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..4), kind in 0u8..3) {
        let mut server = match kind {
            0 => Exchange::plain(directory()),
            1 => Exchange::scram(Scram::Sha256, directory(), Nonce::of([1; 18])),
            _ => Exchange::scram(Scram::Sha512, directory(), Nonce::of([1; 18])),
        };
        let mut client = client::Exchange::scram(Scram::Sha256, "user", secret("pencil"), Nonce::of([2; 18]));
        let _ = client.first();
        for token in &tokens {
            let is_in = matches!(judged(&mut server, token), Verdict::Accepted { .. });
            prop_assert!(!is_in);
            prop_assert_ne!(challenged(&mut client, token), Ok(Next::Done));
        }
    }
}
