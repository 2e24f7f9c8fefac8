//! From the raw configuration of SASL to good values.
//!
//! What is in the files is looked at when a virtual cluster is built, as with TLS.

use super::{
    locate::FieldPath,
    parse::Parser,
    raw_sasl::{RawIssuer, RawKeys, RawSasl, RawTokens, RawUpstreamSasl},
    raw_tls::RawCa,
};
use kroxy_core::{
    config::{
        NonEmpty,
        sasl::{ClientSasl, Endpoint, HttpUrl, KeySource, TokenIssuer, TokenSource, UpstreamSasl},
        tls::{Protocol, Trust, UpstreamTls},
    },
    sasl::{Mechanism, scram::Scram},
};

impl Parser<'_> {
    /// The outer `None` is a problem, the inner one SASL that passes.
    pub(super) fn client_sasl(&mut self, raw: Option<RawSasl>, path: &FieldPath) -> Option<Option<ClientSasl>> {
        let Some(raw) = raw else { return Some(None) };
        let at = path.field("mechanisms");
        let all = raw.mechanisms.iter().enumerate();
        let all: Vec<_> = all.map(|(n, name)| self.good(&at.place(n), name.parse::<Mechanism>())).collect();
        let mechanisms = all.into_iter().collect::<Option<Vec<_>>>()?;
        let has = |wanted: &[Mechanism]| mechanisms.iter().any(|mechanism| wanted.contains(mechanism));
        let by_password = has(&[Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512]);
        let by_token = has(&[Mechanism::OAuthBearer]);
        if let Some(twice) = (1..mechanisms.len()).find(|n| mechanisms[..*n].contains(&mechanisms[*n])) {
            self.wrong(&at.place(twice), format!("{} is there twice", mechanisms[twice]));
        }
        let at = path.field("credentials");
        let credentials = match (raw.credentials, by_password) {
            (Some(name), true) => self.file(&name, &at).map(Some),
            (None, false) => Some(None),
            (Some(_), false) => self.no(&at, "no mechanism asks for a password, and yet there are credentials"),
            (None, true) => self.no(path, "there are no `credentials`, and yet a mechanism asks for a password"),
        };
        let at = path.field("oauth");
        let oauth = match (raw.oauth, by_token) {
            (Some(raw), true) => self.issuer(raw, &at).map(Some),
            (None, false) => Some(None),
            (Some(_), false) => self.no(&at, "OAUTHBEARER is not among the mechanisms, and yet there is an issuer"),
            (None, true) => self.no(path, "there is no `oauth`, and yet OAUTHBEARER is among the mechanisms"),
        };
        let mechanisms = NonEmpty::new(mechanisms).ok_or("without a mechanism nobody could be let in");
        let mechanisms = self.good(&path.field("mechanisms"), mechanisms);
        Some(Some(ClientSasl {
            mechanisms: mechanisms?,
            credentials: credentials?,
            oauth: oauth?,
            session_max: raw.session_max.map(super::units::Span::get),
            failure_delay: raw.failure_delay.get(),
            authentication_timeout: raw.authentication_timeout.get(),
        }))
    }

    fn no<T>(&mut self, path: &FieldPath, what: &str) -> Option<T> {
        self.wrong(path, what);
        None
    }

    fn text(&mut self, text: String, path: &FieldPath) -> Option<String> {
        if text.is_empty() { self.no(path, "this is empty") } else { Some(text) }
    }

    fn issuer(&mut self, raw: RawIssuer, path: &FieldPath) -> Option<TokenIssuer> {
        let at = path.field("keys");
        let keys = match (raw.keys, raw.ca) {
            (RawKeys::File(name), None) => self.file(&name, &at).map(KeySource::File),
            (RawKeys::File(_), Some(_)) => {
                self.no(&path.field("ca"), "the keys are in a file, and nobody has to prove who it is")
            }
            (RawKeys::Url(url), ca) => {
                let refresh = raw.refresh.get();
                self.endpoint(&url, &at, ca, path).map(|from| KeySource::Fetched { from, refresh })
            }
        };
        let issuer = self.text(raw.issuer, &path.field("issuer"));
        let principal_claim = self.text(raw.principal_claim, &path.field("principal_claim"));
        let audiences = NonEmpty::new(raw.audiences).ok_or("tokens that are for others would hold here");
        let audiences = self.good(&path.field("audiences"), audiences);
        Some(TokenIssuer { keys: keys?, issuer: issuer?, audiences: audiences?, principal_claim: principal_claim? })
    }

    fn endpoint(&mut self, url: &str, at: &FieldPath, ca: Option<RawCa>, path: &FieldPath) -> Option<Endpoint> {
        let url: HttpUrl = self.good(at, url.parse())?;
        let trust = match ca {
            Some(_) if !url.is_secure => {
                return self.no(&path.field("ca"), "at an http:// address nobody proves who it is");
            }
            None | Some(RawCa::System) => Trust::System,
            Some(RawCa::File(ca)) => Trust::File(self.file(&ca, &path.field("ca"))?),
        };
        let protocol = Protocol::default();
        let tls = UpstreamTls { trust, client_certificate: None, server_name: None, protocol };
        Some(Endpoint { tls: url.is_secure.then_some(tls), url })
    }

    /// The outer `None` is a problem, the inner one SASL that passes.
    pub(super) fn upstream_sasl(
        &mut self,
        raw: Option<RawUpstreamSasl>,
        path: &FieldPath,
    ) -> Option<Option<UpstreamSasl>> {
        let Some(RawUpstreamSasl { mechanism, username, password_file, oauth }) = raw else { return Some(None) };
        let mechanism: Mechanism = self.good(&path.field("mechanism"), mechanism.parse())?;
        let scram = match mechanism {
            Mechanism::Plain => None,
            Mechanism::ScramSha256 => Some(Scram::Sha256),
            Mechanism::ScramSha512 => Some(Scram::Sha512),
            Mechanism::OAuthBearer => {
                for (field, is_there) in [("username", username.is_some()), ("password_file", password_file.is_some())]
                {
                    if is_there {
                        self.wrong(&path.field(field), "OAUTHBEARER has a token in place of it");
                    }
                }
                let Some(oauth) = oauth else {
                    return self.no(path, "there is no `oauth` from which tokens would come");
                };
                return self
                    .tokens(oauth, &path.field("oauth"))
                    .map(|source| Some(UpstreamSasl::Token(Box::new(source))));
            }
        };
        if oauth.is_some() {
            self.wrong(&path.field("oauth"), format!("{mechanism} takes no token"));
        }
        let Some(username) = username else { return self.no(path, "there is no `username`") };
        let Some(password_file) = password_file else { return self.no(path, "there is no `password_file`") };
        let username = self.text(username, &path.field("username"));
        let password_file = self.file(&password_file, &path.field("password_file"));
        Some(Some(UpstreamSasl::Password { scram, username: username?, password_file: password_file? }))
    }

    fn tokens(&mut self, raw: RawTokens, path: &FieldPath) -> Option<TokenSource> {
        let endpoint = self.endpoint(&raw.endpoint, &path.field("endpoint"), raw.ca, path);
        let client_id = self.text(raw.client_id, &path.field("client_id"));
        let client_secret_file = self.file(&raw.client_secret_file, &path.field("client_secret_file"));
        Some(TokenSource {
            endpoint: endpoint?,
            client_id: client_id?,
            client_secret_file: client_secret_file?,
            scope: raw.scope,
        })
    }
}
