//! The lifecycle of a virtual cluster, drawn, with the state it is in and the way it came lit.
//!
//! Lit means heavy lines as well as colour, so that it can be seen without colours.

use kroxy_core::status::{ClusterState, ClusterTransition};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::theme::{self, Theme, Tone};

/// The drawn diagram has this many columns; where there are fewer the states are listed.
pub(crate) const COLUMNS: usize = 71;

const BOXES: [(ClusterState, usize, usize, usize); 5] = [
    (ClusterState::Initializing, 1, 2, 18),
    (ClusterState::Serving, 23, 2, 13),
    (ClusterState::Draining, 40, 2, 14),
    (ClusterState::Stopped, 58, 2, 13),
    (ClusterState::Failed, 1, 6, 18),
];

/// An edge: from, to, and what is drawn in light and in heavy lines.
type Edge = (ClusterState, ClusterState, &'static [(usize, usize, &'static str, &'static str)]);

const EDGES: [Edge; 7] = [
    (ClusterState::Initializing, ClusterState::Serving, &[(19, 3, "───▸", "━━━▸")]),
    (ClusterState::Serving, ClusterState::Draining, &[(36, 3, "───▸", "━━━▸")]),
    (ClusterState::Draining, ClusterState::Stopped, &[(54, 3, "───▸", "━━━▸")]),
    (
        ClusterState::Draining,
        ClusterState::Initializing,
        &[
            (9, 0, "╭───────── reload, retry ─────────────╮", "┏━━━━━━━━━ reload, retry ━━━━━━━━━━━━━┓"),
            (9, 1, "▾", "▼"),
            (47, 1, "│", "┃"),
        ],
    ),
    (ClusterState::Initializing, ClusterState::Failed, &[(4, 5, "▾ fails", "▼ fails")]),
    (ClusterState::Failed, ClusterState::Initializing, &[(13, 5, "▴ retry", "▲ retry")]),
    (
        ClusterState::Failed,
        ClusterState::Stopped,
        &[
            (19, 7, "────────── removal, shutdown ────────────────╯", "━━━━━━━━━━ removal, shutdown ━━━━━━━━━━━━━━━━┛"),
            (64, 6, "│", "┃"),
            (64, 5, "▴", "▲"),
        ],
    ),
];

/// The diagram in `columns`, with `state` lit and the edge of the last transition.
pub(crate) fn lines(
    theme: Theme,
    state: ClusterState,
    last: Option<&ClusterTransition>,
    columns: usize,
) -> Vec<Line<'static>> {
    if columns < COLUMNS {
        return list(theme, state);
    }
    let mut grid = Grid::new(COLUMNS, 9);
    for (from, to, strokes) in EDGES {
        let lit = last.is_some_and(|last| last.from == Some(from) && last.to == to);
        let style = theme.style(if lit { Tone::Accent } else { Tone::Faint });
        for (x, y, light, heavy) in strokes {
            grid.write(*x, *y, if lit { heavy } else { light }, style);
        }
    }
    for (of, x, y, width) in BOXES {
        draw_box(&mut grid, theme, of, of == state, (x, y, width));
    }
    grid.lines()
}

fn draw_box(grid: &mut Grid, theme: Theme, state: ClusterState, lit: bool, (x, y, width): (usize, usize, usize)) {
    let (symbol, tone) = theme::cluster(state);
    let style = if lit { theme.style(tone).bold() } else { theme.style(Tone::Faint) };
    let [top_left, top_right, bottom_left, bottom_right, across, down] =
        if lit { ["┏", "┓", "┗", "┛", "━", "┃"] } else { ["╭", "╮", "╰", "╯", "─", "│"] };
    let across = across.repeat(width - 2);
    grid.write(x, y, &format!("{top_left}{across}{top_right}"), style);
    grid.write(x, y + 1, &format!("{down} {symbol} {:<room$}{down}", state.name(), room = width - 5), style);
    grid.write(x, y + 2, &format!("{bottom_left}{across}{bottom_right}"), style);
}

/// The states one below the other, for narrow terminals.
fn list(theme: Theme, state: ClusterState) -> Vec<Line<'static>> {
    let states = [
        (ClusterState::Initializing, "▸ serving, failed"),
        (ClusterState::Serving, "▸ draining"),
        (ClusterState::Draining, "▸ stopped, initializing"),
        (ClusterState::Failed, "▸ initializing, stopped"),
        (ClusterState::Stopped, ""),
    ];
    states
        .into_iter()
        .map(|(of, next)| {
            let (symbol, tone) = theme::cluster(of);
            let lit = of == state;
            let mark = if lit { "›" } else { " " };
            let style = if lit { theme.style(tone).bold() } else { theme.style(Tone::Faint) };
            Line::from(vec![
                Span::styled(format!(" {mark} {symbol} {:<13}", of.name()), style),
                Span::styled(next, theme.style(Tone::Faint)),
            ])
        })
        .collect()
}

/// A drawing surface of single-width characters.
struct Grid {
    cells: Vec<Vec<(char, Style)>>,
}

impl Grid {
    fn new(columns: usize, rows: usize) -> Self {
        Self { cells: vec![vec![(' ', Style::new()); columns]; rows] }
    }

    fn write(&mut self, x: usize, y: usize, text: &str, style: Style) {
        for (offset, c) in text.chars().enumerate() {
            if let Some(cell) = self.cells.get_mut(y).and_then(|row| row.get_mut(x + offset)) {
                *cell = (c, style);
            }
        }
    }

    fn lines(&self) -> Vec<Line<'static>> {
        let line = |row: &Vec<(char, Style)>| {
            let mut spans: Vec<Span<'static>> = Vec::new();
            for (c, style) in row {
                match spans.last_mut() {
                    Some(last) if last.style == *style => last.content.to_mut().push(*c),
                    _ => spans.push(Span::styled(c.to_string(), *style)),
                }
            }
            Line::from(spans)
        };
        self.cells.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(state: ClusterState, last: Option<(ClusterState, ClusterState)>, columns: usize) -> String {
        let last = last.map(|(from, to)| ClusterTransition { from: Some(from), to, ..ClusterTransition::default() });
        let lines = lines(Theme::Mono, state, last.as_ref(), columns);
        lines.iter().map(|line| line.to_string().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn the_present_state_and_the_way_to_it_are_heavy() {
        let picture =
            drawn(ClusterState::Initializing, Some((ClusterState::Draining, ClusterState::Initializing)), COLUMNS);
        assert_eq!(
            picture,
            "\
\x20        ┏━━━━━━━━━ reload, retry ━━━━━━━━━━━━━┓
\x20        ▼                                     ┃
 ┏━━━━━━━━━━━━━━━━┓    ╭───────────╮    ╭────────────╮    ╭───────────╮
 ┃ ◌ initializing ┃───▸│ ● serving │───▸│ ◐ draining │───▸│ ○ stopped │
 ┗━━━━━━━━━━━━━━━━┛    ╰───────────╯    ╰────────────╯    ╰───────────╯
\x20   ▾ fails  ▴ retry                                            ▴
 ╭────────────────╮                                             │
 │ ✗ failed       │────────── removal, shutdown ────────────────╯
 ╰────────────────╯
"
        );
    }

    #[test]
    fn every_edge_of_the_lifecycle_can_be_lit() {
        for (from, to, _) in EDGES {
            assert_ne!(drawn(to, None, COLUMNS), drawn(to, Some((from, to)), COLUMNS), "{from} {to}");
        }
    }

    #[test]
    fn a_narrow_terminal_lists_the_states() {
        let picture = drawn(ClusterState::Failed, None, 40);
        assert!(picture.contains(" › ✗ failed"), "{picture}");
        assert_eq!(picture.lines().count(), 5);
    }
}
