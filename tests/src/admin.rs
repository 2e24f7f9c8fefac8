//! kroxy's admin API, as a monitoring system or a deployment script talks to it.

use crate::ports::KROXY_ADMIN;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A reload may take as long as the longest drain.
const LIMIT: Duration = Duration::from_secs(60);

/// What the admin API answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// All of it.
    pub body: String,
}

impl Answer {
    /// The document of an answer that is good.
    ///
    /// # Panics
    /// With what was answered instead.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// Asks with `GET`.
///
/// # Errors
/// When nobody answers.
pub fn get(path: &str) -> io::Result<Answer> {
    ask("GET", path)
}

/// Asks with `POST`.
///
/// # Errors
/// When nobody answers.
pub fn post(path: &str) -> io::Result<Answer> {
    ask("POST", path)
}

/// What a proxy that runs says of itself.
///
/// # Panics
/// When it does not.
pub fn status() -> Value {
    get("/api/v1/status").expect("kroxy runs").json()
}

/// A metric's value, such as that of `kroxy_connections{virtual_cluster="orders"}`; the sum over all the labels that are not
/// given, and 0 where it does not exist.
///
/// # Panics
/// When there are no metrics.
pub fn metric(name: &str, labels: &[(&str, &str)]) -> f64 {
    let page = get("/metrics").expect("kroxy runs").body;
    let lines = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let wanted =
        lines.filter(|line| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\""))));
    wanted.map(|line| line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()).expect("a metric has a value")).sum()
}

fn ask(method: &str, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", KROXY_ADMIN))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(answer.clone()))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.ok_or_else(|| io::Error::other(head))?, body: body.to_owned() })
}
