//! What clients did and what became of it, as they saw it.

use crate::{
    findings::{Checker, Findings},
    ledger::Ledger,
    limits, lock,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Where a record goes: cluster, topic, partition.
pub(crate) type Place = (u8, &'static str, i32);

/// How sending a record ended for whoever sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// A broker has said that it is in the log.
    Ok,
    /// A broker has said that it is not, or it was never sent.
    Failed,
    /// It was written whole, and nobody was asked to say anything.
    Written,
    /// Nobody has said anything, or the answer was lost.
    Indefinite,
}

/// A record that somebody tried to send.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) place: Place,
    /// Who sent it, and as which of that sender's records for the partition: what the order is told by.
    pub(crate) by: String,
    pub(crate) sequence: u64,
    pub(crate) outcome: Outcome,
    pub(crate) at: Duration,
    /// How long it took until the outcome was known.
    pub(crate) took: Duration,
}

/// Everything that clients have done. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    deeds: Arc<Mutex<Deeds>>,
    findings: Findings,
    ledger: Ledger,
}

#[derive(Debug, Default)]
struct Deeds {
    sent: BTreeMap<Bytes, Sent>,
    /// What consumers were handed, by place and offset.
    consumed: BTreeMap<Place, BTreeMap<i64, Bytes>>,
    redelivered: u64,
    busy: BTreeSet<String>,
}

impl History {
    pub(crate) fn new(findings: Findings) -> Self {
        Self { deeds: Arc::default(), findings, ledger: Ledger::default() }
    }

    /// What was promised beyond single records.
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A record was handed over to be sent.
    pub(crate) fn sent(&self, value: Bytes, place: Place, by: &str, sequence: u64) {
        let (at, took) = (now(), Duration::ZERO);
        let sent = Sent { place, by: by.to_owned(), sequence, outcome: Outcome::Indefinite, at, took };
        lock(&self.deeds).sent.insert(value, sent);
    }

    /// It is known what became of a record.
    pub(crate) fn settled(&self, value: &Bytes, outcome: Outcome) {
        if let Some(sent) = lock(&self.deeds).sent.get_mut(value) {
            sent.outcome = outcome;
            sent.took = now().saturating_sub(sent.at);
        }
    }

    /// A consumer was handed a record.
    pub(crate) fn consumed(&self, place: Place, offset: i64, value: Bytes) {
        let mut deeds = lock(&self.deeds);
        match deeds.consumed.entry(place).or_default().insert(offset, value.clone()) {
            None => {}
            Some(before) if before == value => deeds.redelivered += 1,
            Some(_) => {
                let what = format!("{place:?} was read twice at offset {offset}, with different records");
                self.findings.note(Checker::Consumers, what);
            }
        }
    }

    /// A client is at work, or has done all that it was to do.
    pub(crate) fn busy(&self, who: &str, is_busy: bool) {
        let mut deeds = lock(&self.deeds);
        if is_busy {
            deeds.busy.insert(who.to_owned());
        } else {
            deeds.busy.remove(who);
        }
    }

    /// Who is still at work.
    pub(crate) fn who_is_busy(&self) -> Vec<String> {
        lock(&self.deeds).busy.iter().cloned().collect()
    }

    /// Something was seen that must not be.
    pub(crate) fn accuse(&self, checker: Checker, what: String) {
        self.findings.note(checker, what);
    }

    /// Offsets of a place that consumers were handed.
    pub(crate) fn consumed_of(&self, place: Place) -> BTreeMap<i64, Bytes> {
        lock(&self.deeds).consumed.get(&place).cloned().unwrap_or_default()
    }

    /// How many of the offsets up to `end` were not handed to any consumer.
    pub(crate) fn unread(&self, place: Place, end: i64) -> i64 {
        let deeds = lock(&self.deeds);
        let read = deeds.consumed.get(&place).map_or(0, |read| read.range(..end).count());
        end - i64::try_from(read).unwrap_or(i64::MAX)
    }

    /// Records that consumers were handed again.
    pub(crate) fn redelivered(&self) -> u64 {
        lock(&self.deeds).redelivered
    }

    /// All records, by value.
    pub(crate) fn all_sent(&self) -> BTreeMap<Bytes, Sent> {
        lock(&self.deeds).sent.clone()
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// A value that occurs once in a run, of about so many bytes.
pub(crate) fn value(by: &str, partition: i32, sequence: u64, bytes: u32) -> Bytes {
    let mut value = format!("{by}/{partition}/{sequence}/").into_bytes();
    let length = usize::try_from(bytes).unwrap_or(limits::RESPONSE).max(value.len());
    value.resize(length, b'.');
    value.into()
}
