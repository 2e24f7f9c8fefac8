//! The server's side of an exchange, which the proxy takes towards clients.

use super::{
    bearer,
    directory::Directory,
    jwt::{self, Issuer},
    scram::{self, Credential, Derivation, Keys, Nonce, Scram},
};
use crate::reload::Secret;
use bytes::Bytes;
use core::{fmt, time::Duration};
use std::sync::Arc;

/// One exchange.
#[derive(Clone)]
pub struct Exchange(State);

#[derive(Clone)]
enum State {
    Plain(Arc<Directory>),
    /// PLAIN: the keys of the password will tell.
    Deriving {
        scram: Scram,
        credential: Box<Credential>,
        user: Box<str>,
        acts_for_another: bool,
    },
    /// SCRAM, with nothing heard.
    Scram {
        scram: Scram,
        directory: Arc<Directory>,
        nonce: Nonce,
    },
    /// Challenged for a proof.
    Challenged {
        scram: Scram,
        credential: Box<Credential>,
        user: Box<str>,
        header: Vec<u8>,
        nonce: String,
        said: String,
    },
    /// The time of day, since 1970-01-01.
    Bearer {
        issuer: Arc<Issuer>,
        today: Duration,
    },
    /// The client has been told that its token is refused, and has to end the exchange.
    TokenRefused(Refusal),
    Over,
}

/// What becomes of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The client has to answer this.
    Challenge(Secret),
    /// The client is who it says.
    Accepted {
        /// The last token for it; may be empty.
        token: Secret,
        /// Who it is.
        user: Box<str>,
        /// How long what it has shown is good for.
        valid_for: Option<Duration>,
    },
    /// It is not, as far as can be told.
    Refused(Refusal),
    /// It will be known with these keys, for [`Exchange::derived`].
    Derive(Box<Derivation>),
}

/// Why a client is not let in: for the log, and never for the client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Which of the two is wrong is told to nobody.
    #[error("there is no such user with that password")]
    Credentials,
    /// It wants to be somebody else than it is.
    #[error("it wants to act for somebody else")]
    ActingFor,
    /// The message is none of the mechanism.
    #[error("its message cannot be read: {0}")]
    Malformed(&'static str),
    /// The token does not hold.
    #[error("its token is not accepted: {0}")]
    Token(#[from] jwt::Refused),
    /// It goes on after the end.
    #[error("it goes on when all is said")]
    Over,
}

impl Exchange {
    /// With names and passwords in the clear.
    pub const fn plain(directory: Arc<Directory>) -> Self {
        Self(State::Plain(directory))
    }

    /// With proofs of passwords.
    pub const fn scram(scram: Scram, directory: Arc<Directory>, nonce: Nonce) -> Self {
        Self(State::Scram { scram, directory, nonce })
    }

    /// With tokens, judged at this time of day (since 1970-01-01).
    pub const fn bearer(issuer: Arc<Issuer>, today: Duration) -> Self {
        Self(State::Bearer { issuer, today })
    }

    /// Takes in the next token. After a refusal or an acceptance every further one is refused.
    pub fn step(&mut self, token: &[u8]) -> Verdict {
        let stepped = match core::mem::replace(&mut self.0, State::Over) {
            State::Plain(directory) => self.plain_password(&directory, token),
            State::Scram { scram, directory, nonce } => self.scram_first(scram, &directory, nonce, token),
            State::Challenged { scram, credential, user, header, nonce, said } => {
                scram_final(scram, &credential, &header, &nonce, &said, token).map(|token| Verdict::Accepted {
                    token,
                    user,
                    valid_for: None,
                })
            }
            State::Bearer { issuer, today } => match bearer_token(&issuer, today, token) {
                Ok(accepted) => Ok(accepted),
                Err(refusal @ (Refusal::Token(_) | Refusal::ActingFor)) => {
                    self.0 = State::TokenRefused(refusal);
                    Ok(Verdict::Challenge(Secret(Bytes::from_static(bearer::INVALID_TOKEN))))
                }
                Err(refusal) => Err(refusal),
            },
            State::TokenRefused(refusal) => Err(refusal),
            State::Deriving { .. } | State::Over => Err(Refusal::Over),
        };
        stepped.unwrap_or_else(Verdict::Refused)
    }

    /// Takes in the keys that were to be derived.
    pub fn derived(&mut self, keys: &Keys) -> Verdict {
        match core::mem::replace(&mut self.0, State::Over) {
            State::Deriving { scram, credential, .. } if !credential.fits(scram, keys) => {
                Verdict::Refused(Refusal::Credentials)
            }
            State::Deriving { acts_for_another: true, .. } => Verdict::Refused(Refusal::ActingFor),
            State::Deriving { user, .. } => Verdict::Accepted { token: Secret(Bytes::new()), user, valid_for: None },
            State::Plain(_)
            | State::Scram { .. }
            | State::Challenged { .. }
            | State::Bearer { .. }
            | State::TokenRefused(_)
            | State::Over => Verdict::Refused(Refusal::Over),
        }
    }

    /// `[authzid] NUL authcid NUL passwd`.
    fn plain_password(&mut self, directory: &Directory, message: &[u8]) -> Result<Verdict, Refusal> {
        let mut parts = message.split(|b| *b == 0);
        let (Some(acting_for), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed("it does not have three parts"));
        };
        let user = text(user)?;
        if user.is_empty() || password.is_empty() {
            return Err(Refusal::Malformed("a part of it is empty"));
        }
        let (scram, credential) = directory.of_either(user);
        let derivation = credential.derivation(scram, Secret(Bytes::copy_from_slice(password)));
        self.0 = State::Deriving {
            scram,
            credential: Box::new(credential.into_owned()),
            user: user.into(),
            acts_for_another: !acting_for.is_empty() && acting_for != user.as_bytes(),
        };
        Ok(Verdict::Derive(Box::new(derivation)))
    }

    fn scram_first(
        &mut self,
        scram: Scram,
        directory: &Directory,
        nonce: Nonce,
        message: &[u8],
    ) -> Result<Verdict, Refusal> {
        let First { header_len, user, nonce: theirs } = First::read(message)?;
        let credential = directory.of(scram, &user).into_owned();
        let nonce = format!("{theirs}{}", nonce.text());
        let (salt, iterations) = (credential.salt_text(), credential.iterations().get());
        let challenge = format!("r={nonce},s={salt},i={iterations}");
        let (header, bare) = message.split_at(header_len);
        let said = format!("{},{challenge}", String::from_utf8_lossy(bare));
        self.0 =
            State::Challenged { scram, credential: Box::new(credential), user, header: header.to_owned(), nonce, said };
        Ok(Verdict::Challenge(Secret(challenge.into())))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Plain(_) => "Plain",
            State::Deriving { .. } => "Deriving",
            State::Scram { .. } => "Scram",
            State::Challenged { .. } => "Challenged",
            State::Bearer { .. } => "Bearer",
            State::TokenRefused(_) => "TokenRefused",
            State::Over => "Over",
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    core::str::from_utf8(bytes).map_err(|_| Refusal::Malformed("it is no UTF-8"))
}

/// What the first message of a SCRAM client says.
struct First<'a> {
    /// Bytes of the header that says about channel binding and whom to act for.
    header_len: usize,
    user: Box<str>,
    nonce: &'a str,
}

impl<'a> First<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Refusal> {
        let mut parts = message.splitn(3, |b| *b == b',');
        let (Some(binding), Some(acting_for), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::Malformed("it has no header"));
        };
        // `y`: the client could bind to the channel, and has been told that we cannot.
        if binding != b"n" && binding != b"y" {
            return Err(Refusal::Malformed("it wants channel binding"));
        }
        text(bare)?;
        let mut fields = bare.split(|b| *b == b',');
        let name = scram::value(fields.next(), b"n=").ok_or(Refusal::Malformed("it names no user"))?;
        let user = scram::unescaped(name).ok_or(Refusal::Malformed("its user name is not escaped"))?;
        let nonce = scram::value(fields.next(), b"r=").filter(|nonce| scram::is_nonce(nonce));
        let nonce = nonce.ok_or(Refusal::Malformed("it has no nonce"))?;
        if fields.any(|field| field.eq_ignore_ascii_case(b"tokenauth=true")) {
            return Err(Refusal::Malformed("it has a delegation token, which only upstream could know"));
        }
        match acting_for.strip_prefix(b"a=").map(scram::unescaped) {
            None if acting_for.is_empty() => {}
            Some(Some(other)) if other == user => {}
            Some(_) => return Err(Refusal::ActingFor),
            None => return Err(Refusal::Malformed("its header cannot be read")),
        }
        Ok(Self { header_len: message.len() - bare.len(), user: text(&user)?.into(), nonce: text(nonce)? })
    }
}

/// The server's last message, if the client's one proves the password.
fn scram_final(
    scram: Scram,
    credential: &Credential,
    header: &[u8],
    nonce: &str,
    said: &str,
    message: &[u8],
) -> Result<Secret, Refusal> {
    let all = text(message)?;
    let (without_proof, proof) = all.rsplit_once(",p=").ok_or(Refusal::Malformed("it has no proof"))?;
    let proof = scram::decoded(proof.as_bytes()).ok_or(Refusal::Malformed("its proof is no base64"))?;
    let mut fields = without_proof.as_bytes().split(|b| *b == b',');
    let binding = scram::value(fields.next(), b"c=").and_then(scram::decoded);
    if binding.as_deref() != Some(header) {
        return Err(Refusal::Malformed("its header is another one than before"));
    }
    if scram::value(fields.next(), b"r=") != Some(nonce.as_bytes()) {
        return Err(Refusal::Malformed("its nonce is not that of the challenge"));
    }
    let auth_message = format!("{said},{without_proof}");
    let signature = credential.verify(scram, auth_message.as_bytes(), &proof).ok_or(Refusal::Credentials)?;
    Ok(Secret(format!("v={}", scram::encoded(&signature)).into()))
}

fn bearer_token(issuer: &Issuer, today: Duration, message: &[u8]) -> Result<Verdict, Refusal> {
    let initial = bearer::initial(message).ok_or(Refusal::Malformed("it is no message of OAUTHBEARER"))?;
    let jwt::Accepted { user, valid_for } = issuer.judge(initial.token, today)?;
    if !initial.acting_for.is_empty() && initial.acting_for != user.as_bytes() {
        return Err(Refusal::ActingFor);
    }
    Ok(Verdict::Accepted { token: Secret(Bytes::new()), user, valid_for: Some(valid_for) })
}

#[cfg(test)]
mod tests;
