//! SASL that the proxy ends for its clients, and logs in to upstream with.
//!
//! Paths and addresses only: what is in the files belongs to the [material](crate::reload::Material) of a virtual cluster.

use super::{NonEmpty, tls::UpstreamTls};
use crate::{
    address::HostPort,
    sasl::{Mechanism, scram::Scram},
};
use core::{fmt, str::FromStr, time::Duration};

/// How clients prove to the proxy who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientSasl {
    /// What they may use.
    pub mechanisms: NonEmpty<Mechanism>,
    /// The file with credentials for PLAIN and SCRAM; there if either is.
    pub credentials: Option<String>,
    /// Whose tokens hold; there if OAUTHBEARER is.
    pub oauth: Option<TokenIssuer>,
    /// How long a client is taken for who it was; above zero.
    pub session_max: Option<Duration>,
    /// How long a refusal is held back.
    pub failure_delay: Duration,
    /// How long a client may take from connecting until it is let in; above zero.
    pub authentication_timeout: Duration,
}

impl ClientSasl {
    /// How long a refusal is held back unless configured; Kafka's own `connection.failed.authentication.delay.ms`.
    pub const FAILURE_DELAY: Duration = Duration::from_millis(100);

    /// How long a client may take until it is let in unless configured: some round trips, an issuer that has to be asked for its
    /// keys, and a client that is started with thousands of others.
    pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(30);
}

/// Whose tokens hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenIssuer {
    /// Where its keys are.
    pub keys: KeySource,
    /// What it calls itself.
    pub issuer: String,
    /// For whom its tokens have to be.
    pub audiences: NonEmpty<String>,
    /// The claim that names the user.
    pub principal_claim: String,
}

impl TokenIssuer {
    /// How old keys may be unless configured: a key that is taken back does not live on for long, and issuers are not asked
    /// more often than they expect.
    pub const REFRESH: Duration = Duration::from_secs(5 * 60);
}

/// Where the keys of an issuer are.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "a configuration has one for each issuer")]
pub enum KeySource {
    /// In a file.
    File(String),
    /// At an address, from where they are fetched.
    Fetched {
        /// The address.
        from: Endpoint,
        /// How old they may be; above zero.
        refresh: Duration,
    },
}

/// How the proxy logs in to upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpstreamSasl {
    /// With a name and a password.
    Password {
        /// In the clear, or with a proof by this hash.
        scram: Option<Scram>,
        /// The name.
        username: String,
        /// The file with the password.
        password_file: String,
    },
    /// With a token.
    Token(Box<TokenSource>),
}

impl UpstreamSasl {
    /// The mechanism.
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Password { scram: None, .. } => Mechanism::Plain,
            Self::Password { scram: Some(scram), .. } => scram.mechanism(),
            Self::Token(_) => Mechanism::OAuthBearer,
        }
    }

    /// What upstream is told, as far as it is no secret.
    pub fn user(&self) -> &str {
        match self {
            Self::Password { username, .. } => username,
            Self::Token(source) => &source.client_id,
        }
    }
}

/// Who gives the proxy tokens (the client credentials grant of RFC 6749).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenSource {
    /// The address.
    pub endpoint: Endpoint,
    /// Who the proxy is there.
    pub client_id: String,
    /// The file with its secret.
    pub client_secret_file: String,
    /// What the token is to be good for.
    pub scope: Option<String>,
}

/// An HTTP address, and what holds for a handshake with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The address.
    pub url: HttpUrl,
    /// TLS, unless it is plain HTTP.
    pub tls: Option<UpstreamTls>,
}

/// An `http://` or `https://` address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpUrl {
    /// Whether it is `https://`.
    pub is_secure: bool,
    /// Where to connect.
    pub server: HostPort,
    /// The path and what follows it; begins with a slash.
    pub path: String,
}

/// What keeps a text from being an HTTP address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no HTTP address: {why}")]
pub struct NotAUrl {
    text: String,
    why: &'static str,
}

impl HttpUrl {
    /// Host and port as the `Host` header has them: without the port that goes without saying.
    pub fn authority(&self) -> String {
        let usual = if self.is_secure { 443 } else { 80 };
        let all = self.server.to_string();
        if self.server.port == usual { all[..all.len() - format!(":{usual}").len()].to_owned() } else { all }
    }
}

impl FromStr for HttpUrl {
    type Err = NotAUrl;

    fn from_str(text: &str) -> Result<Self, NotAUrl> {
        let wrong = |why| NotAUrl { text: text.to_owned(), why };
        let (is_secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(wrong("its path has a character that has to be written as %XX"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let usual = if is_secure { 443 } else { 80 };
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:{usual}") };
        let server = with_port.parse().map_err(|_| wrong("there is no host, or no good port"))?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { is_secure, server, path: path.to_owned() })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_is_shown() {
        for (text, server, shown) in [
            ("https://idp.example/keys?a=b", "idp.example:443", "https://idp.example/keys?a=b"),
            ("https://idp.example", "idp.example:443", "https://idp.example/"),
            ("http://127.0.0.1:8080/jwks", "127.0.0.1:8080", "http://127.0.0.1:8080/jwks"),
            ("http://[::1]/x", "[::1]:80", "http://[::1]/x"),
            ("https://[::1]:8443/x", "[::1]:8443", "https://[::1]:8443/x"),
            ("https://idp.example:443/x", "idp.example:443", "https://idp.example/x"),
        ] {
            let url: HttpUrl = text.parse().expect(text);
            assert_eq!((url.server.to_string().as_str(), url.to_string().as_str()), (server, shown));
        }
        for text in [
            "idp.example/keys",
            "ftp://x/",
            "https://",
            "https:///x",
            "https://a b/",
            "http://x:0/",
            "http://x/a b",
            "http://u:p@x/",
        ] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
    }
}
