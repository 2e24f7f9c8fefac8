//! Answers of the admin API as people read them.

use super::access::Answer;
use kroxy_core::status::{ClusterOutcome, ClusterStatus, ReloadOutcome, ReloadReport, Status};
use std::fmt::Write;

/// Columns between which a table leaves this much.
const GAP: usize = 2;

/// The words in an answer.
pub(super) fn words(answer: &Answer) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
    let words = ["message", "error"].iter().find_map(|field| json.get(*field)?.as_str());
    match words {
        Some(words) => format!("{words}\n"),
        None => format!("HTTP {}: {}\n", answer.status, String::from_utf8_lossy(&answer.body).trim()),
    }
}

/// How a reload went, cluster by cluster.
pub(super) fn reload(report: &ReloadReport) -> String {
    let what = match report.outcome {
        ReloadOutcome::Unchanged => "there was nothing to change",
        ReloadOutcome::Applied => "everything is in force",
        ReloadOutcome::Partial => "some virtual clusters run with it, and some do not",
        ReloadOutcome::Failed => "nothing of it is in force",
        ReloadOutcome::Rejected => "the configuration was not accepted, and nothing was touched",
        ReloadOutcome::Busy => "another reload is running, and nothing was touched",
        ReloadOutcome::Unknown => "see -o json, this kroxy does not know the outcome",
    };
    let mut out = format!(
        "{}: {what}; generation {} in force, after {}\n",
        report.outcome,
        report.generation,
        span(report.duration_ms)
    );
    for error in &report.errors {
        line(&mut out, &format!("error: {error}"));
    }
    for cluster in &report.virtual_clusters {
        let action = cluster.action;
        let outcome = match cluster.outcome {
            ClusterOutcome::Unchanged => "",
            ClusterOutcome::Applied => ": done",
            ClusterOutcome::NotPrepared => ": not prepared, it serves with the configuration of before",
            ClusterOutcome::RolledBack => ": rolled back, it serves with the configuration of before",
            ClusterOutcome::Failed => ": failed",
            ClusterOutcome::Overtaken => ": overtaken by something else",
            ClusterOutcome::Unknown => ": see -o json",
        };
        line(&mut out, &format!("{} virtual cluster {}: {}{outcome}", action.sign(), cluster.name, action.words()));
        for field in &cluster.fields {
            line(&mut out, &format!("    {field}"));
        }
        if !cluster.cause.is_empty() {
            line(&mut out, &format!("    because: {}", cluster.cause.join(": ")));
        }
    }
    for warning in &report.warnings {
        line(&mut out, &format!("warning: {warning}"));
    }
    out
}

/// What a proxy is doing.
pub(super) fn status(status: &Status) -> String {
    let now = status.at_unix_ms;
    let (proxy, configuration) = (&status.proxy, &status.configuration);
    let mut out = String::new();
    let since = span(now.saturating_sub(proxy.since_unix_ms));
    line(&mut out, &format!("kroxy {}, process {}: {} for {since}", status.version, proxy.process_id, proxy.state));
    if !proxy.reason.is_empty() {
        line(&mut out, &format!("  because: {}", proxy.reason.join(": ")));
    }
    let digest = configuration.digest.get(..12).unwrap_or(&configuration.digest);
    let source = configuration.source.as_deref().map_or_else(String::new, |source| format!(" of {source}"));
    line(&mut out, &format!("configuration{source}: generation {}, digest {digest}", configuration.generation));
    if configuration.reloading {
        line(&mut out, "a reload is running");
    }
    if let Some(last) = &configuration.last_reload {
        let ago = span(now.saturating_sub(last.at_unix_ms));
        line(&mut out, &format!("last reload: {} {ago} ago ({})", last.outcome, last.trigger));
        for error in &last.errors {
            line(&mut out, &format!("  error: {error}"));
        }
    }
    let heads = ["virtual cluster", "state", "for", "connections", "in flight", "clients begin at"].map(str::to_owned);
    let clusters = &status.virtual_clusters;
    let rows: Vec<_> = std::iter::once(heads).chain(clusters.iter().map(|cluster| row(cluster, now))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default() + GAP;
    out.push('\n');
    for (n, row) in rows.iter().enumerate() {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        line(&mut out, cells.collect::<String>().trim_end());
        if let Some(cluster) = n.checked_sub(1).and_then(|n| clusters.get(n)) {
            more(&mut out, cluster);
        }
    }
    out
}

fn row(cluster: &ClusterStatus, now: u64) -> [String; 6] {
    let begin = cluster.gateways.iter().filter_map(|gateway| gateway.bootstrap.as_ref()).map(ToString::to_string);
    [
        cluster.name.clone(),
        cluster.state.to_string(),
        span(now.saturating_sub(cluster.since_unix_ms)),
        cluster.connections.to_string(),
        cluster.in_flight.to_string(),
        begin.collect::<Vec<_>>().join(", "),
    ]
}

/// What needs somebody's eye.
fn more(out: &mut String, cluster: &ClusterStatus) {
    if let Some(reason) = &cluster.reason {
        line(out, &format!("  because: {}", reason.join(": ")));
    }
    if let (Some(user), Some(mechanism)) = (&cluster.upstream.user, &cluster.upstream.sasl_mechanism) {
        line(out, &format!("  logs in to upstream as {user} with {mechanism}"));
    }
    if let Some(retry) = &cluster.retry {
        let of = retry.max_retries.map_or_else(String::new, |max| format!(" of {max}"));
        let next = retry.next_in_ms.map_or_else(String::new, |next| format!(", the next one in {}", span(next)));
        line(out, &format!("  retries: {}{of}{next}", retry.attempt));
    }
    if let Some(drain) = &cluster.drain {
        let deadline = drain.deadline_in_ms.map_or_else(String::new, |left| format!(", cut in {}", span(left)));
        let (left, start) = (drain.connections_left, drain.connections_at_start);
        line(out, &format!("  drain ({}): {left} of {start} connections left{deadline}", drain.why));
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes whatever is written to it");
}

/// Milliseconds, with as much precision as matters.
fn span(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..10 => format!("{}.{} s", s, ms % 1_000 / 100),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}
