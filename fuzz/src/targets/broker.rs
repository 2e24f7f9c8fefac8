//! The embedded broker: requests on a few connections, and time that passes between them.

use crate::{
    bend::bent_frame,
    case::{NotACase, hex, unhex},
    dice::Dice,
    invent::{self, Way},
};
use fixture_broker::{Cluster, ClusterSpec, ConnId, NodeSpec, Output};
use kroxy_core::{
    api::{APIS, ApiKey},
    time::Instant,
};
use std::{fmt, str::FromStr};

/// 2026-01-01, in milliseconds.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// Connections at a time.
const CONNECTIONS: usize = 3;

/// How long after the one before each request comes.
const PACE_MS: u64 = 400;

/// Requests, each without its length, and which connection they come on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frames(Vec<(usize, Vec<u8>)>);

impl Frames {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let served = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 25, 26, 28, 32, 36, 42];
        let frames = (0..1 + dice.below(24)).map(|id| {
            let conn = dice.below(CONNECTIONS);
            let key = ApiKey(if dice.percent(90) { *dice.one_of(&served) } else { APIS[dice.below(APIS.len())].key.0 });
            let version = i16::try_from(dice.below(19)).expect("small");
            let id = i32::try_from(id).expect("small");
            let frame = match invent::body(key, version, Way::Request, dice) {
                Some(body) => invent::frame(key, version, Way::Request, id, &body, dice),
                None => {
                    let count = dice.below(60);
                    let body = dice.bytes(count);
                    invent::frame(key, version, Way::Request, id, &body, dice)
                }
            };
            let frame = if dice.percent(40) { bent_frame(frame, dice) } else { frame };
            (conn, frame.get(4..).unwrap_or_default().to_vec())
        });
        Self(frames.collect())
    }

    pub(crate) fn size(&self) -> usize {
        self.0.iter().map(|(_, frame)| frame.len()).sum()
    }

    pub(crate) fn check(&self) {
        let node = |id| NodeSpec { id, host: format!("b{id}.example"), port: 9092, rack: None };
        let spec = ClusterSpec { nodes: (0..2).map(node).collect(), ..ClusterSpec::default() };
        let mut cluster = Cluster::new(spec, 7, Instant::ZERO);
        let mut conns = [None; CONNECTIONS];
        let mut ms = 0;
        for (at, frame) in &self.0 {
            let now = Instant::from_millis(ms);
            let conn: ConnId = *conns[*at].get_or_insert_with(|| cluster.open(i32::from(*at == 2), now));
            let mut out = Vec::new();
            cluster.receive(conn, frame.clone().into(), now, EPOCH_MS, &mut out);
            ms += PACE_MS;
            let due = cluster.deadline();
            let now = Instant::from_millis(ms);
            cluster.tick(now, EPOCH_MS, &mut out);
            if let Some(due) = due.filter(|due| *due <= now) {
                assert_ne!(cluster.deadline(), Some(due), "a tick at a deadline moves it");
            }
            for output in out {
                match output {
                    Output::Send { frame, .. } => {
                        let length = frame.first_chunk().map(|length| u32::from_be_bytes(*length));
                        assert_eq!(length, u32::try_from(frame.len() - 4).ok(), "a frame says how long it is");
                    }
                    Output::Close { conn, .. } => {
                        conns.iter_mut().filter(|open| **open == Some(conn)).for_each(|open| *open = None);
                    }
                }
            }
        }
        serves(&mut cluster, Instant::from_millis(ms));
    }

    pub(crate) fn smaller(&self) -> Vec<Self> {
        let without = |at| {
            let mut frames = self.0.clone();
            frames.remove(at);
            Self(frames)
        };
        (0..self.0.len()).map(without).collect()
    }
}

/// Whoever behaves is still served.
fn serves(cluster: &mut Cluster, now: Instant) {
    let conn = cluster.open(0, now);
    let metadata = [0, 3, 0, 1, 0, 0, 0, 7, 0, 1, b's', 0, 0, 0, 0];
    let mut out = Vec::new();
    cluster.receive(conn, metadata.to_vec().into(), now, EPOCH_MS, &mut out);
    assert!(matches!(&out[..], [Output::Send { .. }]), "who behaves is served: {out:?}");
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(conn, frame)| writeln!(f, "{conn} {}", hex(frame)))
    }
}

impl FromStr for Frames {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let frame = |line: &str| {
            let (conn, frame) = line.split_once(' ').ok_or_else(|| NotACase::line(line))?;
            let conn = conn.parse().ok().filter(|conn| *conn < CONNECTIONS).ok_or_else(|| NotACase::line(line))?;
            Ok((conn, unhex(frame)?))
        };
        text.lines().map(frame).collect::<Result<_, _>>().map(Self)
    }
}
