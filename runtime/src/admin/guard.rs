//! Who may ask the admin API for anything.
//!
//! Whoever has shown a certificate that TLS has accepted, or the token where there is one. Without either, which the configuration allows on loopback only: whoever is on this
//! machine, but no web page that a browser on this machine shows. Such a page reaches loopback either under a name of its own
//! that leads there (DNS rebinding), which stands in `Host`, or across origins, which browsers say in `Origin`.

use super::routes::refusal;
use crate::limits::ADMIN_TOKEN_MIN;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use kroxy_core::{cluster::Reason, config::Admin};
use ring::digest::{SHA256, digest};
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use subtle::ConstantTimeEq;
use tracing::{debug, error};

/// What probes ask. A kubelet has no token, and learns no more than which virtual clusters do not serve.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// What is in front of the admin API.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Read at each question: a new token holds at once, and none is kept in memory.
    token_file: Option<PathBuf>,
    /// Certificates are asked for.
    asks_for_certificates: bool,
}

/// Whether the connection that a question came by began with a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certified(pub(super) bool);

/// A token that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("the token of the admin API cannot be read from {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Anybody could guess it, or nobody could send it.
    #[error("the token of the admin API in {} is not at least {ADMIN_TOKEN_MIN} printable ASCII characters", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

/// Why somebody is turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Denied {
    NoToken,
    WrongToken,
    NoCertificate,
    ForeignHost,
    WebPage,
    /// The token file has become unusable: nobody can be let in.
    Locked,
}

impl Guard {
    /// Reads the token once, so that a proxy that nobody could steer does not start.
    pub(crate) fn new(admin: &Admin) -> Result<Self, TokenError> {
        if let Some(path) = &admin.token_file {
            token(path)?;
        }
        Ok(Self { token_file: admin.token_file.clone(), asks_for_certificates: admin.asks_for_certificates() })
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let Some(path) = &self.token_file else {
            return if self.asks_for_certificates { Err(Denied::NoCertificate) } else { local(headers) };
        };
        let shown = headers.get(header::AUTHORIZATION).ok_or(Denied::NoToken)?;
        let shown = shown.as_bytes();
        let (scheme, shown) = shown.split_at_checked(BEARER.len()).ok_or(Denied::WrongToken)?;
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return Err(Denied::WrongToken);
        }
        let right = token(path).map_err(|e| {
            error!("{}", Reason::of(&e));
            Denied::Locked
        })?;
        // Digests, so that not even the length can be measured.
        let (shown, right) = (digest(&SHA256, shown.trim_ascii()), digest(&SHA256, right.as_bytes()));
        if bool::from(shown.as_ref().ct_eq(right.as_ref())) { Ok(()) } else { Err(Denied::WrongToken) }
    }
}

const BEARER: &[u8] = b"Bearer ";

/// Reads a token.
fn token(path: &Path) -> Result<String, TokenError> {
    let unreadable = |cause| TokenError::Unreadable { path: path.to_owned(), cause };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let token = text.trim();
    if token.len() < ADMIN_TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Unusable { path: path.to_owned() });
    }
    Ok(token.to_owned())
}

/// Whether a question that came by loopback comes from a program rather than from a web page.
fn local(headers: &HeaderMap) -> Result<(), Denied> {
    if headers.contains_key(header::ORIGIN) {
        return Err(Denied::WebPage);
    }
    let is_ours = |host: &HeaderValue| {
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        authority.is_some_and(|authority| {
            let host = authority.host().trim_matches(['[', ']']);
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
        })
    };
    // Browsers always send one.
    if headers.get(header::HOST).is_none_or(is_ours) { Ok(()) } else { Err(Denied::ForeignHost) }
}

/// Lets a question through, or answers it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, question: Request, next: Next) -> Response {
    if OPEN.contains(&question.uri().path()) {
        return next.run(question).await;
    }
    if let Some(Certified(true)) = question.extensions().get() {
        return next.run(question).await;
    }
    match guard.admit(question.headers()) {
        Ok(()) => next.run(question).await,
        Err(denied) => {
            debug!(path = question.uri().path(), "the admin API turned somebody away: {denied:?}");
            denied.answer()
        }
    }
}

impl Denied {
    fn answer(self) -> Response {
        let (status, why) = match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "the admin API wants a token: Authorization: Bearer TOKEN"),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "this is not the token of the admin API"),
            Self::NoCertificate => (StatusCode::FORBIDDEN, "the admin API wants a client certificate"),
            Self::ForeignHost => (StatusCode::FORBIDDEN, "the admin API is asked as localhost or by its address"),
            Self::WebPage => (StatusCode::FORBIDDEN, "the admin API answers no web pages"),
            Self::Locked => (StatusCode::SERVICE_UNAVAILABLE, "the token of the admin API cannot be read; see the log"),
        };
        let mut answer = refusal(status, &why);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"kroxy\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let all = all.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), value.parse::<HeaderValue>().expect("a value"))
        });
        all.collect()
    }

    fn local_with(all: &[(&'static str, &str)]) -> Result<(), Denied> {
        Guard { token_file: None, asks_for_certificates: false }.admit(&headers(all))
    }

    #[test]
    fn programs_on_this_machine_are_let_in_and_web_pages_are_not() {
        for host in ["127.0.0.1:9190", "localhost", "LOCALHOST:9190", "[::1]:9190", "10.0.0.7:80"] {
            assert_eq!(local_with(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(local_with(&[]), Ok(()), "HTTP/1.0");
        for host in ["rebound.example:9190", "localhost.example", "127.0.0.1.example", "", "a b"] {
            assert_eq!(local_with(&[("host", host)]), Err(Denied::ForeignHost), "{host}");
        }
        let page = [("host", "127.0.0.1:9190"), ("origin", "http://127.0.0.1:3000")];
        assert_eq!(local_with(&page), Err(Denied::WebPage));
    }

    #[test]
    fn a_token_lets_in_and_nothing_like_it_does() {
        let file = std::env::temp_dir().join(format!("kroxy-token-{}", std::process::id()));
        let write = |text: &str| fs::write(&file, text).expect("writable");
        write("correct-horse-battery-staple\n");
        let admin = Admin { token_file: Some(file.clone()), ..Admin::default() };
        let guard = Guard::new(&admin).expect("a token");
        let shown = |value: &str| guard.admit(&headers(&[("authorization", value), ("host", "kroxy.example")]));
        assert_eq!(shown("Bearer correct-horse-battery-staple"), Ok(()));
        assert_eq!(shown("bearer  correct-horse-battery-staple"), Ok(()), "schemes have no case");
        for wrong in ["Bearer correct-horse-battery-stapl", "Bearer ", "Bearer", "Basic correct-horse-battery-staple"] {
            assert_eq!(shown(wrong), Err(Denied::WrongToken), "{wrong}");
        }
        assert_eq!(guard.admit(&headers(&[])), Err(Denied::NoToken));
        write("another-token-that-is-new");
        assert_eq!(shown("Bearer correct-horse-battery-staple"), Err(Denied::WrongToken), "it is new at once");
        assert_eq!(shown("Bearer another-token-that-is-new"), Ok(()));
        for unusable in ["", "short", "with a blank in the middle of it", "umlauts-äöü-are-no-ascii"] {
            write(unusable);
            assert!(matches!(Guard::new(&admin), Err(TokenError::Unusable { .. })), "{unusable}");
            assert_eq!(shown("Bearer another-token-that-is-new"), Err(Denied::Locked), "nobody gets in");
        }
        fs::remove_file(&file).expect("there");
        assert!(matches!(Guard::new(&admin), Err(TokenError::Unreadable { .. })));
    }
}
