//! What is in a record of the demo: enough to tell one that is missing, repeated, out of order or changed.
//!
//! A line of text, so that any consumer shows something a person can read:
//! ```text
//! partition=3 record=1234 sent_us=5678901 ................ crc32c=1a2b3c4d
//! ```

use bytes::Bytes;
use kroxy_core::time::Instant;
use std::fmt::Write;

/// The smallest record: the text around the longest numbers.
pub(super) const SMALLEST: usize = 100;

/// In front of the checksum, which counts every byte before it.
const CHECKSUM: &str = " crc32c=";
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 8;

/// What a record says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) partition: i32,
    /// Counts the records of the partition from 0.
    pub(super) sequence: u64,
    pub(super) sent_at: Instant,
}

/// A record of `size` bytes, or as many as its stamp needs.
pub(super) fn write(stamp: Stamp, size: usize) -> Bytes {
    let Stamp { partition, sequence, sent_at } = stamp;
    let mut text = format!("partition={partition} record={sequence} sent_us={} ", sent_at.as_micros());
    let padding = size.saturating_sub(text.len() + CHECKSUM.len() + DIGITS);
    text.push_str(&".".repeat(padding));
    text.push_str(CHECKSUM);
    let checksum = crc32c::crc32c(text.as_bytes());
    write!(text, "{checksum:08x}").expect("a string takes everything");
    text.into()
}

/// What a record says of itself; `None` where that is not what was written.
pub(super) fn read(value: &[u8]) -> Option<Stamp> {
    let (text, digits) = std::str::from_utf8(value).ok()?.split_at_checked(value.len().checked_sub(DIGITS)?)?;
    if u32::from_str_radix(digits, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
        return None;
    }
    let mut fields = text.strip_suffix(CHECKSUM)?.split(' ');
    let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
    Some(Stamp {
        partition: field("partition")?.parse().ok()?,
        sequence: field("record")?.parse().ok()?,
        sent_at: Instant::from_micros(field("sent_us")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_whatever_its_size() {
        let largest = Stamp { partition: i32::MAX, sequence: u64::MAX, sent_at: Instant::from_micros(u64::MAX) };
        let small = Stamp { partition: 0, sequence: 0, sent_at: Instant::ZERO };
        for size in [0, SMALLEST, SMALLEST + 1, 1_000, 100_000] {
            for stamp in [small, largest] {
                let written = write(stamp, size);
                assert_eq!(read(&written), Some(stamp));
                if size >= SMALLEST {
                    assert_eq!(written.len(), size);
                }
            }
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let written =
            write(Stamp { partition: 3, sequence: 1_234, sent_at: Instant::from_micros(5_678_901) }, SMALLEST);
        for at in 0..written.len() {
            let mut changed = written.to_vec();
            changed[at] ^= 1;
            assert_eq!(read(&changed), None, "byte {at}");
        }
        assert_eq!(read(&written[1..]), None);
        assert_eq!(read(b""), None);
    }
}
