//! Valid messages of every API in every version, that nobody wrote down.
//!
//! The decoders of the kafka-protocol crate know the shape of each message. They are given a buffer that makes up each field as it is
//! asked for: small counts, short strings, and now and then a number at the edge. What they make of it is encoded, and is a
//! message as its encoder would have written it.

use crate::dice::Dice;
use bytes::{Buf, Bytes, BytesMut, TryGetError};
use kafka_protocol::{
    messages::*,
    protocol::{Decodable, Encodable, buf::ByteBuf},
};
use kroxy_core::api::{Api, ApiKey};
use std::ops::Range;

/// Bytes that a message is made of at the most: a count that is drawn too large ends the attempt.
const BUDGET: usize = 6_000;

/// Attempts at one message: most shapes come out at the first or second.
const ATTEMPTS: usize = 20;

/// Texts of which some mean something to the proxy, one for each length.
const TEXTS: [&str; 8] = [
    "t",
    "PLAIN",
    "listeners",
    "orders-eu",
    "kafka-7.internal",
    "advertised.listeners",
    "controller.quorum.voters",
    "kafka-1042.eu-central-1.compute.internal",
];

/// A direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From a client.
    Request,
    /// From a broker.
    Response,
}

macro_rules! apis {
    ($($key:literal $request:ident $response:ident),+ $(,)?) => {
        /// The body of a message, unless the other codec does not know this version.
        pub fn body(key: ApiKey, version: i16, way: Way, dice: &mut Dice) -> Option<Vec<u8>> {
            match (key.0, way) {
                $(
                    ($key, Way::Request) => invented::<$request>(version, dice),
                    ($key, Way::Response) => invented::<$response>(version, dice),
                )+
                _ => None,
            }
        }
    };
}

apis! {
    0 ProduceRequest ProduceResponse,
    1 FetchRequest FetchResponse,
    2 ListOffsetsRequest ListOffsetsResponse,
    3 MetadataRequest MetadataResponse,
    8 OffsetCommitRequest OffsetCommitResponse,
    9 OffsetFetchRequest OffsetFetchResponse,
    10 FindCoordinatorRequest FindCoordinatorResponse,
    11 JoinGroupRequest JoinGroupResponse,
    12 HeartbeatRequest HeartbeatResponse,
    13 LeaveGroupRequest LeaveGroupResponse,
    14 SyncGroupRequest SyncGroupResponse,
    15 DescribeGroupsRequest DescribeGroupsResponse,
    16 ListGroupsRequest ListGroupsResponse,
    17 SaslHandshakeRequest SaslHandshakeResponse,
    18 ApiVersionsRequest ApiVersionsResponse,
    19 CreateTopicsRequest CreateTopicsResponse,
    20 DeleteTopicsRequest DeleteTopicsResponse,
    21 DeleteRecordsRequest DeleteRecordsResponse,
    22 InitProducerIdRequest InitProducerIdResponse,
    23 OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
    24 AddPartitionsToTxnRequest AddPartitionsToTxnResponse,
    25 AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
    26 EndTxnRequest EndTxnResponse,
    27 WriteTxnMarkersRequest WriteTxnMarkersResponse,
    28 TxnOffsetCommitRequest TxnOffsetCommitResponse,
    29 DescribeAclsRequest DescribeAclsResponse,
    30 CreateAclsRequest CreateAclsResponse,
    31 DeleteAclsRequest DeleteAclsResponse,
    32 DescribeConfigsRequest DescribeConfigsResponse,
    33 AlterConfigsRequest AlterConfigsResponse,
    34 AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse,
    35 DescribeLogDirsRequest DescribeLogDirsResponse,
    36 SaslAuthenticateRequest SaslAuthenticateResponse,
    37 CreatePartitionsRequest CreatePartitionsResponse,
    38 CreateDelegationTokenRequest CreateDelegationTokenResponse,
    39 RenewDelegationTokenRequest RenewDelegationTokenResponse,
    40 ExpireDelegationTokenRequest ExpireDelegationTokenResponse,
    41 DescribeDelegationTokenRequest DescribeDelegationTokenResponse,
    42 DeleteGroupsRequest DeleteGroupsResponse,
    43 ElectLeadersRequest ElectLeadersResponse,
    44 IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
    45 AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
    46 ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
    47 OffsetDeleteRequest OffsetDeleteResponse,
    48 DescribeClientQuotasRequest DescribeClientQuotasResponse,
    49 AlterClientQuotasRequest AlterClientQuotasResponse,
    50 DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
    51 AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse,
    52 VoteRequest VoteResponse,
    53 BeginQuorumEpochRequest BeginQuorumEpochResponse,
    54 EndQuorumEpochRequest EndQuorumEpochResponse,
    55 DescribeQuorumRequest DescribeQuorumResponse,
    56 AlterPartitionRequest AlterPartitionResponse,
    57 UpdateFeaturesRequest UpdateFeaturesResponse,
    58 EnvelopeRequest EnvelopeResponse,
    59 FetchSnapshotRequest FetchSnapshotResponse,
    60 DescribeClusterRequest DescribeClusterResponse,
    61 DescribeProducersRequest DescribeProducersResponse,
    62 BrokerRegistrationRequest BrokerRegistrationResponse,
    63 BrokerHeartbeatRequest BrokerHeartbeatResponse,
    64 UnregisterBrokerRequest UnregisterBrokerResponse,
    65 DescribeTransactionsRequest DescribeTransactionsResponse,
    66 ListTransactionsRequest ListTransactionsResponse,
    67 AllocateProducerIdsRequest AllocateProducerIdsResponse,
    68 ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
    69 ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
    70 ControllerRegistrationRequest ControllerRegistrationResponse,
    71 GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse,
    72 PushTelemetryRequest PushTelemetryResponse,
    73 AssignReplicasToDirsRequest AssignReplicasToDirsResponse,
    74 ListConfigResourcesRequest ListConfigResourcesResponse,
    75 DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
    76 ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse,
    77 ShareGroupDescribeRequest ShareGroupDescribeResponse,
    78 ShareFetchRequest ShareFetchResponse,
    79 ShareAcknowledgeRequest ShareAcknowledgeResponse,
    80 AddRaftVoterRequest AddRaftVoterResponse,
    81 RemoveRaftVoterRequest RemoveRaftVoterResponse,
    82 UpdateRaftVoterRequest UpdateRaftVoterResponse,
    83 InitializeShareGroupStateRequest InitializeShareGroupStateResponse,
    84 ReadShareGroupStateRequest ReadShareGroupStateResponse,
    85 WriteShareGroupStateRequest WriteShareGroupStateResponse,
    86 DeleteShareGroupStateRequest DeleteShareGroupStateResponse,
    87 ReadShareGroupStateSummaryRequest ReadShareGroupStateSummaryResponse,
    90 DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse,
    91 AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse,
    92 DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse,
}

fn invented<M: Decodable + Encodable>(version: i16, dice: &mut Dice) -> Option<Vec<u8>> {
    (0..ATTEMPTS).find_map(|_| {
        let message = M::decode(&mut Source { left: BUDGET, dice }, version).ok()?;
        let mut body = BytesMut::new();
        message.encode(&mut body, version).ok()?;
        Some(body.to_vec())
    })
}

/// An API, and a version that the proxy knows.
pub fn api(dice: &mut Dice) -> (&'static Api, i16) {
    let known: Vec<_> = kroxy_core::api::APIS.iter().filter(|api| api.min <= api.max).collect();
    let api = *dice.one_of(&known);
    let versions: Vec<_> = (api.min..=api.max).collect();
    (api, *dice.one_of(&versions))
}

/// A whole frame, its length included, around a body.
pub fn frame(key: ApiKey, version: i16, way: Way, correlation_id: i32, body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let api = Api::find(key);
    let (mut head, tagged) = match way {
        Way::Request => {
            let mut head = [key.0.to_be_bytes(), version.to_be_bytes()].concat();
            head.extend_from_slice(&correlation_id.to_be_bytes());
            head.extend_from_slice(if dice.percent(20) { &[0xff, 0xff] } else { b"\0\x04fuzz" });
            (head, api.is_some_and(|api| api.is_flexible(version)))
        }
        Way::Response => {
            (correlation_id.to_be_bytes().to_vec(), api.is_some_and(|api| api.response_header_version(version) > 0))
        }
    };
    if tagged {
        head.extend_from_slice(if dice.percent(10) { &[1, 77, 2, 5, 5] } else { &[0] });
    }
    framed(&[&head[..], body].concat())
}

/// Puts the length in front.
///
/// # Panics
/// When there are more bytes than a length can tell.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("a frame has less than 4 GiB").to_be_bytes()[..], bytes].concat()
}

/// A buffer that makes up what it is asked for.
struct Source<'a> {
    left: usize,
    dice: &'a mut Dice,
}

impl Source<'_> {
    fn spend(&mut self, bytes: usize) -> Result<(), TryGetError> {
        self.left = self.left.checked_sub(bytes).ok_or(TryGetError { requested: bytes, available: self.left })?;
        Ok(())
    }

    /// A number that may be a count, the length of a text, an id or a code.
    fn number(&mut self) -> i64 {
        match self.dice.below(100) {
            0..30 => 0,
            30..60 => 1,
            60..75 => 2,
            75..80 => -1,
            80..90 => *self.dice.one_of(&TEXTS.map(|text| text.len() as i64)),
            90..97 => self.dice.below(120) as i64,
            _ => *self.dice.one_of(&[9_092, 65_535, 70_000, i64::from(i16::MAX), i64::from(i32::MIN), i64::MAX, -2]),
        }
    }
}

macro_rules! numbers {
    ($($get:ident -> $number:ty),+ $(,)?) => {
        $(
            fn $get(&mut self) -> Result<$number, TryGetError> {
                self.spend(size_of::<$number>())?;
                Ok(self.number() as $number)
            }
        )+
    };
}

impl Buf for Source<'_> {
    numbers!(
        try_get_i8 -> i8,
        try_get_i16 -> i16,
        try_get_u16 -> u16,
        try_get_i32 -> i32,
        try_get_u32 -> u32,
        try_get_i64 -> i64,
    );

    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        unreachable!("every field is asked for by its type")
    }

    fn advance(&mut self, bytes: usize) {
        self.left -= bytes;
    }

    /// A truth value, or a varint: of one byte nearly always, since it counts what follows. A compact text is one shorter.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any bits will do")]
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        self.spend(1)?;
        let number = self.number().clamp(-1, 0x7e) as u8;
        Ok(if self.dice.percent(60) { number } else { number.wrapping_add(1) } & 0x7f)
    }

    fn try_get_f64(&mut self) -> Result<f64, TryGetError> {
        self.spend(8)?;
        Ok(0.5)
    }

    fn try_copy_to_slice(&mut self, to: &mut [u8]) -> Result<(), TryGetError> {
        self.spend(to.len())?;
        to.fill(self.dice.byte());
        Ok(())
    }
}

impl ByteBuf for Source<'_> {
    fn peek_bytes(&mut self, _: Range<usize>) -> Bytes {
        unreachable!("no decoder looks ahead")
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.left -= size;
        match TEXTS.iter().find(|text| text.len() == size) {
            Some(text) if self.dice.percent(80) => Bytes::from_static(text.as_bytes()),
            Some(_) | None => (0..size).map(|_| b'a' + (self.dice.byte() % 26)).collect(),
        }
    }
}
