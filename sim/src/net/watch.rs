//! Looks over a client's shoulder: what it receives must answer what it has sent, and name no upstream server.

use super::{
    ear::{correlation_of_answer, head_of_request},
    exchanges::{Exchanges, Place, Request},
    eye::Wrong,
    frames::{Frames, Part},
};
use crate::{clients, findings::Checker, topology};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// The API whose requests may go unanswered.
const PRODUCE: i16 = 0;

/// One client connection.
#[derive(Debug)]
pub(super) struct Watch {
    /// Whose it is; nobody's, where requests and answers are not compared.
    who: Option<Arc<str>>,
    place: Place,
    exchanges: Exchanges,
    requests: Frames<12>,
    answers: Frames<8>,
    /// What is being sent.
    sending: Option<Unanswered>,
    /// What was sent, or is being sent, and was not answered yet.
    unanswered: VecDeque<Unanswered>,
    /// What the answer is to that is being received.
    answering: Option<Unanswered>,
    /// The last bytes that were received: an address may come in pieces.
    tail: Vec<u8>,
    has_ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    api: i16,
    version: i16,
    correlation: i32,
    since: Duration,
    /// Over all its bytes, once they are sent.
    digest: Option<u64>,
}

impl Watch {
    /// A connection to `port` of a proxy.
    pub(super) fn new(who: Option<Arc<str>>, proxy: u8, port: u16, exchanges: &Exchanges) -> Self {
        Self {
            who,
            place: Place { proxy, cluster: topology::cluster_at(port) },
            exchanges: exchanges.clone(),
            requests: Frames::default(),
            answers: Frames::default(),
            sending: None,
            unanswered: VecDeque::new(),
            answering: None,
            tail: Vec::new(),
            has_ended: false,
        }
    }

    pub(super) fn sent(&mut self, bytes: &[u8], now: Duration) {
        let Self { who, place, exchanges, requests, sending, unanswered, .. } = self;
        requests.feed(bytes, |part| match part {
            Part::Head(head) => {
                let (api, version, correlation) = head_of_request(&head);
                let request = Unanswered { api, version, correlation, since: now, digest: None };
                *sending = Some(request);
                if let Some(who) = who {
                    unanswered.push_back(request);
                    exchanges.waits(place.proxy, who, 1);
                }
            }
            Part::End(digest) => {
                if let Some(Unanswered { api, version, correlation, .. }) = sending.take() {
                    exchanges.asked(place.cluster, Request { api, version, digest });
                    // It may have been answered before its end.
                    if let Some(last) = unanswered.back_mut().filter(|last| last.correlation == correlation) {
                        last.digest = Some(digest);
                    }
                }
            }
        });
    }

    /// Takes what was received; says what is wrong with it.
    pub(super) fn received(&mut self, bytes: &[u8], now: Duration) -> Option<Wrong> {
        let leaked = self.leaked(bytes).map(|what| (Checker::Addresses, what));
        leaked.or_else(|| self.unfit(bytes, now).map(|what| (Checker::Answers, what)))
    }

    /// The other end has closed it.
    pub(super) fn ended(&mut self, now: Duration) {
        if self.who.is_none() || std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let waits = |request: &&Unanswered| request.api != PRODUCE || self.expects_acknowledgements();
        let oldest = self.unanswered.iter().find(waits);
        let oldest = oldest.map(|request| (request.api, now.saturating_sub(request.since)));
        self.exchanges.ended(self.place, now, !self.answers.is_between(), oldest);
    }

    /// The client has let go of it.
    pub(super) fn gone(&self, now: Duration) {
        if let Some(who) = &self.who
            && let left @ 1.. = self.unanswered.len() as u64 + u64::from(self.answering.is_some())
        {
            self.exchanges.waits_no_more(self.place.proxy, who, left, Some(now));
        }
    }

    /// Whether its holder waits for answers to Produce.
    fn expects_acknowledgements(&self) -> bool {
        self.who.as_ref().is_some_and(|who| !who.contains(clients::WITHOUT_ACKS))
    }

    fn leaked(&mut self, bytes: &[u8]) -> Option<String> {
        let needle = topology::UPSTREAM.as_bytes();
        self.tail.extend_from_slice(bytes);
        let found = self.tail.windows(needle.len()).any(|window| window == needle);
        let kept = self.tail.len().saturating_sub(needle.len() - 1);
        self.tail.drain(..kept);
        found.then(|| "a client was told an upstream address".to_owned())
    }

    fn unfit(&mut self, bytes: &[u8], now: Duration) -> Option<String> {
        let Self { who, place, exchanges, answers, unanswered, answering, .. } = self;
        let who = who.as_ref()?;
        let mut wrong = None;
        answers.feed(bytes, |part| match part {
            Part::Head(head) => match asked(unanswered, correlation_of_answer(&head)) {
                Ok((request, passed)) => {
                    // The one that is being answered is waited for until it is answered in full.
                    exchanges.waits_no_more(place.proxy, who, passed - 1, None);
                    *answering = Some(request);
                }
                Err(what) => wrong = wrong.take().or(Some(what)),
            },
            Part::End(digest) => {
                let answered = answering.take();
                exchanges.waits_no_more(place.proxy, who, u64::from(answered.is_some()), None);
                if let Some(Unanswered { api, version, since, digest: Some(request), .. }) = answered {
                    let request = Request { api, version, digest: request };
                    wrong = wrong.take().or(exchanges.told(*place, request, digest, since, now).err());
                }
            }
        });
        wrong
    }
}

/// The request that is answered with this correlation id, and how many no longer wait with it.
fn asked(unanswered: &mut VecDeque<Unanswered>, got: i32) -> Result<(Unanswered, u64), String> {
    let mut passed = 0;
    // Only a Produce with acks=0 is never answered.
    loop {
        passed += 1;
        match unanswered.pop_front() {
            Some(request) if request.correlation == got => return Ok((request, passed)),
            Some(Unanswered { api: PRODUCE, .. }) => {}
            Some(Unanswered { api, correlation, .. }) => {
                return Err(format!("a client got answer {got} where {correlation} to API {api} was due"));
            }
            None => return Err(format!("a client got answer {got} to no request")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The port of cluster 0.
    const PORT: u16 = 10_000;

    fn client(exchanges: &Exchanges) -> Watch {
        Watch::new(Some("a".into()), 0, PORT, exchanges)
    }

    fn request(api: i16, correlation: i32) -> Vec<u8> {
        [&8_i32.to_be_bytes()[..], &api.to_be_bytes(), &0_i16.to_be_bytes(), &correlation.to_be_bytes()].concat()
    }

    fn answer(correlation: i32) -> Vec<u8> {
        [&4_i32.to_be_bytes()[..], &correlation.to_be_bytes()].concat()
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn answers_in_order_are_fine_and_produce_may_go_unanswered() {
        let mut watch = client(&Exchanges::default());
        watch.sent(&[request(3, 1), request(PRODUCE, 2), request(3, 3)].concat(), at(0));
        assert_eq!(watch.received(&[answer(1), answer(3)].concat(), at(1)), None);
    }

    #[test]
    fn an_answer_to_another_request_is_noticed() {
        let mut watch = client(&Exchanges::default());
        watch.sent(&[request(3, 1), request(1, 2)].concat(), at(0));
        assert!(watch.received(&answer(2), at(1)).is_some());
        assert!(client(&Exchanges::default()).received(&answer(1), at(1)).is_some());
    }

    #[test]
    fn an_upstream_address_is_noticed_even_in_pieces() {
        for chunk in [1, 5, 100] {
            let mut watch = Watch::new(None, 0, PORT, &Exchanges::default());
            let bytes = b"..b0.c0.upstream.example..";
            let found = bytes.chunks(chunk).filter_map(|chunk| watch.received(chunk, at(0))).count();
            assert_eq!(found, 1, "in chunks of {chunk}");
        }
    }

    #[test]
    fn an_answer_that_no_broker_has_given_needs_a_drain() {
        use super::super::ear::Ear;
        let exchanges = Exchanges::default();
        let (mut watch, mut ear) = (client(&exchanges), Ear::new("brokers-0", &exchanges));
        let drained = |_: Place, _, _| false;
        watch.sent(&request(12, 1), at(0));
        assert_eq!(ear.received(&request(12, 1)), None);
        ear.said(&answer(1));
        assert_eq!(watch.received(&answer(1), at(5)), None);
        assert_eq!(exchanges.judge(drained, true), []);
        watch.sent(&request(12, 2), at(6));
        assert_eq!(watch.received(&answer(2), at(7)), None, "a drain may have answered it");
        assert_eq!(exchanges.judge(drained, true).len(), 1, "and there was none");
        assert_eq!(exchanges.judge(|_, _, _| true, true), []);
    }

    #[test]
    fn what_is_turned_away_must_not_be_executed() {
        use super::super::ear::Ear;
        let exchanges = Exchanges::default();
        let (mut watch, mut ear) = (client(&exchanges), Ear::new("brokers-0", &exchanges));
        watch.sent(&request(12, 1), at(0));
        ear.received(&request(12, 1));
        assert!(watch.received(&answer(1), at(1)).is_some());
    }

    #[test]
    fn a_broker_is_asked_what_was_sent_to_its_cluster_and_as_often() {
        use super::super::ear::Ear;
        let exchanges = Exchanges::default();
        let mut watch = client(&exchanges);
        watch.sent(&request(12, 1), at(0));
        assert!(Ear::new("brokers-1", &exchanges).received(&request(12, 1)).is_some(), "another cluster");
        let mut ear = Ear::new("brokers-0", &exchanges);
        assert_eq!(ear.received(&request(12, 1)), None);
        assert!(ear.received(&request(12, 1)).is_some(), "twice");
    }

    #[test]
    fn a_request_that_waits_in_vain_is_noticed_when_its_connection_ends() {
        let exchanges = Exchanges::default();
        let mut watch = client(&exchanges);
        watch.sent(&request(1, 1), at(0));
        watch.ended(at(2_000));
        assert_eq!(exchanges.judge(|_, _, _| true, true).len(), 1, "even a drain answers it");
        assert_eq!(exchanges.judge(|_, _, _| false, true).len(), 2, "and nobody has asked for one");
        assert_eq!(exchanges.judge(|_, _, _| false, false), [], "somebody else may have ended it");
    }
}
