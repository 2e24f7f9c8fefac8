//! What both sides of SCRAM have in common (RFC 5802, RFC 7677): its arithmetic, its syntax, and what a server keeps in place
//! of a password.
//!
//! As in Kafka, names and passwords are taken as UTF-8 as they are (no SASLprep), and there is no channel binding.

use super::Mechanism;
use crate::{limits, reload::Secret};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use core::{fmt, num::NonZeroU32};
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

/// Which hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scram {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Scram {
    /// The mechanism.
    pub const fn mechanism(self) -> Mechanism {
        match self {
            Self::Sha256 => Mechanism::ScramSha256,
            Self::Sha512 => Mechanism::ScramSha512,
        }
    }

    /// Bytes of a key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Sha256 => digest::SHA256_OUTPUT_LEN,
            Self::Sha512 => digest::SHA512_OUTPUT_LEN,
        }
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    fn hash(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.key_len()];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        salted
    }
}

/// How often the hash is repeated; within what Kafka's clients take and what an honest side needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Iterations(NonZeroU32);

impl Iterations {
    /// As many, or `None` where it is too few to protect a password or so many that they are an attack on whoever counts.
    pub fn new(n: u32) -> Option<Self> {
        let is_good = (limits::SCRAM_ITERATIONS_MIN..=limits::SCRAM_ITERATIONS_MAX).contains(&n);
        NonZeroU32::new(n).filter(|_| is_good).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// What a server keeps in place of a password. Who has it can pass for the server, and guess passwords at leisure: it is no
/// password, and yet a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    salt: Vec<u8>,
    iterations: Iterations,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// What cannot be a credential.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotACredential {
    /// A client could not tell it from another one.
    #[error("its salt is empty")]
    NoSalt,
    /// A key of another hash, or cut off.
    #[error("its {field} has {got} bytes, where the mechanism has {expected}")]
    KeyLength {
        /// The key's name.
        field: &'static str,
        /// Its bytes.
        got: usize,
        /// What the hash makes.
        expected: usize,
    },
}

impl Credential {
    /// One that was made before, here or by Kafka.
    pub fn new(
        scram: Scram,
        salt: Vec<u8>,
        iterations: Iterations,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Result<Self, NotACredential> {
        if salt.is_empty() {
            return Err(NotACredential::NoSalt);
        }
        for (field, key) in [("stored_key", &stored_key), ("server_key", &server_key)] {
            if key.len() != scram.key_len() {
                return Err(NotACredential::KeyLength { field, got: key.len(), expected: scram.key_len() });
            }
        }
        Ok(Self { salt, iterations, stored_key, server_key })
    }

    /// The credential for a password.
    pub fn of_password(scram: Scram, password: &[u8], salt: Vec<u8>, iterations: Iterations) -> Self {
        let keys = Keys::new(scram, password, &salt, iterations);
        let stored_key = keys.stored_key(scram);
        Self { salt, iterations, stored_key, server_key: keys.server }
    }

    /// One that no password fits, which looks to a client like the one of an existing user: always the same for the same
    /// name and secret.
    pub(super) fn decoy(scram: Scram, secret: &[u8], user: &str, salt_len: usize, iterations: Iterations) -> Self {
        let derive = |what: &str| scram.hmac(secret, format!("{what} {user}").as_bytes()).as_ref().to_vec();
        let mut salt = derive("salt");
        salt.truncate(salt_len);
        Self { salt, iterations, stored_key: derive("stored key"), server_key: derive("server key") }
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often the hash is repeated.
    pub const fn iterations(&self) -> Iterations {
        self.iterations
    }

    /// `H(ClientKey)`, in base64 as files have it.
    pub fn stored_key_text(&self) -> String {
        BASE64.encode(&self.stored_key)
    }

    /// The key that proves the server, in base64 as files have it.
    pub fn server_key_text(&self) -> String {
        BASE64.encode(&self.server_key)
    }

    /// The salt, in base64 as files have it.
    pub fn salt_text(&self) -> String {
        BASE64.encode(&self.salt)
    }

    /// What it takes to find out whether this is the password.
    pub(super) fn derivation(&self, scram: Scram, password: Secret) -> Derivation {
        Derivation::new(scram, password, self.salt.clone(), self.iterations)
    }

    /// Whether these keys are those of the password.
    pub(super) fn fits(&self, scram: Scram, keys: &Keys) -> bool {
        keys.stored_key(scram).ct_eq(&self.stored_key).into()
    }

    /// The server's signature, if the proof is that of a client who has the password.
    pub(super) fn verify(&self, scram: Scram, auth_message: &[u8], proof: &[u8]) -> Option<Vec<u8>> {
        if proof.len() != scram.key_len() {
            return None;
        }
        let signature = scram.hmac(&self.stored_key, auth_message);
        let client_key = xor(signature.as_ref(), proof);
        let is_right: bool = scram.hash(&client_key).as_ref().ct_eq(&self.stored_key).into();
        is_right.then(|| scram.hmac(&self.server_key, auth_message).as_ref().to_vec())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations.get()).finish_non_exhaustive()
    }
}

/// Keys that are to be made of a password: some 10 ms of a core, so whoever drives an exchange decides where.
#[derive(Clone, PartialEq, Eq)]
pub struct Derivation {
    scram: Scram,
    password: Secret,
    salt: Vec<u8>,
    iterations: Iterations,
}

impl Derivation {
    pub(super) const fn new(scram: Scram, password: Secret, salt: Vec<u8>, iterations: Iterations) -> Self {
        Self { scram, password, salt, iterations }
    }

    /// The keys; takes the time of all iterations.
    pub fn keys(&self) -> Keys {
        Keys::new(self.scram, &self.password.0, &self.salt, self.iterations)
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").field("iterations", &self.iterations.get()).finish_non_exhaustive()
    }
}

/// What a password, a salt and a number of iterations make.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    fn new(scram: Scram, password: &[u8], salt: &[u8], iterations: Iterations) -> Self {
        let salted = scram.salted(password, salt, iterations.0);
        let derive = |name: &str| scram.hmac(&salted, name.as_bytes()).as_ref().to_vec();
        Self { client: derive("Client Key"), server: derive("Server Key") }
    }

    fn stored_key(&self, scram: Scram) -> Vec<u8> {
        scram.hash(&self.client).as_ref().to_vec()
    }

    /// The client's proof, and what a server who has the credential answers.
    pub(super) fn prove(&self, scram: Scram, auth_message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let signature = scram.hmac(&self.stored_key(scram), auth_message);
        let proof = xor(signature.as_ref(), &self.client);
        (proof, scram.hmac(&self.server, auth_message).as_ref().to_vec())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// What makes an exchange one of its own: printable characters without a comma.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nonce(String);

impl Nonce {
    /// A nonce of random bytes.
    pub fn of(random: [u8; 18]) -> Self {
        Self(BASE64.encode(random))
    }

    #[cfg(test)]
    pub(super) fn written(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// The value of a field such as `r=…`.
pub(super) fn value<'a>(field: Option<&'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    field?.strip_prefix(name)
}

/// A value in base64.
pub(super) fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(value).ok()
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Whether a peer's nonce is one: printable characters without a comma.
pub(super) fn is_nonce(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() && *b != b',')
}

/// A name as it stands in a message: `=2C` for a comma, `=3D` for an equals sign.
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// The name that stands in a message; `None`: an equals sign that is none.
pub(super) fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
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
