//! The users that a proxy knows, by what it keeps in place of their passwords.

use super::scram::{Credential, Iterations, Scram};
use crate::limits;
use core::fmt;
use std::{borrow::Cow, collections::BTreeMap};

/// Credentials, and a secret with which a name that is not among them looks to a stranger like one that is.
#[derive(Clone)]
pub struct Directory {
    users: BTreeMap<(Scram, Box<str>), Credential>,
    /// Of the process: a decoy stays the same from one attempt to the next.
    secret: [u8; 32],
}

/// The same user twice with one mechanism.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{user:?} has two credentials for {}", .scram.mechanism())]
pub struct Twice {
    /// Who.
    pub user: Box<str>,
    /// For which mechanism.
    pub scram: Scram,
}

impl Directory {
    /// Nobody.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self { users: BTreeMap::new(), secret }
    }

    /// Takes in a user.
    pub fn insert(&mut self, user: &str, scram: Scram, credential: Credential) -> Result<(), Twice> {
        match self.users.insert((scram, user.into()), credential) {
            None => Ok(()),
            Some(_) => Err(Twice { user: user.into(), scram }),
        }
    }

    /// How many credentials there are for a mechanism.
    pub fn count(&self, scram: Scram) -> usize {
        self.users.keys().filter(|(of, _)| *of == scram).count()
    }

    /// The credential of a user, or one that no password fits and that costs the same time.
    pub(super) fn of(&self, scram: Scram, user: &str) -> Cow<'_, Credential> {
        if let Some(credential) = self.users.get(&(scram, user.into())) {
            return Cow::Borrowed(credential);
        }
        let model = self.users.iter().find(|((of, _), _)| *of == scram).map(|(_, credential)| credential);
        let salt_len = model.map_or(limits::SCRAM_SALT, |model| model.salt().len());
        let iterations = model.map(Credential::iterations).or_else(|| Iterations::new(limits::SCRAM_ITERATIONS));
        let iterations = iterations.expect("the default is within the limits");
        Cow::Owned(Credential::decoy(scram, &self.secret, user, salt_len, iterations))
    }

    /// The credential that decides about a password in the clear. A user who has credentials for both hashes has one password, so
    /// the longer hash is asked; nobody's password takes as long as somebody's.
    pub(super) fn of_either(&self, user: &str) -> (Scram, Cow<'_, Credential>) {
        let has = |scram| self.users.contains_key(&(scram, user.into()));
        let scram = match (has(Scram::Sha512), has(Scram::Sha256)) {
            (true, _) => Scram::Sha512,
            (false, true) => Scram::Sha256,
            (false, false) if self.count(Scram::Sha512) > 0 => Scram::Sha512,
            (false, false) => Scram::Sha256,
        };
        (scram, self.of(scram, user))
    }
}

/// Who is in it is not for a log either.
impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} credentials", self.users.len())
    }
}
