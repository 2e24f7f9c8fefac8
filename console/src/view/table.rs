//! The table of virtual clusters: which columns there is room for, and what stands in them.

use kroxy_core::status::{ClusterState, ClusterStatus, DrainStatus};
use ratatui::text::{Line, Span};

use super::spark::{gauge, spark};
use super::text::{fit, left, right, width};
use crate::format;
use crate::model::rows::{Condition, Reach, Row, SortBy, nodes};
use crate::model::{Model, Proxy};
use crate::theme::{self, Tone};

/// Columns before the name: the mark of the selection, the symbol, a space.
const MARGIN: usize = 3;
/// A name has at least this much room, and no more than [`NAME_MAX`] where others want some.
const NAME_MIN: usize = 14;
const NAME_MAX: usize = 32;
/// A sparkline of fewer columns says nothing.
const SPARK_MIN: usize = 12;
const SPARK_MAX: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Col {
    State,
    Age,
    Connections,
    InFlight,
    Requests,
    BytesIn,
    BytesOut,
    P50,
    P99,
    Errors,
    Nodes,
    SparkRequests,
    SparkOut,
}

/// Title, columns, and how soon it is left out: the lowest rank first.
const fn spec(col: Col) -> (&'static str, usize, u8) {
    match col {
        Col::State => ("state", 12, 99),
        Col::Age => ("for", 7, 90),
        Col::Connections => ("conns", 5, 88),
        Col::Requests => ("req/s", 5, 87),
        Col::InFlight => ("flight", 6, 86),
        Col::BytesOut => ("out/s", 7, 85),
        Col::BytesIn => ("in/s", 7, 84),
        Col::P99 => ("p99", 6, 83),
        Col::Errors => ("err/s", 5, 80),
        Col::P50 => ("p50", 6, 79),
        Col::Nodes => ("nodes", 5, 78),
        Col::SparkRequests => ("requests by second", SPARK_MIN, 60),
        Col::SparkOut => ("bytes out by second", SPARK_MIN, 50),
    }
}

const ORDER: [Col; 13] = [
    Col::State,
    Col::Age,
    Col::Connections,
    Col::InFlight,
    Col::Requests,
    Col::BytesIn,
    Col::BytesOut,
    Col::P50,
    Col::P99,
    Col::Errors,
    Col::Nodes,
    Col::SparkRequests,
    Col::SparkOut,
];

/// The columns for one width.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    name: usize,
    cols: Vec<(Col, usize)>,
    width: usize,
}

impl Columns {
    /// As many as fit, and what is left over for names and sparklines.
    pub(crate) fn fitting(columns: usize, longest_name: usize) -> Self {
        let mut by_rank = ORDER;
        by_rank.sort_by_key(|col| std::cmp::Reverse(spec(*col).2));
        let mut room = columns.saturating_sub(MARGIN + NAME_MIN);
        let mut taken = Vec::new();
        for col in by_rank {
            let Some(rest) = room.checked_sub(spec(col).1 + 1) else { break };
            room = rest;
            taken.push(col);
        }
        let mut name = NAME_MIN.min(columns.saturating_sub(MARGIN));
        let more = room.min(longest_name.clamp(NAME_MIN, NAME_MAX) - NAME_MIN);
        name += more;
        room -= more;
        let sparks = taken.iter().filter(|col| is_spark(**col)).count();
        let wider = room.checked_div(sparks).unwrap_or(0).min(SPARK_MAX - SPARK_MIN);
        room -= wider * sparks;
        name += room.min(longest_name.saturating_sub(name));
        let cols = ORDER
            .into_iter()
            .filter(|col| taken.contains(col))
            .map(|col| (col, spec(col).1 + if is_spark(col) { wider } else { 0 }))
            .collect();
        Self { name, cols, width: columns }
    }

    /// The titles, with a mark at the one that the order goes by.
    pub(crate) fn titles(&self, model: &Model) -> Line<'static> {
        let by = model.table.sort;
        let plain = model.theme.style(Tone::Faint);
        let lit = model.theme.style(Tone::Accent);
        let arrow = if model.table.reversed { "▴" } else { "▾" };
        let marked = |title: &str, on: bool| if on { format!("{title}{arrow}") } else { title.to_owned() };
        let on_name = by == SortBy::Name;
        let mut line = Line::from(Span::raw(" ".repeat(MARGIN)));
        let style = if on_name { lit } else { plain };
        line.push_span(Span::styled(
            left(&marked(if self.name > 15 { "virtual cluster" } else { "cluster" }, on_name), self.name),
            style,
        ));
        for (col, columns) in &self.cols {
            let on = sorts(*col) == Some(by);
            let title = marked(spec(*col).0, on);
            let text = match col {
                Col::State | Col::SparkRequests | Col::SparkOut => left(&title, *columns),
                // The mark may stand in the gap before the column.
                Col::Age
                | Col::Connections
                | Col::InFlight
                | Col::Requests
                | Col::BytesIn
                | Col::BytesOut
                | Col::P50
                | Col::P99
                | Col::Errors
                | Col::Nodes => right(&title, *columns + usize::from(on && width(&title) > *columns)),
            };
            line.push_span(" ".repeat((columns + 1).saturating_sub(width(&text))));
            line.push_span(Span::styled(text, if on { lit } else { plain }));
        }
        line
    }

    /// One virtual cluster.
    pub(crate) fn row(&self, model: &Model, row: &Row<'_>, selected: bool) -> Line<'static> {
        let style = |tone| model.theme.style(tone);
        let (symbol, tone) = theme::condition(row.condition);
        let mut line = Line::from(vec![
            Span::styled(if selected { "›" } else { " " }, style(Tone::Accent)),
            Span::styled(symbol, style(tone)),
            Span::raw(" "),
            Span::styled(left(&row.cluster.name, self.name), style(if selected { Tone::Heading } else { Tone::Plain })),
        ]);
        let mut used = MARGIN + self.name;
        for (col, columns) in &self.cols {
            line.push_span(Span::raw(" "));
            if let Some(spans) = instead(model, row, *col, self.width.saturating_sub(used + 1)) {
                line.spans.extend(spans);
                break;
            }
            line.push_span(cell(model, row, *col, *columns));
            used += 1 + columns;
        }
        if selected {
            line.push_span(" ".repeat(self.width.saturating_sub(line.width())));
            line = line.patch_style(model.theme.selection());
        }
        line
    }
}

fn is_spark(col: Col) -> bool {
    matches!(col, Col::SparkRequests | Col::SparkOut)
}

fn sorts(col: Col) -> Option<SortBy> {
    match col {
        Col::State => Some(SortBy::Trouble),
        Col::Age => Some(SortBy::Age),
        Col::Connections => Some(SortBy::Connections),
        Col::InFlight => Some(SortBy::InFlight),
        Col::Requests => Some(SortBy::Requests),
        Col::BytesIn => Some(SortBy::BytesIn),
        Col::BytesOut => Some(SortBy::BytesOut),
        Col::P99 => Some(SortBy::Latency),
        Col::Errors => Some(SortBy::Errors),
        Col::P50 | Col::Nodes | Col::SparkRequests | Col::SparkOut => None,
    }
}

/// The word for a condition, no longer than the column: `serving 2/3` where upstream is partly out of reach.
pub(crate) fn state_word(row: &Row<'_>) -> String {
    match row.condition {
        Condition::Unreachable { reachable, known } => format!("serving {reachable}/{known}"),
        Condition::Erring => "serving err".to_owned(),
        Condition::Failed
        | Condition::Draining
        | Condition::Initializing
        | Condition::Unknown
        | Condition::Serving
        | Condition::Stopped => row.cluster.state.to_string(),
    }
}

/// How long it has been in its state, by the proxy's own clock.
pub(crate) fn age_ms(proxy: &Proxy, cluster: &ClusterStatus) -> u64 {
    proxy.status.as_ref().map_or(0, |status| status.at_unix_ms.saturating_sub(cluster.since_unix_ms))
}

fn cell(model: &Model, row: &Row<'_>, col: Col, columns: usize) -> Span<'static> {
    let cluster = row.cluster;
    let proxy = model.proxy();
    let number = |text: Option<String>, zero: bool, tone: Tone| {
        let tone = if zero || text.is_none() { Tone::Faint } else { tone };
        Span::styled(right(&text.unwrap_or_else(|| "-".to_owned()), columns), model.theme.style(tone))
    };
    let rate = |value: Option<f64>, show: fn(f64) -> String, tone: Tone| {
        number(value.map(show), value.is_none_or(|v| v <= 0.0), tone)
    };
    let history = |of: fn(&crate::model::history::Rates) -> f64, tone: Tone| {
        let values = proxy.histories.get(&cluster.name).map(|h| h.last(columns, of)).unwrap_or_default();
        Span::styled(spark(&values, columns), model.theme.style(tone))
    };
    match col {
        Col::State => {
            let (_, tone) = theme::condition(row.condition);
            Span::styled(left(&state_word(row), columns), model.theme.style(tone))
        }
        Col::Age => number(Some(format::duration(age_ms(proxy, cluster))), false, Tone::Plain),
        Col::Connections => number(Some(format::count(cluster.connections)), cluster.connections == 0, Tone::Plain),
        Col::InFlight => number(Some(format::count(cluster.in_flight)), cluster.in_flight == 0, Tone::Plain),
        Col::Requests => rate(row.rates.map(|r| r.requests), format::rate, Tone::Plain),
        Col::BytesIn => rate(row.rates.map(|r| r.bytes_in), format::bytes, Tone::In),
        Col::BytesOut => rate(row.rates.map(|r| r.bytes_out), format::bytes, Tone::Out),
        Col::P50 => number(cluster.latency.proxy.map(|q| format::latency(q.p50_us)), false, Tone::Plain),
        Col::P99 => number(cluster.latency.proxy.map(|q| format::latency(q.p99_us)), false, Tone::Plain),
        Col::Errors => rate(row.rates.map(|r| r.errors), format::rate, Tone::Bad),
        Col::Nodes => {
            let known = cluster.upstream.nodes.len();
            let tone = if nodes(cluster, Reach::Unreachable) > 0 { Tone::Warn } else { Tone::Plain };
            number(Some(format!("{}/{known}", nodes(cluster, Reach::Reached))), known == 0, tone)
        }
        Col::SparkRequests => history(|r| r.requests, Tone::Good),
        Col::SparkOut => history(|r| r.bytes_out, Tone::Out),
    }
}

/// What a row says from `col` on instead of figures that would all be nought.
fn instead(model: &Model, row: &Row<'_>, col: Col, room: usize) -> Option<Vec<Span<'static>>> {
    let style = |tone| model.theme.style(tone);
    match (row.cluster.state, col) {
        (ClusterState::Failed, Col::Connections) => {
            let reason = format::chain(row.cluster.reason.as_deref().unwrap_or_default());
            let text = match retry_words(row.cluster) {
                Some(retry) => format!("{reason} · {retry}"),
                None => reason,
            };
            Some(vec![Span::styled(fit(&text, room), style(Tone::Bad))])
        }
        (ClusterState::Draining, Col::Requests) => Some(drain_bar(model, row.cluster.drain.as_ref()?, room)),
        (ClusterState::Initializing, Col::Connections) if row.cluster.connections == 0 => {
            let text = match retry_words(row.cluster) {
                Some(retry) => retry,
                None => "certificates, filters, listeners".to_owned(),
            };
            Some(vec![Span::styled(fit(&text, room), style(Tone::Busy))])
        }
        _ => None,
    }
}

/// `retry 3 of 10 in 12s`.
pub(crate) fn retry_words(cluster: &ClusterStatus) -> Option<String> {
    let retry = cluster.retry.as_ref()?;
    let of = retry.max_retries.map(|max| format!(" of {max}")).unwrap_or_default();
    Some(match (retry.next_in_ms, retry.attempt) {
        (Some(ms), made) => format!("retry {}{of} in {}", made.saturating_add(1), format::duration(ms)),
        (None, made) if cluster.state == ClusterState::Failed => {
            format!("no retry left after {}", format::things(u64::from(made), "retry"))
        }
        (None, made) => format!("retry {made}{of} under way"),
    })
}

/// How much of what has to go has gone, from 0 to 1.
pub(crate) fn drained(drain: &DrainStatus) -> f64 {
    if drain.connections_left == 0 {
        return 1.0;
    }
    let start = drain.connections_at_start.max(drain.connections_left);
    1.0 - drain.connections_left as f64 / start as f64
}

fn drain_bar(model: &Model, drain: &DrainStatus, room: usize) -> Vec<Span<'static>> {
    let style = |tone| model.theme.style(tone);
    let words = match drain.deadline_in_ms {
        _ if drain.connections_left == 0 => "all connections gone".to_owned(),
        Some(ms) => format!("{} left, cut in {}", format::count(drain.connections_left), format::duration(ms)),
        None => format!("{} left", format::count(drain.connections_left)),
    };
    let bar = room.saturating_sub(width(&words) + 1).min(24);
    let (full, empty) = gauge(drained(drain), bar);
    let gap = if bar > 0 { " " } else { "" };
    vec![
        Span::styled(full, style(Tone::Warn)),
        Span::styled(empty, style(Tone::Faint)),
        Span::styled(fit(&format!("{gap}{words}"), room.saturating_sub(bar)), style(Tone::Warn)),
    ]
}
