//! Asks an HTTP server one question: for the keys of an issuer, or for a token.

use crate::{
    limits,
    net::Net,
    tls::{Connector, Stream},
};
use axum::body::Body;
use bytes::Bytes;
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use kroxy_core::config::sasl::HttpUrl;
use std::{pin::pin, sync::Arc};

/// Somebody to ask.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: HttpUrl,
    /// There if the address is secure.
    pub(super) tls: Option<Arc<Connector>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{url} does not answer within {:?}", limits::FETCH_TIMEOUT)]
    TimedOut { url: HttpUrl },
    #[error("{url} cannot be asked: {why}")]
    Failed { url: HttpUrl, why: String },
    #[error("{url} answers {status}{said}")]
    Status { url: HttpUrl, status: StatusCode, said: String },
}

/// What is asked.
pub(super) enum Question {
    /// What is there.
    Get,
    /// The answer to a form.
    Form {
        /// The value of `Authorization`.
        authorization: String,
        /// The fields, encoded.
        fields: String,
    },
}

impl Server {
    /// The body of a good answer.
    pub(super) async fn ask<N: Net>(&self, net: &N, question: Question) -> Result<Bytes, NoAnswer> {
        match tokio::time::timeout(limits::FETCH_TIMEOUT, self.exchange(net, question)).await {
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer::TimedOut { url: self.url.clone() }),
        }
    }

    fn failed(&self, why: &impl ToString) -> NoAnswer {
        NoAnswer::Failed { url: self.url.clone(), why: why.to_string() }
    }

    async fn exchange<N: Net>(&self, net: &N, question: Question) -> Result<Bytes, NoAnswer> {
        let stream = net.connect(&self.url.server).await.map_err(|e| self.failed(&e))?;
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => tls.connect(stream, &self.url.server).await.map_err(|e| self.failed(&e))?,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.failed(&e))?;
        let request = self.request(question).map_err(|e| self.failed(&e))?;
        let conversation = async {
            let response = sender.send_request(request).await.map_err(|e| self.failed(&e))?;
            let status = response.status();
            let body = axum::body::to_bytes(Body::new(response.into_body()), limits::FETCHED_MAX).await;
            let body = body.map_err(|e| self.failed(&e))?;
            if status == StatusCode::OK {
                return Ok(body);
            }
            Err(NoAnswer::Status { url: self.url.clone(), status, said: said(&body) })
        };
        let (mut conversation, mut connection) = (pin!(conversation), pin!(connection));
        tokio::select! {
            biased;
            answered = &mut conversation => answered,
            // What it brought before it ended is there all the same, and if that is nothing the conversation knows.
            _ = &mut connection => conversation.await,
        }
    }

    fn request(&self, question: Question) -> Result<Request<Body>, axum::http::Error> {
        let request = Request::builder()
            .uri(&self.url.path)
            .header(header::HOST, self.url.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("kroxy/", env!("CARGO_PKG_VERSION")));
        match question {
            Question::Get => request.body(Body::empty()),
            Question::Form { authorization, fields } => request
                .method("POST")
                .header(header::AUTHORIZATION, authorization)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(fields)),
        }
    }
}

/// What an OAuth server says is wrong (RFC 6749, section 5.2), and nothing else of its answer.
fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Wrong {
        error: String,
    }
    let wrong = serde_json::from_slice::<Wrong>(body).ok().filter(|wrong| wrong.error.len() < 64);
    wrong.map_or_else(String::new, |wrong| format!(": {:?}", wrong.error))
}

/// A value as it stands in a form.
pub(super) fn encoded(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(*byte)),
            b' ' => out.push('+'),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_takes_any_value() {
        assert_eq!(encoded(b"kafka.read a+b&c=\xc3\xa4"), "kafka.read+a%2Bb%26c%3D%C3%A4");
    }

    #[test]
    fn of_a_refusal_only_the_error_is_told() {
        assert_eq!(said(br#"{"error":"invalid_client","client_secret":"s3cret"}"#), ": \"invalid_client\"");
        assert_eq!(said(b"<html>s3cret</html>"), "");
    }
}
