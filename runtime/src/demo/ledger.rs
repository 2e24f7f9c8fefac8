//! Checks what comes out against what went in: every record once, in the order of its partition, unchanged.

use super::{client::Delivery, payload};
use std::collections::BTreeMap;

/// Gaps that are remembered for each partition. What lies in a gap beyond that is missing for good.
const GAPS: usize = 10_000;

/// What was found wrong, each kind counted for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Records that went in and did not come out.
    pub missing: u64,
    /// Records that had come out before.
    pub duplicated: u64,
    /// Records that came out behind a later one of their partition.
    pub out_of_order: u64,
    /// Records whose checksum is wrong, or that claim to be of another partition. What one of them should have been is
    /// missing as well.
    pub corrupt: u64,
}

impl Faults {
    /// Whether there are none.
    pub fn is_clean(self) -> bool {
        self == Self::default()
    }
}

/// What has come out.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lines: BTreeMap<i32, Line>,
    faults: Faults,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// One partition.
#[derive(Debug, Default)]
struct Line {
    /// The record that is due next.
    due: u64,
    /// Records that were skipped and have not come since: from the first to the one behind the last.
    gaps: BTreeMap<u64, u64>,
    /// The offset behind the last record that came.
    next_offset: i64,
}

impl Ledger {
    /// Takes in what was delivered, and shows the stamp of each record that is as it was written.
    pub(super) fn take(&mut self, delivery: &Delivery, mut show: impl FnMut(&payload::Stamp)) {
        let line = self.lines.entry(delivery.partition).or_default();
        for record in &delivery.records {
            line.next_offset = line.next_offset.max(record.offset.saturating_add(1));
            self.records += 1;
            self.bytes += record.value.len() as u64;
            match payload::read(&record.value).filter(|stamp| stamp.partition == delivery.partition) {
                Some(stamp) => {
                    line.take(stamp.sequence, &mut self.faults);
                    show(&stamp);
                }
                None => self.faults.corrupt += 1,
            }
        }
    }

    /// The offset behind the last record of a partition.
    pub(super) fn next_offset(&self, partition: i32) -> i64 {
        self.lines.get(&partition).map_or(0, |line| line.next_offset)
    }

    /// What is wrong if no more comes out, and so many records went into each partition.
    pub(super) fn faults(&self, sent: &BTreeMap<i32, u64>) -> Faults {
        let never = Line::default();
        let missing = sent.iter().map(|(partition, sent)| {
            let line = self.lines.get(partition).unwrap_or(&never);
            line.skipped() + sent.saturating_sub(line.due)
        });
        Faults { missing: self.faults.missing + missing.sum::<u64>(), ..self.faults }
    }
}

impl Line {
    fn skipped(&self) -> u64 {
        self.gaps.iter().map(|(first, end)| end - first).sum()
    }

    fn take(&mut self, sequence: u64, faults: &mut Faults) {
        if sequence < self.due {
            if self.fill(sequence) {
                faults.out_of_order += 1
            } else {
                faults.duplicated += 1
            }
            return;
        }
        if sequence > self.due {
            if self.gaps.len() < GAPS {
                self.gaps.insert(self.due, sequence);
            } else {
                faults.missing += sequence - self.due;
            }
        }
        self.due = sequence.saturating_add(1);
    }

    /// Takes a record out of the gap that it belongs to, if there is one.
    fn fill(&mut self, sequence: u64) -> bool {
        let Some((&first, &end)) = self.gaps.range(..=sequence).next_back() else { return false };
        if sequence >= end {
            return false;
        }
        self.gaps.remove(&first);
        for (first, end) in [(first, sequence), (sequence + 1, end)] {
            if first < end {
                self.gaps.insert(first, end);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{client::Received, payload::Stamp};
    use bytes::Bytes;
    use kroxy_core::time::Instant;

    fn record(offset: i64, sequence: u64) -> Received {
        let stamp = Stamp { partition: 1, sequence, sent_at: Instant::ZERO };
        Received { offset, value: payload::write(stamp, 0) }
    }

    fn after(sequences: &[u64], sent: u64) -> Faults {
        let records = (0..).zip(sequences).map(|(offset, sequence)| record(offset, *sequence)).collect();
        let mut ledger = Ledger::default();
        ledger.take(&Delivery { partition: 1, records }, |_| {});
        ledger.faults(&BTreeMap::from([(1, sent)]))
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        let clean = Faults::default();
        let cases: [(&[u64], u64, Faults); 8] = [
            (&[], 0, clean),
            (&[0, 1, 2], 3, clean),
            (&[0, 1, 2], 5, Faults { missing: 2, ..clean }),
            (&[0, 4], 5, Faults { missing: 3, ..clean }),
            (&[0, 1, 1, 0, 2], 3, Faults { duplicated: 2, ..clean }),
            (&[0, 2, 1, 3], 4, Faults { out_of_order: 1, ..clean }),
            (&[0, 5, 3, 3], 6, Faults { missing: 3, out_of_order: 1, duplicated: 1, ..clean }),
            (&[3, 0, 1, 2, 2], 4, Faults { out_of_order: 3, duplicated: 1, ..clean }),
        ];
        for (sequences, sent, expected) in cases {
            assert_eq!(after(sequences, sent), expected, "{sequences:?} of {sent}");
        }
    }

    #[test]
    fn a_record_that_was_changed_or_strayed_is_corrupt_and_missing() {
        let mut changed = record(0, 0).value.to_vec();
        changed[0] ^= 1;
        let records = vec![Received { offset: 0, value: Bytes::from(changed) }, record(1, 1)];
        let mut ledger = Ledger::default();
        ledger.take(&Delivery { partition: 1, records }, |_| {});
        ledger.take(&Delivery { partition: 2, records: vec![record(0, 0)] }, |_| {});
        let expected = Faults { missing: 1, corrupt: 2, ..Faults::default() };
        assert_eq!(ledger.faults(&BTreeMap::from([(1, 2)])), expected);
        assert_eq!((ledger.next_offset(1), ledger.next_offset(2), ledger.next_offset(3)), (2, 1, 0));
    }
}
