//! Bearer tokens of clients, and the keys of who issues them.

use crate::{
    bend::bent,
    case::{NotACase, hex, unhex},
    dice::Dice,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use kroxy_core::sasl::{
    Mechanism, claimed,
    jwt::{Demands, Issuer, Keys},
    server::{Exchange, Verdict},
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

/// When tokens are judged, since 1970-01-01.
const TODAY: u64 = 1_800_000_000;

/// A header and claims that are right.
const HEADER: &str = r#"{"alg":"EdDSA","kid":"k1"}"#;
const CLAIM: &str = r#"{"iss":"idp","aud":["a","kafka"],"sub":"alice","exp":1900000000}"#;

/// Others.
const HEADERS: [&str; 8] = [
    r#"{"alg":"none"}"#,
    r#"{"alg":"HS256","kid":"k1"}"#,
    r#"{"alg":"RS256","kid":"k1"}"#,
    r#"{"alg":"EdDSA","kid":"k2"}"#,
    r#"{"alg":"EdDSA","kid":"k1","crit":["exp"]}"#,
    r#"{"alg":["EdDSA"]}"#,
    r#"{"kid":"k1"}"#,
    "[]",
];
const CLAIMS: [&str; 10] = [
    r#"{"iss":"idp","aud":"kafka","sub":"mallory"}"#,
    r#"{"iss":"idp","aud":"kafka","sub":"mallory","exp":1}"#,
    r#"{"iss":"idp","aud":"kafka","sub":"mallory","exp":-1e308}"#,
    r#"{"iss":"idp","aud":"kafka","sub":"mallory","exp":1e308}"#,
    r#"{"iss":"idp","aud":"kafka","sub":"mallory","exp":"1900000000"}"#,
    r#"{"iss":"idp","aud":"kafka","sub":"mallory","exp":1900000000,"nbf":1900000000}"#,
    r#"{"iss":"other","aud":"kafka","sub":"mallory","exp":1900000000}"#,
    r#"{"iss":"idp","aud":["other",7,null],"sub":"mallory","exp":1900000000}"#,
    r#"{"iss":"idp","aud":"kafka","sub":"","exp":1900000000}"#,
    r#"{"iss":"idp","aud":"kafka","sub":{"a":[[[[]]]]},"exp":1900000000}"#,
];

/// What a client says to prove who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Whether it is as it should be.
    holds: bool,
    /// A set of keys, good or not; empty: the one that the tokens are signed with.
    keys: Vec<u8>,
    bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let (header, claims) = match dice.below(4) {
            0 => (*dice.one_of(&HEADERS), CLAIM),
            1 => (HEADER, *dice.one_of(&CLAIMS)),
            _ => (HEADER, CLAIM),
        };
        let (header, claims) = match dice.below(20) {
            0 => ("[".repeat(*dice.one_of(&[10, 200, 40_000])), claims.to_owned()),
            1 => (header.to_owned(), "[".repeat(*dice.one_of(&[10, 200, 40_000]))),
            _ => (header.to_owned(), claims.to_owned()),
        };
        let token = signed(&header, &claims);
        let is_good = (header.as_str(), claims.as_str()) == (HEADER, CLAIM);
        let message = [b"n,,\x01auth=Bearer ", token.as_bytes(), b"\x01\x01"].concat();
        let keys = if dice.percent(80) { Vec::new() } else { bent(key_set().into_bytes(), 0, dice) };
        let bytes = if dice.percent(50) { message.clone() } else { bent(message.clone(), 0, dice) };
        Self { holds: is_good && keys.is_empty() && bytes == message, keys, bytes }
    }

    pub(crate) const fn size(&self) -> usize {
        self.keys.len() + self.bytes.len()
    }

    pub(crate) fn check(&self) {
        for mechanism in Mechanism::ALL {
            let _ = claimed(mechanism, &self.bytes);
        }
        let own = key_set();
        let Ok(keys) = Keys::read(if self.keys.is_empty() { own.as_bytes() } else { &self.keys }) else { return };
        let demands = Demands {
            issuer: "idp".to_owned(),
            audiences: vec!["kafka".to_owned()],
            principal_claim: "sub".to_owned(),
        };
        let mut exchange = Exchange::bearer(Arc::new(Issuer { keys, demands }), Duration::from_secs(TODAY));
        match exchange.step(&self.bytes) {
            Verdict::Accepted { user, valid_for, .. } => {
                // What is bent beside the token, and a set of keys in which the key is left, change nothing.
                let token = signed(HEADER, CLAIM);
                let has_the_token = self.bytes.windows(token.len()).any(|part| part == token.as_bytes());
                assert!(has_the_token, "a token that nobody has signed holds");
                assert_eq!((&*user, valid_for), ("alice", Some(Duration::from_secs(1_900_000_000 - TODAY))));
            }
            Verdict::Challenge(_) | Verdict::Refused(_) => assert!(!self.holds, "a token that was signed holds"),
            Verdict::Derive(_) => panic!("nobody has a password here"),
        }
        assert!(matches!(exchange.step(b"\x01"), Verdict::Refused(_)), "it is over");
    }

    pub(crate) fn smaller(&self) -> Vec<Self> {
        let halves = [&self.bytes[..self.bytes.len() / 2], &self.bytes[self.bytes.len() / 2..]];
        let cut = halves.into_iter().filter(|half| half.len() < self.bytes.len());
        cut.map(|half| Self { holds: false, keys: self.keys.clone(), bytes: half.to_vec() }).collect()
    }
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("32 bytes")
}

fn key_set() -> String {
    let x = BASE64.encode(pair().public_key());
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"k1","x":"{x}"}}]}}"#)
}

fn signed(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = BASE64.encode(pair().sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds {
            writeln!(f, "holds")?;
        }
        writeln!(f, "keys {}\nbytes {}", hex(&self.keys), hex(&self.bytes))
    }
}

impl FromStr for Message {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let mut message = Self { holds: false, keys: Vec::new(), bytes: Vec::new() };
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("holds", _) => message.holds = true,
                ("keys", digits) => message.keys = unhex(digits)?,
                ("bytes", digits) => message.bytes = unhex(digits)?,
                (_, _) => return Err(NotACase::line(line)),
            }
        }
        Ok(message)
    }
}
