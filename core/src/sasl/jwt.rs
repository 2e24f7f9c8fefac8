//! Bearer tokens: signed JSON web tokens (RFC 7515, RFC 7519), judged by the keys of whoever issues them (RFC 7517).
//!
//! Which algorithms hold is decided by the keys: a token that says `none`, or that would have a public key taken for the secret
//! of an HMAC, finds no key that fits.

use crate::{limits, wire::printable};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use core::{fmt, time::Duration};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Whose tokens are accepted, and what has to stand in them.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What it signs with.
    pub keys: Keys,
    /// What it says.
    pub demands: Demands,
}

/// What has to stand in a token beside a time that has not passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demands {
    /// `iss`.
    pub issuer: String,
    /// One of these is `aud`, or among them.
    pub audiences: Vec<String>,
    /// The claim that names the user; `sub` unless configured.
    pub principal_claim: String,
}

/// A token that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Whose it is.
    pub user: Box<str>,
    /// How long it holds on.
    pub valid_for: Duration,
}

/// Why a token does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It is no signed token.
    #[error("it is no signed JSON web token: {0}")]
    Malformed(&'static str),
    /// Nobody we know signs like this.
    #[error("no key of the issuer is called {id:?} and signs with {algorithm:?}")]
    UnknownKey {
        /// `kid`.
        id: String,
        /// `alg`.
        algorithm: String,
    },
    /// Somebody has changed it, or another one has signed it.
    #[error("its signature is wrong")]
    Signature,
    /// It has expired.
    #[error("it expired {} s ago", .0.as_secs())]
    Expired(Duration),
    /// It holds only later.
    #[error("it holds only in {} s", .0.as_secs())]
    NotYet(Duration),
    /// A claim is missing or another one.
    #[error("its claim {0:?} is missing or not what is wanted")]
    Claim(String),
}

impl Issuer {
    /// Whose token this is at this time of day (since 1970-01-01), if it holds.
    pub fn judge(&self, token: &[u8], today: Duration) -> Result<Accepted, Refused> {
        let claims = self.keys.verified(token)?;
        let wrong = |claim: &str| Refused::Claim(claim.to_owned());
        let time = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(value) => {
                let seconds =
                    value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds)).ok_or_else(|| wrong(claim))?;
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
        };
        let expires = time("exp")?.ok_or_else(|| wrong("exp"))?;
        let skew = limits::TOKEN_CLOCK_SKEW;
        if today >= expires + skew {
            return Err(Refused::Expired(today.saturating_sub(expires)));
        }
        if let Some(from) = time("nbf")?
            && from > today + skew
        {
            return Err(Refused::NotYet(from.saturating_sub(today)));
        }
        let Demands { issuer, audiences, principal_claim } = &self.demands;
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        if text("iss") != Some(issuer.as_str()) {
            return Err(wrong("iss"));
        }
        let is_for_us = |value: &Value| value.as_str().is_some_and(|aud| audiences.iter().any(|wanted| wanted == aud));
        let is_meant = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_for_us),
            Some(one) => is_for_us(one),
            None => false,
        };
        if !is_meant {
            return Err(wrong("aud"));
        }
        let user = text(principal_claim).filter(|user| !user.is_empty()).ok_or_else(|| wrong(principal_claim))?;
        Ok(Accepted { user: user.into(), valid_for: expires.saturating_sub(today) })
    }
}

/// The public keys of an issuer.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<String>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a set of keys cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoKeys {
    /// It is no set of keys.
    #[error("it is no JSON web key set: {0}")]
    NotASet(String),
    /// Nothing in it can verify a token.
    #[error("it has no key that can verify a token: RSA of 2048 bits or more, P-256, P-384 or Ed25519")]
    NoneFits,
}

/// A key as it is written. What it says beyond this is for others.
#[derive(Deserialize)]
struct RawKey {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Keys {
    /// Reads a JSON web key set. Keys that cannot verify a token (for encryption, or of kinds that kroxy does not know) are
    /// left out.
    pub fn read(json: &[u8]) -> Result<Self, NoKeys> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|e| NoKeys::NotASet(e.to_string()))?;
        let keys: Vec<_> = set.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(NoKeys::NoneFits) } else { Ok(Self(keys)) }
    }

    /// How many can verify a token.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a token names a key that is not among them: the issuer may have a new one.
    pub fn lack_key_of(&self, token: &[u8]) -> bool {
        Parts::of(token).is_ok_and(|parts| self.fitting(&parts.header).next().is_none())
    }

    fn fitting<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(|key| key.fits(header))
    }

    /// The claims of a token that one of these keys has signed.
    fn verified(&self, token: &[u8]) -> Result<Map<String, Value>, Refused> {
        let parts = Parts::of(token)?;
        let mut fitting = self.fitting(&parts.header).peekable();
        if fitting.peek().is_none() {
            let shown = |text: &str| printable(text.as_bytes()).into();
            let id = shown(parts.header.kid.as_deref().unwrap_or_default());
            return Err(Refused::UnknownKey { id, algorithm: shown(&parts.header.alg) });
        }
        if !fitting.any(|key| key.verifies(&parts)) {
            return Err(Refused::Signature);
        }
        let claims = BASE64.decode(parts.claims).map_err(|_| Refused::Malformed("its claims are no base64"))?;
        serde_json::from_slice(&claims).map_err(|_| Refused::Malformed("its claims are no JSON object"))
    }
}

/// Public as they are, they say nothing to whoever reads a log.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// The three parts of a token.
struct Parts<'a> {
    header: Header,
    claims: &'a [u8],
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8]) -> Result<Self, Refused> {
        let mut parts = token.split(|b| *b == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::Malformed("it does not have three parts"));
        };
        let signed = &token[..header.len() + 1 + claims.len()];
        let header = BASE64.decode(header).map_err(|_| Refused::Malformed("its header is no base64"))?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| Refused::Malformed("its header names no algorithm"))?;
        if header.crit.is_some() {
            return Err(Refused::Malformed("its header demands what kroxy does not know"));
        }
        let signature = BASE64.decode(signature).map_err(|_| Refused::Malformed("its signature is no base64"))?;
        Ok(Self { header, claims, signed, signature })
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let raw: RawKey = serde_json::from_value(value).ok()?;
        if raw.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| BASE64.decode(text.as_ref()?).ok();
        let point = |len: usize| {
            let (x, y) = (bytes(&raw.x)?, bytes(&raw.y)?);
            (x.len() == len && y.len() == len).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let kind = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => {
                let stripped = |number: Vec<u8>| number.into_iter().skip_while(|b| *b == 0).collect::<Vec<_>>();
                let (n, e) = (stripped(bytes(&raw.n)?), stripped(bytes(&raw.e)?));
                let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
                (bits >= limits::TOKEN_RSA_BITS_MIN && !e.is_empty()).then_some(Kind::Rsa { n, e })?
            }
            ("EC", Some("P-256")) => Kind::P256(point(32)?),
            ("EC", Some("P-384")) => Kind::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Kind::Ed25519(bytes(&raw.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { id: raw.kid, algorithm: raw.alg, kind })
    }

    fn fits(&self, header: &Header) -> bool {
        let is_named = header.kid.is_none() || header.kid == self.id;
        let is_meant = self.algorithm.as_ref().is_none_or(|algorithm| *algorithm == header.alg);
        let is_able = match &self.kind {
            Kind::Rsa { .. } => rsa(&header.alg).is_some(),
            Kind::P256(_) => header.alg == "ES256",
            Kind::P384(_) => header.alg == "ES384",
            Kind::Ed25519(_) => header.alg == "EdDSA" || header.alg == "Ed25519",
        };
        is_named && is_meant && is_able
    }

    fn verifies(&self, parts: &Parts<'_>) -> bool {
        let whole = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(parts.signed, &parts.signature).is_ok()
        };
        match &self.kind {
            Kind::Rsa { n, e } => rsa(&parts.header.alg).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, parts.signed, &parts.signature).is_ok()
            }),
            Kind::P256(point) => whole(&signature::ECDSA_P256_SHA256_FIXED, point),
            Kind::P384(point) => whole(&signature::ECDSA_P384_SHA384_FIXED, point),
            Kind::Ed25519(key) => whole(&signature::ED25519, key),
        }
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "jwt/tests.rs"]
mod tests;
