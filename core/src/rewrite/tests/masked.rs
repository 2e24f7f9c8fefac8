//! Large responses with records: masked while they stream.

use super::{
    super::{Masker, Rewritten, Span, rewrite},
    Golden, Line, Seen, body_at, contains, golden,
};
use crate::api::{Api, ApiKey, ResponseTreatment};
use bytes::Bytes;
use kafka_protocol::{
    messages::{FetchResponse, ShareFetchResponse},
    protocol::{Decodable, Message},
};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Masks a body that arrives in pieces of the given sizes.
pub(super) fn mask(key: ApiKey, version: i16, body: &[u8], sizes: &[usize]) -> Result<Vec<u8>, String> {
    let mut masker = Masker::new(key, version, u32::try_from(body.len()).expect("small"));
    let (mut out, mut shown, mut at) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().cycle();
    while !masker.is_done() {
        if shown == body.len() {
            return Err("not done with all bytes shown".into());
        }
        shown = (shown + (*sizes.next().expect("not empty")).max(1)).min(body.len());
        let chunk = &body[at..shown];
        let (mut taken, before) = (0, out.len());
        let settled = masker
            .feed(chunk, &mut |span| match span {
                Span::Keep(n) => {
                    out.extend_from_slice(&chunk[taken..taken + n]);
                    taken += n;
                }
                Span::Replace(bytes) => {
                    taken += bytes.len();
                    out.extend_from_slice(&bytes);
                }
            })
            .map_err(|e| e.to_string())?;
        assert_eq!((taken, out.len() - before), (settled, settled), "spans cover what was settled");
        at += settled;
        assert!(shown - at < 64, "only the inside of a field may be left: {}", shown - at);
    }
    Ok(out)
}

fn frames_with_records() -> impl Iterator<Item = (ApiKey, Line)> {
    let all = [(ApiKey::FETCH, "fetch-response"), (ApiKey::SHARE_FETCH, "share-fetch-response")];
    all.into_iter().flat_map(|(key, file)| golden(file).into_iter().map(move |line| (key, line))).filter(
        |(key, line)| {
            Api::find(*key).is_some_and(|api| api.response_treatment(line.version) == ResponseTreatment::Records)
        },
    )
}

#[test]
fn masked_frames_keep_their_length_and_everything_but_the_endpoints() {
    let mut masked = 0;
    for (key, line) in frames_with_records() {
        let name = format!("{key} version {} {}", line.version, line.variant);
        let body = &line.input[body_at(key, line.version, &line.input)..];
        let got = mask(key, line.version, body, &[usize::MAX / 2]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got.len(), body.len(), "{name}");
        assert!(!contains(&got, b"upstream.internal"), "{name}");
        let walked = rewrite(key, line.version, &got, &Golden, &mut Seen::default(), &mut Vec::new());
        assert_eq!(walked, Ok(Rewritten::Unchanged), "{name}: a well-formed message without endpoints");
        if line.input == line.expected {
            assert!(got == body, "{name}: there was nothing to mask");
            continue;
        }
        masked += 1;
        if key == ApiKey::SHARE_FETCH && line.version > ShareFetchResponse::VERSIONS.max {
            continue; // newer than the decoder
        }
        let (mut theirs, mut ours) = (Bytes::from(body.to_vec()), Bytes::from(got));
        if key == ApiKey::FETCH {
            let theirs = FetchResponse::decode(&mut theirs, line.version).expect(&name);
            let ours = FetchResponse::decode(&mut ours, line.version).expect(&name);
            assert_eq!(theirs.responses, ours.responses, "{name}");
            assert_eq!(theirs.session_id, ours.session_id, "{name}");
            assert!(ours.node_endpoints.is_empty(), "{name}");
        } else {
            let theirs = ShareFetchResponse::decode(&mut theirs, line.version).expect(&name);
            let ours = ShareFetchResponse::decode(&mut ours, line.version).expect(&name);
            assert_eq!(theirs.responses, ours.responses, "{name}");
            assert!(ours.node_endpoints.is_empty(), "{name}");
        }
        assert!(left_by_decoder(key, line.version, body).is_empty(), "{name}");
    }
    assert!(masked > 10, "{masked} frames had something to mask");
}

/// What a decoder leaves of a masked frame: nothing may follow the message.
fn left_by_decoder(key: ApiKey, version: i16, body: &[u8]) -> Bytes {
    let mut ours = Bytes::from(mask(key, version, body, &[7]).expect("masked before"));
    if key == ApiKey::FETCH {
        FetchResponse::decode(&mut ours, version).map(drop).expect("decoded before");
    } else {
        ShareFetchResponse::decode(&mut ours, version).map(drop).expect("decoded before");
    }
    ours
}

#[test]
fn any_chunking_masks_the_same_bytes() {
    for (key, line) in frames_with_records() {
        let body = &line.input[body_at(key, line.version, &line.input)..];
        let whole = mask(key, line.version, body, &[usize::MAX / 2]);
        for sizes in [&[1][..], &[2, 3], &[7, 1, 30], &[64]] {
            assert!(mask(key, line.version, body, sizes) == whole, "{key} {} {}", line.version, line.variant);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mangled_bodies_end_in_an_error_or_in_the_same_length(
        pick in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        size in 1..200usize,
    ) {
        static FRAMES: LazyLock<Vec<(ApiKey, Line)>> = LazyLock::new(|| frames_with_records().collect());
        let (key, line) = pick.get(&FRAMES);
        let mut body = line.input[body_at(*key, line.version, &line.input)..].to_vec();
        for (at, byte) in &edits {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        let len = body.len();
        body.truncate(len - cut.index(len.min(8)));
        let whole = mask(*key, line.version, &body, &[usize::MAX / 2]);
        let pieces = mask(*key, line.version, &body, &[size]);
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            prop_assert_eq!(whole.len(), body.len());
            prop_assert!(whole == pieces);
        }
    }
}
