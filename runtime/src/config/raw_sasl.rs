//! SASL as it is spelled in the configuration file.

use super::{raw_tls::RawCa, units::Span};
use kroxy_core::config::sasl::{ClientSasl, TokenIssuer};
use serde::Deserialize;

/// SASL that ends at the proxy: clients authenticate themselves here, and upstream does not hear of it. What the files hold can
/// be changed while connections stay open, and is for whoever authenticates from then on.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawSasl {
    /// What clients may use. `PLAIN` and `OAUTHBEARER` show secrets to whoever listens on the way, so they belong behind TLS.
    pub(super) mechanisms: Vec<String>,
    /// The file with the users for `PLAIN` and SCRAM, by salted hashes of their passwords. `kroxy scram-credential` makes an
    /// entry. `PLAIN` takes the users of both SCRAM mechanisms.
    #[serde(default)]
    pub(super) credentials: Option<String>,
    /// Whose tokens hold, for `OAUTHBEARER`.
    #[serde(default)]
    pub(super) oauth: Option<RawIssuer>,
    /// How long a client is taken for who it was. Then it authenticates itself again on the same connection (KIP-368), or is
    /// closed with its next request. Unless set, for ever; a token never counts for longer than it holds.
    #[serde(default)]
    pub(super) session_max: Option<Span>,
    /// How long a refusal is held back, in which nothing more is read from that client.
    #[serde(default = "failure_delay")]
    pub(super) failure_delay: Span,
    /// How long a client may take from connecting until it is let in.
    #[serde(default = "authentication_timeout")]
    pub(super) authentication_timeout: Span,
}

fn failure_delay() -> Span {
    ClientSasl::FAILURE_DELAY.into()
}

fn authentication_timeout() -> Span {
    ClientSasl::AUTHENTICATION_TIMEOUT.into()
}

/// Whose tokens hold: signed JSON web tokens with `exp`, `iss` and `aud`. Clocks may differ by 30 s.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawIssuer {
    /// The public keys of the issuer, as a JSON web key set: in a file, or at an address from which they are fetched.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) keys: RawKeys,
    /// What has to stand in `iss`.
    pub(super) issuer: String,
    /// One of these has to stand in `aud`.
    pub(super) audiences: Vec<String>,
    /// The claim that names the user.
    #[serde(default = "principal_claim")]
    pub(super) principal_claim: String,
    /// How old fetched keys may be. They are fetched with the next token after that, and at once for one that is signed with a key
    /// which is not among them. While they cannot be fetched, those that are there hold.
    #[serde(default = "refresh")]
    pub(super) refresh: Span,
    /// Who may have signed the certificate of an `https://` address.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(super) ca: Option<RawCa>,
}

fn principal_claim() -> String {
    "sub".to_owned()
}

fn refresh() -> Span {
    TokenIssuer::REFRESH.into()
}

/// Where the keys of an issuer are.
#[derive(Deserialize, Debug)]
pub(super) enum RawKeys {
    File(String),
    Url(String),
}

/// How the proxy logs in to upstream, on each connection. Another user or mechanism drains the virtual cluster; what the files hold
/// is for the next login.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawUpstreamSasl {
    /// How. `PLAIN` and `OAUTHBEARER` belong behind TLS.
    pub(super) mechanism: String,
    /// The name, for `PLAIN` and SCRAM.
    #[serde(default)]
    pub(super) username: Option<String>,
    /// The file with the password, for `PLAIN` and SCRAM. A line break at its end does not count.
    #[serde(default)]
    pub(super) password_file: Option<String>,
    /// Where tokens come from, for `OAUTHBEARER`.
    #[serde(default)]
    pub(super) oauth: Option<RawTokens>,
}

/// Where the proxy's tokens come from (client credentials grant). One token serves all connections, and is fetched anew when 80 % of
/// its time has passed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawTokens {
    /// The address of the token endpoint.
    pub(super) endpoint: String,
    /// Who the proxy is there.
    pub(super) client_id: String,
    /// The file with its secret. A line break at its end does not count.
    pub(super) client_secret_file: String,
    /// What the token is to be good for.
    #[serde(default)]
    pub(super) scope: Option<String>,
    /// Who may have signed the certificate of an `https://` address.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(super) ca: Option<RawCa>,
}
