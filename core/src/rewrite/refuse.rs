//! Answers to what is not for clients.

use super::Malformed;
use crate::{
    api::{Api, ApiKey},
    wire::{LENGTH_PREFIX, Reader, Unread},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AllocateProducerIdsResponse, AlterPartitionResponse, AssignReplicasToDirsResponse, BeginQuorumEpochResponse,
        BrokerHeartbeatResponse, BrokerRegistrationResponse, ControllerRegistrationResponse, DescribeClusterResponse,
        EndQuorumEpochResponse, EnvelopeResponse, FetchSnapshotResponse, ResponseHeader, UpdateRaftVoterResponse,
        VoteResponse,
    },
    protocol::{Encodable, StrBytes},
};

/// `CLUSTER_AUTHORIZATION_FAILED`: what a broker answers to a client that asks what only brokers may.
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;

/// `MISMATCHED_ENDPOINT_TYPE` (KIP-919).
const MISMATCHED_ENDPOINT_TYPE: i16 = 114;

/// `EndpointType` of `DescribeCluster` that asks for controllers (KIP-919).
const CONTROLLERS: u8 = 2;

/// The whole answer to a request that brokers and controllers send each other, or `None` where its response has no place
/// for an error: the connection is closed then.
pub fn refused(key: ApiKey, version: i16, correlation_id: i32) -> Option<Bytes> {
    macro_rules! with_error {
        ($response:ty) => {
            framed(key, version, correlation_id, &<$response>::default().with_error_code(CLUSTER_AUTHORIZATION_FAILED))
        };
    }
    match key.0 {
        52 => with_error!(VoteResponse),
        53 => with_error!(BeginQuorumEpochResponse),
        54 => with_error!(EndQuorumEpochResponse),
        56 => with_error!(AlterPartitionResponse),
        58 => with_error!(EnvelopeResponse),
        59 => with_error!(FetchSnapshotResponse),
        62 => with_error!(BrokerRegistrationResponse),
        63 => with_error!(BrokerHeartbeatResponse),
        67 => with_error!(AllocateProducerIdsResponse),
        70 => {
            let message = StrBytes::from_static_str("controllers do not register through a proxy for clients");
            let response = ControllerRegistrationResponse::default()
                .with_error_code(CLUSTER_AUTHORIZATION_FAILED)
                .with_error_message(Some(message));
            framed(key, version, correlation_id, &response)
        }
        73 => with_error!(AssignReplicasToDirsResponse),
        82 => with_error!(UpdateRaftVoterResponse),
        _ => None,
    }
}

/// Whether the body of a `DescribeCluster` request asks for controllers instead of brokers.
pub fn asks_for_controllers(version: i16, body: &[u8]) -> Result<bool, Malformed> {
    let mut r = Reader::new(body);
    let read = |r: &mut Reader<'_>| -> Result<bool, Unread> {
        r.take(1)?; // include_cluster_authorized_operations
        Ok(version >= 1 && r.take(1)? == [CONTROLLERS])
    };
    let asks = read(&mut r);
    asks.map_err(|why| Malformed::new(r.position(), why))
}

/// The whole answer to a client that asks for controllers: the one that a broker gives as well.
pub fn controllers_not_shown(version: i16, correlation_id: i32) -> Bytes {
    let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
    let body = DescribeClusterResponse::default()
        .with_error_code(MISMATCHED_ENDPOINT_TYPE)
        .with_error_message(Some(StrBytes::from_static_str(message)));
    framed(ApiKey::DESCRIBE_CLUSTER, version, correlation_id, &body)
        .expect("a version that is supported and asks for controllers can be encoded")
}

/// A complete response frame, unless the message cannot be encoded in this version.
pub(crate) fn framed(key: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Option<Bytes> {
    let header_version = Api::find(key)?.response_header_version(version);
    let mut out = BytesMut::zeroed(LENGTH_PREFIX);
    ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut out, header_version).ok()?;
    body.encode(&mut out, version).ok()?;
    let size = u32::try_from(out.len() - LENGTH_PREFIX).ok()?;
    out[..LENGTH_PREFIX].copy_from_slice(&size.to_be_bytes());
    Some(out.freeze())
}
