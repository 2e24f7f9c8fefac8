//! The first lines (which proxy, how it is, what moves) and the last one (what keys do, what came of an action).

use kroxy_core::status::{ProxyState, Status};
use ratatui::text::{Line, Span};

use super::text::{Piece, fit, spread};
use crate::format;
use crate::keys;
use crate::model::rows::{self, Condition};
use crate::model::{EventsFeed, Feed, InputPurpose, Model};
use crate::theme::{self, Tone};
use crate::update::place;

/// The first lines.
pub(crate) fn lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if model.proxies().len() > 1 {
        lines.push(tabs(model, columns));
    }
    lines.push(identity(model, columns));
    lines.push(summary(model, columns));
    lines.extend(banners(model, columns));
    lines
}

/// One tab for each proxy, with what is the matter at it.
fn tabs(model: &Model, columns: usize) -> Line<'static> {
    let mut pieces = Vec::new();
    for (index, proxy) in model.proxies().iter().enumerate() {
        let failed = rows::all(proxy).iter().filter(|row| row.condition == Condition::Failed).count();
        let (symbol, tone, more) = if model.stale_since(index).is_some() {
            ("✗", Tone::Bad, " no answer".to_owned())
        } else if failed > 0 {
            ("✗", Tone::Bad, format!(" {failed} failed"))
        } else {
            let state = proxy.status.as_ref().map_or(ProxyState::New, |status| status.proxy.state);
            let (symbol, tone) = theme::proxy(state);
            (symbol, tone, String::new())
        };
        let current = index == model.current;
        let mut style = model.theme.style(tone);
        let mut label = model.theme.style(if current { Tone::Heading } else { Tone::Plain });
        if current {
            style = style.patch(model.theme.selection());
            label = label.patch(model.theme.selection());
        }
        let mark = if current { "›" } else { " " };
        let spans = vec![
            Span::styled(format!("{mark}{symbol} "), style),
            Span::styled(format!("{} ", fit(&proxy.label, 28)), label),
            Span::styled(more, style),
        ];
        // What is shown stays; of the others, the later ones go first.
        pieces.push(Piece::of(if current { 255 } else { 200_u8.saturating_sub(index as u8) }, spans));
    }
    spread(pieces, Vec::new(), 1, columns)
}

/// Which proxy, since when, with which configuration; and whether the picture is live.
fn identity(model: &Model, columns: usize) -> Line<'static> {
    let proxy = model.proxy();
    let style = |tone| model.theme.style(tone);
    let mut left = Vec::new();
    if let Some(status) = &proxy.status {
        let name = Span::styled("kroxy", style(Tone::Heading));
        let version = Span::styled(format!(" {}", fit(&status.version, 14)), style(Tone::Faint));
        left.push(Piece::of(90, vec![name, version]));
        let (symbol, tone) = theme::proxy(status.proxy.state);
        left.push(Piece::new(80, format!("{symbol} {}", status.proxy.state), style(tone)));
        left.push(Piece::new(60, format!("up {}", format::duration(status.proxy.uptime_ms)), style(Tone::Plain)));
        let configuration = &status.configuration;
        let digest: String = configuration.digest.chars().take(8).collect();
        let generation = Span::styled(format!("generation {}", configuration.generation), style(Tone::Plain));
        let digest = Span::styled(format!(" {digest}"), style(Tone::Faint));
        left.push(Piece::of(50, vec![generation, digest]));
        left.push(Piece::new(10, fit(&proxy.url, 60), style(Tone::Faint)));
        left.push(Piece::new(5, format!("process {}", status.proxy.process_id), style(Tone::Faint)));
    } else {
        left.push(Piece::new(90, "kroxy", style(Tone::Heading)));
        left.push(Piece::new(60, fit(&proxy.url, 60), style(Tone::Plain)));
    }
    let (symbol, word, tone) = liveness(model);
    let mut right = Vec::new();
    if model.read_only {
        right.push(Piece::new(45, "read-only", style(Tone::Accent)));
    }
    right.push(Piece::new(70, format!("{symbol} {word}"), style(tone)));
    let at = proxy.status.as_ref().map(|status| format::clock(status.at_unix_ms));
    if let Some(at) = at {
        right.push(Piece::new(65, at, style(Tone::Faint)));
    }
    margin(spread(left, right, 2, columns.saturating_sub(2)))
}

fn liveness(model: &Model) -> (&'static str, &'static str, Tone) {
    let proxy = model.proxy();
    if model.frozen_at().is_some() {
        return ("‖", "frozen", Tone::Busy);
    }
    if model.stale_since(model.current).is_some() {
        return ("✗", "stale", Tone::Bad);
    }
    match (&proxy.feed, &proxy.events) {
        (Feed::Connecting { .. }, _) => ("◌", "connecting", Tone::Busy),
        (Feed::Silent { .. }, _) => ("✗", "stale", Tone::Bad),
        (Feed::Answering { .. }, _) if model.playing => ("▸", "replay", Tone::Accent),
        (Feed::Answering { .. }, EventsFeed::Live) => ("●", "live", Tone::Good),
        (Feed::Answering { .. }, EventsFeed::Connecting | EventsFeed::NotOffered | EventsFeed::Lost(_)) => {
            ("●", "polling", Tone::Good)
        }
    }
}

/// How many virtual clusters are how, and what moves through all of them.
fn summary(model: &Model, columns: usize) -> Line<'static> {
    let proxy = model.proxy();
    let style = |tone| model.theme.style(tone);
    let rows = rows::all(proxy);
    let count = |of: fn(Condition) -> bool| rows.iter().filter(|row| of(row.condition)).count();
    let groups = [
        (count(|c| c == Condition::Failed), Condition::Failed, "failed", 95),
        (count(troubled), Condition::Erring, "in trouble", 92),
        (count(|c| c == Condition::Draining), Condition::Draining, "draining", 91),
        (count(|c| c == Condition::Initializing), Condition::Initializing, "initializing", 90),
        (count(|c| c == Condition::Serving || troubled(c)), Condition::Serving, "serving", 94),
        (count(|c| c == Condition::Unknown), Condition::Unknown, "unknown", 89),
    ];
    let mut left = vec![Piece::new(20, "virtual clusters", style(Tone::Faint))];
    for (number, condition, word, rank) in groups {
        if number > 0 {
            let (symbol, tone) = theme::condition(condition);
            left.push(Piece::new(rank, format!("{symbol} {number} {word}"), style(tone)));
        }
    }
    let mut right = Vec::new();
    if let Some(rates) = proxy.total.now() {
        right.push(Piece::new(80, format!("{} req/s", format::rate(rates.requests)), style(Tone::Plain)));
        right.push(Piece::new(70, format!("in {}/s", format::bytes(rates.bytes_in)), style(Tone::In)));
        right.push(Piece::new(70, format!("out {}/s", format::bytes(rates.bytes_out)), style(Tone::Out)));
        if rates.errors > 0.0 {
            right.push(Piece::new(85, format!("▲ {} err/s", format::rate(rates.errors)), style(Tone::Warn)));
        } else {
            right.push(Piece::new(30, "0 err/s", style(Tone::Faint)));
        }
    }
    margin(spread(left, right, 2, columns.saturating_sub(2)))
}

fn troubled(condition: Condition) -> bool {
    matches!(condition, Condition::Unreachable { .. } | Condition::Erring)
}

/// What must not be overlooked.
fn banners(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let proxy = model.proxy();
    let mut banners = Vec::new();
    if let Some(since) = model.stale_since(model.current) {
        let mut text = format!("✗ no answer since {}", format::duration(model.now_unix_ms.saturating_sub(since)));
        if let Some(why) = model.silent_because(model.current) {
            text.push_str(&format!(" ({why})"));
        }
        text.push_str(if proxy.status.is_some() { "; what you see is old; trying again" } else { "; trying again" });
        banners.push((Tone::Bad, text));
    }
    if let Some(at) = model.frozen_at() {
        let age = format::duration(model.now_unix_ms.saturating_sub(at));
        banners.push((Tone::Busy, format!("‖ frozen {age} ago; Space lets the picture go on")));
    }
    if let Some(status) = &proxy.status {
        banners.extend(proxy_banner(status));
    }
    banners.truncate(2);
    banners
        .into_iter()
        .map(|(tone, text)| Line::styled(super::text::left(&format!(" {text}"), columns), model.theme.banner(tone)))
        .collect()
}

fn proxy_banner(status: &Status) -> Option<(Tone, String)> {
    let because = |word: &str| {
        let reason = format::chain(&status.proxy.reason);
        if reason.is_empty() {
            format!("◐ the proxy is {word}")
        } else {
            format!("◐ the proxy is {word}: {reason}")
        }
    };
    match status.proxy.state {
        ProxyState::Stopping => return Some((Tone::Warn, because("stopping"))),
        ProxyState::Stopped => return Some((Tone::Warn, because("stopped"))),
        ProxyState::New | ProxyState::Starting | ProxyState::Started | ProxyState::Unknown => {}
    }
    status.configuration.reloading.then(|| (Tone::Busy, "◌ a reload is running".to_owned()))
}

/// A line that does not stick to the edge of the terminal.
fn margin(line: Line<'static>) -> Line<'static> {
    let mut margin = Line::from(" ");
    margin.spans.extend(line.spans);
    margin
}

/// The last line.
pub(crate) fn footer(model: &Model, columns: usize) -> Line<'static> {
    let style = |tone| model.theme.style(tone);
    if let Some(input) = &model.input {
        let (label, keys) = match input.purpose {
            InputPurpose::FilterClusters | InputPurpose::FilterEvents => ("filter", "Enter keeps it  Esc drops it"),
            InputPurpose::ExportPath => ("write the events shown to", "Enter writes  Esc cancels"),
        };
        let room = columns.saturating_sub(label.len() + 5);
        let typed = tail(&input.text, room);
        let left = vec![Piece::of(
            9,
            vec![
                Span::styled(format!(" {label} "), style(Tone::Heading)),
                Span::styled(typed, style(Tone::Accent)),
                Span::styled("▏", style(Tone::Accent)),
            ],
        )];
        return spread(left, vec![Piece::new(1, format!("{keys} "), style(Tone::Faint))], 2, columns);
    }
    if let Some(notice) = &model.notice {
        let (symbol, _, tone) = theme::severity(notice.severity);
        let symbol = if symbol == "●" { "✓" } else { symbol };
        return Line::styled(fit(&format!(" {symbol} {}", notice.text), columns), style(tone));
    }
    let several = model.proxies().len() > 1;
    let mut pieces = Vec::new();
    for binding in keys::hints(place(&model.screen), model.read_only || model.playing) {
        let Some(hint) = binding.hint else { continue };
        let key = if binding.command == keys::Command::Up { "↑↓" } else { binding.label };
        let key = Span::styled(key, style(Tone::Accent));
        pieces.push(Piece::of(
            keys::worth(binding.command),
            vec![key, Span::styled(format!(" {hint}"), style(Tone::Faint))],
        ));
    }
    if several {
        let key = Span::styled("Tab", style(Tone::Accent));
        pieces.push(Piece::of(180, vec![key, Span::styled(" proxy", style(Tone::Faint))]));
    }
    margin(spread(pieces, Vec::new(), 2, columns.saturating_sub(2)))
}

/// The end of `text`: where one types, one wants to see what one types.
fn tail(text: &str, columns: usize) -> String {
    let skip = text.chars().count().saturating_sub(columns);
    super::text::clean(&text.chars().skip(skip).collect::<String>())
}
