//! The file with the users of a proxy: RON, a list of salted hashes of passwords. No password is in it.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kroxy_core::sasl::{
    Mechanism,
    directory::Directory,
    scram::{Credential, Iterations, Scram},
};
use serde::Deserialize;

/// One user with one mechanism, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    user: String,
    mechanism: String,
    iterations: u32,
    salt: String,
    stored_key: String,
    server_key: String,
}

/// What is wrong in a file, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NoCredentials {
    /// It cannot be read as such a list.
    #[error("line {line}, column {column}: {why}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Likewise.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// A user is none.
    #[error("entry {place} (user {user:?}): {why}")]
    Entry {
        /// Counted from 1.
        place: usize,
        /// The name in it.
        user: String,
        /// What is wrong.
        why: String,
    },
}

/// The hash of a SCRAM mechanism.
pub(crate) const fn scram(mechanism: Mechanism) -> Option<Scram> {
    match mechanism {
        Mechanism::ScramSha256 => Some(Scram::Sha256),
        Mechanism::ScramSha512 => Some(Scram::Sha512),
        Mechanism::Plain | Mechanism::OAuthBearer => None,
    }
}

/// Reads a file into a directory whose decoys are made with this secret.
pub(crate) fn read(bytes: &[u8], secret: [u8; 32]) -> Result<Directory, NoCredentials> {
    let entries: Vec<Entry> = ron::de::from_bytes(bytes).map_err(|e| NoCredentials::Syntax {
        line: e.span.start.line,
        column: e.span.start.col,
        why: e.code.to_string(),
    })?;
    let mut directory = Directory::new(secret);
    for (n, entry) in entries.into_iter().enumerate() {
        let user = entry.user.clone();
        add(&mut directory, entry).map_err(|why| NoCredentials::Entry { place: n + 1, user, why })?;
    }
    Ok(directory)
}

fn add(directory: &mut Directory, entry: Entry) -> Result<(), String> {
    let Entry { user, mechanism, iterations, salt, stored_key, server_key } = entry;
    if user.is_empty() || user.contains('\0') {
        return Err("no client could have this name".to_owned());
    }
    let mechanism: Mechanism = mechanism.parse().map_err(|e: kroxy_core::sasl::UnknownMechanism| e.to_string())?;
    let scram = scram(mechanism).ok_or_else(|| format!("{mechanism} has no credentials of its own"))?;
    let iterations = Iterations::new(iterations)
        .ok_or_else(|| format!("{iterations} iterations are too few or too many: 4096 to 100000"))?;
    let bytes = |field: &str, text: String| BASE64.decode(text).map_err(|_| format!("its {field} is no base64"));
    let (salt, stored, server) =
        (bytes("salt", salt)?, bytes("stored_key", stored_key)?, bytes("server_key", server_key)?);
    let credential = Credential::new(scram, salt, iterations, stored, server).map_err(|e| e.to_string())?;
    directory.insert(&user, scram, credential).map_err(|e| e.to_string())
}

/// An entry as the file wants it, on a line of its own.
pub(crate) fn entry(user: &str, scram: Scram, credential: &Credential) -> String {
    let (mechanism, iterations) = (scram.mechanism(), credential.iterations().get());
    let (salt, stored, server) = (credential.salt_text(), credential.stored_key_text(), credential.server_key_text());
    format!(
        "(user: {user:?}, mechanism: \"{mechanism}\", iterations: {iterations}, salt: \"{salt}\", \
         stored_key: \"{stored}\", server_key: \"{server}\"),\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> String {
        let iterations = Iterations::new(4_096).expect("the fewest");
        let credential = Credential::of_password(Scram::Sha512, b"pencil", b"salt".to_vec(), iterations);
        entry("al\"ice", Scram::Sha512, &credential)
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = read(format!("[{}]", alice()).as_bytes(), [0; 32]).expect("good");
        assert_eq!((directory.count(Scram::Sha512), directory.count(Scram::Sha256)), (1, 0));
        assert!(!alice().contains("pencil"));
        assert_eq!(read(b"[]", [0; 32]).expect("nobody").count(Scram::Sha512), 0);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let said = |text: &str| read(text.as_bytes(), [0; 32]).map_err(|e| e.to_string()).expect_err("wrong");
        let with = |from: &str, to: &str| said(&format!("[{}]", alice().replacen(from, to, 1)));
        assert!(said("[\n  (user: 7)]").starts_with("line 2, column 9: "), "{}", said("[\n  (user: 7)]"));
        assert!(with("user:", "name:").contains("name"), "{}", with("user:", "name:"));
        for (from, to, why) in [
            ("al\\\"ice", "", "entry 1 (user \"\"): no client could have this name"),
            ("SCRAM-SHA-512", "PLAIN", "entry 1 (user \"al\\\"ice\"): PLAIN has no credentials of its own"),
            ("SCRAM-SHA-512", "SCRAM", "entry 1 (user \"al\\\"ice\"): \"SCRAM\" is no SASL mechanism that kroxy knows"),
            (
                "SCRAM-SHA-512",
                "SCRAM-SHA-256",
                "entry 1 (user \"al\\\"ice\"): its stored_key has 64 bytes, where the mechanism has 32",
            ),
            ("4096", "1", "entry 1 (user \"al\\\"ice\"): 1 iterations are too few or too many: 4096 to 100000"),
            ("salt: \"", "salt: \"%", "entry 1 (user \"al\\\"ice\"): its salt is no base64"),
        ] {
            assert_eq!(with(from, to), why);
        }
        let twice = said(&format!("[{0}{0}]", alice()));
        assert_eq!(twice, "entry 2 (user \"al\\\"ice\"): \"al\\\"ice\" has two credentials for SCRAM-SHA-512");
    }
}
