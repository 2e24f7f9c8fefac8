//! The journal as a file: for a bug report as text, for a program as JSON lines.

use std::fmt::Write as _;

use crate::format;
use crate::model::Proxy;
use crate::model::journal::Entry;

/// `entries` as they go to `path`: one event a line, in JSON where the name ends in `.json` or `.jsonl`.
pub(crate) fn text(path: &str, proxy: &Proxy, entries: &[&Entry]) -> String {
    let json = path.ends_with(".json") || path.ends_with(".jsonl");
    let mut out = String::new();
    if !json {
        let version = proxy.status.as_ref().map_or("not known", |status| &status.version);
        writeln!(out, "# events of {} (kroxy {version}), times in UTC", proxy.url).expect("a String takes all");
    }
    for entry in entries {
        if json {
            out.push_str(&serde_json::to_string(&entry.event).expect("an event has string keys only"));
            out.push('\n');
        } else {
            let at = format::timestamp(entry.event.at_unix_ms);
            let cluster = entry.event.virtual_cluster().unwrap_or("-");
            let severity = entry.event.severity().name();
            writeln!(out, "{at} {severity:<5} {cluster} {}", entry.text).expect("a String takes all");
        }
    }
    out
}
