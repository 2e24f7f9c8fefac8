//! What the keys do and what the words and signs mean: every abbreviation on any screen stands here.

use ratatui::text::{Line, Span};

use super::text::{left, wrap};
use crate::keys::BINDINGS;
use crate::model::Model;
use crate::model::rows::Condition;
use crate::theme::{self, Tone};

/// Words and abbreviations of the screens.
const WORDS: &[(&str, &str)] = &[
    ("virtual cluster", "what clients take for a Kafka cluster: a name, gateways, and an upstream"),
    ("upstream", "the real Kafka cluster behind a virtual cluster"),
    ("for", "how long it has been in its state: s seconds, m minutes, h hours, d days"),
    ("conns", "client connections open now"),
    ("flight", "requests in flight: begun by a client, not yet answered in full"),
    ("req/s", "requests a second; k thousand, M million"),
    (
        "in/s, out/s",
        "bytes a second from clients and to clients; B is a byte, KiB 1024 bytes, MiB 1024 KiB, GiB 1024 MiB",
    ),
    ("p50, p99", "half of the requests, and 99 of 100, take no longer; in the table: latency that the proxy adds"),
    ("µs, ms, s", "microseconds, milliseconds, seconds"),
    (
        "err, err/s",
        "requests a second that end in a fault of the proxy or of the connection to upstream; Kafka's error codes do not count",
    ),
    ("nodes", "upstream brokers reached, of those known"),
    ("serving 2/3", "it serves, but only 2 of its 3 upstream nodes can be reached"),
    ("serving err", "it serves, but requests end in errors now"),
    ("cut", "when a drain's time is up the connections that are left are closed"),
    ("trouble", "the order with what is wrong first"),
    ("generation", "number of the configuration in force; each reload that changes something adds one"),
    ("digest", "first 8 digits of the checksum of the configuration in force"),
    ("up", "how long the proxy has been running"),
    (
        "by port, by sni",
        "how a gateway tells brokers apart: by port, or by the server name (SNI) that TLS clients ask for",
    ),
    ("TLS", "encryption of connections; none where it says so"),
    ("API", "kind of Kafka request, such as Fetch or Produce"),
    ("client.id", "the name that a client gives itself"),
    (
        "principal",
        "whom upstream or the proxy takes a client for: by a SASL mechanism, where there is room to name it, or by its certificate",
    ),
    ("via", "the load balancer that told a client's address (PROXY protocol)"),
    (
        "live, polling",
        "events come by a stream, or the status is asked for every second; replay: a recording is played",
    ),
    ("stale", "the proxy does not answer: what is shown is old"),
    ("-", "not known, or about no cluster"),
    ("times", "are in UTC, by the proxy's clock"),
];

const STATES: &[(Condition, &str, &str)] = &[
    (Condition::Failed, "failed", "could not be built; holds nothing; the reason stands beside it"),
    (Condition::Erring, "in trouble", "serves, but upstream nodes are out of reach or requests end in errors"),
    (Condition::Draining, "draining", "its clients are being asked to leave"),
    (Condition::Initializing, "initializing", "is being built: certificates, filters, listeners"),
    (Condition::Serving, "serving", "takes clients"),
    (Condition::Stopped, "stopped", "gone from the configuration for good"),
    (Condition::Unknown, "unknown", "a state that this console does not know; a newer one will"),
];

const DIALOGS: &[(&str, &str)] = &[
    ("y", "yes, do it"),
    ("n Esc", "no, leave everything as it is"),
    ("Enter", "close a result; after typing: take it"),
    ("Ctrl-U", "while typing: empty the line"),
];

/// How far the help can be scrolled.
pub(crate) fn scroll_max(model: &Model) -> usize {
    let (columns, rows) = super::dialogs::help_room(model.size);
    lines(model, columns).len().saturating_sub(rows)
}

/// All of it, for that many columns.
pub(crate) fn lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    const LABEL: usize = 16;
    let style = |tone| model.theme.style(tone);
    let mut out = Vec::new();
    let head = |out: &mut Vec<Line<'static>>, text: &str| {
        if !out.is_empty() {
            out.push(Line::default());
        }
        out.push(Line::styled(text.to_owned(), style(Tone::Heading)));
    };
    let entry = |out: &mut Vec<Line<'static>>, label: Span<'static>, text: &str| {
        for (n, part) in wrap(text, columns.saturating_sub(LABEL + 1)).into_iter().enumerate() {
            let label = if n == 0 { label.clone() } else { Span::raw(" ".repeat(LABEL)) };
            out.push(Line::from(vec![label, Span::raw(" "), Span::styled(part, style(Tone::Plain))]));
        }
    };
    head(&mut out, "Keys");
    for binding in BINDINGS {
        let label = Span::styled(left(binding.label, LABEL), style(Tone::Accent));
        let off = if binding.acts && model.read_only { " (off: read-only)" } else { "" };
        entry(&mut out, label, &format!("{}{off}", binding.help));
    }
    head(&mut out, "In dialogs and while typing");
    for (keys, text) in DIALOGS {
        entry(&mut out, Span::styled(left(keys, LABEL), style(Tone::Accent)), text);
    }
    head(&mut out, "States of a virtual cluster");
    for (condition, word, text) in STATES {
        let (symbol, tone) = theme::condition(*condition);
        entry(&mut out, Span::styled(left(&format!("{symbol} {word}"), LABEL), style(tone)), text);
    }
    head(&mut out, "Words");
    for (word, text) in WORDS {
        entry(&mut out, Span::styled(left(word, LABEL), style(Tone::Accent)), text);
    }
    out
}
