//! What was asked and what was answered, on all connections of a world.
//!
//! What a broker is asked a client has sent, to its cluster and as often; what a client is answered a broker has said, to
//! that request. The proxy may rewrite answers that carry addresses, and give answers of its own where a drain turns
//! requests away: those are looked at again when it is known who drained when.

use crate::{
    findings::{Checker, Finding},
    lock,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

const FETCH: i16 = 1;
const METADATA: i16 = 3;
const JOIN_GROUP: i16 = 11;
const SYNC_GROUP: i16 = 14;
const API_VERSIONS: i16 = 18;

/// How long a request may go unanswered when a drain ends its connection: a round trip, and what crosses the FIN.
const UNANSWERED: Duration = Duration::from_millis(1_200);

/// A request: its API and version, and a digest over all its bytes. Client ids and correlation ids are among them, so that no
/// two of a connection are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Request {
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) digest: u64,
}

impl Request {
    /// Whether the proxy may give the client other bytes than the broker has said, because there are addresses in them.
    const fn may_be_rewritten(&self) -> bool {
        match self.api {
            0 => self.version >= 10,
            FETCH => self.version >= 16,
            2 | 8 | 9 | JOIN_GROUP | 12 | 13 | SYNC_GROUP | 22 => false,
            _ => true,
        }
    }

    /// Whether the proxy may answer it although a broker has it: it is a long poll.
    const fn may_be_cut_short(&self) -> bool {
        matches!(self.api, FETCH | JOIN_GROUP | SYNC_GROUP)
    }

    /// Whether the proxy asks such things itself.
    const fn is_discovery(&self) -> bool {
        matches!(self.api, METADATA | API_VERSIONS)
    }
}

/// Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchanges(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    /// By cluster and request: how often it was sent and not received, and received.
    asked: BTreeMap<(u8, Request), (u32, u32)>,
    /// What brokers have answered.
    answered: BTreeMap<(u8, Request), Vec<u64>>,
    own: Vec<Own>,
    ended: Vec<Ended>,
    /// By proxy and client.
    waiting: BTreeMap<(u8, Arc<str>), Waiting>,
}

/// Where a client is connected: to which proxy, for which cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) proxy: u8,
    pub(crate) cluster: u8,
}

/// An answer that no broker has given.
#[derive(Clone, Copy, Debug)]
struct Own {
    place: Place,
    api: i16,
    asked: Duration,
    answered: Duration,
}

/// A client's connection that the other end has closed.
#[derive(Clone, Copy, Debug)]
struct Ended {
    place: Place,
    at: Duration,
    /// In the middle of an answer.
    cut: bool,
    /// How long the oldest request has waited for its answer in vain.
    oldest: Option<(i16, Duration)>,
}

/// Requests of a client that it waits for.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    count: u64,
    /// Until then the proxy may count more: it does not know of every connection that is gone.
    excused_until: Duration,
    /// Since when the proxy has counted more.
    exceeded_since: Option<Duration>,
}

/// How long the proxy may hold on to what a client has left behind: it may only have closed its sending half.
const LEFT_BEHIND: Duration = Duration::from_secs(40);

/// How long the proxy may count a request as in flight that its client has seen answered.
const SETTLING: Duration = Duration::from_secs(1);

impl Exchanges {
    /// A client has sent a request.
    pub(super) fn asked(&self, cluster: u8, request: Request) {
        lock(&self.0).asked.entry((cluster, request)).or_default().0 += 1;
    }

    /// A broker has received one.
    pub(super) fn received(&self, cluster: u8, request: Request) -> Result<(), String> {
        let mut books = lock(&self.0);
        let (sent, received) = books.asked.entry((cluster, request)).or_default();
        *received += 1;
        if *received <= *sent || request.is_discovery() {
            return Ok(());
        }
        let Request { api, version, .. } = request;
        let times = if *sent == 0 { "that no client has sent".to_owned() } else { format!("sent {sent} times again") };
        Err(format!("a broker of cluster {cluster} received a request to API {api} version {version} {times}"))
    }

    /// A broker has answered.
    pub(super) fn answered(&self, cluster: u8, request: Request, answer: u64) {
        lock(&self.0).answered.entry((cluster, request)).or_default().push(answer);
    }

    /// A client has received an answer to what it asked so long ago.
    pub(super) fn told(
        &self,
        place: Place,
        request: Request,
        answer: u64,
        asked: Duration,
        now: Duration,
    ) -> Result<(), String> {
        if request.may_be_rewritten() {
            return Ok(());
        }
        let (mut books, cluster) = (lock(&self.0), place.cluster);
        if books.answered.get(&(cluster, request)).is_some_and(|said| said.contains(&answer)) {
            return Ok(());
        }
        let api = request.api;
        books.own.push(Own { place, api, asked, answered: now });
        // The same bytes may have been sent before, on another connection: heartbeats are.
        let executed = books.asked.get(&(cluster, request)).is_some_and(|(sent, received)| received >= sent);
        if executed && !request.may_be_cut_short() {
            return Err(format!(
                "a client was told of API {api} what no broker has said, and a broker has the request"
            ));
        }
        Ok(())
    }

    /// The other end has closed a client's connection.
    pub(super) fn ended(&self, place: Place, at: Duration, cut: bool, oldest: Option<(i16, Duration)>) {
        lock(&self.0).ended.push(Ended { place, at, cut, oldest });
    }

    /// A client waits for so many more answers.
    pub(super) fn waits(&self, proxy: u8, who: &Arc<str>, more: u64) {
        lock(&self.0).waiting.entry((proxy, who.clone())).or_default().count += more;
    }

    /// A client has so many fewer answers to wait for. `gone`: its connection is, and nobody has told the proxy yet.
    pub(super) fn waits_no_more(&self, proxy: u8, who: &Arc<str>, fewer: u64, gone: Option<Duration>) {
        let mut books = lock(&self.0);
        let waiting = books.waiting.entry((proxy, who.clone())).or_default();
        waiting.count = waiting.count.saturating_sub(fewer);
        if let Some(now) = gone {
            waiting.excused_until = now + LEFT_BEHIND;
        }
    }

    /// The proxy says how many requests of a client are in flight.
    pub(crate) fn counted(&self, proxy: u8, who: &str, in_flight: u64, now: Duration) -> Result<(), String> {
        let mut books = lock(&self.0);
        let Some(waiting) = books.waiting.get_mut(&(proxy, who.into())) else { return Ok(()) };
        if in_flight <= waiting.count || now < waiting.excused_until {
            waiting.exceeded_since = None;
            return Ok(());
        }
        let since = *waiting.exceeded_since.get_or_insert(now);
        if now.saturating_sub(since) < SETTLING {
            return Ok(());
        }
        Err(format!("{in_flight} requests of {who} are in flight, which waits for {}", waiting.count))
    }

    /// Answers in whose middle a client's connection ended.
    pub(crate) fn cut_answers(&self) -> u64 {
        lock(&self.0).ended.iter().filter(|ended| ended.cut).count() as u64
    }

    /// What remains to be said when it is known when each cluster `drained`. Where nothing but the proxy itself ends
    /// connections, it does so `gently`, and where no cluster drains not at all.
    pub(crate) fn judge(&self, drained: impl Fn(Place, Duration, Duration) -> bool, gently: bool) -> Vec<Finding> {
        let books = lock(&self.0);
        let mut findings = Vec::new();
        let mut note = |at: Duration, what: String| {
            findings.push(Finding::new(Checker::Answers, format!("at {:.3} s {what}", at.as_secs_f64())));
        };
        for Own { place, api, asked, answered } in &books.own {
            if !drained(*place, *asked, *answered) {
                let cluster = place.cluster;
                note(
                    *answered,
                    format!(
                        "a client was told of API {api} what no broker has said, and cluster {cluster} did not drain"
                    ),
                );
            }
        }
        for Ended { place, at, cut, oldest } in books.ended.iter().filter(|_| gently) {
            let cluster = place.cluster;
            if *cut {
                note(*at, format!("an answer of cluster {cluster} was cut, and only the proxy was at work"));
            }
            let Some((api, waited)) = oldest else { continue };
            if *waited >= UNANSWERED {
                let seconds = waited.as_secs_f64();
                note(
                    *at,
                    format!(
                        "cluster {cluster} closed a connection on which API {api} had waited {seconds:.1} s for its answer"
                    ),
                );
            }
            // Who had nothing to ask may notice the end of a drain only with the next question, however much later.
            if !drained(*place, Duration::ZERO, *at) {
                note(
                    *at,
                    format!(
                        "a connection to cluster {cluster} was closed on which API {api} waited, and it did not drain"
                    ),
                );
            }
        }
        findings
    }
}
