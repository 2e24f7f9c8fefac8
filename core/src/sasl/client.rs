//! The client's side of an exchange, which the proxy takes towards upstream.

use super::{
    Mechanism, bearer,
    scram::{self, Derivation, Iterations, Keys, Nonce, Scram},
};
use crate::reload::Secret;
use bytes::Bytes;
use core::fmt;
use subtle::ConstantTimeEq;

/// One exchange, with all that it takes to bring it to an end.
#[derive(Clone)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

#[derive(Clone)]
enum State {
    /// PLAIN or OAUTHBEARER: the one message is ready.
    Ready(Vec<u8>),
    /// It is sent.
    Said,
    /// OAUTHBEARER: the server does not like the token, and has been told that we have understood.
    GivenUp(String),
    /// SCRAM, with nothing sent.
    Scram {
        scram: Scram,
        user: Box<str>,
        password: Secret,
        nonce: String,
    },
    /// Challenged for a proof.
    First {
        scram: Scram,
        password: Secret,
        nonce: String,
        bare: String,
    },
    /// The keys of the password will make the proof.
    Proving(Proving),
    /// The proof is sent: the server has to prove itself.
    Final {
        expected: Vec<u8>,
    },
    Over,
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// This token is to be sent.
    Send(Secret),
    /// The server has proven itself, as far as the mechanism has it do so.
    Done,
    /// What comes next takes these keys, for [`Exchange::derived`].
    Derive(Box<Derivation>),
}

/// Why an exchange cannot be brought to an end. No text of it is a secret of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mistrust {
    /// It says what the mechanism does not know.
    #[error("its {0} cannot be read")]
    Malformed(&'static str),
    /// Its nonce is not a continuation of ours: it answers somebody else.
    #[error("its nonce does not continue ours")]
    Nonce,
    /// Too few to protect the password, or so many that they are an attack.
    #[error("it wants {0} iterations of the hash")]
    Iterations(String),
    /// Its signature is not that of a server which knows the password.
    #[error("it does not know the password itself")]
    Server,
    /// It has said what it does not like.
    #[error("it says {0:?}")]
    Said(String),
    /// It goes on where nothing is left to be said.
    #[error("it goes on when all is said")]
    Over,
}

impl Exchange {
    /// With a name and a password in the clear.
    pub fn plain(user: &str, password: &Secret) -> Self {
        let token = [b"\0", user.as_bytes(), b"\0", &password.0].concat();
        Self { mechanism: Mechanism::Plain, state: State::Ready(token) }
    }

    /// With a proof of the password.
    pub fn scram(scram: Scram, user: &str, password: Secret, nonce: Nonce) -> Self {
        let state = State::Scram { scram, user: user.into(), password, nonce: nonce.text() };
        Self { mechanism: scram.mechanism(), state }
    }

    /// With a token.
    pub fn bearer(token: &Secret) -> Self {
        Self { mechanism: Mechanism::OAuthBearer, state: State::Ready(bearer::message(&token.0)) }
    }

    /// What the handshake asks for.
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The first token.
    pub fn first(&mut self) -> Result<Secret, Mistrust> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Ready(token) => {
                self.state = State::Said;
                Ok(Secret(token.into()))
            }
            State::Scram { scram, user, password, nonce } => {
                let bare = format!("n={},r={nonce}", scram::escaped(&user));
                let first = format!("n,,{bare}");
                self.state = State::First { scram, password, nonce, bare };
                Ok(Secret(first.into()))
            }
            State::Said
            | State::GivenUp(_)
            | State::First { .. }
            | State::Proving(_)
            | State::Final { .. }
            | State::Over => Err(Mistrust::Over),
        }
    }

    /// Takes in what the server has answered to our last token, without an error.
    pub fn challenged(&mut self, challenge: &[u8]) -> Result<Next, Mistrust> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Said if challenge.is_empty() || self.mechanism == Mechanism::Plain => Ok(Next::Done),
            State::Said => {
                self.state = State::GivenUp(crate::wire::printable(challenge).into());
                Ok(Next::Send(Secret(Bytes::from_static(bearer::GIVEN_UP))))
            }
            State::GivenUp(why) => Err(Mistrust::Said(why)),
            State::First { scram, password, nonce, bare } => {
                let (derivation, proving) = Proving::of(scram, password, &nonce, &bare, challenge)?;
                self.state = State::Proving(proving);
                Ok(Next::Derive(Box::new(derivation)))
            }
            State::Final { expected } => verify(&expected, challenge).map(|()| Next::Done),
            State::Ready(_) | State::Scram { .. } | State::Proving(_) | State::Over => Err(Mistrust::Over),
        }
    }

    /// Takes in the keys that were to be derived.
    pub fn derived(&mut self, keys: &Keys) -> Result<Next, Mistrust> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Proving(Proving { scram, without_proof, auth_message }) => {
                let (proof, expected) = keys.prove(scram, auth_message.as_bytes());
                self.state = State::Final { expected };
                Ok(Next::Send(Secret(format!("{without_proof},p={}", scram::encoded(&proof)).into())))
            }
            State::Ready(_)
            | State::Said
            | State::GivenUp(_)
            | State::Scram { .. }
            | State::First { .. }
            | State::Final { .. }
            | State::Over => Err(Mistrust::Over),
        }
    }

    /// What the server has said against a bearer token, before it answered with an error.
    pub fn complaint(&self) -> Option<&str> {
        match &self.state {
            State::GivenUp(why) => Some(why),
            State::Ready(_)
            | State::Said
            | State::Scram { .. }
            | State::First { .. }
            | State::Proving(_)
            | State::Final { .. }
            | State::Over => None,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// The client's final message but for its proof, and what that is a proof of.
#[derive(Clone)]
struct Proving {
    scram: Scram,
    without_proof: String,
    auth_message: String,
}

impl Proving {
    fn of(
        scram: Scram,
        password: Secret,
        own_nonce: &str,
        bare: &str,
        challenge: &[u8],
    ) -> Result<(Derivation, Self), Mistrust> {
        let malformed = || Mistrust::Malformed("challenge");
        let text = core::str::from_utf8(challenge).map_err(|_| malformed())?;
        let mut fields = challenge.split(|b| *b == b',');
        let nonce = scram::value(fields.next(), b"r=").filter(|nonce| scram::is_nonce(nonce)).ok_or_else(malformed)?;
        let salt = scram::value(fields.next(), b"s=").and_then(scram::decoded).ok_or_else(malformed)?;
        let iterations = scram::value(fields.next(), b"i=").ok_or_else(malformed)?;
        if nonce.len() <= own_nonce.len() || !nonce.starts_with(own_nonce.as_bytes()) {
            return Err(Mistrust::Nonce);
        }
        let iterations = String::from_utf8_lossy(iterations);
        let good = iterations.parse().ok().and_then(Iterations::new);
        let good = good.ok_or_else(|| Mistrust::Iterations(crate::wire::printable(iterations.as_bytes()).into()))?;
        let nonce = core::str::from_utf8(nonce).map_err(|_| malformed())?;
        let without_proof = format!("c={},r={nonce}", scram::encoded(b"n,,"));
        let auth_message = format!("{bare},{text},{without_proof}");
        Ok((Derivation::new(scram, password, salt, good), Self { scram, without_proof, auth_message }))
    }
}

fn verify(expected: &[u8], last: &[u8]) -> Result<(), Mistrust> {
    let mut fields = last.split(|b| *b == b',');
    let field = fields.next();
    if let Some(why) = scram::value(field, b"e=") {
        return Err(Mistrust::Said(crate::wire::printable(why).into()));
    }
    let signature = scram::value(field, b"v=").and_then(scram::decoded).ok_or(Mistrust::Malformed("last message"))?;
    if signature.ct_eq(expected).into() { Ok(()) } else { Err(Mistrust::Server) }
}
