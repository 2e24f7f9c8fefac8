//! Names and addresses: nodes of a Kafka cluster, and where they can be reached.

use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// A broker's id as Kafka gives it (`node.id`); -1 stands for "none" in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct NodeId(pub i32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A host (name or address, not resolved) and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    /// A DNS name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// 1 to 65535 in anything configured; whatever upstream said in anything learned.
    pub port: u16,
}

impl HostPort {
    /// A host and its port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What keeps a text from being a `host:port`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected host:port, such as \"kafka-1.example:9092\" or \"[::1]:9092\": {0}")]
pub struct NotHostPort(&'static str);

impl FromStr for HostPort {
    type Err = NotHostPort;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (host, port) = match s.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or(NotHostPort("no `]:` after the IPv6 address"))?,
            None => s.rsplit_once(':').ok_or(NotHostPort("no port"))?,
        };
        if host.is_empty() {
            return Err(NotHostPort("no host"));
        }
        if !s.starts_with('[') && host.contains(':') {
            return Err(NotHostPort("an IPv6 address stands in brackets"));
        }
        if host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']')) {
            return Err(NotHostPort("a character that no host name has"));
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(NotHostPort("the port is a number from 1 to 65535")),
            Ok(port) => Ok(Self::new(host, port)),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'_, str>>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_port_reads_back_as_it_was_written() {
        for text in ["a:1", "kafka-1.example:9092", "127.0.0.1:65535", "[::1]:9092"] {
            let read: HostPort = text.parse().expect("valid");
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_host_port_is_refused() {
        for text in ["", "a", ":1", "a:", "a:0", "a:65536", "::1:9092", "[::1]9092", "a b:1", "http://a:1"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }
}
