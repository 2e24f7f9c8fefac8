//! Where the admin API of a proxy is, and what lets a client in.

use super::{NotAsked, Output};
use crate::limits::{ADMIN_ANSWER, ADMIN_CONNECT_TIMEOUT, ADMIN_QUESTION_TIMEOUT, ADMIN_RELOAD_TIMEOUT};
use clap::{Args, ValueHint};
use std::{
    fs,
    path::{Path, PathBuf},
};
use ureq::{
    Agent, Body,
    http::Response,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem},
};

/// How to reach the admin API, and how the answer is printed.
#[derive(Args, Debug)]
pub(crate) struct Access {
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Output,
    /// The admin API; without a scheme it is http
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9190")]
    connect: String,
    /// File that holds the token that the admin API wants
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust instead of the public ones
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// Certificate chain (PEM) to show, where the admin API wants one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "key")]
    cert: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "cert")]
    key: Option<PathBuf>,
}

/// What the admin API said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 200..300)
    }
}

impl Access {
    pub(super) fn url(&self) -> String {
        let url = self.connect.trim_end_matches('/');
        if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, NotAsked> {
        let mut request = self.agent()?.get(format!("{}{path}", self.url()));
        if let Some(authorization) = self.authorization()? {
            request = request.header("authorization", authorization);
        }
        self.answer(request.config().timeout_global(Some(ADMIN_QUESTION_TIMEOUT)).build().call())
    }

    pub(super) fn post(&self, path: &str, body: &[u8]) -> Result<Answer, NotAsked> {
        let mut request = self.agent()?.post(format!("{}{path}", self.url()));
        if let Some(authorization) = self.authorization()? {
            request = request.header("authorization", authorization);
        }
        self.answer(request.config().timeout_global(Some(ADMIN_RELOAD_TIMEOUT)).build().send(body))
    }

    fn answer(&self, asked: Result<Response<Body>, ureq::Error>) -> Result<Answer, NotAsked> {
        let no_answer = |e: ureq::Error| NotAsked::NoAnswer { url: self.url(), why: e.to_string() };
        let mut answer = asked.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ADMIN_ANSWER).read_to_vec().map_err(no_answer)?;
        Ok(Answer { status, body })
    }

    fn agent(&self) -> Result<Agent, NotAsked> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        if let (Some(chain), Some(key)) = (&self.cert, &self.key) {
            let private = PrivateKey::from_pem(&read(key)?).map_err(|e| unusable(key, e))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(chain)?, private)));
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            // The token is for this address and no other, which is reached as it says.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(ADMIN_CONNECT_TIMEOUT))
            .user_agent(concat!("kroxy/", env!("CARGO_PKG_VERSION")));
        Ok(agent.build().new_agent())
    }

    fn authorization(&self) -> Result<Option<String>, NotAsked> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let token = String::from_utf8(read(path)?).map_err(|e| unusable(path, e))?;
        match token.trim() {
            "" => Err(unusable(path, "it is empty")),
            token => Ok(Some(format!("Bearer {token}"))),
        }
    }
}

fn unusable(path: &Path, why: impl ToString) -> NotAsked {
    NotAsked::File { path: path.to_owned(), why: why.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, NotAsked> {
    fs::read(path).map_err(|e| unusable(path, e))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, NotAsked> {
    let mut certificates = Vec::new();
    for item in parse_pem(&read(path)?) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| unusable(path, e))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(unusable(path, "there is no certificate in it"));
    }
    Ok(certificates)
}
