//! Figures as people read them, each with its unit, each as short as a column is.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Three digits and a binary unit: `0 B`, `999 B`, `1.2 MiB`. Never more than seven characters.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], " ", 0)
}

/// Events a second, without the unit, which stands in the column's title: `0`, `0.3`, `98`, `1.2k`.
pub(crate) fn rate(value: f64) -> String {
    scaled(value, 1000.0, &["", "k", "M", "G", "T"], "", 1)
}

/// A number of things: exact up to 9999, then `12k`, `1.2M`.
pub(crate) fn count(value: u64) -> String {
    if value < 10_000 {
        return value.to_string();
    }
    scaled(value as f64, 1000.0, &["", "k", "M", "G", "T", "P", "E"], "", 0)
}

/// `value` divided by `step` until three digits are left. `decimals` is how many the smallest unit may have.
fn scaled(value: f64, step: f64, units: &[&str], space: &str, decimals: usize) -> String {
    let mut value = if value.is_finite() { value.max(0.0) } else { 0.0 };
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let decimals = if value >= 9.95 || value == 0.0 {
        0
    } else if unit == 0 {
        decimals
    } else {
        1
    };
    format!("{value:.decimals$}{space}{}", units[unit])
}

/// A latency: `0 µs`, `850 µs`, `3.4 ms`, `34 ms`, `1.2 s`, `12 s`.
pub(crate) fn latency(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..9_950_000 => format!("{:.1} s", us as f64 / 1e6),
        9_950_000..60_000_000 => format!("{:.0} s", us as f64 / 1e6),
        60_000_000.. => duration(us / 1_000),
    }
}

/// How long something has lasted, in its two largest units: `42s`, `12m 05s`, `3h 04m`, `3d 04h`. At most seven characters
/// for the first century.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    let (minutes, hours, days) = (s / 60, s / 3_600, s / 86_400);
    if days >= 100 {
        format!("{days}d")
    } else if days > 0 {
        format!("{days}d {:02}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {:02}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {:02}s", s % 60)
    } else {
        format!("{s}s")
    }
}

/// The time of day in UTC, as logs have it: `14:03:05`.
pub(crate) fn clock(unix_ms: u64) -> String {
    let s = unix_ms / 1_000;
    format!("{:02}:{:02}:{:02}", s / 3_600 % 24, s / 60 % 60, s % 60)
}

/// The moment in full, for files: `2026-11-21T14:03:05.250Z`. What lies beyond the year 9999 is shown as it came.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix_ms} ms"))
}

/// `1 connection`, `3 connections`, `2 retries`.
pub(crate) fn things(n: u64, one: &str) -> String {
    let many = if n == 1 {
        one.to_owned()
    } else if let Some(stem) = one.strip_suffix("ry") {
        format!("{stem}ries")
    } else {
        format!("{one}s")
    };
    format!("{} {many}", count(n))
}

/// A chain of causes as one text, outermost first.
pub(crate) fn chain(causes: &[String]) -> String {
    causes.join(": ")
}

/// How much of `whole` is `part`: `42 %`, and `<1 %` for what is there but little.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    if percent < 1.0 { "<1 %".to_owned() } else { format!("{percent:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_to_seven_characters_and_always_have_a_unit() {
        let shown: Vec<_> =
            [0.0, 999.0, 1_000.0, 1_023.0, 1_258_291.0, 10_485_760.0, 1e9, 1e18, f64::NAN].map(bytes).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 KiB", "1.0 KiB", "1.2 MiB", "10 MiB", "954 MiB", "888 PiB", "0 B"]);
        for power in 0..60 {
            assert!(bytes((1_u64 << power) as f64 * 0.999).chars().count() <= 7, "2^{power}");
        }
    }

    #[test]
    fn rates_and_counts_are_short() {
        assert_eq!([0.0, 0.31, 9.96, 98.0, 1_240.0, 98_400.0].map(rate), ["0", "0.3", "10", "98", "1.2k", "98k"]);
        assert_eq!([0, 9_999, 12_340, 1_200_000].map(count), ["0", "9999", "12k", "1.2M"]);
    }

    #[test]
    fn latencies_change_their_unit() {
        let shown = [0, 850, 999, 1_000, 3_400, 34_000, 1_200_000, 12_000_000, 200_000_000].map(latency);
        assert_eq!(shown, ["0 µs", "850 µs", "999 µs", "1.0 ms", "3.4 ms", "34 ms", "1.2 s", "12 s", "3m 20s"]);
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let s = 1_000;
        let shown = [0, 42 * s, 725 * s, 11_040 * s, 273_600 * s, 123 * 86_400 * s].map(duration);
        assert_eq!(shown, ["0s", "42s", "12m 05s", "3h 04m", "3d 04h", "123d"]);
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(clock(1_795_264_985_250), "12:43:05");
        assert_eq!(timestamp(1_795_264_985_250), "2026-11-21T12:43:05.25Z");
        assert_eq!(timestamp(u64::MAX), format!("{} ms", u64::MAX));
    }

    #[test]
    fn shares_do_not_hide_what_is_there() {
        assert_eq!([(0, 0), (1, 1_000), (1, 3), (3, 3)].map(|(p, w)| share(p, w)), ["0 %", "<1 %", "33 %", "100 %"]);
    }
}
