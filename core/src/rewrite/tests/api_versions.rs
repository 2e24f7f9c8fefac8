//! What clients are offered.

use super::{
    super::api_versions::{intersect, too_new},
    golden,
};
use crate::api::{Api, ApiKey, RequestTreatment};
use bytes::Bytes;
use kafka_protocol::{
    messages::{ApiVersionsResponse, ResponseHeader},
    protocol::Decodable,
};

/// The body of a golden frame, whose header is always version 0.
const BODY_AT: usize = 4;

fn offered(version: i16, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    intersect(version, &frame[BODY_AT..], &mut out).expect("a golden frame can be read");
    out
}

fn decode(version: i16, body: &[u8]) -> ApiVersionsResponse {
    let mut body = Bytes::copy_from_slice(body);
    let decoded = ApiVersionsResponse::decode(&mut body, version).expect("a well-formed response");
    assert!(body.is_empty(), "version {version}: {} bytes follow the message", body.len());
    decoded
}

#[test]
fn the_offer_is_the_intersection_and_all_else_stays() {
    for line in golden("api-versions-response") {
        let is_behind = line.variant.starts_with("unsupported-version");
        if is_behind && line.version > 0 {
            continue; // a broker says so in version 0 only: the next test
        }
        let speaks = line.version;
        let theirs = decode(speaks, &line.input[BODY_AT..]);
        let ours = decode(speaks, &offered(line.version, &line.input));
        let name = format!("version {} {}", line.version, line.variant);
        for offer in &ours.api_keys {
            let api = Api::find(ApiKey(offer.api_key)).expect("only what we know");
            assert_ne!(api.request, RequestTreatment::Refuse, "{name}: {}", api.name);
            let upstream = theirs.api_keys.iter().find(|o| o.api_key == offer.api_key).expect("only what upstream has");
            assert_eq!(offer.max_version, upstream.max_version.min(api.max), "{name}: {}", api.name);
            let min = if api.key == ApiKey::PRODUCE && upstream.min_version == 0 {
                0
            } else {
                upstream.min_version.max(api.min)
            };
            assert_eq!(offer.min_version, min, "{name}: {}", api.name);
            assert_eq!(offer.unknown_tagged_fields, upstream.unknown_tagged_fields, "{name}");
        }
        let keys = |r: &ApiVersionsResponse| r.api_keys.iter().map(|o| o.api_key).collect::<Vec<_>>();
        let expected: Vec<_> = theirs
            .api_keys
            .iter()
            .filter(|o| {
                Api::find(ApiKey(o.api_key)).is_some_and(|api| {
                    api.request != RequestTreatment::Refuse && o.max_version.min(api.max) >= o.min_version.max(api.min)
                })
            })
            .map(|o| o.api_key)
            .collect();
        assert_eq!(keys(&ours), expected, "{name}");
        let (mut theirs, mut ours) = (theirs, ours);
        theirs.api_keys.clear();
        ours.api_keys.clear();
        assert_eq!(theirs, ours, "{name}: features, epoch, throttle time, error and unknown fields stay");
    }
}

#[test]
fn an_upstream_behind_the_client_answers_in_version_0_and_that_is_passed_on() {
    for line in golden("api-versions-response") {
        if line.version == 0 && line.variant.starts_with("unsupported-version") {
            for asked in 1..=4 {
                assert_eq!(decode(0, &offered(asked, &line.input)).error_code, 35);
            }
        }
    }
}

#[test]
fn a_client_ahead_of_us_reads_our_range_in_version_0() {
    let frame = too_new(77);
    let mut rest = frame.slice(4..);
    assert_eq!(u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize, rest.len());
    assert_eq!(ResponseHeader::decode(&mut rest, 0).expect("a header").correlation_id, 77);
    let body = decode(0, &rest);
    assert_eq!(body.error_code, 35);
    let offers: Vec<_> = body.api_keys.iter().map(|o| (o.api_key, o.min_version, o.max_version)).collect();
    assert_eq!(offers, [(18, 0, 4)]);
}
