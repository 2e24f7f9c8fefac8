//! SASL of one virtual cluster: what exchanges are begun with.
//!
//! The exchanges themselves are the core's ([`kroxy_core::sasl`]); the relay asks for one at a time, and gets it with what is in
//! force at that moment.

pub(crate) mod credentials;
mod fetched;
mod hashing;
mod http;

pub(crate) use self::hashing::Hashing;

use self::{
    fetched::{FetchedKeys, FetchedTokens},
    http::Server,
};
use crate::{
    clock::Clock,
    net::Net,
    tls::{self, Connector, Contents, Crypto, Needed, TlsError},
};
use kroxy_core::{
    config::{
        VirtualCluster,
        sasl::{ClientSasl, Endpoint, KeySource, TokenIssuer, UpstreamSasl},
    },
    reload::{FilePurpose, Material, Secret},
    sasl::{
        Mechanism, bearer, client,
        directory::Directory,
        jwt::{Demands, Issuer, Keys},
        scram::{Derivation, Keys as ScramKeys, Nonce, Scram},
        server,
    },
};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use tokio::sync::Mutex;
use tracing::warn;

const CREDENTIALS: &str = "sasl.credentials";
const KEYS: &str = "sasl.oauth.keys";
const ISSUER: &str = "sasl.oauth";
const PASSWORD: &str = "upstream.sasl.password_file";
const SECRET: &str = "upstream.sasl.oauth.client_secret_file";
const TOKENS: &str = "upstream.sasl.oauth";

/// Why a virtual cluster cannot do its part in SASL. It names the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SaslError {
    /// The operating system does not hand it out.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// It is no list of users.
    #[error("{path}, {why}")]
    Credentials {
        /// The file.
        path: String,
        /// What is wrong, and where.
        why: credentials::NoCredentials,
    },
    /// A mechanism has no user.
    #[error("{path} has no user for {mechanism}, so nobody could be let in with it")]
    Nobody {
        /// The file.
        path: String,
        /// The mechanism.
        mechanism: Mechanism,
    },
    /// It has no keys.
    #[error("{path} has no keys: {why}")]
    Keys {
        /// The file.
        path: String,
        /// What is wrong.
        why: kroxy_core::sasl::jwt::NoKeys,
    },
    /// It has no password.
    #[error("{path} has no password in it, or more than one line")]
    NotAPassword {
        /// The file.
        path: String,
    },
    /// Whom to trust cannot be told.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// All that the exchanges of one virtual cluster need.
#[derive(Debug)]
pub(crate) struct ClusterSasl {
    clock: Clock,
    directory: Option<Arc<Directory>>,
    issuer: Option<IssuerKeys>,
    upstream: Option<Own>,
    hashing: Hashing,
    /// What the keys of the proxy's own password are made of, and they: upstream has one salt for it.
    own_keys: Mutex<Option<(Derivation, ScramKeys)>>,
}

#[derive(Debug)]
enum IssuerKeys {
    Fixed(Arc<Issuer>),
    Fetched(Box<FetchedKeys>),
}

/// How the proxy itself logs in.
#[derive(Debug)]
struct Own {
    user: String,
    mechanism: Mechanism,
    how: How,
}

#[derive(Debug)]
enum How {
    Password { scram: Option<Scram>, username: String, password: Secret },
    Token(Box<FetchedTokens>),
}

/// The files of SASL, each by its field.
pub(crate) fn of_cluster(cluster: &VirtualCluster) -> Vec<Needed> {
    let mut all = Vec::new();
    let mut need = |field: &str, path: &String| {
        all.push(Needed { field: field.to_owned(), path: path.clone(), purpose: FilePurpose::Sasl });
    };
    let mut endpoints = Vec::new();
    if let Some(ClientSasl { credentials, oauth, .. }) = &cluster.sasl {
        credentials.iter().for_each(|path| need(CREDENTIALS, path));
        match oauth.as_ref().map(|issuer| &issuer.keys) {
            Some(KeySource::File(path)) => need(KEYS, path),
            Some(KeySource::Fetched { from, .. }) => endpoints.push((from, ISSUER)),
            None => {}
        }
    }
    match &cluster.upstream.sasl {
        Some(UpstreamSasl::Password { password_file, .. }) => need(PASSWORD, password_file),
        Some(UpstreamSasl::Token(source)) => {
            need(SECRET, &source.client_secret_file);
            endpoints.push((&source.endpoint, TOKENS));
        }
        None => {}
    }
    for (endpoint, field) in endpoints {
        let files = endpoint.tls.iter().flat_map(|tls| tls::of_upstream(tls, field));
        all.extend(files.map(|needed| Needed { purpose: FilePurpose::Sasl, ..needed }));
    }
    all
}

impl ClusterSasl {
    /// # Errors
    /// The first thing that is wrong with the files.
    pub(crate) fn new(config: &VirtualCluster, material: &Material, crypto: &Crypto) -> Result<Self, SaslError> {
        let mut made = Self {
            clock: crypto.clock(),
            directory: None,
            issuer: None,
            upstream: None,
            hashing: crypto.hashing(),
            own_keys: Mutex::default(),
        };
        if let Some(sasl) = &config.sasl {
            if let Some(path) = &sasl.credentials {
                made.directory = Some(Arc::new(directory(sasl, path, material, crypto)?));
            }
            made.issuer = sasl.oauth.as_ref().map(|oauth| issuer(oauth, material, crypto)).transpose()?;
        }
        if let Some(sasl) = &config.upstream.sasl {
            let how = match sasl {
                UpstreamSasl::Password { scram, username, password_file } => {
                    let password = password(material, PASSWORD, password_file)?;
                    How::Password { scram: *scram, username: username.clone(), password }
                }
                UpstreamSasl::Token(source) => {
                    let secret = password(material, SECRET, &source.client_secret_file)?;
                    let server = server(&source.endpoint, TOKENS, material, crypto)?;
                    How::Token(Box::new(FetchedTokens::new(server, (**source).clone(), secret)))
                }
            };
            made.upstream = Some(Own { user: sasl.user().to_owned(), mechanism: sasl.mechanism(), how });
        }
        Ok(made)
    }

    /// What judges the tokens of a client, of which this is the first.
    pub(crate) async fn examiner<N: Net>(
        &self,
        net: &N,
        mechanism: Mechanism,
        token: &Secret,
    ) -> Result<Box<server::Exchange>, String> {
        let gone = || format!("{mechanism} is not there any more");
        let directory = || self.directory.clone().ok_or_else(gone);
        Ok(Box::new(match mechanism {
            Mechanism::Plain => server::Exchange::plain(directory()?),
            Mechanism::ScramSha256 => server::Exchange::scram(Scram::Sha256, directory()?, nonce()?),
            Mechanism::ScramSha512 => server::Exchange::scram(Scram::Sha512, directory()?, nonce()?),
            Mechanism::OAuthBearer => {
                let issuer = match self.issuer.as_ref().ok_or_else(gone)? {
                    IssuerKeys::Fixed(issuer) => issuer.clone(),
                    IssuerKeys::Fetched(keys) => {
                        let token = bearer::token(&token.0).unwrap_or_default();
                        keys.issuer(net, self.clock, token).await?
                    }
                };
                server::Exchange::bearer(issuer, self.clock.since_epoch())
            }
        }))
    }

    /// The keys of a client's password. They are not kept: who has them could pass for the client.
    pub(crate) async fn keys(&self, derivation: Derivation) -> ScramKeys {
        self.hashing.keys(derivation).await
    }

    /// The keys of the proxy's own password. Connections that log in together wait for those of the first.
    pub(crate) async fn own_keys(&self, derivation: Derivation) -> ScramKeys {
        let mut held = self.own_keys.lock().await;
        if let Some((of, keys)) = &*held
            && *of == derivation
        {
            return keys.clone();
        }
        let keys = self.hashing.keys(derivation.clone()).await;
        *held = Some((derivation, keys.clone()));
        keys
    }

    /// As whom the proxy logs in to upstream, and how; `None`: it does not.
    pub(crate) fn login(&self) -> Option<(String, Mechanism)> {
        self.upstream.as_ref().map(|own| (own.user.clone(), own.mechanism))
    }

    /// What logs the proxy in.
    pub(crate) async fn secrets<N: Net>(&self, net: &N) -> Result<Box<client::Exchange>, String> {
        let Some(own) = &self.upstream else { return Err("the proxy is not to log in any more".to_owned()) };
        Ok(Box::new(match &own.how {
            How::Password { scram: None, username, password } => client::Exchange::plain(username, password),
            How::Password { scram: Some(scram), username, password } => {
                client::Exchange::scram(*scram, username, password.clone(), nonce()?)
            }
            How::Token(tokens) => client::Exchange::bearer(&tokens.token(net, self.clock).await?),
        }))
    }

    /// Upstream has not let the proxy in with that.
    pub(crate) fn not_logged_in(&self) {
        match self.upstream.as_ref().map(|own| &own.how) {
            Some(How::Token(tokens)) => tokens.refused(self.clock.now()),
            Some(How::Password { .. }) | None => {}
        }
    }
}

/// Says where whoever listens on the way would hear a secret.
pub(crate) fn warn_of_secrets_in_the_clear(config: &VirtualCluster) {
    let tells = |mechanism: Mechanism| matches!(mechanism, Mechanism::Plain | Mechanism::OAuthBearer);
    let cluster = &config.name;
    if let Some(mechanism) = config.sasl.iter().flat_map(|sasl| &sasl.mechanisms).find(|mechanism| tells(**mechanism)) {
        for gateway in config.gateways.iter().filter(|gateway| gateway.tls.is_none()) {
            warn!(%cluster, gateway = %gateway.name, "{mechanism} without TLS: secrets of clients can be read on the way");
        }
    }
    if let Some(mechanism) = config.upstream.sasl.as_ref().map(UpstreamSasl::mechanism).filter(|m| tells(*m))
        && config.upstream.tls.is_none()
    {
        warn!(%cluster, "{mechanism} to upstream without TLS: the proxy's secret can be read on the way");
    }
    if let Some(UpstreamSasl::Token(source)) = &config.upstream.sasl
        && !source.endpoint.url.is_secure
    {
        warn!(%cluster, endpoint = %source.endpoint.url, "a token endpoint without TLS: the proxy's secret can be read on the way");
    }
}

fn nonce() -> Result<Nonce, String> {
    random().map(Nonce::of)
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system has no random numbers".to_owned())?;
    Ok(bytes)
}

fn file<'a>(material: &'a Material, field: &str, path: &str) -> Result<&'a Secret, SaslError> {
    let unreadable = |why: &str| SaslError::Unreadable { path: path.to_owned(), why: why.to_owned() };
    match material.files.get(field).map(|file| &file.contents) {
        Some(Ok(secret)) => Ok(secret),
        Some(Err(why)) => Err(unreadable(why)),
        None => Err(unreadable("nobody has read it")),
    }
}

fn directory(sasl: &ClientSasl, path: &str, material: &Material, crypto: &Crypto) -> Result<Directory, SaslError> {
    let bytes = file(material, CREDENTIALS, path)?;
    let directory = credentials::read(&bytes.0, crypto.decoy())
        .map_err(|why| SaslError::Credentials { path: path.to_owned(), why })?;
    for mechanism in &sasl.mechanisms {
        let users = match credentials::scram(*mechanism) {
            Some(scram) => directory.count(scram),
            None if *mechanism == Mechanism::Plain => directory.count(Scram::Sha256) + directory.count(Scram::Sha512),
            None => continue,
        };
        if users == 0 {
            return Err(SaslError::Nobody { path: path.to_owned(), mechanism: *mechanism });
        }
    }
    Ok(directory)
}

fn issuer(oauth: &TokenIssuer, material: &Material, crypto: &Crypto) -> Result<IssuerKeys, SaslError> {
    let demands = Demands {
        issuer: oauth.issuer.clone(),
        audiences: oauth.audiences.to_vec(),
        principal_claim: oauth.principal_claim.clone(),
    };
    Ok(match &oauth.keys {
        KeySource::File(path) => {
            let json = file(material, KEYS, path)?;
            let keys = Keys::read(&json.0).map_err(|why| SaslError::Keys { path: path.clone(), why })?;
            IssuerKeys::Fixed(Arc::new(Issuer { keys, demands }))
        }
        KeySource::Fetched { from, refresh } => {
            let server = server(from, ISSUER, material, crypto)?;
            IssuerKeys::Fetched(Box::new(FetchedKeys::new(server, demands, *refresh)))
        }
    })
}

fn server(endpoint: &Endpoint, field: &str, material: &Material, crypto: &Crypto) -> Result<Server, SaslError> {
    let contents = Contents::new(&material.files, field);
    let tls = endpoint.tls.as_ref().map(|tls| Connector::new(tls, &contents, crypto)).transpose()?;
    Ok(Server { url: endpoint.url.clone(), tls: tls.map(Arc::new) })
}

fn password(material: &Material, field: &str, path: &str) -> Result<Secret, SaslError> {
    let bytes = &file(material, field, path)?.0;
    line(bytes).map(Secret).ok_or_else(|| SaslError::NotAPassword { path: path.to_owned() })
}

/// The only line of a file, without what ends it.
pub(crate) fn line(bytes: &bytes::Bytes) -> Option<bytes::Bytes> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let is_good = !text.is_empty() && !text.iter().any(|b| matches!(b, b'\n' | b'\r' | 0));
    is_good.then(|| bytes.slice_ref(text))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    #[test]
    fn a_password_is_the_only_line_of_its_file() {
        let line = |text: &'static str| super::line(&Bytes::from_static(text.as_bytes()));
        for text in ["pass word", "pass word\n", "pass word\r\n"] {
            assert_eq!(line(text).as_deref(), Some(b"pass word".as_slice()));
        }
        for text in ["", "\n", "a\nb", "a\n\n", "a\0b"] {
            assert_eq!(line(text), None, "{text:?}");
        }
    }
}
