//! No bytes make the rewriters panic, or grow beyond a small multiple of what they were given.

use super::{
    super::{api_versions::intersect, asks_for_controllers, rewrite},
    Golden, RESPONSES, Seen, body_at, golden,
};
use crate::api::{Api, ApiKey};
use proptest::prelude::*;
use std::sync::LazyLock;

/// The most that one endpoint of five bytes of host and port can become.
const GROWTH: usize = 20;

fn check(key: ApiKey, version: i16, body: &[u8]) {
    let mut out = Vec::new();
    let done = rewrite(key, version, body, &Golden, &mut Seen::default(), &mut out);
    assert!(out.len() <= GROWTH * body.len().max(1), "{key} {version}: {} from {}", out.len(), body.len());
    drop(done);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn arbitrary_bytes_are_survived(
        pick in 0..RESPONSES.len(),
        version in 0..14i16,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(RESPONSES[pick].0, version, &body);
        let mut out = Vec::new();
        drop(intersect(version % 5, &body, &mut out));
        prop_assert!(out.len() <= body.len() + 16);
        drop(asks_for_controllers(version % 3, &body));
    }

    #[test]
    fn mangled_frames_are_survived(
        pick in 0..RESPONSES.len(),
        line in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        static FRAMES: LazyLock<Vec<(ApiKey, Vec<super::Line>)>> =
            LazyLock::new(|| RESPONSES.iter().map(|(key, file)| (*key, golden(file))).collect());
        let (key, lines) = &FRAMES[pick];
        let line = line.get(lines);
        let mut body = line.input[body_at(*key, line.version, &line.input)..].to_vec();
        for (at, byte) in &edits {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        check(*key, line.version, &body);
    }
}

/// Array counts come from the peer: five bytes that announce two thousand million elements cost nothing.
#[test]
fn a_count_bomb_costs_nothing() {
    for (key, _) in RESPONSES {
        let api = Api::find(key).expect("known");
        for version in api.min..=api.max {
            for bomb in [&[0xff; 5][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x7f, 0xff, 0xff, 0xff, 0x00]] {
                for at in 0..24 {
                    let mut body = vec![0; at];
                    body.extend_from_slice(bomb);
                    check(key, version, &body);
                }
            }
        }
    }
}
