//! Looks over a client's shoulder: what it receives must answer what it has sent, and name no upstream server.

use super::frames::Frames;
use crate::{findings::Checker, topology};
use std::collections::VecDeque;

/// The API whose requests may go unanswered.
const PRODUCE: i16 = 0;

/// One client connection.
#[derive(Debug)]
pub(super) struct Watch {
    /// Whether requests and answers are compared.
    pairs: bool,
    requests: Frames<12>,
    answers: Frames<8>,
    /// API and correlation id of what was not answered yet.
    unanswered: VecDeque<(i16, i32)>,
    /// The last bytes that were received: an address may come in pieces.
    tail: Vec<u8>,
}

impl Watch {
    pub(super) fn new(pairs: bool) -> Self {
        Self {
            pairs,
            requests: Frames::default(),
            answers: Frames::default(),
            unanswered: VecDeque::new(),
            tail: Vec::new(),
        }
    }

    pub(super) fn sent(&mut self, bytes: &[u8]) {
        if !self.pairs {
            return;
        }
        for head in self.requests.feed(bytes) {
            let api = i16::from_be_bytes([head[4], head[5]]);
            self.unanswered.push_back((api, i32::from_be_bytes([head[8], head[9], head[10], head[11]])));
        }
    }

    /// Takes what was received; says what is wrong with it.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Option<(Checker, String)> {
        let leaked = self.leaked(bytes).map(|what| (Checker::Addresses, what));
        leaked.or_else(|| self.unfit(bytes).map(|what| (Checker::Answers, what)))
    }

    /// Whether an end of the stream now would cut an answer.
    pub(super) fn is_inside_answer(&self) -> bool {
        self.pairs && !self.answers.is_between()
    }

    fn leaked(&mut self, bytes: &[u8]) -> Option<String> {
        let needle = topology::UPSTREAM.as_bytes();
        self.tail.extend_from_slice(bytes);
        let found = self.tail.windows(needle.len()).any(|window| window == needle);
        let kept = self.tail.len().saturating_sub(needle.len() - 1);
        self.tail.drain(..kept);
        found.then(|| "a client was told an upstream address".to_owned())
    }

    fn unfit(&mut self, bytes: &[u8]) -> Option<String> {
        if !self.pairs {
            return None;
        }
        for head in self.answers.feed(bytes) {
            let got = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            // Only a Produce with acks=0 is never answered.
            loop {
                match self.unanswered.pop_front() {
                    Some((_, expected)) if expected == got => break,
                    Some((PRODUCE, _)) => {}
                    Some((api, expected)) => {
                        return Some(format!("a client got answer {got} where {expected} to API {api} was due"));
                    }
                    None => return Some(format!("a client got answer {got} to no request")),
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(api: i16, correlation: i32) -> Vec<u8> {
        [&8_i32.to_be_bytes()[..], &api.to_be_bytes(), &0_i16.to_be_bytes(), &correlation.to_be_bytes()].concat()
    }

    fn answer(correlation: i32) -> Vec<u8> {
        [&4_i32.to_be_bytes()[..], &correlation.to_be_bytes()].concat()
    }

    #[test]
    fn answers_in_order_are_fine_and_produce_may_go_unanswered() {
        let mut watch = Watch::new(true);
        watch.sent(&[request(3, 1), request(PRODUCE, 2), request(1, 3)].concat());
        assert_eq!(watch.received(&[answer(1), answer(3)].concat()), None);
    }

    #[test]
    fn an_answer_to_another_request_is_noticed() {
        let mut watch = Watch::new(true);
        watch.sent(&[request(3, 1), request(1, 2)].concat());
        assert!(watch.received(&answer(2)).is_some());
        assert!(Watch::new(true).received(&answer(1)).is_some());
    }

    #[test]
    fn an_upstream_address_is_noticed_even_in_pieces() {
        for chunk in [1, 5, 100] {
            let mut watch = Watch::new(false);
            let bytes = b"..b0.c0.upstream.example..";
            assert!(bytes.chunks(chunk).filter_map(|chunk| watch.received(chunk)).count() == 1, "in chunks of {chunk}");
        }
    }
}
