//! What holds for any bytes, in any pieces, in any order.

use super::{
    super::{Event, Leg, Spec},
    Pair, authentication,
    frames::*,
    hex, login, server, spec,
};
use crate::{api::ApiKey, limits};
use proptest::prelude::*;

/// One request, what upstream answers (if it is asked and answers), and whether it stays in flight until then.
#[derive(Clone, Debug)]
enum Ask {
    Opaque(Vec<u8>),
    Metadata { node: i32 },
    Produce { version: i16, acks: i16, records: usize },
    Fetch { records: usize, endpoints: bool },
    TooNew,
    Refused,
}

impl Ask {
    fn request(&self, id: i32) -> Vec<u8> {
        match self {
            Self::Opaque(body) => opaque(id, body),
            Self::Metadata { .. } => metadata(id),
            Self::Produce { version, acks, records } => produce(*version, id, *acks, *records),
            Self::Fetch { .. } => fetch(id),
            Self::TooNew => {
                let mut ahead = api_versions(id);
                ahead[7] = 5;
                ahead
            }
            Self::Refused => request(ApiKey(52), 0, id, &kafka_protocol::messages::VoteRequest::default()),
        }
    }

    fn response(&self, id: i32) -> Option<Vec<u8>> {
        match self {
            Self::Opaque(body) => Some(opaque_ok(id, body)),
            Self::Metadata { node } => Some(metadata_ok(id, *node, "kafka.internal", 9009)),
            Self::Produce { acks: 0, .. } => None,
            Self::Produce { version, .. } => {
                let body = kafka_protocol::messages::ProduceResponse::default();
                Some(response(ApiKey::PRODUCE, *version, id, &body))
            }
            Self::Fetch { records, endpoints } => {
                let endpoints: &[_] = if *endpoints { &[(3, "kafka.internal", 9009)] } else { &[] };
                Some(fetch_ok(id, *records, endpoints))
            }
            Self::TooNew | Self::Refused => None,
        }
    }

    const fn goes_upstream(&self) -> bool {
        !matches!(self, Self::TooNew | Self::Refused)
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Ask::Opaque),
        (0..120i32).prop_map(|node| Ask::Metadata { node }),
        (3..=13i16, -1..=1i16, 0..3_000usize).prop_map(|(version, acks, records)| Ask::Produce {
            version,
            acks,
            records
        }),
        (prop_oneof![0..200usize, 60_000..200_000usize], any::<bool>())
            .prop_map(|(records, endpoints)| Ask::Fetch { records, endpoints }),
        Just(Ask::TooNew),
        Just(Ask::Refused),
    ]
}

fn in_pieces(bytes: &[u8], sizes: &[usize], mut f: impl FnMut(&[u8])) {
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, left) = rest.split_at((*sizes.next().expect("not empty")).clamp(1, rest.len()));
        f(piece);
        rest = left;
    }
}

/// Runs a whole conversation in pieces of the given sizes.
fn converse(asks: &[Ask], sizes: &[usize]) -> (Vec<u8>, Vec<u8>, Pair) {
    converse_by(Pair::open(spec(), &opaque(0, b"first")), asks, sizes)
}

fn converse_by(mut p: Pair, asks: &[Ask], sizes: &[usize]) -> (Vec<u8>, Vec<u8>, Pair) {
    let ids = || (1..).zip(asks);
    let requests: Vec<u8> = ids().flat_map(|(id, ask)| ask.request(id)).collect();
    let responses: Vec<u8> = ids().filter_map(|(id, ask)| ask.response(id)).flatten().collect();
    in_pieces(&requests, sizes, |piece| {
        p.client(piece);
    });
    assert_eq!(p.closed, None);
    let upstream = p.reached(Leg::Upstream);
    let responses = [opaque_ok(0, b""), responses].concat();
    in_pieces(&responses, sizes, |piece| {
        p.upstream(piece);
    });
    (upstream, p.reached(Leg::Client), p)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_chunking_gives_the_same_outputs(
        asks in prop::collection::vec(ask(), 1..12),
        sizes in prop::collection::vec(1..5_000usize, 1..6),
    ) {
        let (upstream, client, whole) = converse(&asks, &[usize::MAX]);
        let (upstream_in_pieces, client_in_pieces, pieces) = converse(&asks, &sizes);
        prop_assert_eq!(hex(&upstream), hex(&upstream_in_pieces));
        prop_assert_eq!(hex(&client), hex(&client_in_pieces));
        prop_assert_eq!(&whole.closed, &None);
        prop_assert_eq!(&pieces.closed, &None);
        prop_assert_eq!(whole.learned, pieces.learned);
    }

    #[test]
    fn what_passes_unseen_gives_the_same_outputs(
        asks in prop::collection::vec(ask(), 1..12),
        sizes in prop::collection::vec(1..5_000usize, 1..6),
    ) {
        let (upstream, client, seen) = converse(&asks, &sizes);
        let pair = Pair { passes: true, ..Pair::open(spec(), &opaque(0, b"first")) };
        let (upstream_unseen, client_unseen, unseen) = converse_by(pair, &asks, &sizes);
        prop_assert_eq!(hex(&upstream), hex(&upstream_unseen));
        prop_assert_eq!(hex(&client), hex(&client_unseen));
        prop_assert_eq!(&unseen.closed, &None);
        prop_assert_eq!(&seen.over, &unseen.over);
        prop_assert_eq!(seen.learned, unseen.learned);
        prop_assert_eq!(seen.relay.deadline(), unseen.relay.deadline());
        let streams =
            |ask: &Ask| matches!(ask, Ask::Fetch { records, .. } if *records > limits::RECORDS_COLLECT_MAX as usize);
        if sizes.iter().all(|size| *size < 1_000) && asks.iter().any(streams) {
            prop_assert!(unseen.passed > 0, "bulk need not be seen");
        }
    }

    #[test]
    fn what_reaches_upstream_is_what_was_asked_and_nothing_stays_in_flight(
        asks in prop::collection::vec(ask(), 1..12),
        sizes in prop::collection::vec(1..5_000usize, 1..6),
    ) {
        let (upstream, client, p) = converse(&asks, &sizes);
        let expected: Vec<u8> =
            (1..).zip(&asks).filter(|(_, ask)| ask.goes_upstream()).flat_map(|(id, ask)| ask.request(id)).collect();
        prop_assert_eq!(hex(&upstream), hex(&expected));
        prop_assert_eq!(p.relay.in_flight(), 0);
        prop_assert_eq!(p.over.len(), asks.len() + 1, "each request ends once");
        prop_assert!(!client.windows(14).any(|w| w == b"kafka.internal"), "an upstream address reached the client");
    }

    #[test]
    fn any_bytes_and_events_in_any_order_are_survived_in_bounded_memory(
        steps in prop::collection::vec(step(), 1..60),
        spec in prop::sample::select(vec![
            spec(),
            authentication::admitting(),
            login::logging_in(),
            Spec { logs_in: true, ..authentication::admitting() },
        ]),
        passes in any::<bool>(),
    ) {
        let mut p = Pair { passes, ..Pair::new(spec) };
        for step in steps {
            match step {
                Step::Bytes(leg, bytes) => { p.later(700).arrives(leg, &bytes); }
                Step::Happens(event) => { p.later(700).happens(event); }
                Step::DeadlinePasses => if let Some(deadline) = p.relay.deadline() {
                    p.reach(deadline).happens(Event::Tick);
                    prop_assert_ne!(p.relay.deadline(), Some(deadline), "it moves or goes");
                },
            }
            prop_assert!(p.most_kept <= limits::REQUEST_PEEK_MAX + 70_000);
            prop_assert!(p.relay.in_flight() <= limits::IN_FLIGHT_MAX + 1);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Bytes(Leg, Vec<u8>),
    Happens(Event),
    DeadlinePasses,
}

fn step() -> impl Strategy<Value = Step> {
    let leg = || prop_oneof![Just(Leg::Client), Just(Leg::Upstream)];
    let mangled = (ask(), 0..4i32, any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(ask, id, at, byte, response)| {
            let mut frame = if response { ask.response(id).unwrap_or_default() } else { ask.request(id) };
            if !frame.is_empty() && byte % 3 == 0 {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            Step::Bytes(if response { Leg::Upstream } else { Leg::Client }, frame)
        },
    );
    let event = prop_oneof![
        Just(Event::Resolved(vec![server(1), server(2)])),
        Just(Event::Resolved(vec![])),
        Just(Event::Connected),
        Just(Event::ConnectFailed("refused".into())),
        (leg(), 0..3usize).prop_map(|(leg, left)| Event::Eof { leg, left }),
        leg().prop_map(|leg| Event::Broke(leg, "reset".into())),
        Just(authentication::plain()),
        Just(login::plain()),
        Just(Event::Examiner(Err("no keys".into()))),
        Just(Event::Drain),
        Just(Event::Tick),
    ];
    let sasl = (0..3i32, 0..2i16).prop_map(|(id, version)| {
        let frame = match id {
            0 => authentication::handshake(version, id, "PLAIN"),
            _ => authentication::token(1, id, b"\0alice\0pencil"),
        };
        Step::Bytes(Leg::Client, frame)
    });
    prop_oneof![
        1 => (leg(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(leg, bytes)| Step::Bytes(leg, bytes)),
        6 => mangled,
        2 => sasl,
        3 => event.prop_map(Step::Happens),
        1 => Just(Step::DeadlinePasses),
    ]
}
