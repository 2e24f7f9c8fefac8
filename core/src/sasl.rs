//! SASL exchanges that pass by: who a client says it is, and whether upstream believed it.
//!
//! Nothing here takes part in an exchange, and nothing secret is kept of one: of a token only the name is read. The name
//! counts once upstream has accepted the exchange.

use crate::wire::printable;

/// How a client proves who it is (`sasl.mechanism`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// A name and a password (RFC 4616).
    Plain,
    /// A challenge and a proof (RFC 5802, RFC 7677).
    ScramSha256,
    /// The same with the longer hash.
    ScramSha512,
    /// A bearer token (RFC 7628, KIP-255).
    OAuthBearer,
    /// Another one (GSSAPI, or a broker's own), whose tokens say nothing to us.
    Other,
}

impl Mechanism {
    /// The mechanism of that name in a `SaslHandshake`.
    pub fn named(name: &[u8]) -> Self {
        match name {
            b"PLAIN" => Self::Plain,
            b"SCRAM-SHA-256" => Self::ScramSha256,
            b"SCRAM-SHA-512" => Self::ScramSha512,
            b"OAUTHBEARER" => Self::OAuthBearer,
            _ => Self::Other,
        }
    }

    /// Its name, as brokers and clients have it in their settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Other => "another mechanism",
        }
    }

    /// How many tokens the client sends in an exchange that succeeds; `None` where that differs from one to the next.
    pub const fn client_tokens(self) -> Option<u8> {
        match self {
            Self::Plain | Self::OAuthBearer => Some(1),
            Self::ScramSha256 | Self::ScramSha512 => Some(2),
            Self::Other => None,
        }
    }
}

/// Whom upstream takes a client for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Principal {
    /// The user name, or the subject (`sub`) of a bearer token, fit for a log line. `None` where the exchange does not tell:
    /// delegation tokens, Kerberos, or a token without a subject.
    pub name: Option<Box<str>>,
    /// The name of the mechanism.
    pub mechanism: &'static str,
}

/// One exchange, from its handshake on.
#[derive(Debug)]
pub(crate) struct Exchange {
    mechanism: Mechanism,
    /// The client's tokens so far.
    tokens: u8,
    /// Whom the first of them named.
    claimed: Option<Box<str>>,
}

impl Exchange {
    /// The client has asked for a mechanism.
    pub(crate) const fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, tokens: 0, claimed: None }
    }

    /// The client has sent a token.
    pub(crate) fn client_token(&mut self, token: &[u8]) {
        if self.tokens == 0 {
            let name = match self.mechanism {
                Mechanism::Plain => plain_user(token).map(printable),
                Mechanism::ScramSha256 | Mechanism::ScramSha512 => scram_user(token).map(|name| printable(&name)),
                Mechanism::OAuthBearer => bearer_subject(token).map(|name| printable(name.as_bytes())),
                Mechanism::Other => None,
            };
            self.claimed = name;
        }
        self.tokens = self.tokens.saturating_add(1);
    }

    /// Upstream has answered a token without an error, with so many bytes of its own: whom it takes the client for, where that
    /// ends the exchange.
    pub(crate) fn accepted(&self, answer: usize) -> Option<Principal> {
        let is_over = match self.mechanism {
            Mechanism::Plain => self.tokens > 0,
            Mechanism::ScramSha256 | Mechanism::ScramSha512 => self.tokens > 1,
            // An answer that is not empty tells the client why it was refused (RFC 7628, section 3.2.3). And Kerberos ends with one
            // that is, as the mechanisms do that nobody knows here.
            Mechanism::OAuthBearer | Mechanism::Other => self.tokens > 0 && answer == 0,
        };
        is_over.then(|| Principal { name: self.claimed.clone(), mechanism: self.mechanism.name() })
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
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return Some(plain),
            [b'=', b'2', b'C' | b'c', after @ ..] => {
                plain.push(b',');
                after
            }
            [b'=', b'3', b'D' | b'd', after @ ..] => {
                plain.push(b'=');
                after
            }
            [b'=', ..] => return None,
            [byte, after @ ..] => {
                plain.push(*byte);
                after
            }
        };
    }
}

/// The subject of the JSON web token in `gs2-header ^A auth=Bearer TOKEN ^A ... ^A ^A`. Whether the token is any good is for
/// upstream to say.
fn bearer_subject(token: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
    }
    let value = token.split(|b| *b == 1).find_map(|field| field.strip_prefix(b"auth="))?;
    let (scheme, value) = value.split_at_checked(b"Bearer ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return None;
    }
    let claims = value.split(|b| *b == b'.').nth(1)?;
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.sub)
}

#[cfg(test)]
#[path = "sasl/tests.rs"]
mod tests;
