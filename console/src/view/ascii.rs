//! For terminals that know nothing but ASCII: every sign that the console draws has a plain one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Replaces what the console draws with. Names and reasons are left as they came: they are not ours to spell.
pub(crate) fn translate(buf: &mut Buffer, area: Rect) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let Some(cell) = buf.cell_mut((x, y)) else { continue };
            if let Some(plain) = plain(cell.symbol()) {
                cell.set_symbol(plain);
            }
        }
    }
}

fn plain(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "─" | "━" => "-",
        "│" | "┃" => "|",
        "╭" | "╮" | "╰" | "╯" | "┏" | "┓" | "┗" | "┛" | "├" | "┤" | "┣" | "┫" => "+",
        "●" => "*",
        "◌" => "~",
        "◐" => "%",
        "✗" => "x",
        "✓" => "+",
        "○" => "o",
        "▲" | "▴" => "^",
        "▼" | "▾" => "v",
        "▸" | "›" | "→" => ">",
        "↑" => "^",
        "↓" => "v",
        "‖" => "=",
        "·" => ".",
        "…" => "~",
        "µ" => "u",
        "▁" | "▂" => "_",
        "▃" | "▄" => "-",
        "▅" | "▆" => "=",
        "▇" | "█" => "#",
        "▏" => "_",
        "░" => ".",
        _ => return None,
    })
}
