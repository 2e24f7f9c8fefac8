//! The selected virtual cluster at a glance, below the table: all figures that the table has no room for, each with its
//! unit, or the reason where it has failed.

use kroxy_core::status::{ClusterState, ClusterTransition, Quantiles};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::spark::spark;
use super::table::{age_ms, retry_words, state_word};
use super::text::{fit, left, right, width, wrap};
use super::{rule, title};
use crate::format;
use crate::model::Model;
use crate::model::history::Rates;
use crate::model::rows::{Reach, Row, nodes};
use crate::theme::{self, Tone};

/// Lines that it takes.
pub(crate) const HEIGHT: u16 = 6;

/// Its lines, [`HEIGHT`] of them or as many as `area` has.
pub(crate) fn lines(model: &Model, row: &Row<'_>, area: Rect) -> Vec<Line<'static>> {
    let columns = usize::from(area.width);
    let style = |tone| model.theme.style(tone);
    let (symbol, tone) = theme::condition(row.condition);
    let age = format::duration(age_ms(model.proxy(), row.cluster));
    let mut head = title(model.theme, fit(&row.cluster.name, columns.saturating_sub(40).max(8)));
    head.push(Span::styled(format!(" {symbol} {} for {age}", state_word(row)), style(tone)));
    let mut lines = vec![rule(model.theme, head, "Enter: detail", columns)];
    if row.cluster.state == ClusterState::Failed {
        lines.extend(reason(model, row, columns, usize::from(area.height.min(HEIGHT).saturating_sub(1))));
        return lines;
    }
    lines.extend(traffic(model, row, columns));
    if let Some(transition) = row.cluster.last_transitions.last() {
        lines.truncate(usize::from(area.height.saturating_sub(1)));
        lines.push(last(model, transition, columns));
    }
    lines
}

fn reason(model: &Model, row: &Row<'_>, columns: usize, room: usize) -> Vec<Line<'static>> {
    let style = |tone| model.theme.style(tone);
    let chain = format::chain(row.cluster.reason.as_deref().unwrap_or_default());
    let retry = retry_words(row.cluster);
    let room = room.saturating_sub(usize::from(retry.is_some()));
    let mut parts = wrap(&chain, columns.saturating_sub(2));
    if parts.len() > room && room > 0 {
        parts.truncate(room);
        if let Some(end) = parts.last_mut() {
            *end = format!("{} … (Enter shows all)", fit(end, columns.saturating_sub(24)).trim_end_matches('…'));
        }
    }
    let mut lines: Vec<_> = parts.into_iter().map(|part| Line::styled(format!(" {part}"), style(Tone::Bad))).collect();
    if let Some(retry) = retry {
        lines.push(Line::styled(format!(" {retry}; r retries now"), style(Tone::Busy)));
    }
    lines
}

fn traffic(model: &Model, row: &Row<'_>, columns: usize) -> Vec<Line<'static>> {
    let style = |tone| model.theme.style(tone);
    let cluster = row.cluster;
    let half = columns / 2;
    let known = cluster.upstream.nodes.len();
    let reached = nodes(cluster, Reach::Reached);
    let bad = nodes(cluster, Reach::Unreachable) > 0;
    let errors = row.rates.map_or(0.0, |rates| rates.errors);
    let facts: [Vec<Span<'static>>; 4] = [
        latency(model, "latency added   ", cluster.latency.proxy),
        latency(model, "latency upstream", cluster.latency.upstream),
        vec![
            Span::styled(format!("{} in flight", format::count(cluster.in_flight)), style(Tone::Plain)),
            Span::styled(format!(", {}", format::things(cluster.connections, "connection")), style(Tone::Plain)),
        ],
        vec![
            Span::styled(
                format!("{} err/s", format::rate(errors)),
                style(if errors > 0.0 { Tone::Warn } else { Tone::Plain }),
            ),
            Span::styled(
                format!(", {} of {} reached", reached, format::things(known as u64, "upstream node")),
                style(if bad { Tone::Warn } else { Tone::Plain }),
            ),
        ],
    ];
    let graphs = [
        graph(model, row, "requests", |r| r.requests, |v| format!("{} req/s", format::rate(v)), Tone::Good, half),
        graph(model, row, "in", |r| r.bytes_in, |v| format!("{}/s", format::bytes(v)), Tone::In, half),
        graph(model, row, "out", |r| r.bytes_out, |v| format!("{}/s", format::bytes(v)), Tone::Out, half),
        graph(model, row, "errors", |r| r.errors, |v| format!("{} err/s", format::rate(v)), Tone::Bad, half),
    ];
    graphs
        .into_iter()
        .zip(facts)
        .map(|(mut line, fact)| {
            line.push_span(Span::raw(" ".repeat((half + 1).saturating_sub(line.width()))));
            line.spans.extend(fact);
            line
        })
        .collect()
}

/// A labelled sparkline with the value of now: `requests ▁▂▃▅ 1.2k req/s`.
pub(crate) fn graph(
    model: &Model,
    row: &Row<'_>,
    label: &str,
    of: fn(&Rates) -> f64,
    show: fn(f64) -> String,
    tone: Tone,
    columns: usize,
) -> Line<'static> {
    const LABEL: usize = 9;
    const VALUE: usize = 12;
    let style = |tone| model.theme.style(tone);
    let room = columns.saturating_sub(LABEL + VALUE + 2);
    let values = model.proxy().histories.get(&row.cluster.name).map(|h| h.last(room, of)).unwrap_or_default();
    let now = row.rates.as_ref().map_or_else(|| "-".to_owned(), |rates| show(of(rates)));
    Line::from(vec![
        Span::styled(left(&format!(" {label}"), LABEL), style(Tone::Faint)),
        Span::raw(" "),
        Span::styled(spark(&values, room), style(tone)),
        Span::styled(right(&now, VALUE), style(Tone::Plain)),
    ])
}

/// `latency added p50 120 µs, p99 850 µs`.
pub(crate) fn latency(model: &Model, label: &str, quantiles: Option<Quantiles>) -> Vec<Span<'static>> {
    let style = |tone| model.theme.style(tone);
    let value = match quantiles {
        Some(q) => format!("p50 {}, p99 {}", format::latency(q.p50_us), format::latency(q.p99_us)),
        None => "not measured yet".to_owned(),
    };
    vec![Span::styled(format!("{label} "), style(Tone::Faint)), Span::styled(value, style(Tone::Plain))]
}

fn last(model: &Model, transition: &ClusterTransition, columns: usize) -> Line<'static> {
    let style = |tone| model.theme.style(tone);
    let at = format!(" {} ", format::clock(transition.at_unix_ms));
    let (symbol, tone) = theme::cluster(transition.to);
    let to = format!("{symbol} {} ", transition.to);
    let cause = fit(&format::chain(&transition.cause), columns.saturating_sub(width(&at) + width(&to)));
    Line::from(vec![
        Span::styled(at, style(Tone::Faint)),
        Span::styled(to, style(tone)),
        Span::styled(cause, style(Tone::Faint)),
    ])
}
