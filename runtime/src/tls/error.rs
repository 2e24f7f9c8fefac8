//! What is wrong with files that TLS needs.

/// Why there is no TLS. It names the file, the certificate by its subject, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TlsError {
    /// The operating system does not hand it out.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// It has another content, or none.
    #[error("{path} has no {wanted}: there is no `-----BEGIN {block}-----` in it{hint}")]
    NoBlock {
        /// The file.
        path: String,
        /// What is missing.
        wanted: &'static str,
        /// How its PEM block is called.
        block: &'static str,
        /// What is there instead.
        hint: &'static str,
    },
    /// The text around a block or the block itself is damaged.
    #[error("{path} is damaged: {why}")]
    NotPem {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A block that holds no certificate.
    #[error("certificate {place} in {path} is none: {why}")]
    NotACertificate {
        /// The file.
        path: String,
        /// Counted from 1.
        place: usize,
        /// What is wrong.
        why: String,
    },
    /// It was good once.
    #[error("the certificate of {subject} in {path} has expired: it was valid until {not_after}")]
    Expired {
        /// The file.
        path: String,
        /// Whose certificate.
        subject: String,
        /// The end.
        not_after: String,
    },
    /// It will be good.
    #[error("the certificate of {subject} in {path} is not yet valid: it will be from {not_before} on")]
    NotYetValid {
        /// The file.
        path: String,
        /// Whose certificate.
        subject: String,
        /// The beginning.
        not_before: String,
    },
    /// The key is another one's.
    #[error("the key in {key} does not belong to the certificate of {subject} in {chain}")]
    KeyMismatch {
        /// The file of the key.
        key: String,
        /// The file of the certificate.
        chain: String,
        /// Whose certificate.
        subject: String,
    },
    /// A key of a kind that is not known, or a damaged one.
    #[error("the key in {path} cannot be used: {why}")]
    BadKey {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// It is something else than PKCS#12, or damaged.
    #[error("{path} is no PKCS#12 file: {why}")]
    NotAStore {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A store that wants another password.
    #[error("the password in {file} does not open {path}")]
    WrongPassword {
        /// The store.
        path: String,
        /// The file with the password.
        file: String,
    },
    /// A store that wants a password, where none is configured.
    #[error("{path} has a password, and no `password_file` says it")]
    NoPassword {
        /// The store.
        path: String,
    },
    /// A store of certificates only.
    #[error("{path} has no private key: a store of those who are trusted is none of a certificate's own")]
    NoKey {
        /// The store.
        path: String,
    },
    /// A store of several certificates.
    #[error("{path} has {keys} private keys, and which one is meant cannot be told: make a store of each")]
    SeveralKeys {
        /// The store.
        path: String,
        /// How many there are.
        keys: usize,
    },
    /// A store with a key only.
    #[error("{path} has no certificate, only a private key")]
    NoCertificate {
        /// The store.
        path: String,
    },
    /// A certificate that cannot be a root of trust.
    #[error("the certificate of {subject} in {path} cannot be trusted: {why}")]
    BadRoot {
        /// The file.
        path: String,
        /// Whose certificate.
        subject: String,
        /// What is wrong.
        why: String,
    },
    /// The operating system trusts nobody.
    #[error("the operating system's trusted certificates cannot be read: {0}")]
    NoSystemRoots(String),
    /// Versions and suites that do not go with the certificate.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}
