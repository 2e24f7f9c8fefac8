//! Draws the model. Pure: the same model and the same size make the same screen, and any size will do.

pub(crate) mod ascii;
pub(crate) mod detail;
pub(crate) mod diagram;
pub(crate) mod dialogs;
pub(crate) mod events;
pub(crate) mod header;
pub(crate) mod help;
pub(crate) mod overview;
pub(crate) mod preview;
pub(crate) mod spark;
pub(crate) mod table;
pub(crate) mod text;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::model::{Model, Screen};
use crate::theme::{Theme, Tone};
use text::width;

/// Draws all of it.
pub(crate) fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    draw(model, area, frame.buffer_mut());
}

/// Draws all of it into `area`.
pub(crate) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let body = body(model, area);
    let head = Rect { height: body.y - area.y, ..area };
    for (row, line) in header::lines(model, usize::from(area.width)).iter().enumerate() {
        put(buf, head, row, line);
    }
    match &model.screen {
        Screen::Overview => overview::draw(model, body, buf),
        Screen::Detail { cluster, scroll } => detail::draw(model, cluster, *scroll, body, buf),
        Screen::Events => events::draw(model, body, buf),
    }
    if model.stale_since(model.current).is_some() && model.frozen_at().is_none() {
        buf.set_style(body, Style::new().add_modifier(Modifier::DIM));
    }
    let foot = Rect { y: body.bottom(), height: area.bottom() - body.bottom(), ..area };
    put(buf, foot, 0, &header::footer(model, usize::from(area.width)));
    dialogs::draw(model, area, body, buf);
    if model.ascii {
        ascii::translate(buf, area);
    }
}

/// What is left for the screen between the header and the last line.
pub(crate) fn body(model: &Model, area: Rect) -> Rect {
    let wanted = header::lines(model, usize::from(area.width)).len();
    let foot = u16::from(area.height >= 3);
    // A low terminal keeps its rows for what the header is about.
    let most = if area.height < 10 { area.height / 4 } else { area.height / 2 };
    let head = u16::try_from(wanted).unwrap_or(u16::MAX).min(most);
    Rect { y: area.y + head, height: area.height - head - foot, ..area }
}

/// Writes one line, as far as it fits.
fn put(buf: &mut Buffer, area: Rect, row: usize, line: &Line<'_>) {
    let Ok(row) = u16::try_from(row) else { return };
    if row < area.height && area.width > 0 {
        buf.set_line(area.x, area.y + row, line, area.width);
    }
}

/// Writes lines from the top, as far as they fit.
fn put_all<'a>(buf: &mut Buffer, area: Rect, lines: impl IntoIterator<Item = &'a Line<'a>>) {
    for (row, line) in lines.into_iter().take(usize::from(area.height)).enumerate() {
        put(buf, area, row, line);
    }
}

/// A rule with a title at its left and a remark at its right: what separates the parts of a screen.
fn rule(theme: Theme, title: Vec<Span<'static>>, remark: &str, columns: usize) -> Line<'static> {
    let faint = theme.style(Tone::Faint);
    let mut line = Line::from(Span::styled("── ", faint));
    line.spans.extend(title);
    line.push_span(Span::raw(" "));
    // Half a remark says nothing.
    let tail = width(remark) + 4;
    let tail = if remark.is_empty() || line.width() + tail > columns { 0 } else { tail };
    line.push_span(Span::styled("─".repeat(columns.saturating_sub(line.width() + tail)), faint));
    if tail > 0 {
        line.push_span(Span::styled(format!(" {remark} ──"), faint));
    }
    line
}

/// A title in the style of titles.
fn title(theme: Theme, text: impl Into<String>) -> Vec<Span<'static>> {
    vec![Span::styled(text.into(), theme.style(Tone::Heading))]
}

/// A sentence or two in the middle of nothing.
fn say(theme: Theme, lines: &[(Tone, String)], area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width.saturating_sub(4)).min(76);
    let wrapped: Vec<Line<'static>> = lines
        .iter()
        .flat_map(|(tone, text)| {
            text::wrap(text, columns).into_iter().map(|part| Line::styled(part, theme.style(*tone)).centered())
        })
        .collect();
    let height = u16::try_from(wrapped.len()).unwrap_or(u16::MAX).min(area.height);
    let middle = Rect { y: area.y + (area.height - height) / 3, height, ..area };
    put_all(buf, middle, &wrapped);
}
