//! Answers to what is not for clients.

use super::super::{asks_for_controllers, controllers_not_shown, refused};
use crate::api::{APIS, Api, ApiKey, RequestTreatment};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{DescribeClusterRequest, DescribeClusterResponse, ResponseHeader, VoteResponse},
    protocol::{Decodable, Encodable},
};

fn body(frame: &Bytes, header_version: i16, correlation_id: i32) -> Bytes {
    let mut rest = frame.slice(4..);
    assert_eq!(u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize, rest.len());
    let header = ResponseHeader::decode(&mut rest, header_version).expect("a header");
    assert_eq!(header.correlation_id, correlation_id);
    rest
}

#[test]
fn a_refusal_is_an_error_of_the_api_itself() {
    let frame = refused(ApiKey(52), 1, 5).expect("Vote has a place for an error");
    let vote = VoteResponse::decode(&mut body(&frame, 1, 5), 1).expect("a Vote response");
    assert_eq!(vote.error_code, 31);
}

#[test]
fn all_but_a_few_that_are_named_here_are_answered() {
    let mut silent = Vec::new();
    for api in APIS.iter().filter(|api| api.request == RequestTreatment::Refuse) {
        for version in api.min..=api.max {
            if refused(api.key, version, 1).is_none() {
                silent.push((api.name, version));
            }
        }
    }
    let expected = [
        ("BrokerHeartbeat", 2), // newer than the encoder
        ("InitializeShareGroupState", 0),
        ("ReadShareGroupState", 0),
        ("WriteShareGroupState", 0),
        ("WriteShareGroupState", 1),
        ("DeleteShareGroupState", 0),
        ("ReadShareGroupStateSummary", 0),
        ("ReadShareGroupStateSummary", 1),
    ];
    assert_eq!(silent, expected);
}

#[test]
fn controllers_are_not_for_clients() {
    let api = Api::find(ApiKey::DESCRIBE_CLUSTER).expect("known");
    for version in api.min..=api.max {
        for endpoint_type in [1, 2] {
            if version == 0 && endpoint_type == 2 {
                continue; // version 0 cannot ask for them
            }
            let mut request = BytesMut::new();
            let ask = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
            ask.encode(&mut request, version).expect("encodable");
            assert_eq!(asks_for_controllers(version, &request), Ok(endpoint_type == 2));
        }
        let answer = controllers_not_shown(version, 9);
        let answer = DescribeClusterResponse::decode(&mut body(&answer, 1, 9), version).expect("a response");
        assert_eq!(answer.error_code, 114);
        assert!(answer.brokers.is_empty());
    }
}
