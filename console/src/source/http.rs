//! The admin API of one proxy over HTTP: two threads look (status, events), one more for each action.

use std::io::Read as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kroxy_core::status::{Event, EventKind, ReloadReport, Severity, Status};
use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::sse::Parser;
use crate::limits::{
    ACTION_TIMEOUT, ANSWER_BYTES_MAX, BACKOFF_FIRST, BACKOFF_MAX, CONNECT_TIMEOUT, ERROR_CHARS_MAX, EVENTS_ASK_AGAIN,
    EVENTS_SILENCE_MAX, POLL_EVERY, POLL_GAP_MIN, STATUS_BYTES_MAX, STATUS_TIMEOUT,
};
use crate::model::{Action, EventsFeed, Msg, News, Outcome};

/// How to reach the admin API of any of the proxies.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    agent: Agent,
    authorization: Option<String>,
}

/// One proxy that is being looked at.
#[derive(Debug)]
pub(crate) struct Source {
    access: Access,
    url: String,
    proxy: usize,
    news: SyncSender<Msg>,
    wake: SyncSender<()>,
}

/// The console has gone: nobody takes news any more.
struct Gone;

impl Access {
    /// Reads what is needed to be let in.
    pub(crate) fn new(
        token: Option<&Path>,
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> anyhow::Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(&read(path)?, path)?));
        }
        if let Some((chain, key)) = identity {
            let certificates = certificates(&read(chain)?, chain)?;
            let key =
                PrivateKey::from_pem(&read(key)?).with_context(|| format!("no private key in {}", key.display()))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates, key)));
        }
        let authorization = match token {
            None => None,
            Some(path) => {
                let token =
                    String::from_utf8(read(path)?).with_context(|| format!("{} is not text", path.display()))?;
                let token = token.trim();
                anyhow::ensure!(!token.is_empty(), "{} is empty", path.display());
                Some(format!("Bearer {token}"))
            }
        };
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            // The token is for this address and no other.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The admin API is reached directly, as its address says.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("kroxy-console/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, authorization })
    }

    /// A token would be readable on the way to this address.
    pub(crate) fn exposes_token_to(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.authorization.is_some() && uri.scheme_str() == Some("http") && !loopback
    }
}

fn certificates(pem: &[u8], path: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.with_context(|| format!("{} is not PEM", path.display()))? {
            certificates.push(certificate);
        }
    }
    anyhow::ensure!(!certificates.is_empty(), "no certificate in {}", path.display());
    Ok(certificates)
}

impl Source {
    /// Begins to look at `url`; what is seen goes to `news` as coming from the proxy of that number.
    pub(crate) fn start(access: Access, url: String, proxy: usize, news: SyncSender<Msg>) -> anyhow::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let poller = Api { access: access.clone(), url: url.clone(), proxy, news: news.clone() };
        let listener = Api { access: access.clone(), url: url.clone(), proxy, news: news.clone() };
        spawn("status", move || drop(poller.poll(&woken)))?;
        spawn("events", move || drop(listener.listen()))?;
        Ok(Self { access, url, proxy, news, wake })
    }

    /// Makes the next question for the status come now.
    pub(crate) fn refresh(&self) {
        match self.wake.try_send(()) {
            // Full means that it is coming already; disconnected, that the console is about to end.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Asks for something; the outcome comes as a message.
    pub(crate) fn act(&self, action: Action) -> anyhow::Result<()> {
        let api =
            Api { access: self.access.clone(), url: self.url.clone(), proxy: self.proxy, news: self.news.clone() };
        spawn("action", move || {
            let outcome = api.act(&action);
            // Nobody listening means that the console has ended: there is nobody to tell.
            drop(api.news.send(Msg::Acted { proxy: api.proxy, action, outcome }));
        })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).context("cannot start a thread")
}

/// What a thread needs to ask one proxy.
struct Api {
    access: Access,
    url: String,
    proxy: usize,
    news: SyncSender<Msg>,
}

impl Api {
    fn tell(&self, news: News) -> Result<(), Gone> {
        self.news.send(Msg::News { proxy: self.proxy, news }).map_err(|_| Gone)
    }

    /// Asks for the status for ever, or until nobody listens.
    fn poll(&self, woken: &Receiver<()>) -> Result<(), Gone> {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let asked = Instant::now();
            let wait = match self.status() {
                Ok(status) => {
                    backoff = BACKOFF_FIRST;
                    self.tell(News::Status(Box::new(status)))?;
                    POLL_EVERY.saturating_sub(asked.elapsed())
                }
                Err(why) => {
                    self.tell(News::Silent(why))?;
                    let wait = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    wait
                }
            };
            match woken.recv_timeout(wait.max(POLL_GAP_MIN)) {
                Ok(()) => thread::sleep(POLL_GAP_MIN.saturating_sub(asked.elapsed())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn status(&self) -> Result<Status, String> {
        let mut answer = self.get("/api/v1/status", STATUS_TIMEOUT, None)?;
        if answer.status() != StatusCode::OK {
            return Err(declined(&mut answer, "the status"));
        }
        let body = answer.body_mut().with_config().limit(STATUS_BYTES_MAX).read_to_vec().map_err(|e| why(&e))?;
        serde_json::from_slice(&body).map_err(|error| format!("the status cannot be read: {error}"))
    }

    /// Takes events for ever, or until nobody listens.
    fn listen(&self) -> Result<(), Gone> {
        let mut backoff = BACKOFF_FIRST;
        let mut last_id = String::new();
        loop {
            let opened = Instant::now();
            let ended = self.stream(&mut last_id)?;
            let lasted = opened.elapsed();
            if lasted > BACKOFF_MAX {
                backoff = BACKOFF_FIRST;
            }
            let wait = match ended {
                EventsFeed::NotOffered => EVENTS_ASK_AGAIN,
                EventsFeed::Connecting | EventsFeed::Live | EventsFeed::Lost(_) => backoff,
            };
            backoff = (backoff * 2).min(BACKOFF_MAX);
            self.tell(News::Events(ended))?;
            thread::sleep(wait);
        }
    }

    /// One stream, until it ends, and how.
    fn stream(&self, last_id: &mut String) -> Result<EventsFeed, Gone> {
        let mut answer = match self.get("/api/v1/events", EVENTS_SILENCE_MAX, Some(last_id)) {
            Ok(answer) => answer,
            Err(why) => return Ok(EventsFeed::Lost(why)),
        };
        if not_offered(answer.status()) {
            return Ok(EventsFeed::NotOffered);
        }
        if answer.status() != StatusCode::OK {
            return Ok(EventsFeed::Lost(declined(&mut answer, "the events")));
        }
        self.tell(News::Events(EventsFeed::Live))?;
        let mut parser = Parser::default();
        let mut reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = [0; 8 * 1024];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(EventsFeed::Lost("the stream ended".to_owned())),
                Ok(read) => read,
                Err(error) => return Ok(EventsFeed::Lost(error.to_string())),
            };
            let frames = match parser.feed(&buffer[..read]) {
                Ok(frames) => frames,
                Err(too_large) => return Ok(EventsFeed::Lost(too_large.to_string())),
            };
            for frame in frames {
                last_id.clone_from(&frame.id);
                let event = serde_json::from_str(&frame.data).unwrap_or_else(|error| unreadable(&frame.id, &error));
                self.tell(News::Event(Box::new(event)))?;
            }
        }
    }

    /// Asks for an action and waits for its end.
    fn act(&self, action: &Action) -> Outcome {
        let path = match action {
            Action::Drain(cluster) => format!("/api/v1/clusters/{}/drain", escaped(cluster)),
            Action::Retry(cluster) => format!("/api/v1/clusters/{}/retry", escaped(cluster)),
            Action::Plan => "/api/v1/reload?dry_run=true".to_owned(),
            Action::Reload => "/api/v1/reload".to_owned(),
            Action::Shutdown => "/api/v1/shutdown".to_owned(),
        };
        let mut request = self
            .access
            .agent
            .post(format!("{}{path}", self.url))
            .config()
            .timeout_global(Some(ACTION_TIMEOUT))
            .build()
            .header("accept", "application/json");
        if let Some(authorization) = &self.access.authorization {
            request = request.header("authorization", authorization);
        }
        match request.send_empty() {
            Ok(answer) => outcome(action, answer),
            Err(error) => Outcome::NoAnswer(why(&error)),
        }
    }

    fn get(&self, path: &str, patience: Duration, last_id: Option<&str>) -> Result<Response<Body>, String> {
        let request = self.access.agent.get(format!("{}{path}", self.url)).config();
        let mut request = match last_id {
            // A stream has no end: only silence may last no longer.
            Some(_) => request.timeout_per_read(Some(patience)).build().header("accept", "text/event-stream"),
            None => request.timeout_global(Some(patience)).build().header("accept", "application/json"),
        };
        if let Some(id) = last_id.filter(|id| !id.is_empty()) {
            request = request.header("last-event-id", id);
        }
        if let Some(authorization) = &self.access.authorization {
            request = request.header("authorization", authorization);
        }
        request.call().map_err(|error| why(&error))
    }
}

fn unreadable(id: &str, error: &serde_json::Error) -> Event {
    let kind = EventKind::Log {
        severity: Severity::Warn,
        target: "console".to_owned(),
        virtual_cluster: None,
        message: format!("an event cannot be read: {error}"),
    };
    Event { seq: id.parse().unwrap_or(0), at_unix_ms: 0, kind }
}

fn not_offered(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

/// Why there is no status or event stream, from an answer that is none.
fn declined(answer: &mut Response<Body>, what: &str) -> String {
    match answer.status() {
        StatusCode::UNAUTHORIZED => "the proxy wants a token, or another one: --token-file".to_owned(),
        StatusCode::FORBIDDEN => format!("the proxy does not let this console see {what}: {}", said(&body(answer))),
        status if not_offered(status) => format!("this proxy does not offer {what} (HTTP {})", status.as_u16()),
        status => format!("HTTP {}: {}", status.as_u16(), said(&body(answer))),
    }
}

fn outcome(action: &Action, mut answer: Response<Body>) -> Outcome {
    let status = answer.status();
    let body = body(&mut answer);
    if *action == Action::Plan
        && status.is_success()
        && let Ok(plan) = serde_json::from_slice(&body)
    {
        return Outcome::Planned(plan);
    }
    let report = serde_json::from_slice::<Value>(&body)
        .ok()
        .filter(|value| value.get("outcome").is_some())
        .and_then(|value| serde_json::from_value::<ReloadReport>(value).ok());
    if status.is_success() {
        Outcome::Done { report, text: said(&body) }
    } else if not_offered(status) && (status != StatusCode::NOT_FOUND || said(&body).is_empty()) {
        // A 404 that says something is about the virtual cluster, not about the action.
        Outcome::NotOffered
    } else {
        Outcome::Refused { status: status.as_u16(), report, text: said(&body) }
    }
}

fn body(answer: &mut Response<Body>) -> Vec<u8> {
    // What cannot be read in full says no more than nothing: the HTTP status is told in any case.
    answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().unwrap_or_default()
}

/// What an answer says to people: the message in a JSON object, or the text as it is.
fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => {
            let named = ["message", "error", "detail", "reason"].iter().find_map(|name| fields.get(*name));
            match named {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(parts)) => parts
                    .iter()
                    .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(": "),
                Some(other) => other.to_string(),
                None if fields.is_empty() => String::new(),
                None => Value::Object(fields).to_string(),
            }
        }
        Ok(Value::Null) => String::new(),
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().take(ERROR_CHARS_MAX).collect()
}

/// An error of the client in the words of an operator.
#[expect(clippy::wildcard_enum_match_arm, reason = "other libraries' errors, each with words of its own")]
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            std::io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
            _ => error.to_string(),
        },
        ureq::Error::Timeout(_) => "it takes too long to answer".to_owned(),
        ureq::Error::HostNotFound => "no such host".to_owned(),
        other => other.to_string(),
    }
}

/// The same, with the option that helps where nobody trusted has signed for the proxy.
fn why(error: &ureq::Error) -> String {
    let text = words(error);
    if text.contains("UnknownIssuer") {
        return "nobody that this machine or --ca trusts has signed its certificate".to_owned();
    }
    text
}

/// A name as one part of a path.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
