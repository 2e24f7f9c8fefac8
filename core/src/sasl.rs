//! SASL: exchanges that pass by, and those that the proxy takes part in.
//!
//! Of an exchange that passes by, only the name in its first token is read, and nothing secret is kept; the name counts once
//! upstream has accepted the exchange. With clients the proxy can take the part of the server ([`server`]), with upstream that
//! of the client ([`client`], [`login`]): both are machines without input and output, whose random numbers, time and secrets
//! are handed in.

pub mod bearer;
pub mod client;
pub mod directory;
pub mod jwt;
pub mod login;
pub mod scram;
pub mod server;

use crate::wire::printable;
use core::{fmt, str::FromStr};

/// How a client proves who it is (`sasl.mechanism`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mechanism {
    /// A name and a password (RFC 4616).
    Plain,
    /// A challenge and a proof (RFC 5802, RFC 7677).
    ScramSha256,
    /// The same with the longer hash.
    ScramSha512,
    /// A bearer token (RFC 7628, KIP-255).
    OAuthBearer,
}

/// What stands in place of a mechanism where a client is known by its certificate.
pub const CERTIFICATE: &str = "TLS";

/// What the log and the status call a mechanism that is none of ours (GSSAPI, or a broker's own).
const OTHER: &str = "another mechanism";

impl Mechanism {
    /// All of them, in the order in which a list of them is shown.
    pub const ALL: [Self; 4] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OAuthBearer];

    /// The mechanism of that name in a `SaslHandshake`; `None`: one whose tokens say nothing to us.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes() == name)
    }

    /// Its name, as brokers and clients have it in their settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// How many tokens the client sends in an exchange that succeeds.
    pub const fn client_tokens(self) -> u8 {
        match self {
            Self::Plain | Self::OAuthBearer => 1,
            Self::ScramSha256 | Self::ScramSha512 => 2,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Self::named(name.as_bytes()).ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}

/// A name of no mechanism that kroxy takes part in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no SASL mechanism that kroxy knows")]
pub struct UnknownMechanism(String);

/// Whom a client is taken for, by upstream or by the proxy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Principal {
    /// The user name, or the subject (`sub`) of a bearer token, fit for a log line. `None` where the exchange does not tell:
    /// delegation tokens, Kerberos, or a token without a subject.
    pub name: Option<Box<str>>,
    /// The name of the mechanism; `TLS` where it is the subject of a certificate.
    pub mechanism: &'static str,
}

/// One exchange, from its handshake on.
#[derive(Debug)]
pub(crate) struct Exchange {
    mechanism: Option<Mechanism>,
    /// The client's tokens so far.
    tokens: u8,
    /// Whom the first of them named.
    claimed: Option<Box<str>>,
}

impl Exchange {
    /// The client has asked for a mechanism.
    pub(crate) const fn new(mechanism: Option<Mechanism>) -> Self {
        Self { mechanism, tokens: 0, claimed: None }
    }

    /// The client has sent a token.
    pub(crate) fn client_token(&mut self, token: &[u8]) {
        if self.tokens == 0 {
            let name = match self.mechanism {
                Some(mechanism) => claimed(mechanism, token),
                None => None,
            };
            self.claimed = name;
        }
        self.tokens = self.tokens.saturating_add(1);
    }

    /// Upstream has answered a token without an error, with so many bytes of its own: whom it takes the client for, where that
    /// ends the exchange.
    pub(crate) fn accepted(&self, answer: usize) -> Option<Principal> {
        let is_over = match self.mechanism {
            Some(Mechanism::Plain) => self.tokens > 0,
            Some(Mechanism::ScramSha256 | Mechanism::ScramSha512) => self.tokens > 1,
            // An answer that is not empty tells the client why it was refused (RFC 7628, section 3.2.3). And Kerberos ends with one
            // that is, as the mechanisms do that nobody knows here.
            Some(Mechanism::OAuthBearer) | None => self.tokens > 0 && answer == 0,
        };
        let mechanism = self.mechanism.map_or(OTHER, Mechanism::name);
        is_over.then(|| Principal { name: self.claimed.clone(), mechanism })
    }
}

/// Whom a client claims to be with the first token of an exchange, fit for a log line.
pub fn claimed(mechanism: Mechanism, token: &[u8]) -> Option<Box<str>> {
    match mechanism {
        Mechanism::Plain => plain_user(token).map(printable),
        Mechanism::ScramSha256 | Mechanism::ScramSha512 => scram_user(token).map(|name| printable(&name)),
        Mechanism::OAuthBearer => bearer_subject(token).map(|name| printable(name.as_bytes())),
    }
}

/// `[authzid] NUL authcid NUL passwd`. Kafka demands that an authzid equals the authcid.
fn plain_user(token: &[u8]) -> Option<&[u8]> {
    token.split(|b| *b == 0).nth(1)
}

/// `gs2-header n=USER,r=NONCE[,extensions]`, where a comma in the name is `=2C` and an equals sign `=3D`.
///
/// With the extension `tokenauth=true` the name is a delegation token's id, not a user's (KIP-48).
fn scram_user(token: &[u8]) -> Option<Vec<u8>> {
    let mut fields = token.split(|b| *b == b',').skip(2);
    let name = fields.next()?.strip_prefix(b"n=")?;
    if fields.any(|field| field.eq_ignore_ascii_case(b"tokenauth=true")) {
        return None;
    }
    scram::unescaped(name)
}

/// The subject of the JSON web token in `gs2-header ^A auth=Bearer TOKEN ^A ... ^A ^A`. Whether the token is any good is for
/// upstream to say.
fn bearer_subject(token: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims = bearer::token(token)?.split(|b| *b == b'.').nth(1)?;
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.sub)
}

#[cfg(test)]
#[path = "sasl/tests.rs"]
mod tests;
