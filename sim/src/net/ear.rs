//! Listens at a broker's end: what it is asked, and what it answers.

use super::{
    exchanges::{Exchanges, Request},
    frames::{Frames, Part},
};
use crate::topology;
use std::collections::VecDeque;

/// A broker's end of a connection.
#[derive(Debug)]
pub(super) struct Ear {
    cluster: u8,
    exchanges: Exchanges,
    requests: Frames<12>,
    answers: Frames<8>,
    /// API, version and correlation id of the request that is being received.
    receiving: (i16, i16, i32),
    /// What was not answered yet, with its correlation id.
    unanswered: VecDeque<(i32, Request)>,
    /// What the answer is to that is being said.
    answering: Option<Request>,
}

impl Ear {
    pub(super) fn new(host: &str, exchanges: &Exchanges) -> Self {
        Self {
            cluster: topology::cluster_of(host),
            exchanges: exchanges.clone(),
            requests: Frames::default(),
            answers: Frames::default(),
            receiving: (0, 0, 0),
            unanswered: VecDeque::new(),
            answering: None,
        }
    }

    /// Takes what the broker has received; says what is wrong with it.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Option<String> {
        let Self { cluster, exchanges, requests, receiving, unanswered, .. } = self;
        let mut wrong = None;
        requests.feed(bytes, |part| match part {
            Part::Head(head) => *receiving = head_of_request(&head),
            Part::End(digest) => {
                let (api, version, correlation) = *receiving;
                let request = Request { api, version, digest };
                unanswered.push_back((correlation, request));
                wrong = wrong.take().or(exchanges.received(*cluster, request).err());
            }
        });
        wrong
    }

    /// Takes what the broker has said.
    pub(super) fn said(&mut self, bytes: &[u8]) {
        let Self { cluster, exchanges, answers, unanswered, answering, .. } = self;
        answers.feed(bytes, |part| match part {
            Part::Head(head) => {
                let correlation = correlation_of_answer(&head);
                let place = unanswered.iter().position(|(expected, _)| *expected == correlation);
                // What stands before it is never answered: Produce with acks=0.
                *answering = place.and_then(|place| unanswered.drain(..=place).next_back()).map(|(_, request)| request);
            }
            Part::End(digest) => {
                if let Some(request) = answering.take() {
                    exchanges.answered(*cluster, request, digest);
                }
            }
        });
    }
}

/// API, version and correlation id.
pub(super) const fn head_of_request(head: &[u8; 12]) -> (i16, i16, i32) {
    let api = i16::from_be_bytes([head[4], head[5]]);
    let version = i16::from_be_bytes([head[6], head[7]]);
    (api, version, i32::from_be_bytes([head[8], head[9], head[10], head[11]]))
}

pub(super) const fn correlation_of_answer(head: &[u8; 8]) -> i32 {
    i32::from_be_bytes([head[4], head[5], head[6], head[7]])
}
