//! Little pictures made of block characters: sparklines and gauges.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last `columns` values, the newest at the right, scaled to the largest of them. Zero is blank, so that nothing and
/// little look different; where there are fewer values, the left stays blank.
pub(crate) fn spark(values: &[f64], columns: usize) -> String {
    let values = &values[values.len().saturating_sub(columns)..];
    let most = values.iter().copied().fold(0.0, f64::max);
    let mut out = " ".repeat(columns - values.len());
    out.extend(values.iter().map(|value| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        let level = (value / most * 8.0).ceil() as usize;
        LEVELS[level.clamp(1, 8) - 1]
    }));
    out
}

/// The filled and the empty part of a gauge.
pub(crate) fn gauge(part: f64, columns: usize) -> (String, String) {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let mut full = (part * columns as f64).round() as usize;
    // Full means all of it, empty means none of it.
    if full == columns && part < 1.0 {
        full = columns.saturating_sub(1);
    }
    if full == 0 && part > 0.0 {
        full = columns.min(1);
    }
    ("█".repeat(full), "░".repeat(columns - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_little_look_different() {
        assert_eq!(spark(&[0.0, 1.0, 50.0, 100.0], 6), "   ▁▄█");
        assert_eq!(spark(&[1.0, 2.0, 3.0], 2), "▆█");
        assert_eq!(spark(&[0.0, 0.0], 2), "  ");
    }

    #[test]
    fn a_gauge_is_full_only_when_all_is_done() {
        assert_eq!(gauge(0.99, 5), ("████".to_owned(), "░".to_owned()));
        assert_eq!(gauge(1.0, 3), ("███".to_owned(), String::new()));
        assert_eq!(gauge(0.01, 3), ("█".to_owned(), "░░".to_owned()));
        assert_eq!(gauge(f64::NAN, 2), (String::new(), "░░".to_owned()));
    }
}
