//! One case: what is to be read by whom. It has a text form, in which it is kept.

use crate::{
    dice::Dice,
    targets::{broker, config, header, relay, rewrite, token},
};
use std::{fmt, str::FromStr};

/// What is to be read, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Case {
    /// Bytes and events for one connection.
    Relay(relay::Story),
    /// The body of one response, for the rewriters.
    Rewrite(rewrite::Body),
    /// Frames for the embedded broker.
    Broker(broker::Frames),
    /// A configuration file.
    Config(Vec<u8>),
    /// What a connection through a load balancer begins with.
    Header(header::Beginning),
    /// What a client says who has a bearer token.
    Token(token::Message),
}

/// Text that is no case.
#[derive(Debug, thiserror::Error)]
#[error("no case: {0}")]
pub struct NotACase(pub(crate) String);

impl NotACase {
    pub(crate) fn line(line: &str) -> Self {
        Self(format!("what is {:?}?", line.chars().take(60).collect::<String>()))
    }
}

impl Case {
    /// The case of a seed. Neighbouring seeds belong to different readers.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        match seed % 10 {
            0..=2 => Self::Relay(relay::Story::draw(&mut dice)),
            3..=5 => Self::Rewrite(rewrite::Body::draw(&mut dice)),
            6 => Self::Broker(broker::Frames::draw(&mut dice)),
            7 => Self::Config(config::draw(&mut dice)),
            8 => Self::Header(header::Beginning::draw(&mut dice)),
            _ => Self::Token(token::Message::draw(&mut dice)),
        }
    }

    /// Who reads it.
    pub const fn reader(&self) -> &'static str {
        match self {
            Self::Relay(_) => "relay",
            Self::Rewrite(_) => "rewrite",
            Self::Broker(_) => "broker",
            Self::Config(_) => "config",
            Self::Header(_) => "header",
            Self::Token(_) => "token",
        }
    }

    /// Bytes in it.
    pub fn size(&self) -> usize {
        match self {
            Self::Relay(story) => story.size(),
            Self::Rewrite(body) => body.body.len(),
            Self::Broker(frames) => frames.size(),
            Self::Config(text) => text.len(),
            Self::Header(beginning) => beginning.size(),
            Self::Token(message) => message.size(),
        }
    }

    /// Has it read.
    ///
    /// # Panics
    /// Where something does not hold that has to.
    pub fn check(&self) {
        match self {
            Self::Relay(story) => story.check(),
            Self::Rewrite(body) => body.check(),
            Self::Broker(frames) => frames.check(),
            Self::Config(text) => config::check(text),
            Self::Header(beginning) => beginning.check(),
            Self::Token(message) => message.check(),
        }
    }

    /// Bytes of memory that reading it may take. All but the configuration are bounded by a constant and a factor that the biggest thing
    /// kept for a byte explains.
    pub fn memory_max(&self) -> usize {
        const MIB: usize = 1 << 20;
        match self {
            Self::Relay(_) => MIB + 16 * self.size(), // both ways of cutting keep what went in and what came out
            Self::Rewrite(_) | Self::Header(_) | Self::Token(_) => MIB + 24 * self.size(),
            Self::Broker(_) => 8 * MIB + 512 * self.size(), // a decoded element takes up to some 300 bytes
            Self::Config(_) => 8 * MIB + 1_024 * self.size(), // a report shows the text around each problem
        }
    }

    /// Cases that are this one with something left out.
    pub fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Relay(story) => story.smaller().into_iter().map(Self::Relay).collect(),
            Self::Rewrite(body) => body.smaller().into_iter().map(Self::Rewrite).collect(),
            Self::Broker(frames) => frames.smaller().into_iter().map(Self::Broker).collect(),
            Self::Config(text) => config::smaller(text).into_iter().map(Self::Config).collect(),
            Self::Header(beginning) => beginning.smaller().into_iter().map(Self::Header).collect(),
            Self::Token(message) => message.smaller().into_iter().map(Self::Token).collect(),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reader())?;
        match self {
            Self::Relay(story) => story.fmt(f),
            Self::Rewrite(body) => body.fmt(f),
            Self::Broker(frames) => frames.fmt(f),
            Self::Header(beginning) => beginning.fmt(f),
            Self::Token(message) => message.fmt(f),
            Self::Config(text) => match std::str::from_utf8(text) {
                Ok(text) => write!(f, "text\n{text}"),
                Err(_) => write!(f, "hex\n{}", hex(text)),
            },
        }
    }
}

impl FromStr for Case {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let commented = text.lines().take_while(|line| line.starts_with('#')).map(|line| line.len() + 1).sum::<usize>();
        let text = text.get(commented..).unwrap_or_default();
        let (reader, rest) = text.split_once('\n').ok_or_else(|| NotACase::line(text))?;
        match reader {
            "relay" => rest.parse().map(Self::Relay),
            "rewrite" => rest.parse().map(Self::Rewrite),
            "broker" => rest.parse().map(Self::Broker),
            "header" => rest.parse().map(Self::Header),
            "token" => rest.parse().map(Self::Token),
            "config" => match rest.split_once('\n') {
                Some(("text", text)) => Ok(Self::Config(text.as_bytes().to_vec())),
                Some(("hex", digits)) => unhex(digits.trim_end()).map(Self::Config),
                Some(_) | None => Err(NotACase::line(rest)),
            },
            other => Err(NotACase::line(other)),
        }
    }
}

/// Bytes as a case writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// Bytes as a case writes them, read again.
pub(crate) fn unhex(digits: &str) -> Result<Vec<u8>, NotACase> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    pairs.map(byte).collect::<Option<_>>().ok_or_else(|| NotACase::line(digits))
}
