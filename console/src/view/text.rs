//! Text that keeps to its column whatever it holds: wide characters, combining ones, control characters.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` without what would move the cursor or turn the direction of the line: it may come from anybody's client.
pub(crate) fn clean(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if harmful(c) { if c.is_whitespace() { ' ' } else { '·' } } else { c }).collect()
}

/// `text` cut to `columns`, with `…` where something is missing.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        if used + width(grapheme) + 1 > columns {
            break;
        }
        used += width(grapheme);
        out.push_str(grapheme);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// `text` cut or filled up with spaces to exactly `columns`.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// `text` at the right of exactly `columns`.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let mut out = " ".repeat(columns.saturating_sub(width(&text)));
    out.push_str(&text);
    out
}

/// `text` broken into lines of at most `columns`, at spaces where there are some. Nothing is lost.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let text = clean(text);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let space = usize::from(used > 0);
        if used + space + width(word) <= columns {
            if space == 1 {
                line.push(' ');
            }
            line.push_str(word);
            used += space + width(word);
            continue;
        }
        if used > 0 {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        for grapheme in word.graphemes(true) {
            let wide = width(grapheme);
            if used > 0 && used + wide > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push_str(grapheme);
            used += wide;
        }
    }
    if used > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// A part of a line that may be left out where there is no room: the lowest rank goes first.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    rank: u8,
    spans: Vec<Span<'static>>,
}

impl Piece {
    /// A piece of one style.
    pub(crate) fn new(rank: u8, text: impl Into<String>, style: Style) -> Self {
        Self { rank, spans: vec![Span::styled(text.into(), style)] }
    }

    /// A piece of several styles.
    pub(crate) fn of(rank: u8, spans: Vec<Span<'static>>) -> Self {
        Self { rank, spans }
    }

    fn width(&self) -> usize {
        self.spans.iter().map(Span::width).sum()
    }
}

/// `at_left` and `at_right` in one line of `columns`, `gap` columns between pieces, without those that do not fit.
pub(crate) fn spread(mut at_left: Vec<Piece>, mut at_right: Vec<Piece>, gap: usize, columns: usize) -> Line<'static> {
    loop {
        let pieces = at_left.iter().chain(&at_right);
        let wide = pieces.clone().map(Piece::width).sum::<usize>() + gap * pieces.clone().count().saturating_sub(1);
        let lowest = pieces.map(|piece| piece.rank).min();
        if wide <= columns || at_left.len() + at_right.len() <= 1 {
            break;
        }
        let Some(lowest) = lowest else { break };
        // The last of the lowest rank goes first.
        if let Some(at) = at_right.iter().rposition(|piece| piece.rank == lowest) {
            at_right.remove(at);
        } else if let Some(at) = at_left.iter().rposition(|piece| piece.rank == lowest) {
            at_left.remove(at);
        }
    }
    let mut line = Line::default();
    let join = |line: &mut Line<'static>, pieces: Vec<Piece>| {
        for (n, piece) in pieces.into_iter().enumerate() {
            if n > 0 {
                line.push_span(" ".repeat(gap));
            }
            line.spans.extend(piece.spans);
        }
    };
    join(&mut line, at_left);
    let mut tail = Line::default();
    join(&mut tail, at_right);
    if tail.width() > 0 {
        line.push_span(" ".repeat(columns.saturating_sub(line.width() + tail.width())));
        line.spans.extend(tail.spans);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_says_so_and_keeps_to_its_columns() {
        assert_eq!(fit("orders", 6), "orders");
        assert_eq!(fit("orders", 5), "orde…");
        assert_eq!(fit("注文クラスタ", 6), "注文…");
        assert_eq!(left("注文クラスタ", 6), "注文… ");
        assert_eq!(right("12", 5), "   12");
        assert_eq!(fit("orders", 0), "");
    }

    #[test]
    fn what_would_move_the_cursor_is_shown_as_a_dot() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a·[2Jb c·d");
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(
            wrap("cannot bind 0.0.0.0:9192: address in use", 12),
            ["cannot bind", "0.0.0.0:9192", ": address in", "use"]
        );
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("注文クラスタ", 5), ["注文", "クラ", "スタ"]);
    }

    #[test]
    fn the_least_important_piece_goes_first() {
        let piece = |rank, text: &str| Piece::new(rank, text, Style::new());
        let line = |columns| {
            spread(vec![piece(9, "kroxy"), piece(1, "long words")], vec![piece(5, "live")], 2, columns).to_string()
        };
        assert_eq!(line(24), "kroxy  long words   live");
        assert_eq!(line(12), "kroxy   live");
        assert_eq!(line(5), "kroxy");
    }
}
