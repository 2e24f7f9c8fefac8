//! Who may log in where, and what the files of a proxy say about it.

use crate::topology;
use bytes::Bytes;
use kroxy_core::sasl::scram::{Credential, Iterations, Scram};

/// How everybody proves who they are.
pub(crate) const MECHANISM: &str = "PLAIN";
/// Who clients are.
pub(crate) const CLIENT: &str = "alice";
/// Who the proxy is to brokers.
pub(crate) const OWN_USER: &str = "kroxy";
/// How often passwords are hashed: as seldom as is allowed, since every login does it once more.
const ITERATIONS: u32 = 4_096;

/// What the files of a proxy say about logins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Logins {
    /// What is right.
    #[default]
    Right,
    /// Of the first cluster: a password of the proxy that its brokers do not know.
    WrongPassword,
    /// Of the first cluster: other users than there are.
    NoUsers,
}

/// The right password.
pub(crate) fn password_of(user: &str) -> &'static str {
    if user == OWN_USER { "opensesame" } else { "pencil" }
}

/// What says that somebody is this user (RFC 4616).
pub(crate) fn token(user: &str, password: &str) -> Bytes {
    format!("\0{user}\0{password}").into()
}

/// What a file holds that a configuration names, where it is about logins.
pub(crate) fn read(name: &str, logins: Logins) -> Option<Bytes> {
    let (password, user) = (password_of(OWN_USER), CLIENT);
    Some(match name {
        topology::FIRST_PASSWORD if logins == Logins::WrongPassword => Bytes::from_static(b"guess"),
        topology::FIRST_PASSWORD | topology::PASSWORD => password.into(),
        topology::FIRST_USERS if logins == Logins::NoUsers => users("mallory"),
        topology::FIRST_USERS | topology::USERS => users(user),
        _ => return None,
    })
}

/// A file with one user.
fn users(user: &str) -> Bytes {
    let iterations = Iterations::new(ITERATIONS).expect("as many as are allowed");
    let salt = b"the same for everybody".to_vec();
    let credential = Credential::of_password(Scram::Sha256, password_of(user).as_bytes(), salt, iterations);
    let (salt, stored, server) = (credential.salt_text(), credential.stored_key_text(), credential.server_key_text());
    let entry = format!(
        "[(user: {user:?}, mechanism: \"{}\", iterations: {ITERATIONS}, salt: \"{salt}\", stored_key: \"{stored}\", \
         server_key: \"{server}\")]",
        Scram::Sha256.mechanism()
    );
    entry.into()
}
