//! The Kafka APIs that kroxy knows, and how it treats each version of them.
//!
//! Versions, names and encodings are those of Apache Kafka 4.3.1's message definitions, stable versions only. Each row was
//! looked through for addresses: an API or a version that is not here cannot be checked, so it is not offered.

use core::fmt;

/// The number of an API, the first field of every request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApiKey(pub i16);

impl ApiKey {
    /// Produce.
    pub const PRODUCE: Self = Self(0);
    /// Fetch.
    pub const FETCH: Self = Self(1);
    /// ListOffsets.
    pub const LIST_OFFSETS: Self = Self(2);
    /// Metadata.
    pub const METADATA: Self = Self(3);
    /// OffsetCommit.
    pub const OFFSET_COMMIT: Self = Self(8);
    /// OffsetFetch.
    pub const OFFSET_FETCH: Self = Self(9);
    /// FindCoordinator.
    pub const FIND_COORDINATOR: Self = Self(10);
    /// JoinGroup.
    pub const JOIN_GROUP: Self = Self(11);
    /// Heartbeat.
    pub const HEARTBEAT: Self = Self(12);
    /// LeaveGroup.
    pub const LEAVE_GROUP: Self = Self(13);
    /// SyncGroup.
    pub const SYNC_GROUP: Self = Self(14);
    /// DescribeGroups.
    pub const DESCRIBE_GROUPS: Self = Self(15);
    /// SaslHandshake.
    pub const SASL_HANDSHAKE: Self = Self(17);
    /// ApiVersions.
    pub const API_VERSIONS: Self = Self(18);
    /// DeleteRecords.
    pub const DELETE_RECORDS: Self = Self(21);
    /// InitProducerId.
    pub const INIT_PRODUCER_ID: Self = Self(22);
    /// OffsetForLeaderEpoch.
    pub const OFFSET_FOR_LEADER_EPOCH: Self = Self(23);
    /// AddPartitionsToTxn.
    pub const ADD_PARTITIONS_TO_TXN: Self = Self(24);
    /// AddOffsetsToTxn.
    pub const ADD_OFFSETS_TO_TXN: Self = Self(25);
    /// SaslAuthenticate.
    pub const SASL_AUTHENTICATE: Self = Self(36);
    /// DescribeConfigs.
    pub const DESCRIBE_CONFIGS: Self = Self(32);
    /// DeleteGroups.
    pub const DELETE_GROUPS: Self = Self(42);
    /// OffsetDelete.
    pub const OFFSET_DELETE: Self = Self(47);
    /// DescribeQuorum.
    pub const DESCRIBE_QUORUM: Self = Self(55);
    /// DescribeCluster.
    pub const DESCRIBE_CLUSTER: Self = Self(60);
    /// DescribeProducers.
    pub const DESCRIBE_PRODUCERS: Self = Self(61);
    /// DescribeTransactions.
    pub const DESCRIBE_TRANSACTIONS: Self = Self(65);
    /// ConsumerGroupHeartbeat.
    pub const CONSUMER_GROUP_HEARTBEAT: Self = Self(68);
    /// ConsumerGroupDescribe.
    pub const CONSUMER_GROUP_DESCRIBE: Self = Self(69);
    /// ShareGroupHeartbeat.
    pub const SHARE_GROUP_HEARTBEAT: Self = Self(76);
    /// ShareGroupDescribe.
    pub const SHARE_GROUP_DESCRIBE: Self = Self(77);
    /// ShareFetch.
    pub const SHARE_FETCH: Self = Self(78);
    /// ShareAcknowledge.
    pub const SHARE_ACKNOWLEDGE: Self = Self(79);
    /// StreamsGroupHeartbeat.
    pub const STREAMS_GROUP_HEARTBEAT: Self = Self(88);

    /// Kafka's name of the API; `Unknown` where there is none here.
    pub fn name(self) -> &'static str {
        Api::find(self).map_or("Unknown", |api| api.name)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Api::find(*self) {
            Some(api) => f.write_str(api.name),
            None => write!(f, "API {}", self.0),
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestTreatment {
    /// It flows unread after its head.
    Relay,
    /// Its head and `acks` are read, the rest flows.
    Produce,
    /// It is read whole: something is learned from it, or it may be answered here. Small by nature.
    Frame,
    /// Only brokers and controllers ask it of each other; it goes nowhere. (`WriteTxnMarkers` is not among these: admin
    /// clients abort hanging transactions with it, KIP-664.)
    Refuse,
}

/// What becomes of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseTreatment {
    /// It carries no address: it flows unread.
    Relay,
    /// It is read whole, and its addresses become the gateway's.
    Rewrite,
    /// It carries records and may be huge: rewritten when small ([`crate::limits::RECORDS_COLLECT_MAX`]), else walked while
    /// it streams, and its addresses masked.
    Records,
    /// It is read whole and intersected with what we know.
    ApiVersions,
}

/// What becomes of a request that arrives while its connection is draining.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainTreatment {
    /// What at any other time becomes of it: it tells a client where to go, or who it is.
    Serve,
    /// It is executed, because a rejection would reach the application or lose work.
    Execute,
    /// It is not executed, and answered with an error that clients retry.
    Reject(Retriable),
    /// It is not executed, and has no error that all clients retry: the connection closes once everything before it is
    /// answered.
    Close,
}

/// The errors that tell a client to ask somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retriable {
    /// For a partition.
    NotLeaderOrFollower,
    /// For a group or a transactional id. Never `COORDINATOR_NOT_AVAILABLE`: sarama gives up on it.
    NotCoordinator,
    /// For a fetch of what an incremental session has (KIP-227): the client names all its partitions again.
    FetchSessionIdNotFound,
    /// For a share session (KIP-932).
    ShareSessionNotFound,
}

impl Retriable {
    /// Kafka's number of the error.
    pub const fn code(self) -> i16 {
        match self {
            Self::NotLeaderOrFollower => 6,
            Self::NotCoordinator => 16,
            Self::FetchSessionIdNotFound => 70,
            Self::ShareSessionNotFound => 122,
        }
    }

    /// Kafka's name of the error.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotLeaderOrFollower => "NOT_LEADER_OR_FOLLOWER",
            Self::NotCoordinator => "NOT_COORDINATOR",
            Self::FetchSessionIdNotFound => "FETCH_SESSION_ID_NOT_FOUND",
            Self::ShareSessionNotFound => "SHARE_SESSION_NOT_FOUND",
        }
    }
}

/// One API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Api {
    /// Its number.
    pub key: ApiKey,
    /// Its name.
    pub name: &'static str,
    /// The oldest version.
    pub min: i16,
    /// The newest version that was looked through; below `min` where none is left (removed in Kafka 4.0).
    pub max: i16,
    /// The first flexible version (KIP-482), if there is one.
    pub flexible_from: Option<i16>,
    /// What becomes of its requests.
    pub request: RequestTreatment,
    /// What becomes of its responses, where they carry anything to treat: see [`Self::response_treatment`].
    pub response: ResponseTreatment,
    /// What becomes of its requests while the connection is draining.
    pub drain: DrainTreatment,
}

impl Api {
    /// The API with this number.
    pub fn find(key: ApiKey) -> Option<&'static Self> {
        usize::try_from(key.0).ok().and_then(|at| APIS.get(at))
    }

    /// Whether a request in this version can be relayed or answered.
    pub const fn supports(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether strings and arrays are compact and structures end with tagged fields (KIP-482).
    pub const fn is_flexible(&self, version: i16) -> bool {
        match self.flexible_from {
            Some(from) => version >= from,
            None => false,
        }
    }

    /// 1 where the response header ends with tagged fields. The one of `ApiVersions` never does: a client must be able to
    /// read it before it knows anything.
    pub fn response_header_version(&self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self.key != ApiKey::API_VERSIONS)
    }

    /// What becomes of a response in this version: the older ones of some APIs carry no address yet.
    pub const fn response_treatment(&self, version: i16) -> ResponseTreatment {
        let first_with_addresses = match self.key {
            ApiKey::PRODUCE => 10,        // KIP-951
            ApiKey::FETCH => 16,          // KIP-951
            ApiKey::DESCRIBE_QUORUM => 2, // KIP-853
            _ => 0,
        };
        if version < first_with_addresses { ResponseTreatment::Relay } else { self.response }
    }

    /// Whether upstream may keep a request of it waiting on purpose, so that the time it takes says nothing about upstream.
    pub const fn is_long_poll(&self) -> bool {
        matches!(self.key, ApiKey::FETCH | ApiKey::SHARE_FETCH | ApiKey::JOIN_GROUP | ApiKey::SYNC_GROUP)
    }

    /// The oldest version to offer to clients where upstream offers so much.
    ///
    /// Kafka 4 still offers `Produce` from 0, which it no longer speaks, because old librdkafka takes an absent version 0
    /// for a broker without compression support (KAFKA-18659). We keep it up.
    pub fn offered_min(&self, upstream_min: i16) -> i16 {
        if self.key == ApiKey::PRODUCE && upstream_min == 0 { 0 } else { self.min.max(upstream_min) }
    }
}

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
const fn api(
    key: i16,
    name: &'static str,
    min: i16,
    max: i16,
    flexible_from: Option<i16>,
    request: RequestTreatment,
    response: ResponseTreatment,
    drain: DrainTreatment,
) -> Api {
    Api { key: ApiKey(key), name, min, max, flexible_from, request, response, drain }
}

/// Every API up to the newest one of Kafka 4.3.1, each at the index of its number.
#[rustfmt::skip]
pub static APIS: [Api; 93] = {
    use {DrainTreatment as D, RequestTreatment as Q, ResponseTreatment as R};
    const LEADER: D = D::Reject(Retriable::NotLeaderOrFollower);
    const COORDINATOR: D = D::Reject(Retriable::NotCoordinator);
    const SHARE_SESSION: D = D::Reject(Retriable::ShareSessionNotFound);
    [
        api(0, "Produce", 3, 13, Some(9), Q::Produce, R::Rewrite, LEADER),
        api(1, "Fetch", 4, 18, Some(12), Q::Relay, R::Records, LEADER),
        api(2, "ListOffsets", 1, 11, Some(6), Q::Relay, R::Relay, LEADER),
        api(3, "Metadata", 0, 13, Some(9), Q::Relay, R::Rewrite, D::Serve),
        api(4, "LeaderAndIsr", 0, -1, None, Q::Refuse, R::Relay, D::Serve),
        api(5, "StopReplica", 0, -1, None, Q::Refuse, R::Relay, D::Serve),
        api(6, "UpdateMetadata", 0, -1, None, Q::Refuse, R::Relay, D::Serve),
        api(7, "ControlledShutdown", 0, -1, None, Q::Refuse, R::Relay, D::Serve),
        api(8, "OffsetCommit", 2, 10, Some(8), Q::Relay, R::Relay, D::Execute),
        api(9, "OffsetFetch", 1, 10, Some(6), Q::Relay, R::Relay, COORDINATOR),
        api(10, "FindCoordinator", 0, 6, Some(3), Q::Relay, R::Rewrite, D::Serve),
        api(11, "JoinGroup", 0, 9, Some(6), Q::Relay, R::Relay, COORDINATOR),
        api(12, "Heartbeat", 0, 4, Some(4), Q::Relay, R::Relay, COORDINATOR),
        api(13, "LeaveGroup", 0, 5, Some(4), Q::Relay, R::Relay, D::Execute),
        api(14, "SyncGroup", 0, 5, Some(4), Q::Relay, R::Relay, COORDINATOR),
        api(15, "DescribeGroups", 0, 6, Some(5), Q::Relay, R::Relay, COORDINATOR),
        api(16, "ListGroups", 0, 5, Some(3), Q::Relay, R::Relay, D::Close),
        api(17, "SaslHandshake", 0, 1, None, Q::Frame, R::Relay, D::Serve),
        api(18, "ApiVersions", 0, 4, Some(3), Q::Frame, R::ApiVersions, D::Serve),
        api(19, "CreateTopics", 2, 7, Some(5), Q::Relay, R::Relay, D::Close),
        api(20, "DeleteTopics", 1, 6, Some(4), Q::Relay, R::Relay, D::Close),
        api(21, "DeleteRecords", 0, 2, Some(2), Q::Relay, R::Relay, LEADER),
        api(22, "InitProducerId", 0, 5, Some(2), Q::Relay, R::Relay, COORDINATOR),
        api(23, "OffsetForLeaderEpoch", 2, 4, Some(4), Q::Relay, R::Relay, LEADER),
        api(24, "AddPartitionsToTxn", 0, 5, Some(3), Q::Relay, R::Relay, COORDINATOR),
        api(25, "AddOffsetsToTxn", 0, 4, Some(3), Q::Relay, R::Relay, COORDINATOR),
        api(26, "EndTxn", 0, 5, Some(3), Q::Relay, R::Relay, D::Execute),
        api(27, "WriteTxnMarkers", 1, 2, Some(1), Q::Relay, R::Relay, D::Close),
        api(28, "TxnOffsetCommit", 0, 5, Some(3), Q::Relay, R::Relay, D::Execute),
        api(29, "DescribeAcls", 1, 3, Some(2), Q::Relay, R::Relay, D::Close),
        api(30, "CreateAcls", 1, 3, Some(2), Q::Relay, R::Relay, D::Close),
        api(31, "DeleteAcls", 1, 3, Some(2), Q::Relay, R::Relay, D::Close),
        api(32, "DescribeConfigs", 1, 4, Some(4), Q::Relay, R::Rewrite, D::Close),
        api(33, "AlterConfigs", 0, 2, Some(2), Q::Relay, R::Relay, D::Close),
        api(34, "AlterReplicaLogDirs", 1, 2, Some(2), Q::Relay, R::Relay, D::Close),
        api(35, "DescribeLogDirs", 1, 5, Some(2), Q::Relay, R::Relay, D::Close),
        api(36, "SaslAuthenticate", 0, 2, Some(2), Q::Frame, R::Relay, D::Serve),
        api(37, "CreatePartitions", 0, 3, Some(2), Q::Relay, R::Relay, D::Close),
        api(38, "CreateDelegationToken", 1, 3, Some(2), Q::Relay, R::Relay, D::Close),
        api(39, "RenewDelegationToken", 1, 2, Some(2), Q::Relay, R::Relay, D::Close),
        api(40, "ExpireDelegationToken", 1, 2, Some(2), Q::Relay, R::Relay, D::Close),
        api(41, "DescribeDelegationToken", 1, 3, Some(2), Q::Relay, R::Relay, D::Close),
        api(42, "DeleteGroups", 0, 2, Some(2), Q::Relay, R::Relay, COORDINATOR),
        api(43, "ElectLeaders", 0, 2, Some(2), Q::Relay, R::Relay, D::Close),
        api(44, "IncrementalAlterConfigs", 0, 1, Some(1), Q::Relay, R::Relay, D::Close),
        api(45, "AlterPartitionReassignments", 0, 1, Some(0), Q::Relay, R::Relay, D::Close),
        api(46, "ListPartitionReassignments", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(47, "OffsetDelete", 0, 0, None, Q::Relay, R::Relay, COORDINATOR),
        api(48, "DescribeClientQuotas", 0, 1, Some(1), Q::Relay, R::Relay, D::Close),
        api(49, "AlterClientQuotas", 0, 1, Some(1), Q::Relay, R::Relay, D::Close),
        api(50, "DescribeUserScramCredentials", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(51, "AlterUserScramCredentials", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(52, "Vote", 0, 2, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(53, "BeginQuorumEpoch", 0, 1, Some(1), Q::Refuse, R::Relay, D::Serve),
        api(54, "EndQuorumEpoch", 0, 1, Some(1), Q::Refuse, R::Relay, D::Serve),
        api(55, "DescribeQuorum", 0, 2, Some(0), Q::Relay, R::Rewrite, D::Close),
        api(56, "AlterPartition", 2, 3, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(57, "UpdateFeatures", 0, 2, Some(0), Q::Relay, R::Relay, D::Close),
        api(58, "Envelope", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(59, "FetchSnapshot", 0, 1, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(60, "DescribeCluster", 0, 2, Some(0), Q::Frame, R::Rewrite, D::Serve),
        api(61, "DescribeProducers", 0, 0, Some(0), Q::Relay, R::Relay, LEADER),
        api(62, "BrokerRegistration", 0, 4, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(63, "BrokerHeartbeat", 0, 2, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(64, "UnregisterBroker", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(65, "DescribeTransactions", 0, 0, Some(0), Q::Relay, R::Relay, COORDINATOR),
        api(66, "ListTransactions", 0, 2, Some(0), Q::Relay, R::Relay, D::Close),
        api(67, "AllocateProducerIds", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(68, "ConsumerGroupHeartbeat", 0, 1, Some(0), Q::Relay, R::Relay, COORDINATOR),
        api(69, "ConsumerGroupDescribe", 0, 1, Some(0), Q::Relay, R::Relay, COORDINATOR),
        api(70, "ControllerRegistration", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(71, "GetTelemetrySubscriptions", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(72, "PushTelemetry", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(73, "AssignReplicasToDirs", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(74, "ListConfigResources", 0, 1, Some(0), Q::Relay, R::Relay, D::Close),
        api(75, "DescribeTopicPartitions", 0, 0, Some(0), Q::Relay, R::Relay, D::Serve),
        api(76, "ShareGroupHeartbeat", 1, 1, Some(0), Q::Relay, R::Relay, COORDINATOR),
        api(77, "ShareGroupDescribe", 1, 1, Some(0), Q::Relay, R::Relay, COORDINATOR),
        api(78, "ShareFetch", 1, 2, Some(0), Q::Relay, R::Records, SHARE_SESSION),
        api(79, "ShareAcknowledge", 1, 2, Some(0), Q::Relay, R::Rewrite, D::Execute),
        api(80, "AddRaftVoter", 0, 1, Some(0), Q::Relay, R::Relay, D::Close),
        api(81, "RemoveRaftVoter", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(82, "UpdateRaftVoter", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(83, "InitializeShareGroupState", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(84, "ReadShareGroupState", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(85, "WriteShareGroupState", 0, 1, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(86, "DeleteShareGroupState", 0, 0, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(87, "ReadShareGroupStateSummary", 0, 1, Some(0), Q::Refuse, R::Relay, D::Serve),
        api(88, "StreamsGroupHeartbeat", 0, 0, Some(0), Q::Relay, R::Relay, COORDINATOR),
        api(89, "StreamsGroupDescribe", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(90, "DescribeShareGroupOffsets", 0, 1, Some(0), Q::Relay, R::Relay, D::Close),
        api(91, "AlterShareGroupOffsets", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
        api(92, "DeleteShareGroupOffsets", 0, 0, Some(0), Q::Relay, R::Relay, D::Close),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages;

    #[test]
    fn every_api_stands_at_the_index_of_its_number() {
        for (at, api) in APIS.iter().enumerate() {
            assert_eq!(usize::try_from(api.key.0), Ok(at), "{}", api.name);
        }
        assert_eq!(Api::find(ApiKey(-1)), None);
        assert_eq!(Api::find(ApiKey(93)), None);
    }

    #[test]
    fn the_encodings_are_those_that_an_independent_codec_knows() {
        for api in &APIS {
            let Ok(theirs) = messages::ApiKey::try_from(api.key.0) else { continue };
            let range = theirs.valid_versions();
            for version in api.min.max(range.min)..=api.max.min(range.max) {
                let header = theirs.request_header_version(version);
                assert_eq!(api.is_flexible(version), header >= 2, "{} version {version}", api.name);
                let ours = api.response_header_version(version);
                assert_eq!(ours, theirs.response_header_version(version), "{} version {version}", api.name);
            }
        }
    }
}
