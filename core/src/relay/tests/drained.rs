//! What holds for a drain at any moment, whatever is asked, in any pieces and however upstream takes its time.

use super::{
    super::{Action, Event, Leg},
    Pair,
    frames::*,
    hex, server, spec,
};
use crate::api::ApiKey;
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, DescribeGroupsRequest, FetchRequest, GroupId, InitProducerIdRequest, JoinGroupRequest,
        ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceResponse, VoteRequest,
        fetch_request::{FetchPartition, FetchTopic},
    },
    protocol::StrBytes,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Ask {
    Produce { version: i16, acks: i16, records: usize },
    Fetch { incremental: bool },
    JoinGroup,
    Heartbeat,
    InitProducerId,
    ListOffsets,
    OffsetFetch { version: i16 },
    DescribeGroups { groups: usize },
    OffsetCommit,
    Metadata,
    CreateTopics,
    Vote,
}

impl Ask {
    fn request(&self, id: i32) -> Vec<u8> {
        match self {
            Self::Produce { version, acks, records } => produce(*version, id, *acks, *records),
            Self::Fetch { incremental } => {
                let topic = FetchTopic::default().with_partitions(vec![FetchPartition::default(); 3]);
                let body = FetchRequest::default().with_session_id(9).with_topics(vec![topic]);
                request(ApiKey::FETCH, 16, id, &body.with_session_epoch(i32::from(*incremental)))
            }
            Self::JoinGroup => {
                let body = JoinGroupRequest::default().with_member_id(StrBytes::from_static_str("member"));
                request(ApiKey::JOIN_GROUP, 9, id, &body)
            }
            Self::Heartbeat => opaque(id, b""),
            Self::InitProducerId => request(ApiKey::INIT_PRODUCER_ID, 4, id, &InitProducerIdRequest::default()),
            Self::ListOffsets => request(ApiKey::LIST_OFFSETS, 7, id, &ListOffsetsRequest::default()),
            Self::OffsetFetch { version } => {
                request(ApiKey::OFFSET_FETCH, *version, id, &OffsetFetchRequest::default())
            }
            Self::DescribeGroups { groups } => {
                let groups = vec![GroupId(StrBytes::from_static_str("billing")); *groups];
                request(ApiKey::DESCRIBE_GROUPS, 5, id, &DescribeGroupsRequest::default().with_groups(groups))
            }
            Self::OffsetCommit => request(ApiKey::OFFSET_COMMIT, 8, id, &OffsetCommitRequest::default()),
            Self::Metadata => metadata(id),
            Self::CreateTopics => request(ApiKey(19), 7, id, &CreateTopicsRequest::default()),
            Self::Vote => request(ApiKey(52), 0, id, &VoteRequest::default()),
        }
    }

    fn response(&self, id: i32) -> Option<Vec<u8>> {
        match self {
            Self::Produce { acks: 0, .. } => None,
            Self::Produce { version, .. } => Some(response(ApiKey::PRODUCE, *version, id, &ProduceResponse::default())),
            Self::Fetch { .. } => Some(fetch_ok(id, 300, &[(3, "kafka.internal", 9009)])),
            Self::Metadata => Some(metadata_ok(id, 7, "kafka.internal", 9009)),
            Self::JoinGroup
            | Self::Heartbeat
            | Self::InitProducerId
            | Self::ListOffsets
            | Self::OffsetFetch { .. }
            | Self::DescribeGroups { .. }
            | Self::OffsetCommit
            | Self::CreateTopics
            | Self::Vote => Some(opaque_ok(id, b"")),
        }
    }

    const fn is_unanswered(&self) -> bool {
        matches!(self, Self::Produce { acks: 0, .. })
    }

    const fn is_long_poll(&self) -> bool {
        matches!(self, Self::Fetch { .. } | Self::JoinGroup)
    }

    /// Whether a drain may leave it unanswered where a long poll stands before it.
    const fn may_be_left(&self) -> bool {
        matches!(self, Self::Heartbeat | Self::ListOffsets | Self::OffsetFetch { .. } | Self::Metadata)
    }

    /// Whether a draining connection may execute it.
    const fn may_be_executed_late(&self) -> bool {
        self.is_unanswered() || matches!(self, Self::OffsetCommit | Self::Metadata)
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        3 => (3..=13i16, -1..=1i16, 0..2_000usize)
            .prop_map(|(version, acks, records)| Ask::Produce { version, acks, records }),
        2 => any::<bool>().prop_map(|incremental| Ask::Fetch { incremental }),
        1 => Just(Ask::JoinGroup),
        1 => Just(Ask::Heartbeat),
        1 => Just(Ask::InitProducerId),
        1 => Just(Ask::ListOffsets),
        1 => (1..=9i16).prop_map(|version| Ask::OffsetFetch { version }),
        1 => (0..300usize).prop_map(|groups| Ask::DescribeGroups { groups }),
        2 => Just(Ask::OffsetCommit),
        1 => Just(Ask::Metadata),
        1 => Just(Ask::CreateTopics),
        1 => Just(Ask::Vote),
    ]
}

#[derive(Clone, Debug)]
enum Move {
    Client(usize),
    Upstream(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![(1..3_000usize).prop_map(Move::Client), (1..1_000usize).prop_map(Move::Upstream)];
    prop::collection::vec(one, 0..40)
}

/// Both peers of a connection, which keep their promises.
struct World<'a> {
    p: Pair,
    asks: &'a [Ask],
    to_send: Vec<u8>,
    arriving: Vec<u8>,
    /// Ids of the requests that reached upstream, in order.
    executed: Vec<i32>,
    to_answer: Vec<u8>,
    received: Vec<u8>,
}

impl<'a> World<'a> {
    fn new(asks: &'a [Ask]) -> Self {
        let to_send = (1..).zip(asks).flat_map(|(id, ask)| ask.request(id)).collect();
        let p = Pair::open(spec(), &opaque(0, b""));
        let to_answer = opaque_ok(0, b"");
        Self { p, asks, to_send, arriving: Vec::new(), executed: Vec::new(), to_answer, received: Vec::new() }
    }

    /// The same, where nothing has been asked yet and upstream is not connected.
    fn cold(asks: &'a [Ask]) -> Self {
        Self { p: Pair::new(spec()), to_answer: Vec::new(), ..Self::new(asks) }
    }

    /// Upstream is there from now on, for whoever waits for it.
    fn connect(&mut self) {
        self.p.happens(Event::Resolved(vec![server(1)])).happens(Event::Connected);
        self.look();
    }

    fn ask(&self, id: i32) -> &'a Ask {
        &self.asks[usize::try_from(id - 1).expect("an id of a request")]
    }

    fn make(&mut self, one: &Move) {
        match one {
            Move::Client(n) => {
                let sent: Vec<u8> = self.to_send.drain(..self.to_send.len().min(*n)).collect();
                self.p.client(&sent);
            }
            Move::Upstream(n) => {
                let answered: Vec<u8> = self.to_answer.drain(..self.to_answer.len().min(*n)).collect();
                self.p.upstream(&answered);
            }
        }
        self.look();
    }

    fn look(&mut self) {
        self.received.extend(self.p.reached(Leg::Client));
        self.arriving.extend(self.p.reached(Leg::Upstream));
        for frame in frames(&mut self.arriving) {
            let id = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
            assert_eq!(hex(&frame), hex(&self.ask(id).request(id)), "what reaches upstream is what was asked");
            self.executed.push(id);
            self.to_answer.extend(self.ask(id).response(id).unwrap_or_default());
        }
    }

    fn drain(&mut self) {
        self.p.happens(Event::Drain);
        self.look();
    }

    /// Everybody says what they have to say.
    fn settle(&mut self) {
        while !self.to_send.is_empty() || !self.to_answer.is_empty() {
            self.make(&Move::Client(usize::MAX));
            self.make(&Move::Upstream(usize::MAX));
        }
    }

    /// Everybody has said what they had to say. The answers to requests from `first` on are owed.
    fn check(&mut self, first: i32) -> Result<(), TestCaseError> {
        prop_assert_eq!(&self.p.closed, &None);
        prop_assert_eq!(self.p.relay.in_flight(), 0);
        prop_assert!(self.p.took(&Action::Finish), "the drain came to its end");

        let answered = self.answers();
        let taken = answered.last().copied().unwrap_or(0);
        let expected: Vec<i32> = (first..=taken).filter(|id| *id == 0 || !self.ask(*id).is_unanswered()).collect();
        prop_assert_eq!(&answered, &expected, "once and in order");

        let unanswered: Vec<i32> =
            (1..).zip(self.asks).filter(|(_, ask)| ask.is_unanswered()).map(|(id, _)| id).collect();
        let executed: Vec<i32> = self.executed.iter().copied().filter(|id| self.ask(*id).is_unanswered()).collect();
        prop_assert_eq!(executed, unanswered, "records that nobody is told about all arrive");

        prop_assert!(self.executed.is_sorted_by(|a, b| a < b), "in order, and none twice");
        for id in &self.executed {
            let is_behind_poll = self.executed.iter().any(|poll| poll < id && self.ask(*poll).is_long_poll());
            let may_be_left = is_behind_poll && (self.ask(*id).may_be_left() || self.ask(*id).is_long_poll());
            let was_answered = answered.contains(id) || self.ask(*id).is_unanswered();
            prop_assert!(was_answered || may_be_left, "{} was executed and not answered", id);
        }
        let own: Vec<i32> = self.p.over.iter().filter(|e| e.is_own()).map(|e| e.asked.correlation_id).collect();
        for id in &own {
            let is_one = !self.executed.contains(id) || self.ask(*id).is_long_poll();
            prop_assert!(is_one, "{} is rejected and executed", id);
        }
        let rejected = own.iter().find(|id| !self.executed.contains(id) && !matches!(self.ask(**id), Ask::Vote));
        if let Some(first) = rejected {
            for id in self.executed.iter().filter(|id| *id > first) {
                let may_be = self.ask(*id).may_be_executed_late();
                prop_assert!(may_be, "{} is executed behind the rejected {}", id, first);
            }
        }
        Ok(())
    }

    /// Ids of the answers that reached the client.
    fn answers(&mut self) -> Vec<i32> {
        let answers = frames(&mut self.received);
        assert!(self.received.is_empty(), "no answer ends in the middle");
        answers.iter().map(|frame| i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]])).collect()
    }
}

/// Takes the complete frames out of a stream.
fn frames(stream: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(prefix) = stream.first_chunk::<4>() {
        let end = 4 + u32::from_be_bytes(*prefix) as usize;
        if stream.len() < end {
            break;
        }
        all.push(stream.drain(..end).collect());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_request_is_answered_once_in_order_and_none_is_both_rejected_and_executed(
        asks in prop::collection::vec(ask(), 1..16),
        before in moves(),
        after in moves(),
    ) {
        let mut w = World::new(&asks);
        before.iter().for_each(|one| w.make(one));
        w.drain();
        after.iter().for_each(|one| w.make(one));
        w.settle();
        w.check(0)?;
    }

    #[test]
    fn the_same_holds_when_a_drain_begins_before_upstream_is_connected(
        asks in prop::collection::vec(ask(), 1..16),
        before in moves(),
        after in moves(),
    ) {
        let mut w = World::cold(&asks);
        before.iter().for_each(|one| w.make(one));
        w.drain();
        after.iter().for_each(|one| w.make(one));
        // Upstream is there for the first request that waits for it, and for records that cross the FIN.
        for _ in 0..3 {
            w.settle();
            w.connect();
        }
        w.settle();
        w.check(1)?;
    }

    #[test]
    fn rejections_do_not_depend_on_the_pieces_that_requests_arrive_in(
        asks in prop::collection::vec(ask(), 1..16),
        pieces in prop::collection::vec(1..2_000usize, 1..6),
    ) {
        let run = |pieces: &[usize]| {
            let mut w = World::new(&asks);
            w.drain();
            let mut pieces = pieces.iter().cycle();
            while !w.to_send.is_empty() {
                w.make(&Move::Client(*pieces.next().expect("not empty")));
            }
            w.settle();
            (hex(&w.received), w.executed)
        };
        prop_assert_eq!(run(&[usize::MAX]), run(&pieces));
    }
}
