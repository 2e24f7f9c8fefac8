//! Rates and their recent past, out of counters that only ever grow until the proxy restarts.

use std::collections::{BTreeMap, VecDeque};

use kroxy_core::status::{ApiCount, Totals};

use crate::limits::{HISTORY_POINTS_MAX, RATE_WINDOW_MIN_MS};

/// What moves, by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Requests a second.
    pub(crate) requests: f64,
    /// Bytes a second from clients.
    pub(crate) bytes_in: f64,
    /// Bytes a second to clients.
    pub(crate) bytes_out: f64,
    /// Errors a second.
    pub(crate) errors: f64,
}

/// The rates of one virtual cluster, or of all of them together.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    last: Option<Reading>,
    points: VecDeque<Rates>,
    by_api: BTreeMap<String, f64>,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
struct Reading {
    at_unix_ms: u64,
    totals: Totals,
    apis: BTreeMap<String, u64>,
}

impl History {
    /// Takes the counters as they were at `at_unix_ms`.
    ///
    /// Counters that went back belong to a new process: they say nothing about what was between, so they begin anew.
    pub(crate) fn read(&mut self, at_unix_ms: u64, totals: &Totals, apis: &[ApiCount]) {
        let reading = || Reading {
            at_unix_ms,
            totals: totals.clone(),
            apis: apis.iter().map(|a| (a.api.clone(), a.requests)).collect(),
        };
        let Some(last) = &self.last else {
            self.last = Some(reading());
            return;
        };
        if at_unix_ms < last.at_unix_ms || totals_went_back(&last.totals, totals) {
            self.last = Some(reading());
            return;
        }
        let elapsed_ms = at_unix_ms - last.at_unix_ms;
        if elapsed_ms < RATE_WINDOW_MIN_MS {
            return;
        }
        let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 * 1_000.0 / elapsed_ms as f64;
        let rates = Rates {
            requests: per_second(totals.requests, last.totals.requests),
            bytes_in: per_second(totals.bytes_in, last.totals.bytes_in),
            bytes_out: per_second(totals.bytes_out, last.totals.bytes_out),
            errors: per_second(totals.errors, last.totals.errors),
        };
        self.by_api = apis
            .iter()
            .filter_map(|a| Some((a.api.clone(), per_second(a.requests, *last.apis.get(&a.api)?))))
            .collect();
        if self.points.len() == HISTORY_POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(rates);
        self.last = Some(reading());
    }

    /// Forgets the last counters, because what comes next is another process's.
    pub(crate) fn restart(&mut self) {
        self.last = None;
        self.by_api.clear();
        self.points.push_back(Rates::default());
        if self.points.len() > HISTORY_POINTS_MAX {
            self.points.pop_front();
        }
    }

    /// The rates now; absent until two readings have come.
    pub(crate) fn now(&self) -> Option<Rates> {
        self.points.back().copied()
    }

    /// Requests a second of one API, where known.
    pub(crate) fn of_api(&self, api: &str) -> Option<f64> {
        self.by_api.get(api).copied()
    }

    /// The last `n` values of one rate, oldest first; fewer where there are fewer.
    pub(crate) fn last(&self, n: usize, of: impl Fn(&Rates) -> f64) -> Vec<f64> {
        self.points.iter().skip(self.points.len().saturating_sub(n)).map(of).collect()
    }
}

fn totals_went_back(last: &Totals, now: &Totals) -> bool {
    now.requests < last.requests || now.bytes_in < last.bytes_in || now.bytes_out < last.bytes_out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64) -> Totals {
        Totals { requests, bytes_in: requests * 100, bytes_out: requests * 1_000, ..Totals::default() }
    }

    #[test]
    fn a_rate_needs_two_readings() {
        let mut history = History::default();
        history.read(10_000, &totals(500), &[]);
        assert_eq!(history.now(), None);
        history.read(12_000, &totals(700), &[]);
        let now = history.now().expect("two readings came");
        assert_eq!((now.requests, now.bytes_in, now.bytes_out), (100.0, 10_000.0, 100_000.0));
    }

    #[test]
    fn readings_that_come_early_are_taken_together() {
        let mut history = History::default();
        for step in 0..=10 {
            history.read(step * 100, &totals(step * 10), &[]);
        }
        assert_eq!(history.last(9, |r| r.requests), [100.0]);
    }

    #[test]
    fn counters_that_went_back_make_no_spike() {
        let mut history = History::default();
        history.read(1_000, &totals(1_000_000), &[]);
        history.read(2_000, &totals(10), &[]);
        assert_eq!(history.now(), None);
        history.read(3_000, &totals(20), &[]);
        assert_eq!(history.now().map(|r| r.requests), Some(10.0));
    }

    #[test]
    fn an_api_that_is_new_has_no_rate_yet() {
        let mut history = History::default();
        let fetch = |requests| ApiCount { api: "Fetch".into(), requests };
        history.read(1_000, &totals(10), &[fetch(10)]);
        history.read(2_000, &totals(20), &[fetch(15), ApiCount { api: "Produce".into(), requests: 5 }]);
        assert_eq!((history.of_api("Fetch"), history.of_api("Produce")), (Some(5.0), None));
    }

    #[test]
    fn the_past_is_bounded() {
        let mut history = History::default();
        for second in 0..2 * HISTORY_POINTS_MAX as u64 {
            history.read(second * 1_000, &totals(second), &[]);
        }
        assert_eq!(history.last(usize::MAX, |r| r.requests).len(), HISTORY_POINTS_MAX);
    }
}
