//! Durations and sizes as people write them: a whole number and its unit, `"10s"`, `"100MiB"`.
//!
//! The unit is never left out, and there is one way to write each: a reader never has to know which unit a field wants.

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{fmt, marker::PhantomData, str::FromStr, time::Duration};

/// The longest duration: a year. More is a typing error, and sums of it with a clock could overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Units of durations in ms, largest first.
const DURATIONS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of sizes in bytes, largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A duration above zero, in whole milliseconds: `"500ms"`, `"10s"`, `"2m"`, `"1h"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(super) struct Span(Duration);

/// A number of bytes: `"512B"`, `"64KiB"`, `"100MiB"`, `"1GiB"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(super) struct Size(u64);

impl Span {
    /// The same as the standard library's type.
    pub(super) const fn get(self) -> Duration {
        self.0
    }
}

impl Size {
    pub(super) const fn bytes(self) -> u64 {
        self.0
    }
}

impl From<Duration> for Span {
    /// For defaults, which are whole milliseconds above zero.
    fn from(d: Duration) -> Self {
        Self(d)
    }
}

impl From<u32> for Size {
    fn from(bytes: u32) -> Self {
        Self(bytes.into())
    }
}

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// What keeps a text from being a duration or a size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotAQuantity {
    #[error("{text:?} does not begin with a whole number")]
    Number { text: String },
    #[error("{number} has no unit: write the unit, such as \"{number}{unit}\"")]
    NoUnit { number: String, unit: &'static str },
    #[error("{unit:?} is no unit that kroxy knows here: it knows {known}")]
    Unit { unit: String, known: String },
    #[error("zero is no duration that anything could happen in")]
    Zero,
    #[error("{text:?} is too large: the largest value is {max}")]
    TooLarge { text: String, max: String },
}

/// Reads `<number><unit>` as a number of the smallest unit.
fn read(text: &str, units: &[(&'static str, u64)], usual: &'static str) -> Result<u64, NotAQuantity> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() || unit.starts_with(['.', ',', '_']) {
        return Err(NotAQuantity::Number { text: text.to_owned() });
    }
    if unit.is_empty() {
        return Err(NotAQuantity::NoUnit { number: number.to_owned(), unit: usual });
    }
    let Some((_, factor)) = units.iter().find(|(known, _)| *known == unit) else {
        let known = units.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        return Err(NotAQuantity::Unit { unit: unit.to_owned(), known });
    };
    // Digits alone do not parse only where there are too many of them.
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*factor))
        .ok_or_else(|| NotAQuantity::TooLarge { text: text.to_owned(), max: write(u64::MAX, units) })
}

/// Writes a number of the smallest unit in the largest unit in which it is whole.
fn write(n: u64, units: &[(&'static str, u64)]) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| n != 0 && n.is_multiple_of(*factor))
        .or(units.last())
        .expect("a table of units is not empty");
    format!("{}{unit}", n / factor)
}

impl FromStr for Span {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let max = Self(DURATION_MAX);
        let too_large = || NotAQuantity::TooLarge { text: text.to_owned(), max: max.to_string() };
        match read(text, &DURATIONS, "s").map(Duration::from_millis) {
            Ok(Duration::ZERO) => Err(NotAQuantity::Zero),
            Ok(d) if d <= DURATION_MAX => Ok(Self(d)),
            Ok(_) | Err(NotAQuantity::TooLarge { .. }) => Err(too_large()),
            Err(other) => Err(other),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&write(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &DURATIONS))
    }
}

impl FromStr for Size {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        read(text, &SIZES, "B").map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&write(self.0, &SIZES))
    }
}

/// Takes a text, and says what is missing where a bare number stands.
struct Quantity<T> {
    expecting: &'static str,
    of: PhantomData<T>,
}

impl<T: FromStr<Err = NotAQuantity>> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Quantity { expecting: "a duration in quotes", of: PhantomData })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Quantity { expecting: "a size in quotes", of: PhantomData })
    }
}

/// For the defaults in the reference.
#[cfg(test)]
mod shown {
    use super::{Size, Span};
    use serde::{Serialize, Serializer};

    impl Serialize for Span {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.collect_str(self)
        }
    }

    impl Serialize for Size {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.collect_str(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let cases = [
            ("500ms", Duration::from_millis(500)),
            ("10s", Duration::from_secs(10)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3_600)),
            ("8760h", DURATION_MAX),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse(), Ok(Span(want)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        let cases = [
            ("10", "10 has no unit: write the unit, such as \"10s\""),
            ("", "\"\" does not begin with a whole number"),
            ("s", "\"s\" does not begin with a whole number"),
            ("-1s", "\"-1s\" does not begin with a whole number"),
            ("1.5s", "\"1.5s\" does not begin with a whole number"),
            ("10 s", "\" s\" is no unit that kroxy knows here: it knows h, m, s, ms"),
            ("10S", "\"S\" is no unit that kroxy knows here: it knows h, m, s, ms"),
            ("0s", "zero is no duration that anything could happen in"),
            ("8761h", "\"8761h\" is too large: the largest value is 8760h"),
            ("99999999999999999999h", "\"99999999999999999999h\" is too large: the largest value is 8760h"),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<Span>().expect_err(text).to_string(), why);
        }
    }

    #[test]
    fn a_size_is_binary() {
        let cases = [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("100MiB", 104_857_600), ("1GiB", 1 << 30)];
        for (text, want) in cases {
            assert_eq!(text.parse(), Ok(Size(want)), "{text}");
        }
        let why = "100MB".parse::<Size>().expect_err("decimal").to_string();
        assert_eq!(why, "\"MB\" is no unit that kroxy knows here: it knows GiB, MiB, KiB, B");
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_was_written(ms in 1..=31_536_000_000_u64) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn a_size_reads_back_as_it_was_written(bytes: u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn any_text_is_a_quantity_or_is_not(text: String, number: u64, unit in "[a-zA-Z]{0,4}") {
            for text in [text, format!("{number}{unit}")] {
                if let Ok(span) = text.parse::<Span>() {
                    prop_assert!(span.get() > Duration::ZERO && span.get() <= DURATION_MAX);
                }
                let _ = text.parse::<Size>();
            }
        }
    }
}
