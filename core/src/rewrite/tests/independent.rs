//! The rewriters against an independent codec: what they make of a random message is what the codec writes when the
//! endpoints are mapped in the decoded message.

use super::{
    super::{Rewritten, rewrite},
    Golden, Seen, contains,
    masked::mask,
    messages::{Encoder, Filling, VERSIONS, filling},
};
use crate::api::{Api, ApiKey, ResponseTreatment};
use bytes::Bytes;
use kafka_protocol::{
    messages::{FetchResponse, ShareFetchResponse},
    protocol::{Decodable, Message},
};
use proptest::prelude::*;

const UPSTREAM: &[u8] = b".upstream.internal";

/// A message as upstream sends it, and with its endpoints mapped.
fn both(key: ApiKey, version: i16, filling: &Filling) -> (Bytes, Bytes) {
    let is_flexible = Api::find(key).expect("known").is_flexible(version);
    let theirs = Encoder { version, is_flexible, addresses: None::<&Golden> };
    let ours = Encoder { version, is_flexible, addresses: Some(&Golden) };
    (theirs.body(key, filling), ours.body(key, filling))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_message_is_rewritten_as_if_it_had_been_decoded_and_mapped(filling in filling()) {
        for (key, first, last) in VERSIONS {
            for version in first..=last {
                let (body, expected) = both(key, version, &filling);
                let mut out = Vec::new();
                let done = rewrite(key, version, &body, &Golden, &mut Seen::default(), &mut out);
                let got = match done.unwrap_or_else(|e| panic!("{key} version {version}: {e}")) {
                    Rewritten::Changed => &out[..],
                    Rewritten::Unchanged => &body[..],
                };
                prop_assert!(got == expected, "{key} version {version}");
                prop_assert!(!contains(got, UPSTREAM), "{key} version {version}");
            }
        }
    }

    #[test]
    fn a_masked_fetch_is_decoded_to_the_same_records(filling in filling(), sizes in prop::collection::vec(1..90usize, 1..5)) {
        for version in 16..=FetchResponse::VERSIONS.max {
            let (body, _) = both(ApiKey::FETCH, version, &filling);
            let got = mask(ApiKey::FETCH, version, &body, &sizes).expect("well-formed");
            prop_assert_eq!(got.len(), body.len());
            prop_assert!(!contains(&got, UPSTREAM));
            let mut expected = FetchResponse::decode(&mut body.clone(), version).expect("as it was encoded");
            let masked = !core::mem::take(&mut expected.node_endpoints).is_empty();
            let mut rest = Bytes::from(got);
            let mut ours = FetchResponse::decode(&mut rest, version).expect("as long as it was");
            prop_assert!(rest.is_empty());
            let zeros = ours.unknown_tagged_fields.remove(&127);
            prop_assert_eq!(zeros.is_some(), masked);
            prop_assert!(zeros.unwrap_or_default().iter().all(|b| *b == 0));
            prop_assert_eq!(ours, expected);
        }
    }

    #[test]
    fn a_masked_share_fetch_is_decoded_to_the_same_records(filling in filling(), sizes in prop::collection::vec(1..90usize, 1..5)) {
        let (body, _) = both(ApiKey::SHARE_FETCH, 1, &filling);
        let got = mask(ApiKey::SHARE_FETCH, 1, &body, &sizes).expect("well-formed");
        prop_assert_eq!(got.len(), body.len());
        prop_assert!(!contains(&got, UPSTREAM));
        let mut expected = ShareFetchResponse::decode(&mut body.clone(), 1).expect("as it was encoded");
        if !core::mem::take(&mut expected.node_endpoints).is_empty() {
            expected.unknown_tagged_fields.clear(); // they stood behind the endpoints and are masked with them
        }
        let mut rest = Bytes::from(got);
        let mut ours = ShareFetchResponse::decode(&mut rest, 1).expect("as long as it was");
        prop_assert!(rest.is_empty());
        let zeros = ours.unknown_tagged_fields.remove(&127);
        prop_assert!(zeros.unwrap_or_default().iter().all(|b| *b == 0));
        prop_assert_eq!(ours, expected);
    }
}

/// The table above names every version that the proxy rewrites, but for those that are newer than the codec: these have
/// golden frames only.
#[test]
fn every_version_with_addresses_is_checked() {
    for (key, first, last) in VERSIONS {
        let api = Api::find(key).expect("known");
        let unread = |version| api.response_treatment(version) == ResponseTreatment::Relay;
        assert!(first == api.min || unread(first - 1), "{key}");
        let newer = i16::from(key == ApiKey::SHARE_FETCH || key == ApiKey::SHARE_ACKNOWLEDGE);
        assert_eq!(last + newer, api.max, "{key}");
    }
}

/// The head of the tagged field that takes the endpoints' place fits where the smallest endpoint stood.
#[test]
fn the_smallest_share_fetch_with_an_endpoint_can_be_masked() {
    let head = [0; 11]; // throttle time, error code, null message, lock timeout
    let endpoint = [0, 0, 0, 7, 1, 0, 0, 0, 9, 0, 0]; // an empty host, a null rack, no tagged fields
    let body = [&head[..], &[1], &[2], &endpoint, &[0]].concat();
    let decoded = ShareFetchResponse::decode(&mut Bytes::from(body.clone()), 1).expect("the smallest one");
    assert_eq!(decoded.node_endpoints.len(), 1);
    for size in 1..body.len() {
        let masked = mask(ApiKey::SHARE_FETCH, 1, &body, &[size]).expect("there is room");
        let decoded = ShareFetchResponse::decode(&mut Bytes::from(masked), 1).expect("still a share fetch");
        assert!(decoded.node_endpoints.is_empty());
    }
}
