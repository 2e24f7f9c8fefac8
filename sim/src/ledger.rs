//! What clients were promised beyond single records: transactions, which become visible whole or not at all, and topics.

use crate::{
    findings::{Checker, Finding},
    hosts::brokers::Truth,
    lock,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

/// How a transaction ended for whoever made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Committed,
    Aborted,
    /// Nobody has said.
    Unknown,
}

/// What is known of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    There,
    Gone,
    Unknown,
}

/// Everything that was promised. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Promises>>);

#[derive(Debug, Default)]
struct Promises {
    /// By producer, which is unique in the world, and number.
    transactions: BTreeMap<(String, i64), Transaction>,
    /// What readers of committed records were handed, and how often.
    read: BTreeMap<Bytes, u64>,
    /// By cluster and name.
    topics: BTreeMap<(u8, String), Fate>,
}

#[derive(Debug)]
struct Transaction {
    cluster: u8,
    records: Vec<Bytes>,
    end: End,
}

/// The group in which a producer commits, within each transaction, how many there were.
pub(crate) fn group_of(producer: &str) -> String {
    format!("payouts-{producer}")
}

impl Ledger {
    pub(crate) fn begun(&self, by: &str, number: i64, cluster: u8, records: Vec<Bytes>) {
        let transaction = Transaction { cluster, records, end: End::Unknown };
        lock(&self.0).transactions.insert((by.to_owned(), number), transaction);
    }

    pub(crate) fn ended(&self, by: &str, number: i64, end: End) {
        if let Some(transaction) = lock(&self.0).transactions.get_mut(&(by.to_owned(), number)) {
            transaction.end = end;
        }
    }

    pub(crate) fn read(&self, value: Bytes) {
        *lock(&self.0).read.entry(value).or_default() += 1;
    }

    pub(crate) fn topic(&self, cluster: u8, name: &str, fate: Fate) {
        lock(&self.0).topics.insert((cluster, name.to_owned()), fate);
    }

    /// Transactions that were committed and aborted.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let promises = lock(&self.0);
        let ended = |end| promises.transactions.values().filter(|t| t.end == end).count();
        (ended(End::Committed), ended(End::Aborted))
    }

    /// Compares what was promised with what was read and with what the brokers have.
    pub(crate) fn judge(&self, truths: &[Truth]) -> Vec<Finding> {
        let promises = lock(&self.0);
        let mut wrong = Vec::new();
        for ((by, number), transaction) in &promises.transactions {
            let read = |record: &Bytes| promises.read.get(record).copied().unwrap_or_default();
            let seen: BTreeSet<u64> = transaction.records.iter().map(read).collect();
            let allowed: &[&[u64]] = match transaction.end {
                End::Committed => &[&[1]],
                End::Aborted => &[&[0]],
                End::Unknown => &[&[0], &[1]],
            };
            if !allowed.iter().any(|counts| seen.iter().eq(counts.iter())) {
                let end = transaction.end;
                let what = format!("transaction {number} of {by} is {end:?}, and its records were read {seen:?} times");
                wrong.push(Finding::new(Checker::Transactions, what));
            }
        }
        wrong.extend(promises.wrong_offsets(truths));
        for ((cluster, name), fate) in &promises.topics {
            let there = truths[usize::from(*cluster)].records.keys().any(|(topic, _)| topic == name);
            if (*fate == Fate::There && !there) || (*fate == Fate::Gone && there) {
                wrong.push(Finding::new(Checker::Topics, format!("{name} should be {fate:?}, and there is {there}")));
            }
        }
        wrong
    }
}

impl Promises {
    /// An offset that was sent with a transaction is committed with it, or not at all.
    fn wrong_offsets(&self, truths: &[Truth]) -> Vec<Finding> {
        let producers: BTreeSet<(&str, u8)> =
            self.transactions.iter().map(|((by, _), t)| (by.as_str(), t.cluster)).collect();
        let wrong = producers.into_iter().filter_map(|(by, cluster)| {
            let of_it = || self.transactions.iter().filter(|((producer, _), _)| producer == by).rev();
            let last = of_it().find(|(_, t)| t.end == End::Committed).map_or(0, |((_, number), _)| *number);
            let mut allowed: BTreeSet<i64> =
                of_it().filter(|(_, t)| t.end == End::Unknown).map(|((_, n), _)| *n).filter(|n| *n > last).collect();
            allowed.insert(last);
            let committed = truths[usize::from(cluster)].payouts.get(&group_of(by)).copied().unwrap_or_default();
            let what = format!("{by} has committed up to {last}, and its group's offset is {committed}");
            (!allowed.contains(&committed)).then(|| Finding::new(Checker::Transactions, what))
        });
        wrong.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(ends: &[End], read: &[i64], offset: i64) -> Vec<Finding> {
        let ledger = Ledger::default();
        for (number, end) in (1..).zip(ends) {
            let value = |n: i64| Bytes::from(format!("{number}/{n}"));
            ledger.begun("p", number, 0, vec![value(0), value(1)]);
            ledger.ended("p", number, *end);
            if read.contains(&number) {
                [value(0), value(1)].into_iter().for_each(|value| ledger.read(value));
            }
        }
        ledger.judge(&[Truth { payouts: BTreeMap::from([(group_of("p"), offset)]), ..Truth::default() }])
    }

    #[test]
    fn exactly_the_committed_is_read() {
        use End::{Aborted, Committed, Unknown};
        let ends = [Committed, Aborted, Committed, Unknown];
        assert_eq!(judged(&ends, &[1, 3], 3), []);
        assert_eq!(judged(&ends, &[1, 3, 4], 4), []);
        assert_eq!(judged(&ends, &[1], 3).len(), 1, "a committed one is missing");
        assert_eq!(judged(&ends, &[1, 2, 3], 3).len(), 1, "an aborted one was read");
        assert_eq!(judged(&ends, &[1, 3], 2).len(), 1, "an offset of an aborted one");
    }

    #[test]
    fn a_transaction_is_read_whole() {
        let ledger = Ledger::default();
        ledger.begun("p", 1, 0, vec![Bytes::from("a"), Bytes::from("b")]);
        ledger.read(Bytes::from("a"));
        assert_eq!(ledger.judge(&[Truth::default()]).len(), 1);
    }

    #[test]
    fn a_topic_that_was_created_is_there_and_one_that_was_deleted_is_not() {
        let truth = Truth { records: BTreeMap::from([(("scratch".to_owned(), 0), Vec::new())]), ..Truth::default() };
        for (fate, is_there, clean) in [
            (Fate::There, true, true),
            (Fate::There, false, false),
            (Fate::Gone, true, false),
            (Fate::Unknown, true, true),
        ] {
            let ledger = Ledger::default();
            ledger.topic(0, "scratch", fate);
            let truth = if is_there { truth.clone() } else { Truth::default() };
            assert_eq!(ledger.judge(&[truth]).is_empty(), clean, "{fate:?} {is_there}");
        }
    }
}
