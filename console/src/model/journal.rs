//! What has happened at one proxy: the event stream, what statuses tell where there is no stream, and the console's own
//! observations, each thing once.

use std::collections::{BTreeSet, VecDeque};

use kroxy_core::status::{Event, EventKind, ReloadAction, Severity, Status};

use crate::format;
use crate::limits::{JOURNAL_ENTRIES_MAX, TRANSITIONS_REMEMBERED_MAX};

/// The journal of one proxy, oldest entry first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    next_id: u64,
    /// Transitions and reloads that have been told, so that the status and the stream do not tell one twice.
    told: BTreeSet<Told>,
    /// What is older than this has been forgotten by `told` and is not told again.
    told_floor_unix_ms: u64,
    /// Sequence number and time of the last event of the stream.
    last: Option<(u64, u64)>,
}

/// Identifies a transition or reload: when, whose, to what.
type Told = (u64, String, &'static str);

/// One line of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Counts up within one console: what a selection holds on to.
    pub(crate) id: u64,
    /// What happened. [`Event::seq`] is 0 for what did not come by the stream.
    pub(crate) event: Event,
    /// What happened, in words.
    pub(crate) text: String,
}

impl Journal {
    /// All of it, oldest first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Takes an event of the stream; false for one that came already.
    pub(crate) fn event(&mut self, event: Event) -> bool {
        if let Some((seq, at)) = self.last {
            // A new process counts from 1 again, but its clock has gone on.
            let restarted = event.seq <= seq && event.at_unix_ms > at;
            if event.seq <= seq && !restarted {
                return false;
            }
            let missed = event.seq.saturating_sub(seq).saturating_sub(1);
            if !restarted && missed > 0 {
                self.note(event.at_unix_ms, Severity::Warn, format!("{} missed", format::things(missed, "event")));
            }
        }
        self.last = Some((event.seq, event.at_unix_ms));
        if told(&event.kind).is_some_and(|told| !self.remember(told)) {
            return false;
        }
        self.push(event);
        true
    }

    /// Takes the transitions and the reload that a status tells of, in the order in which they happened.
    pub(crate) fn status(&mut self, status: &Status) {
        let mut news = Vec::new();
        for transition in &status.proxy.last_transitions {
            let kind = EventKind::ProxyTransition { transition: transition.clone() };
            news.push(Event { seq: 0, at_unix_ms: transition.at_unix_ms, kind });
        }
        for cluster in &status.virtual_clusters {
            for transition in &cluster.last_transitions {
                let kind = EventKind::ClusterTransition {
                    virtual_cluster: cluster.name.clone(),
                    transition: transition.clone(),
                };
                news.push(Event { seq: 0, at_unix_ms: transition.at_unix_ms, kind });
            }
        }
        if let Some(report) = &status.configuration.last_reload {
            let at_unix_ms = report.at_unix_ms.saturating_add(report.duration_ms);
            news.push(Event { seq: 0, at_unix_ms, kind: EventKind::Reload { report: report.clone() } });
        }
        news.retain(|event| told(&event.kind).is_some_and(|told| self.remember(told)));
        news.sort_by_key(|event| event.at_unix_ms);
        for event in news {
            self.push(event);
        }
    }

    /// The last sequence number that came by the stream.
    #[cfg(test)]
    pub(crate) fn last_seq(&self) -> Option<u64> {
        self.last.map(|(seq, _)| seq)
    }

    /// Writes down what the console itself has seen.
    pub(crate) fn note(&mut self, at_unix_ms: u64, severity: Severity, message: String) {
        let kind = EventKind::Log { severity, target: "console".to_owned(), virtual_cluster: None, message };
        self.push(Event { seq: 0, at_unix_ms, kind });
    }

    fn push(&mut self, event: Event) {
        if self.entries.len() == JOURNAL_ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.next_id += 1;
        let text = words(&event.kind);
        self.entries.push_back(Entry { id: self.next_id, event, text });
    }

    /// True where it has not been told yet.
    fn remember(&mut self, told: Told) -> bool {
        if told.0 < self.told_floor_unix_ms || !self.told.insert(told) {
            return false;
        }
        while self.told.len() > TRANSITIONS_REMEMBERED_MAX {
            if let Some((at, ..)) = self.told.pop_first() {
                self.told_floor_unix_ms = at.saturating_add(1);
            }
        }
        true
    }
}

fn told(kind: &EventKind) -> Option<Told> {
    match kind {
        EventKind::ClusterTransition { virtual_cluster, transition } => {
            Some((transition.at_unix_ms, format!("cluster {virtual_cluster}"), transition.to.name()))
        }
        EventKind::ProxyTransition { transition } => {
            Some((transition.at_unix_ms, "proxy".to_owned(), transition.to.name()))
        }
        EventKind::Reload { report } => Some((report.at_unix_ms, "reload".to_owned(), report.outcome.name())),
        EventKind::Disconnects { .. } | EventKind::Log { .. } | EventKind::Missed { .. } | EventKind::Unknown => None,
    }
}

/// An event in one line.
fn words(kind: &EventKind) -> String {
    match kind {
        EventKind::ClusterTransition { transition, .. } => {
            let from = transition.from.map_or("new", |from| from.name());
            let why = transition.why.map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{from} → {}{why}: {}", transition.to, format::chain(&transition.cause))
        }
        EventKind::ProxyTransition { transition } => {
            let from = transition.from.map_or("", |from| from.name());
            let arrow = if from.is_empty() { "" } else { " → " };
            format!("proxy {from}{arrow}{}: {}", transition.to, format::chain(&transition.cause))
        }
        EventKind::Reload { report } => {
            let changed = report.virtual_clusters.iter().filter(|c| c.action != ReloadAction::Unchanged).count() as u64;
            let mut text = format!(
                "reload by {}: {}, after {}, generation {}, {} changed",
                report.trigger,
                report.outcome,
                format::latency(report.duration_ms.saturating_mul(1_000)),
                report.generation,
                format::things(changed, "virtual cluster"),
            );
            for part in report.errors.iter().chain(&report.warnings) {
                text.push_str("; ");
                text.push_str(part);
            }
            text
        }
        EventKind::Disconnects { window_ms, causes, .. } => {
            let all = causes.values().copied().fold(0, u64::saturating_add);
            let causes: Vec<_> = causes.iter().map(|(cause, n)| format!("{n} {}", cause.replace('_', " "))).collect();
            let window = format::duration(*window_ms);
            format!("{} closed in {window}: {}", format::things(all, "connection"), causes.join(", "))
        }
        EventKind::Log { target, message, .. } => format!("{target}: {message}"),
        EventKind::Missed { events: Some(events) } => format!("{events} events were missed"),
        EventKind::Missed { events: None } => "events of an earlier process may have been missed".to_owned(),
        EventKind::Unknown => "an event that this console does not know".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kroxy_core::status::{ClusterState, ClusterStatus, ClusterTransition};

    fn transition(at_unix_ms: u64, to: ClusterState) -> ClusterTransition {
        ClusterTransition { from: None, to, why: None, at_unix_ms, cause: vec!["test".into()] }
    }

    fn event(seq: u64, at_unix_ms: u64, to: ClusterState) -> Event {
        let kind =
            EventKind::ClusterTransition { virtual_cluster: "orders".into(), transition: transition(at_unix_ms, to) };
        Event { seq, at_unix_ms, kind }
    }

    fn texts(journal: &Journal) -> Vec<&str> {
        journal.entries().map(|e| e.text.as_str()).collect()
    }

    #[test]
    fn the_status_and_the_stream_do_not_tell_a_transition_twice() {
        let mut journal = Journal::default();
        let cluster = ClusterStatus {
            name: "orders".into(),
            last_transitions: vec![transition(5, ClusterState::Initializing), transition(6, ClusterState::Serving)],
            ..ClusterStatus::default()
        };
        let status = Status { virtual_clusters: vec![cluster], ..Status::default() };
        journal.status(&status);
        journal.event(event(2, 6, ClusterState::Serving));
        journal.status(&status);
        assert_eq!(texts(&journal), ["new → initializing: test", "new → serving: test"]);
        assert_eq!(journal.last_seq(), Some(2));
    }

    #[test]
    fn an_event_that_is_sent_again_is_told_once_and_a_gap_is_told() {
        let mut journal = Journal::default();
        journal.event(event(1, 5, ClusterState::Initializing));
        journal.event(event(1, 5, ClusterState::Initializing));
        journal.event(event(4, 9, ClusterState::Failed));
        assert_eq!(texts(&journal), ["new → initializing: test", "console: 2 events missed", "new → failed: test"]);
    }

    #[test]
    fn a_new_process_counts_from_one_again() {
        let mut journal = Journal::default();
        journal.event(event(70, 1_000, ClusterState::Serving));
        assert!(journal.event(event(1, 2_000, ClusterState::Initializing)));
        assert_eq!(texts(&journal).len(), 2);
    }

    #[test]
    fn the_journal_is_bounded() {
        let mut journal = Journal::default();
        for n in 0..JOURNAL_ENTRIES_MAX as u64 + 10 {
            journal.note(n, Severity::Info, n.to_string());
        }
        assert_eq!(journal.entries().count(), JOURNAL_ENTRIES_MAX);
        assert_eq!(journal.entries().next().map(|e| e.text.as_str()), Some("console: 10"));
    }
}
