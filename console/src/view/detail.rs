//! Everything that is known of one virtual cluster, in sections: one below the other, or in columns where it is wide.

mod clients;
mod sections;

use kroxy_core::status::ClusterStatus;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::table::{age_ms, state_word};
use super::text::fit;
use super::{put, put_all, rule, say, title};
use crate::format;
use crate::model::rows::{self, Row};
use crate::model::{Model, Screen};
use crate::theme::{self, Tone};

/// Columns between two columns of sections.
const GAP: usize = 3;

/// A heading and its lines.
struct Section {
    title: &'static str,
    remark: String,
    lines: Vec<Line<'static>>,
}

/// Draws it.
pub(crate) fn draw(model: &Model, name: &str, scroll: usize, area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width);
    let Some(cluster) = model.cluster(name) else {
        let lines = [
            (Tone::Warn, format!("There is no virtual cluster “{name}” at this proxy any more.")),
            (Tone::Faint, "Esc leads back to the others.".to_owned()),
        ];
        say(model.theme, &lines, area, buf);
        return;
    };
    let row = rows::row(model.proxy(), cluster);
    let lines = content(model, &row, columns);
    let room = usize::from(area.height.saturating_sub(1));
    let scroll = scroll.min(lines.len().saturating_sub(room));
    put(buf, area, 0, &head(model, &row, lines.len(), scroll, room, columns));
    let inner = Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area };
    put_all(buf, inner, lines.iter().skip(scroll));
}

/// How far the detail on the screen can be scrolled.
pub(crate) fn scroll_max(model: &Model) -> usize {
    let Screen::Detail { cluster, .. } = &model.screen else { return 0 };
    let area = super::body(model, Rect::new(0, 0, model.size.0, model.size.1));
    let Some(cluster) = model.cluster(cluster) else { return 0 };
    let lines = content(model, &rows::row(model.proxy(), cluster), usize::from(area.width));
    lines.len().saturating_sub(usize::from(area.height.saturating_sub(1)))
}

fn head(model: &Model, row: &Row<'_>, lines: usize, scroll: usize, room: usize, columns: usize) -> Line<'static> {
    let (symbol, tone) = theme::condition(row.condition);
    let age = format::duration(age_ms(model.proxy(), row.cluster));
    let mut name = title(model.theme, fit(&row.cluster.name, columns.saturating_sub(36).max(8)));
    let state = format!(" {symbol} {} for {age}", state_word(row));
    name.push(Span::styled(state, model.theme.style(tone)));
    let end = (scroll + room).min(lines);
    let remark = if lines > room { format!("lines {}-{end} of {lines}, ↑↓", scroll + 1) } else { String::new() };
    rule(model.theme, name, &remark, columns)
}

/// All lines for that many columns.
fn content(model: &Model, row: &Row<'_>, columns: usize) -> Vec<Line<'static>> {
    let side_by_side = match columns {
        0..145 => 1,
        145..219 => 2,
        219.. => 3,
    };
    let wide = (columns - GAP.min(columns) * (side_by_side - 1)) / side_by_side;
    let groups = groups(model, row, wide, side_by_side);
    let stacks: Vec<Vec<Line<'static>>> = groups.into_iter().map(|sections| stack(model, sections, wide)).collect();
    let height = stacks.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|n| {
            let mut line = Line::default();
            for (at, stack) in stacks.iter().enumerate() {
                let start = at * (wide + GAP);
                line.push_span(" ".repeat(start.saturating_sub(line.width())));
                if let Some(part) = stack.get(n) {
                    line.spans.extend(part.spans.iter().map(|span| span.clone().patch_style(part.style)));
                }
            }
            line
        })
        .collect()
}

/// The sections, in as many columns.
fn groups(model: &Model, row: &Row<'_>, wide: usize, side_by_side: usize) -> Vec<Vec<Section>> {
    let cluster: &ClusterStatus = row.cluster;
    let mut life = Vec::new();
    life.extend(sections::reason(model, cluster, wide));
    life.extend(sections::drain(model, cluster, wide));
    life.push(sections::lifecycle(model, cluster, wide));
    life.push(sections::transitions(model, cluster, wide));
    let traffic = sections::traffic(model, row, wide);
    let ends = vec![sections::gateways(model, cluster, wide), sections::upstream(model, cluster, wide)];
    let clients = vec![
        clients::clients(model, cluster, wide),
        sections::apis(model, cluster, wide),
        sections::disconnects(model, cluster, wide),
    ];
    match side_by_side {
        1 => vec![life.into_iter().chain([traffic]).chain(ends).chain(clients).collect()],
        2 => vec![life.into_iter().chain(ends).collect(), [traffic].into_iter().chain(clients).collect()],
        _ => vec![life, [traffic].into_iter().chain(ends).collect(), clients],
    }
}

fn stack(model: &Model, sections: Vec<Section>, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for section in sections {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(section_head(model, &section, columns));
        lines.extend(section.lines);
    }
    lines
}

fn section_head(model: &Model, section: &Section, columns: usize) -> Line<'static> {
    let remark = fit(&section.remark, columns.saturating_sub(section.title.len() + 3));
    let mut line = Line::from(Span::styled(format!(" {}", section.title), model.theme.style(Tone::Heading)));
    line.push_span(Span::styled(format!("  {remark}"), model.theme.style(Tone::Faint)));
    line
}
