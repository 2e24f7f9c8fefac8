//! All virtual clusters of one proxy; below, the selected one at a glance, and where there is room what has just happened.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::table::Columns;
use super::{events, preview, put, put_all, rule, say, title};
use crate::model::rows::{self, Row};
use crate::model::{Feed, Model};
use crate::theme::Tone;

/// Draws it.
pub(crate) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width);
    let rows = rows::rows(model);
    let all = model.proxy().status.as_ref().map_or(0, |status| status.virtual_clusters.len());
    if rows.is_empty() {
        put(buf, area, 0, &head(model, 0, all, columns));
        nothing(model, all, area, buf);
        return;
    }
    let selected = rows::selected_index(model, &rows);
    let below = below(area, rows.len());
    let table = Rect { height: area.height - below.height, ..area };
    draw_table(model, &rows, selected, all, table, buf);
    if below.height > 0 {
        draw_below(model, &rows[selected], below, buf);
    }
}

fn draw_table(model: &Model, rows: &[Row<'_>], selected: usize, all: usize, area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width);
    let longest = rows.iter().map(|row| super::text::width(&row.cluster.name)).max().unwrap_or(0);
    let fitting = Columns::fitting(columns, longest);
    let room = usize::from(area.height.saturating_sub(2));
    // Where everything fits nothing moves; else the selection stays in the middle.
    let first = selected.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    put(buf, area, 0, &head(model, rows.len(), all, columns));
    put(buf, area, 1, &fitting.titles(model));
    for (at, row) in rows.iter().enumerate().skip(first).take(room) {
        put(buf, area, 2 + at - first, &fitting.row(model, row, at == selected));
    }
}

fn head(model: &Model, shown: usize, all: usize, columns: usize) -> ratatui::text::Line<'static> {
    let mut name = title(model.theme, "virtual clusters");
    if !model.table.filter.is_empty() {
        let filter = super::text::fit(&format!(" with “{}”", model.table.filter), columns / 2);
        name.push(Span::styled(filter, model.theme.style(Tone::Accent)));
    }
    let how_many = if shown == all { all.to_string() } else { format!("{shown} of {all}") };
    let reversed = if model.table.reversed { ", reversed" } else { "" };
    rule(model.theme, name, &format!("{how_many}, by {}{reversed}", model.table.sort.words()), columns)
}

/// The part below the table: nothing where it is low, more where it is high, and what the table leaves over.
fn below(area: Rect, rows: usize) -> Rect {
    let wanted = match area.height {
        0..14 => 0,
        14..32 => preview::HEIGHT,
        32.. => {
            let spare = area.height.saturating_sub(u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2));
            spare.clamp(preview::HEIGHT + 2, area.height / 2)
        }
    };
    Rect { y: area.bottom() - wanted, height: wanted, ..area }
}

fn draw_below(model: &Model, row: &Row<'_>, area: Rect, buf: &mut Buffer) {
    let high = area.height > preview::HEIGHT;
    if area.width >= 150 && high {
        let left = Rect { width: area.width / 2 - 1, ..area };
        let right = Rect { x: left.right() + 2, width: area.width - left.width - 2, ..area };
        put_all(buf, left, &preview::lines(model, row, left));
        events::draw_recent(model, right, buf);
    } else if area.height >= preview::HEIGHT + 4 {
        let top = Rect { height: preview::HEIGHT, ..area };
        let rest = Rect { y: top.bottom(), height: area.height - top.height, ..area };
        put_all(buf, top, &preview::lines(model, row, top));
        events::draw_recent(model, rest, buf);
    } else {
        put_all(buf, area, &preview::lines(model, row, area));
    }
}

/// Why there is nothing to see.
fn nothing(model: &Model, all: usize, area: Rect, buf: &mut Buffer) {
    let proxy = model.proxy();
    let lines = if proxy.status.is_none() {
        match &proxy.feed {
            Feed::Silent { why, .. } => vec![
                (Tone::Bad, format!("✗ no answer from {}", proxy.url)),
                (Tone::Plain, why.clone()),
                (Tone::Faint, String::new()),
                (
                    Tone::Faint,
                    "Is kroxy running, and is this its admin address? --connect names another one.".to_owned(),
                ),
            ],
            Feed::Connecting { .. } | Feed::Answering { .. } => {
                vec![(Tone::Busy, format!("◌ waiting for {}", proxy.url))]
            }
        }
    } else if all == 0 {
        vec![
            (Tone::Plain, "This proxy has no virtual cluster.".to_owned()),
            (Tone::Faint, "Add one to its configuration, then reload it with R.".to_owned()),
        ]
    } else {
        vec![
            (Tone::Plain, format!("No virtual cluster has “{}” in its name, state or reason.", model.table.filter)),
            (Tone::Faint, "Esc drops the filter.".to_owned()),
        ]
    };
    let inner = Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area };
    say(model.theme, &lines, inner, buf);
}
