//! The journal: what has happened, the newest at the bottom, the selected entry in full below.

use kroxy_core::status::Severity;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::text::{fit, left, width, wrap};
use super::{put, put_all, rule, say, title};
use crate::format;
use crate::model::journal::Entry;
use crate::model::{EventsFeed, Model};
use crate::theme::{self, Tone};

/// Lines for the selected entry in full, its rule included.
const FULL_HEIGHT: u16 = 5;

/// The entries that the filters let through, oldest first.
pub(crate) fn shown(model: &Model) -> Vec<&Entry> {
    let view = &model.events;
    let needle = view.filter.to_lowercase();
    let fits = |entry: &&Entry| {
        let cluster = entry.event.virtual_cluster();
        entry.event.severity() >= view.least
            && view.cluster.as_deref().is_none_or(|wanted| cluster == Some(wanted))
            && (needle.is_empty()
                || entry.text.to_lowercase().contains(&needle)
                || cluster.is_some_and(|name| name.to_lowercase().contains(&needle)))
    };
    model.proxy().journal.entries().filter(fits).collect()
}

/// Draws it.
pub(crate) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width);
    let entries = shown(model);
    put(buf, area, 0, &head(model, entries.len(), columns));
    let full = if area.height >= 14 { FULL_HEIGHT } else { 0 };
    let list = Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1 + full), ..area };
    if entries.is_empty() {
        let text = "No event yet that these filters let through. v shows more, Esc drops the filters.";
        say(model.theme, &[(Tone::Faint, text.to_owned())], list, buf);
        return;
    }
    let last = entries.len() - 1;
    let following = model.events.selected.and_then(|id| entries.iter().position(|entry| entry.id == id));
    let selected = following.unwrap_or(last);
    let room = usize::from(list.height);
    let first = selected.saturating_sub(room / 2).min(entries.len().saturating_sub(room));
    for (at, entry) in entries.iter().enumerate().skip(first).take(room) {
        put(buf, list, at - first, &line(model, entry, at == selected, columns));
    }
    if full > 0 {
        let below = Rect { y: area.bottom() - full, height: full, ..area };
        put_all(buf, below, &in_full(model, entries[selected], columns));
    }
}

/// The newest entries, for the bottom of the overview.
pub(crate) fn draw_recent(model: &Model, area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width);
    put(buf, area, 0, &rule(model.theme, title(model.theme, "events"), "e: all of them", columns));
    let room = usize::from(area.height.saturating_sub(1));
    let fits = |entry: &&Entry| entry.event.severity() >= Severity::Info;
    let newest: Vec<_> = model.proxy().journal.entries().rev().filter(fits).take(room).collect();
    for (row, entry) in newest.iter().rev().enumerate() {
        put(buf, area, row + 1, &line(model, entry, false, columns));
    }
}

fn head(model: &Model, shown: usize, columns: usize) -> Line<'static> {
    let view = &model.events;
    let mut name = title(model.theme, "events");
    if let Some(cluster) = &view.cluster {
        name.push(Span::styled(format!(" of {}", fit(cluster, columns / 3)), model.theme.style(Tone::Accent)));
    }
    if !view.filter.is_empty() {
        let filter = fit(&format!(" with “{}”", view.filter), columns / 3);
        name.push(Span::styled(filter, model.theme.style(Tone::Accent)));
    }
    let source = match &model.proxy().events {
        EventsFeed::Live => "live",
        EventsFeed::Connecting => "connecting",
        EventsFeed::NotOffered => "no event stream here, from the status",
        EventsFeed::Lost(_) => "stream lost, from the status",
    };
    let follow = if view.selected.is_none() { "following" } else { "End follows" };
    let remark = format!("{shown}, {} and worse, {follow}, {source}", view.least);
    rule(model.theme, name, &remark, columns)
}

fn line(model: &Model, entry: &Entry, selected: bool, columns: usize) -> Line<'static> {
    let style = |tone| model.theme.style(tone);
    let severity = entry.event.severity();
    let (symbol, word, tone) = theme::severity(severity);
    let name = columns.saturating_sub(40).clamp(6, 24);
    let mut line = Line::from(vec![
        Span::styled(if selected { "›" } else { " " }, style(Tone::Accent)),
        Span::styled(format!("{} ", format::clock(entry.event.at_unix_ms)), style(Tone::Faint)),
        Span::styled(format!("{symbol} {word:<5} "), style(tone)),
        Span::styled(left(entry.event.virtual_cluster().unwrap_or("-"), name), style(Tone::Plain)),
        Span::raw(" "),
    ]);
    let tone = if severity >= Severity::Warn { tone } else { Tone::Plain };
    let text = fit(&entry.text, columns.saturating_sub(line.width()));
    line.push_span(Span::styled(text, style(tone)));
    if selected {
        line.push_span(" ".repeat(columns.saturating_sub(line.width())));
        line = line.patch_style(model.theme.selection());
    }
    line
}

fn in_full(model: &Model, entry: &Entry, columns: usize) -> Vec<Line<'static>> {
    let style = |tone| model.theme.style(tone);
    let at = format::timestamp(entry.event.at_unix_ms);
    let cluster = entry.event.virtual_cluster().unwrap_or("the proxy");
    let head = title(model.theme, format!("{at}  {}", fit(cluster, columns.saturating_sub(width(&at) + 8))));
    let mut lines = vec![rule(model.theme, head, "", columns)];
    let room = usize::from(FULL_HEIGHT) - 1;
    let mut parts = wrap(&entry.text, columns.saturating_sub(2));
    if parts.len() > room {
        parts.truncate(room);
        parts[room - 1] = format!("{}…", fit(&parts[room - 1], columns.saturating_sub(4)).trim_end_matches('…'));
    }
    lines.extend(parts.into_iter().map(|part| Line::styled(format!(" {part}"), style(Tone::Plain))));
    lines
}
