//! How the proxy logs in to upstream: a handshake, and then tokens, as Kafka requests.
//!
//! `SaslHandshake` v1 and `SaslAuthenticate` v1 (KIP-368) are spoken by every broker since Kafka 2.2, so that nothing has to be
//! found out before.

use super::{
    Mechanism,
    client::{Exchange, Mistrust, Next},
    scram::{Derivation, Keys},
};
use crate::{
    api::{Api, ApiKey},
    reload::Secret,
    wire::{self, Reader, Unread, printable},
};
use core::time::Duration;

/// Both requests in the version in which they are spoken.
const VERSION: i16 = 1;

/// `UNSUPPORTED_SASL_MECHANISM`.
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;

/// A login that is under way.
#[derive(Debug)]
pub struct Login {
    exchange: Exchange,
    awaiting: Awaiting,
    correlation_id: i32,
}

#[derive(Clone, Copy, Debug)]
enum Awaiting {
    Handshake,
    Token,
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// This request is to be sent, and its response waited for.
    Send(Secret),
    /// What comes next takes these keys, for [`Login::derived`].
    Derive(Box<Derivation>),
    /// The proxy is logged in.
    Done {
        /// For how long (KIP-368); `None`: for ever.
        session: Option<Duration>,
    },
}

/// Why upstream does not let the proxy in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoginError {
    /// It does not have the mechanism.
    #[error("it does not take {mechanism}, but {}", .enabled.join(", "))]
    Mechanism {
        /// What was asked for.
        mechanism: Mechanism,
        /// What it has.
        enabled: Vec<String>,
    },
    /// It does not believe us, or takes no login now: Kafka none within a second of the last one on the same connection.
    #[error("it refuses {mechanism} with error {error}{}", told(.said))]
    Refused {
        /// The mechanism.
        mechanism: Mechanism,
        /// Kafka's error code.
        error: i16,
        /// What it says about it.
        said: Option<String>,
    },
    /// We do not believe it.
    #[error("its side of {mechanism} does not hold: {why}")]
    Mistrusted {
        /// The mechanism.
        mechanism: Mechanism,
        /// Why.
        why: Mistrust,
    },
    /// Its answer cannot be read.
    #[error("its answer to {key} cannot be read: {why}")]
    Unreadable {
        /// What was asked.
        key: ApiKey,
        /// What is wrong.
        why: String,
    },
}

fn told(said: &Option<String>) -> String {
    said.as_ref().map_or_else(String::new, |said| format!(": {said}"))
}

impl Login {
    /// A login that begins with this request.
    pub fn start(exchange: Exchange) -> (Self, Secret) {
        let name = exchange.mechanism().name();
        let mut body = i16::try_from(name.len()).expect("short").to_be_bytes().to_vec();
        body.extend_from_slice(name.as_bytes());
        let mut login = Self { exchange, awaiting: Awaiting::Handshake, correlation_id: 0 };
        let first = login.request(ApiKey::SASL_HANDSHAKE, &body);
        (login, first)
    }

    /// The mechanism.
    pub const fn mechanism(&self) -> Mechanism {
        self.exchange.mechanism()
    }

    /// Takes in a response, its length prefix included.
    pub fn response(&mut self, frame: &[u8]) -> Result<Progress, LoginError> {
        match self.awaiting {
            Awaiting::Handshake => {
                let (error, enabled) = self.read(frame, handshake_answer)?;
                let mechanism = self.mechanism();
                match error {
                    0 => {}
                    UNSUPPORTED_SASL_MECHANISM => return Err(LoginError::Mechanism { mechanism, enabled }),
                    _ => return Err(LoginError::Refused { mechanism, error, said: None }),
                }
                let first = self.exchange.first().map_err(|why| self.mistrusted(why))?;
                self.awaiting = Awaiting::Token;
                Ok(Progress::Send(self.token(&first)))
            }
            Awaiting::Token => {
                let Answer { error, said, token, session_ms } = self.read(frame, answer)?;
                if error != 0 {
                    let complaint = self.exchange.complaint().map(str::to_owned);
                    return Err(LoginError::Refused { mechanism: self.mechanism(), error, said: complaint.or(said) });
                }
                let next = self.exchange.challenged(&token.0);
                let session = u64::try_from(session_ms).ok().filter(|ms| *ms > 0);
                self.goes_on(next, session.map(Duration::from_millis))
            }
        }
    }

    /// Takes in the keys that were to be derived.
    pub fn derived(&mut self, keys: &Keys) -> Result<Progress, LoginError> {
        let next = self.exchange.derived(keys);
        self.goes_on(next, None)
    }

    fn goes_on(&mut self, next: Result<Next, Mistrust>, session: Option<Duration>) -> Result<Progress, LoginError> {
        Ok(match next.map_err(|why| self.mistrusted(why))? {
            Next::Send(token) => Progress::Send(self.token(&token)),
            Next::Derive(derivation) => Progress::Derive(derivation),
            Next::Done => Progress::Done { session },
        })
    }

    fn mistrusted(&self, why: Mistrust) -> LoginError {
        LoginError::Mistrusted { mechanism: self.mechanism(), why }
    }

    fn request(&mut self, key: ApiKey, body: &[u8]) -> Secret {
        self.correlation_id += 1;
        Secret(wire::own_request(key, VERSION, self.correlation_id, body).into())
    }

    fn token(&mut self, token: &Secret) -> Secret {
        let mut body = i32::try_from(token.0.len()).expect("a token has some KiB").to_be_bytes().to_vec();
        body.extend_from_slice(&token.0);
        self.request(ApiKey::SASL_AUTHENTICATE, &body)
    }

    fn read<T>(&self, frame: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<T, Unread>) -> Result<T, LoginError> {
        let key = match self.awaiting {
            Awaiting::Handshake => ApiKey::SASL_HANDSHAKE,
            Awaiting::Token => ApiKey::SASL_AUTHENTICATE,
        };
        let header_version = Api::find(key).expect("the proxy asks what it knows").response_header_version(VERSION);
        let body = || -> Result<T, Unread> {
            let mut r = Reader::new(frame);
            r.take(wire::LENGTH_PREFIX)?;
            if r.i32()? != self.correlation_id {
                return Err(Unread::Wrong("it is the answer to something else"));
            }
            let mut r = Reader::new(frame);
            r.take(wire::response_body_at(header_version, frame)?)?;
            read(&mut r)
        };
        body().map_err(|why| LoginError::Unreadable { key, why: why.to_string() })
    }
}

/// The error of a `SaslHandshake` v1, and the mechanisms that there are.
fn handshake_answer(r: &mut Reader<'_>) -> Result<(i16, Vec<String>), Unread> {
    let error = r.i16()?;
    let mut enabled = Vec::new();
    for _ in 0..r.i32()? {
        enabled.push(printable(r.nullable_string()?.unwrap_or_default()).into());
    }
    Ok((error, enabled))
}

struct Answer {
    error: i16,
    said: Option<String>,
    token: Secret,
    session_ms: i64,
}

/// A `SaslAuthenticate` response v1.
fn answer(r: &mut Reader<'_>) -> Result<Answer, Unread> {
    let error = r.i16()?;
    let said = r.nullable_string()?.map(|said| printable(said).into());
    let len = usize::try_from(r.i32()?).map_err(|_| Unread::Wrong("a negative length"))?;
    let token = Secret(r.take(len)?.to_vec().into());
    let session_ms = i64::from_be_bytes(r.take(8)?.try_into().expect("eight bytes were taken"));
    Ok(Answer { error, said, token, session_ms })
}
