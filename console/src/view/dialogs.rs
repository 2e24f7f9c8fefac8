//! What lies over the screen: the help, questions before an action, plan and result of a reload.

mod reload;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use super::text::wrap;
use super::{help, put_all};
use crate::format;
use crate::model::{Action, Model, Overlay, ReloadStage};
use crate::theme::Tone;
use crate::update::SHUTDOWN_WORD;

/// Columns of a question or a report, border and padding included.
const DIALOG_COLUMNS: u16 = 76;

/// Draws what is open, over everything.
pub(crate) fn draw(model: &Model, area: Rect, body: Rect, buf: &mut Buffer) {
    match &model.overlay {
        None => {}
        Some(Overlay::Help { scroll }) => {
            let (columns, rows) = help_room((area.width, area.height));
            let lines = help::lines(model, columns);
            window(model, Tone::Accent, "help", "↑↓ scroll, Esc closes", &lines, (*scroll, rows), area, buf);
        }
        Some(Overlay::Confirm { action }) => {
            let (title, tone, text) = question(model, action);
            let lines = sentences(model, &text, body);
            window(model, tone, &title, "y: do it   n: leave it", &lines, (0, lines.len()), body, buf);
        }
        Some(Overlay::ConfirmShutdown { typed }) => {
            let mut lines = sentences(model, &shutdown_question(model), body);
            lines.push(Line::default());
            lines.push(Line::from(vec![
                Span::raw(format!("Type {SHUTDOWN_WORD}, then Enter: ")),
                Span::styled(super::text::clean(typed), model.theme.style(Tone::Accent)),
                Span::styled("▏", model.theme.style(Tone::Accent)),
            ]));
            window(model, Tone::Bad, "shut the proxy down?", "Esc: leave it", &lines, (0, lines.len()), body, buf);
        }
        Some(Overlay::Reload { stage, scroll }) => {
            let (columns, rows) = room((body.width, body.height));
            let lines = reload::lines(model, stage, columns);
            let (title, keys, tone) = reload::frame(stage);
            let shown = rows.min(lines.len());
            window(model, tone, title, keys, &lines, (*scroll, shown), body, buf);
        }
    }
}

/// Columns and rows for the text of a dialog on a screen of `size`.
fn room(size: (u16, u16)) -> (usize, usize) {
    let columns = size.0.min(DIALOG_COLUMNS).saturating_sub(4);
    (usize::from(columns), usize::from(size.1.saturating_sub(2)))
}

/// Columns and rows for the text of the help.
pub(crate) fn help_room(size: (u16, u16)) -> (usize, usize) {
    (usize::from(size.0.min(100).saturating_sub(4)), usize::from(size.1.saturating_sub(2)))
}

/// How far the reload dialog can be scrolled.
pub(crate) fn reload_scroll_max(model: &Model, stage: &ReloadStage) -> usize {
    let body = super::body(model, Rect::new(0, 0, model.size.0, model.size.1));
    let (columns, rows) = room((body.width, body.height));
    reload::lines(model, stage, columns).len().saturating_sub(rows)
}

/// A frame in the middle of `area` with `rows` of `lines`, from `scroll` on.
#[expect(clippy::too_many_arguments, reason = "a window has that many sides; a struct would name them twice")]
fn window(
    model: &Model,
    tone: Tone,
    title: &str,
    keys: &str,
    lines: &[Line<'static>],
    (scroll, rows): (usize, usize),
    area: Rect,
    buf: &mut Buffer,
) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len()).max(keys.len()) + 4;
    let width = u16::try_from(widest).unwrap_or(u16::MAX).max(DIALOG_COLUMNS.min(area.width)).min(area.width);
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let at = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    let scroll = scroll.min(lines.len().saturating_sub(rows));
    let more = if lines.len() > rows {
        format!(" {}-{} of {} ", scroll + 1, scroll + rows, lines.len())
    } else {
        String::new()
    };
    Clear.render(at, buf);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(model.theme.style(tone))
        .title(Span::styled(format!(" {title} "), model.theme.style(Tone::Heading)))
        .title_bottom(Span::styled(format!(" {keys} "), model.theme.style(Tone::Accent)))
        .title_bottom(Line::from(more).right_aligned())
        .padding(Padding::horizontal(1));
    let inner = block.inner(at);
    block.render(at, buf);
    put_all(buf, inner, lines.iter().skip(scroll));
}

fn sentences(model: &Model, text: &[String], area: Rect) -> Vec<Line<'static>> {
    let (columns, _) = room((area.width, area.height));
    text.iter()
        .flat_map(|sentence| wrap(sentence, columns))
        .map(|part| Line::styled(part, model.theme.style(Tone::Plain)))
        .collect()
}

fn question(model: &Model, action: &Action) -> (String, Tone, Vec<String>) {
    match action {
        Action::Drain(name) => {
            let cluster = model.cluster(name);
            let connections = cluster.map_or(0, |cluster| cluster.connections);
            let in_flight = cluster.map_or(0, |cluster| cluster.in_flight);
            let now = format!(
                "{} and {} in flight are there now.",
                format::things(connections, "connection"),
                format::things(in_flight, "request")
            );
            let text = vec![
                "New connections are refused, what is in flight is finished, then clients are asked to go elsewhere."
                    .into(),
                now,
                "It stays drained until it is retried (r), reloaded or removed.".into(),
            ];
            (format!("drain {name}?"), Tone::Warn, text)
        }
        Action::Retry(name) => {
            let text = vec![
                "It is built anew from its configuration, now, without waiting for its retry timer.".to_owned(),
                "Where it serves already the proxy declines, and nothing happens.".to_owned(),
            ];
            (format!("retry {name}?"), Tone::Busy, text)
        }
        Action::Plan | Action::Reload | Action::Shutdown => (format!("{}?", action.words()), Tone::Warn, Vec::new()),
    }
}

fn shutdown_question(model: &Model) -> Vec<String> {
    let proxy = model.proxy();
    let clusters = proxy.status.as_ref().map_or(0, |status| status.virtual_clusters.len()) as u64;
    let each = proxy.status.iter().flat_map(|s| &s.virtual_clusters).map(|c| c.connections);
    let connections = each.fold(0, u64::saturating_add);
    vec![
        format!("The proxy at {} drains everything and ends.", proxy.url),
        format!(
            "{} with {} stop being served, and this console cannot start it again.",
            format::things(clusters, "virtual cluster"),
            format::things(connections, "connection")
        ),
    ]
}
