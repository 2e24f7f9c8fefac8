//! The rewriters against frames that Kafka's own encoder wrote (fixtures/frames), and against bytes of any kind.

mod api_versions;
mod independent;
mod learning;
mod masked;
mod messages;
mod refusals;
mod totality;

use super::{Addresses, Learn, Rewritten, rewrite};
use crate::{
    address::NodeId,
    api::{Api, ApiKey, ResponseTreatment},
    wire,
};

/// The rule behind the expected column of the golden frames.
pub(super) struct Golden;

impl Addresses for Golden {
    fn virtual_address(&self, node: NodeId) -> (std::borrow::Cow<'_, str>, u16) {
        ("kroxy.test".into(), u16::try_from(node.0).ok().filter(|id| *id < 100).map_or(1, |id| 9100 + id))
    }
}

#[derive(Default)]
pub(super) struct Seen(Vec<(i32, String, i32)>);

impl Learn for Seen {
    fn learn(&mut self, node: NodeId, host: &str, port: i32) {
        self.0.push((node.0, host.to_owned(), port));
    }
}

/// One line of a golden file.
pub(super) struct Line {
    pub(super) version: i16,
    pub(super) variant: String,
    pub(super) input: Vec<u8>,
    pub(super) expected: Vec<u8>,
    pub(super) columns: Vec<String>,
}

pub(super) fn golden(name: &str) -> Vec<Line> {
    macro_rules! one_of {
        ($($file:literal),+ $(,)?) => {
            match name {
                $($file => include_str!(concat!("../../../../fixtures/frames/", $file, ".txt")),)+
                other => panic!("{other} is not among the golden files"),
            }
        };
    }
    let text = one_of!(
        "api-versions-response",
        "describe-cluster-response",
        "describe-configs-response",
        "describe-quorum-response",
        "fetch-response",
        "find-coordinator-response",
        "metadata-response",
        "produce-request",
        "produce-response",
        "share-acknowledge-response",
        "share-fetch-response",
    );
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<_> = line.split('\t').map(str::to_owned).collect();
            Line {
                version: columns[0].parse().expect("a version"),
                variant: columns[1].clone(),
                input: unhex(&columns[2]),
                expected: columns.get(3).map(|hex| unhex(hex)).unwrap_or_default(),
                columns,
            }
        })
        .collect();
    assert!(lines.len() > 1, "{name} has frames");
    lines
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect()
}

/// Where the body of a golden response begins: these frames have no length prefix.
pub(super) fn body_at(key: ApiKey, version: i16, frame: &[u8]) -> usize {
    let header_version = Api::find(key).expect("known").response_header_version(version);
    let prefixed = [&[0; 4], frame].concat();
    wire::response_body_at(header_version, &prefixed).expect("a golden header") - 4
}

const RESPONSES: [(ApiKey, &str); 9] = [
    (ApiKey::PRODUCE, "produce-response"),
    (ApiKey::FETCH, "fetch-response"),
    (ApiKey::METADATA, "metadata-response"),
    (ApiKey::FIND_COORDINATOR, "find-coordinator-response"),
    (ApiKey::DESCRIBE_CONFIGS, "describe-configs-response"),
    (ApiKey::DESCRIBE_QUORUM, "describe-quorum-response"),
    (ApiKey::DESCRIBE_CLUSTER, "describe-cluster-response"),
    (ApiKey::SHARE_FETCH, "share-fetch-response"),
    (ApiKey::SHARE_ACKNOWLEDGE, "share-acknowledge-response"),
];

/// The response as the client receives it, and what was learned.
fn rewritten(key: ApiKey, line: &Line) -> (Vec<u8>, Seen) {
    let at = body_at(key, line.version, &line.input);
    let (mut out, mut seen) = (line.input[..at].to_vec(), Seen::default());
    let done = rewrite(key, line.version, &line.input[at..], &Golden, &mut seen, &mut out);
    match done.unwrap_or_else(|e| panic!("{key} {} {}: {e}", line.version, line.variant)) {
        Rewritten::Changed => (out, seen),
        Rewritten::Unchanged => {
            assert_eq!(out.len(), at, "an unchanged response leaves the output alone");
            (line.input.clone(), seen)
        }
    }
}

#[test]
fn every_response_with_addresses_becomes_what_kafkas_encoder_would_have_written() {
    for (key, file) in RESPONSES {
        let api = Api::find(key).expect("known");
        let lines = golden(file);
        for version in api.min..=api.max {
            assert!(lines.iter().any(|line| line.version == version), "{key} version {version} has golden frames");
        }
        for line in lines {
            if key == ApiKey::DESCRIBE_CLUSTER && line.variant.starts_with("controllers") {
                continue; // never asked for, and never shown: see `learning`
            }
            let (got, _) = rewritten(key, &line);
            assert!(got == line.expected, "{key} version {} {}", line.version, line.variant);
        }
    }
}

#[test]
fn versions_that_flow_unread_carry_no_address() {
    for (key, file) in RESPONSES {
        let api = Api::find(key).expect("known");
        for line in golden(file) {
            if api.response_treatment(line.version) == ResponseTreatment::Relay {
                assert!(line.input == line.expected, "{key} version {} {}", line.version, line.variant);
            }
        }
    }
}

#[test]
fn acks_are_found_behind_any_head() {
    let api = Api::find(ApiKey::PRODUCE).expect("known");
    for line in golden("produce-request") {
        let size = u32::try_from(line.input.len()).expect("small").to_be_bytes();
        let frame = [&size[..], &line.input].concat();
        let acks: i16 = line.columns[5].parse().expect("acks");
        let found = wire::produce_acks(api, line.version, &frame);
        assert_eq!(found, Ok(acks), "version {} {}", line.version, line.variant);
    }
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
