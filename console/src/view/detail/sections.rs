//! The sections of the detail.

use kroxy_core::status::{ClusterStatus, ClusterTransition, NodeStatus};
use ratatui::text::{Line, Span};

use super::Section;
use crate::format;
use crate::model::Model;
use crate::model::rows::{Reach, Row, reach};
use crate::theme::{self, Tone};
use crate::view::diagram;
use crate::view::preview::{graph, latency};
use crate::view::spark::gauge;
use crate::view::table::{drained, retry_words};
use crate::view::text::{fit, left, right, wrap};

pub(super) fn note(model: &Model, text: &str) -> Line<'static> {
    Line::styled(format!("   {text}"), model.theme.style(Tone::Faint))
}

/// Why it failed, in full.
pub(super) fn reason(model: &Model, cluster: &ClusterStatus, columns: usize) -> Option<Section> {
    let reason = cluster.reason.as_ref()?;
    let mut lines = Vec::new();
    for (depth, cause) in reason.iter().enumerate() {
        let indent = 5 + 2 * depth.min(6);
        for (n, part) in wrap(cause, columns.saturating_sub(indent + 2)).into_iter().enumerate() {
            let mark = match (depth, n) {
                (0, 0) => "✗ ",
                (_, 0) => "→ ",
                _ => "  ",
            };
            let text = format!("{}{mark}{part}", " ".repeat(indent - 2));
            lines.push(Line::styled(text, model.theme.style(Tone::Bad)));
        }
    }
    if let Some(retry) = retry_words(cluster) {
        lines.push(Line::styled(format!("   {retry}; r retries now"), model.theme.style(Tone::Busy)));
    }
    Some(Section { title: "why it failed", remark: "outermost first".to_owned(), lines })
}

/// How far a drain is.
pub(super) fn drain(model: &Model, cluster: &ClusterStatus, columns: usize) -> Option<Section> {
    let drain = cluster.drain.as_ref()?;
    let style = |tone| model.theme.style(tone);
    let bar = columns.saturating_sub(40).clamp(4, 40);
    let row = |label: &str, part: f64, text: String| {
        let (full, empty) = gauge(part, bar);
        Line::from(vec![
            Span::styled(left(&format!("   {label}"), 15), style(Tone::Faint)),
            Span::styled(full, style(Tone::Warn)),
            Span::styled(empty, style(Tone::Faint)),
            Span::styled(format!(" {}", fit(&text, columns.saturating_sub(16 + bar))), style(Tone::Plain)),
        ])
    };
    let start = drain.connections_at_start.max(drain.connections_left);
    let gone = start - drain.connections_left;
    let of = format!("{} of {} gone", format::count(gone), format::count(start));
    let mut lines = vec![row("connections", drained(drain), of)];
    if let Some(ms) = drain.deadline_in_ms {
        let at = model.proxy().status.as_ref().map_or(0, |status| status.at_unix_ms);
        let spent = at.saturating_sub(drain.started_unix_ms);
        let part = spent as f64 / (spent.saturating_add(ms)).max(1) as f64;
        lines.push(row("time", part, format!("{} until the cut", format::duration(ms))));
    }
    let left = format::things(drain.connections_left, "connection");
    let in_flight = format::things(drain.in_flight, "request");
    lines.push(note(model, &format!("{left} left, {in_flight} in flight on them")));
    let remark = format!("for {}, since {}", drain.why, format::clock(drain.started_unix_ms));
    Some(Section { title: "drain", remark, lines })
}

/// The diagram.
pub(super) fn lifecycle(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let drawn = diagram::lines(model.theme, cluster.state, cluster.last_transitions.last(), columns);
    let margin = if columns >= diagram::COLUMNS + 2 { "  " } else { "" };
    let lines = drawn.into_iter().map(|line| shifted(margin, line)).collect();
    let remark = format!("since {}, generation {}", format::timestamp(cluster.since_unix_ms), cluster.generation);
    Section { title: "lifecycle", remark, lines }
}

/// The last transitions, newest first.
pub(super) fn transitions(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let now = model.proxy().status.as_ref().map_or(0, |status| status.at_unix_ms);
    let mut lines = Vec::new();
    for transition in cluster.last_transitions.iter().rev() {
        lines.extend(transition_lines(model, transition, now, columns));
    }
    if lines.is_empty() {
        lines.push(note(model, "none known"));
    }
    Section { title: "transitions", remark: "newest first, times in UTC".to_owned(), lines }
}

fn transition_lines(model: &Model, transition: &ClusterTransition, now: u64, columns: usize) -> Vec<Line<'static>> {
    let style = |tone| model.theme.style(tone);
    let (symbol, tone) = theme::cluster(transition.to);
    let ago = format::duration(now.saturating_sub(transition.at_unix_ms));
    let from = transition.from.map_or("new", |from| from.name());
    let why = transition.why.map(|why| format!(" for {why}")).unwrap_or_default();
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("   {} ", format::clock(transition.at_unix_ms)), style(Tone::Plain)),
        Span::styled(left(&format!("{ago} ago"), 12), style(Tone::Faint)),
        Span::styled(format!("{from} → "), style(Tone::Faint)),
        Span::styled(format!("{symbol} {}{why}", transition.to), style(tone)),
    ])];
    let cause = format::chain(&transition.cause);
    let beside = columns.saturating_sub(lines[0].width() + 2);
    if crate::view::text::width(&cause) <= beside {
        lines[0].push_span(Span::styled(format!("  {}", fit(&cause, beside)), style(Tone::Faint)));
        return lines;
    }
    for part in wrap(&cause, columns.saturating_sub(14)) {
        lines.push(Line::styled(format!("            {part}"), style(Tone::Faint)));
    }
    lines
}

/// What moves, and how fast.
pub(super) fn traffic(model: &Model, row: &Row<'_>, columns: usize) -> Section {
    let wide = columns.saturating_sub(2);
    let mut lines: Vec<Line<'static>> = [
        graph(model, row, "requests", |r| r.requests, |v| format!("{} req/s", format::rate(v)), Tone::Good, wide),
        graph(model, row, "in", |r| r.bytes_in, |v| format!("{}/s", format::bytes(v)), Tone::In, wide),
        graph(model, row, "out", |r| r.bytes_out, |v| format!("{}/s", format::bytes(v)), Tone::Out, wide),
        graph(model, row, "errors", |r| r.errors, |v| format!("{} err/s", format::rate(v)), Tone::Bad, wide),
    ]
    .into_iter()
    .map(|line| shifted("  ", line))
    .collect();
    let cluster = row.cluster;
    let mut added = vec![Span::raw("   ")];
    added.extend(latency(model, "latency added by the proxy", cluster.latency.proxy));
    let mut upstream = vec![Span::raw("   ")];
    upstream.extend(latency(model, "latency of upstream       ", cluster.latency.upstream));
    lines.extend([Line::from(added), Line::from(upstream)]);
    let now = format!(
        "{}, {} in flight",
        format::things(cluster.connections, "connection"),
        format::things(cluster.in_flight, "request")
    );
    let totals = &cluster.totals;
    let total = format!(
        "{}, {}, in {}, out {}",
        format::things(totals.requests, "request"),
        format::things(totals.errors, "error"),
        format::bytes(totals.bytes_in as f64),
        format::bytes(totals.bytes_out as f64),
    );
    lines.push(pair(model, "now", &now, columns));
    lines.push(pair(model, "since the start", &total, columns));
    Section { title: "traffic", remark: "one bar a second, scaled to the highest".to_owned(), lines }
}

fn shifted(margin: &'static str, line: Line<'static>) -> Line<'static> {
    let mut spans = vec![Span::raw(margin)];
    spans.extend(line.spans);
    Line::from(spans)
}

fn pair(model: &Model, label: &str, value: &str, columns: usize) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("   {label} "), model.theme.style(Tone::Faint)),
        Span::styled(fit(value, columns.saturating_sub(label.len() + 4)), model.theme.style(Tone::Plain)),
    ])
}

/// Where clients come in.
pub(super) fn gateways(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let style = |tone| model.theme.style(tone);
    let mut lines = Vec::new();
    for gateway in &cluster.gateways {
        let bootstrap = gateway.bootstrap.as_ref().map_or_else(|| "no address".to_owned(), ToString::to_string);
        let how = format!("  by {}, {}", gateway.kind, if gateway.tls { "TLS" } else { "no TLS" });
        let name = fit(&gateway.name, 20);
        let room = columns.saturating_sub(name.chars().count() + how.len() + 5);
        lines.push(Line::from(vec![
            Span::styled(format!("   {name}  "), style(Tone::Plain)),
            Span::styled(fit(&bootstrap, room), style(Tone::Accent)),
            Span::styled(how, style(Tone::Faint)),
        ]));
        if gateway.listeners.is_empty() {
            lines.push(note(model, "  nothing bound"));
        }
        for listener in &gateway.listeners {
            let text = format!("{} → {}", listener.address, listener.route);
            lines.push(note(model, &format!("  {}", fit(&text, columns.saturating_sub(6)))));
        }
    }
    if lines.is_empty() {
        lines.push(note(model, "none"));
    }
    Section { title: "gateways", remark: "bootstrap address, then what is bound".to_owned(), lines }
}

/// The Kafka cluster behind it.
pub(super) fn upstream(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let upstream = &cluster.upstream;
    let servers: Vec<_> = upstream.bootstrap_servers.iter().map(ToString::to_string).collect();
    let tls = if upstream.tls { "TLS" } else { "no TLS" };
    let mut lines = Vec::new();
    for part in wrap(&servers.join(", "), columns.saturating_sub(5)) {
        lines.push(note(model, &part));
    }
    for node in &upstream.nodes {
        lines.extend(node_lines(model, node, columns));
    }
    if upstream.nodes.is_empty() {
        lines.push(note(model, "no node known yet"));
    }
    Section { title: "upstream", remark: format!("the Kafka cluster behind it, {tls}"), lines }
}

fn node_lines(model: &Model, node: &NodeStatus, columns: usize) -> Vec<Line<'static>> {
    let style = |tone| model.theme.style(tone);
    let (symbol, word, tone) = match reach(node) {
        Reach::Reached => ("●", "reached", Tone::Good),
        Reach::Unreachable => ("▲", "unreachable", Tone::Warn),
        Reach::NotTried => ("◌", "not tried", Tone::Faint),
    };
    let name = if node.id.0 < 0 { "bootstrap".to_owned() } else { format!("node {}", node.id) };
    let connections = format::things(node.connections, "connection");
    let now = model.proxy().status.as_ref().map_or(0, |status| status.at_unix_ms);
    let since = node.since_unix_ms.map(|since| format!("for {}", format::duration(now.saturating_sub(since))));
    let room = columns.saturating_sub(60).clamp(8, 40);
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("   {symbol} "), style(tone)),
        Span::styled(left(&name, 12), style(Tone::Plain)),
        Span::styled(left(word, 12), style(tone)),
        Span::styled(left(&since.unwrap_or_default(), 12), style(Tone::Faint)),
        Span::styled(left(&node.address, room), style(Tone::Plain)),
        Span::styled(right(&connections, 17), style(Tone::Plain)),
    ])];
    if !node.last_error.is_empty() {
        for part in wrap(&format::chain(&node.last_error), columns.saturating_sub(7)) {
            lines.push(Line::styled(format!("     {part}"), style(Tone::Warn)));
        }
    }
    lines
}

/// Which requests it is used for.
pub(super) fn apis(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let style = |tone| model.theme.style(tone);
    let all: u64 = cluster.apis.iter().map(|api| api.requests).fold(0, u64::saturating_add);
    let history = model.proxy().histories.get(&cluster.name);
    let bar = columns.saturating_sub(50).clamp(4, 30);
    let mut lines = Vec::new();
    for api in &cluster.apis {
        let (full, empty) = gauge(api.requests as f64 / all.max(1) as f64, bar);
        let now = history.and_then(|h| h.of_api(&api.api));
        let now = now.map_or_else(|| "-".to_owned(), |rate| format!("{} req/s", format::rate(rate)));
        lines.push(Line::from(vec![
            Span::styled(format!("   {} ", left(&api.api, 22)), style(Tone::Plain)),
            Span::styled(full, style(Tone::Good)),
            Span::styled(empty, style(Tone::Faint)),
            Span::styled(right(&format::share(api.requests, all), 6), style(Tone::Plain)),
            Span::styled(right(&now, 12), style(Tone::Plain)),
        ]));
    }
    if lines.is_empty() {
        lines.push(note(model, "no request yet"));
    }
    Section { title: "API mix", remark: "share since the start, requests a second now".to_owned(), lines }
}

/// How client connections have ended.
pub(super) fn disconnects(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let mut causes: Vec<_> = cluster.disconnects.iter().collect();
    causes.sort_by(|a, b| b.1.cmp(a.1));
    let mut lines: Vec<_> = causes
        .into_iter()
        .map(|(cause, n)| {
            let n = format::things(*n, "connection");
            let cause = fit(&cause.replace('_', " "), columns.saturating_sub(24));
            Line::from(vec![
                Span::styled(right(&n, 20), model.theme.style(Tone::Plain)),
                Span::styled(format!("  {cause}"), model.theme.style(Tone::Faint)),
            ])
        })
        .collect();
    if lines.is_empty() {
        lines.push(note(model, "none"));
    }
    Section { title: "connections closed", remark: "since the start, by cause".to_owned(), lines }
}
