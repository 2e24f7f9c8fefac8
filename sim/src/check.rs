//! Judges a run by what the brokers have and what the clients saw. Nothing of kroxy is asked.

use crate::{
    findings::{Checker, Finding},
    history::{History, Outcome, Sent},
    hosts::brokers::Truth,
    plan::Plan,
    topology,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Findings of one kind that are told one by one; of more than these only the number.
const TOLD: usize = 3;

/// What is wrong.
pub(crate) fn judge(plan: &Plan, truths: &[Truth], history: &History) -> Vec<Finding> {
    let sent = history.all_sent();
    let mut wrong = Wrong::default();
    let mut found = BTreeSet::new();
    for (cluster, truth) in (0..).zip(truths) {
        logs(cluster, truth, &sent, &mut found, &mut wrong);
        if plan.load.consumers > 0 {
            consumers(cluster, truth, history, &mut wrong);
        }
    }
    for (value, sent) in &sent {
        let name = || format!("{} ({:?})", name(value), sent.place);
        if sent.outcome == Outcome::Ok && !found.contains(value) {
            wrong.note(Checker::Logs, "acknowledged and in no log", name());
        }
        if sent.outcome == Outcome::Failed && found.contains(value) {
            wrong.note(Checker::Logs, "refused, and in a log all the same", name());
        }
        if sent.outcome == Outcome::Written && plan.is_gentle() && !found.contains(value) {
            wrong.note(
                Checker::Logs,
                "written whole with acks=0, only the proxy was at work, and it is in no log",
                name(),
            );
        }
        if plan.faults.is_empty() && !found.contains(value) {
            wrong.note(Checker::Logs, "nothing went wrong, and it is in no log", name());
        }
    }
    if plan.faults.is_empty() && history.redelivered() > 0 {
        wrong.note(
            Checker::Consumers,
            "nothing went wrong, and consumers got records again",
            history.redelivered().to_string(),
        );
    }
    let mut all = wrong.into_findings();
    all.extend(history.ledger().judge(truths));
    all
}

/// Every record in a log was sent there, by a client of this cluster, once, and in the sender's order.
fn logs(cluster: u8, truth: &Truth, sent: &BTreeMap<Bytes, Sent>, found: &mut BTreeSet<Bytes>, wrong: &mut Wrong) {
    for ((topic, partition), records) in &truth.records {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for record in records {
            let value = record.value.clone().unwrap_or_default();
            let at = format!("{} at offset {} of {topic}-{partition}", name(&value), record.offset);
            let Some(sent) = sent.get(&value) else {
                wrong.note(Checker::Logs, "in a log, and nobody sent it", at);
                continue;
            };
            if sent.place.0 != cluster || sent.place.1 != topic || sent.place.2 != *partition {
                wrong.note(
                    Checker::Logs,
                    "in another log than it was sent to",
                    format!("{at}, sent to {:?}", sent.place),
                );
            }
            if !found.insert(value.clone()) {
                wrong.note(Checker::Logs, "in a log twice", at);
                continue;
            }
            if last.insert(&sent.by, sent.sequence).is_some_and(|before| before > sent.sequence) {
                wrong.note(Checker::Logs, "behind a later record of the same sender", at);
            }
        }
    }
}

/// Consumers were handed what is in the log, all of it, and committed that.
fn consumers(cluster: u8, truth: &Truth, history: &History, wrong: &mut Wrong) {
    for ((topic, partition), records) in truth.records.iter().filter(|((topic, _), _)| topic == topology::ORDERS) {
        let consumed = history.consumed_of((cluster, topology::ORDERS, *partition));
        for record in records {
            match consumed.get(&record.offset) {
                None => wrong.note(
                    Checker::Consumers,
                    "handed to no consumer",
                    format!("offset {} of {topic}-{partition}", record.offset),
                ),
                Some(value) if Some(value) == record.value.as_ref() => {}
                Some(value) => wrong.note(
                    Checker::Consumers,
                    "handed over differently",
                    format!("{} of {topic}-{partition}", name(value)),
                ),
            }
        }
        if consumed.len() > records.len() {
            wrong.note(
                Checker::Consumers,
                "handed over and in no log",
                format!("{} of {topic}-{partition}", consumed.len() - records.len()),
            );
        }
        let end = records.last().map_or(0, |last| last.offset + 1);
        let committed = truth.committed.iter().find(|c| c.topic == *topic && c.partition == *partition);
        let committed = committed.map_or(0, |c| c.offset);
        if committed != end {
            wrong.note(
                Checker::Consumers,
                "not committed to its end",
                format!("{topic}-{partition}: {committed} of {end}"),
            );
        }
    }
}

/// The part of a value that names it.
fn name(value: &[u8]) -> String {
    let end = value.iter().rposition(|byte| *byte == b'/').unwrap_or(value.len().min(40));
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[derive(Default)]
struct Wrong(BTreeMap<(Checker, &'static str), Vec<String>>);

impl Wrong {
    fn note(&mut self, checker: Checker, kind: &'static str, what: String) {
        self.0.entry((checker, kind)).or_default().push(what);
    }

    fn into_findings(self) -> Vec<Finding> {
        let findings = self.0.into_iter().flat_map(|((checker, kind), all)| {
            let more = all.len().saturating_sub(TOLD);
            let told = all.into_iter().take(TOLD).map(move |what| format!("{kind}: {what}"));
            let told = told.chain((more > 0).then(|| format!("{kind}: {more} more")));
            told.map(move |what| Finding::new(checker, what))
        });
        findings.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::value, plan::Load};
    use fixture_broker::RecordView;

    fn log(values: &[Bytes]) -> Truth {
        let record = |(offset, value): (i64, &Bytes)| RecordView {
            offset,
            timestamp_ms: 0,
            key: None,
            value: Some(value.clone()),
        };
        let records = (0..).zip(values).map(record).collect();
        Truth { records: BTreeMap::from([((topology::READINGS.to_owned(), 0), records)]), ..Truth::default() }
    }

    fn judged(outcomes: &[Outcome], log_of: &[usize]) -> Vec<Finding> {
        let history = History::default();
        let values: Vec<Bytes> = (0..).take(outcomes.len()).map(|n| value("p", 0, n, 50)).collect();
        for ((sequence, outcome), record) in (0..).zip(outcomes).zip(&values) {
            history.sent(record.clone(), (0, topology::READINGS, 0), "p", sequence);
            history.settled(record, *outcome);
        }
        let mut plan = Plan::quiet(1).with([(1, crate::plan::Fault::ClockJump { by_ms: 0 })]);
        plan.load = Load { consumers: 0, ..Load::ONE_OF_EACH };
        let log: Vec<Bytes> = log_of.iter().map(|n| values[*n].clone()).collect();
        judge(&plan, &[self::log(&log)], &history)
    }

    #[test]
    fn what_is_as_it_should_be_is_not_found() {
        use Outcome::{Failed, Indefinite, Ok};
        assert_eq!(judged(&[Ok, Failed, Indefinite, Indefinite, Ok], &[0, 3, 4]), []);
    }

    #[test]
    fn every_kind_of_wrong_is_found() {
        use Outcome::{Failed, Ok};
        assert!(judged(&[Ok, Ok], &[0])[0].what.contains("acknowledged and in no log"));
        assert!(judged(&[Ok, Failed], &[0, 1])[0].what.contains("refused, and in a log"));
        assert!(judged(&[Ok, Ok], &[0, 1, 1])[0].what.contains("in a log twice"));
        assert!(judged(&[Ok, Ok], &[1, 0])[0].what.contains("behind a later record"));
    }
}
