//! What is learned of upstream's nodes, and what is not.

use super::{
    super::{Rewritten, rewrite},
    Golden, Seen, contains, golden, rewritten,
};
use crate::api::ApiKey;
use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        BrokerId, DescribeClusterResponse, FindCoordinatorResponse, MetadataResponse,
        describe_cluster_response::DescribeClusterBroker, metadata_response::MetadataResponseBroker,
    },
    protocol::{Encodable, StrBytes},
};

const UPSTREAM: &str = "broker.upstream.internal";

fn encoded(message: &impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).expect("encodable");
    out.to_vec()
}

fn host() -> StrBytes {
    StrBytes::from_static_str(UPSTREAM)
}

/// The response as the client receives it, and what was learned.
fn rewrite_body(key: ApiKey, version: i16, body: &[u8]) -> (Vec<u8>, Seen) {
    let (mut out, mut seen) = (Vec::new(), Seen::default());
    match rewrite(key, version, body, &Golden, &mut seen, &mut out).expect("well-formed") {
        Rewritten::Changed => (out, seen),
        Rewritten::Unchanged => (body.to_vec(), seen),
    }
}

#[test]
fn what_upstream_says_of_its_nodes_is_learned() {
    let metadata = golden("metadata-response");
    let typical = metadata.iter().find(|l| l.version == 12 && l.variant == "typical").expect("a typical one");
    let (_, seen) = rewritten(ApiKey::METADATA, typical);
    assert!(seen.0.len() >= 3, "{:?}", seen.0);
    assert!(seen.0.iter().all(|(id, host, port)| *host == format!("broker-{id}.upstream.internal") && *port > 0));
}

#[test]
fn an_empty_response_teaches_nothing() {
    let metadata = golden("metadata-response");
    for empty in metadata.iter().filter(|l| l.variant == "empty") {
        assert!(rewritten(ApiKey::METADATA, empty).1.0.is_empty());
    }
}

#[test]
fn an_error_teaches_nothing_though_its_addresses_are_rewritten() {
    let coordinator = |error| FindCoordinatorResponse::default().with_error_code(error).with_host(host()).with_port(9);
    let broker = DescribeClusterBroker::default().with_host(host()).with_port(9);
    let cluster = |error| DescribeClusterResponse::default().with_error_code(error).with_brokers(vec![broker.clone()]);
    for (error, learned) in [(0, 1), (15, 0), (-1, 0)] {
        let bodies = [
            (ApiKey::FIND_COORDINATOR, encoded(&coordinator(error), 3)),
            (ApiKey::DESCRIBE_CLUSTER, encoded(&cluster(error), 2)),
        ];
        for (key, body) in bodies {
            let version = if key == ApiKey::FIND_COORDINATOR { 3 } else { 2 };
            let (got, seen) = rewrite_body(key, version, &body);
            assert_eq!(seen.0.len(), learned, "{key} with error {error}");
            assert!(!contains(&got, UPSTREAM.as_bytes()) && contains(&got, b"kroxy.test"), "{key} with error {error}");
        }
    }
}

#[test]
fn a_broken_response_teaches_nothing() {
    let broker = |id| MetadataResponseBroker::default().with_node_id(BrokerId(id)).with_host(host()).with_port(9);
    let whole = encoded(&MetadataResponse::default().with_brokers((0..3).map(broker).collect()), 12);
    assert_eq!(rewrite_body(ApiKey::METADATA, 12, &whole).1.0.len(), 3);
    let behind_the_first_broker = UPSTREAM.len() + 20;
    let (mut out, mut seen) = (Vec::new(), Seen::default());
    let done = rewrite(ApiKey::METADATA, 12, &whole[..behind_the_first_broker], &Golden, &mut seen, &mut out);
    assert!(done.is_err());
    assert!(seen.0.is_empty(), "{:?}", seen.0);
}

/// Controllers are refused when they are asked for. Should upstream list them all the same, none is shown or learned: a
/// controller may have a broker's id, and its address would take that broker's place.
#[test]
fn controllers_are_neither_shown_nor_learned() {
    let mut lists = 0;
    for line in golden("describe-cluster-response").iter().filter(|line| line.variant.starts_with("controllers")) {
        let (got, seen) = rewritten(ApiKey::DESCRIBE_CLUSTER, line);
        assert!(!contains(&got, b"upstream.internal") && !contains(&got, b"kroxy.test"), "version {}", line.version);
        assert!(seen.0.is_empty(), "{:?}", seen.0);
        lists += 1;
    }
    assert_eq!(lists, 2, "versions 1 and 2 have an endpoint type");
}

/// -1 with an empty host is Kafka's "nobody". A host that comes with it all the same is an address like any other.
#[test]
fn nobody_stays_nobody_but_an_address_never_passes() {
    let nobody = FindCoordinatorResponse::default().with_error_code(15).with_node_id(BrokerId(-1)).with_port(-1);
    for version in 0..=3 {
        let body = encoded(&nobody, version);
        assert_eq!(rewrite_body(ApiKey::FIND_COORDINATOR, version, &body).0, body);
        let body = encoded(&nobody.clone().with_host(host()), version);
        let (got, seen) = rewrite_body(ApiKey::FIND_COORDINATOR, version, &body);
        assert!(!contains(&got, UPSTREAM.as_bytes()), "version {version}");
        assert!(seen.0.is_empty(), "{:?}", seen.0);
    }
}
