//! No address of the upstream ever reaches a client, whatever is asked, in whichever version.
//!
//! Every request that the brokers offer, in every version that the codec can write, goes to a broker directly and through
//! kroxy. The direct answers prove that the search finds addresses; the others must not hold any. A topic that another broker
//! leads draws the endpoints out of Produce, Fetch and the share APIs.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tests::cluster::{Cluster, Listener};
use tests::library::{Library, Load};
use tests::ports::{KAFKA_CONTROLLER, KAFKA_PLAINTEXT, KROXY_FIRST_NODE};
use tests::process::wait_until;
use tests::proxy::Proxy;
use tests::wire::Connection;
use tests::{Mode, asked_for, say};

const BROKERS: u16 = 3;
/// Led by another broker than the one that is asked.
const ELSEWHERE: &str = "elsewhere";
/// Only the proxy's addresses have this host; the brokers' have 127.0.0.1.
const PROXY_HOST: &[u8] = b"localhost";

#[test]
fn no_answer_holds_an_address_of_the_upstream() {
    let Some(turn) = asked_for("no_upstream_address") else { return };
    let cluster = Cluster::start(&turn, BROKERS, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    let (direct, proxied) = (local(KAFKA_PLAINTEXT), local(KROXY_FIRST_NODE + 1));
    let world = World::prepare(&cluster, direct);
    let mut walk = Walk::default();
    for (key, versions) in offered(direct) {
        let Ok(api) = ApiKey::try_from(key) else {
            walk.uncalled.push(format!("{key} v{}-{}", versions.0, versions.1));
            continue;
        };
        for version in versions.0..=versions.1 {
            match world.steps(api, version) {
                Some(steps) if turn.mode == Mode::Proxied => walk.compare(api, version, &steps, direct, proxied),
                Some(steps) => {
                    walk.look(api, version, &steps, direct);
                }
                None => walk.uncalled.push(format!("{api:?} v{version}")),
            }
        }
    }
    walk.demand();
    drop(proxy);
}

/// What was asked and what came back.
#[derive(Default)]
struct Walk {
    answered: usize,
    /// Answers of the broker with addresses: without these the search would prove nothing.
    telling: BTreeSet<(i16, i16)>,
    /// What the broker itself did not answer.
    silent: Vec<String>,
    /// What kroxy did not answer.
    refused: Vec<String>,
    /// What the codec cannot write.
    uncalled: Vec<String>,
    leaks: Vec<String>,
}

impl Walk {
    /// Whether the broker tells addresses; `None` when it says nothing at all.
    fn look(&mut self, api: ApiKey, version: i16, steps: &[Step], direct: SocketAddr) -> Option<bool> {
        let Ok(answer) = ask(direct, steps) else {
            self.silent.push(format!("{api:?} v{version}"));
            return None;
        };
        let tells = !upstream_addresses(&answer).is_empty();
        if tells {
            self.telling.insert((api as i16, version));
        }
        Some(tells)
    }

    fn compare(&mut self, api: ApiKey, version: i16, steps: &[Step], direct: SocketAddr, proxied: SocketAddr) {
        let Some(tells) = self.look(api, version, steps, direct) else { return };
        match ask(proxied, steps) {
            Ok(answer) => {
                self.answered += 1;
                let found = upstream_addresses(&answer);
                if !found.is_empty() {
                    self.leaks.push(format!("{api:?} v{version}: {found:?}"));
                }
                let mapped = answer.windows(PROXY_HOST.len()).any(|w| w == PROXY_HOST);
                // Controllers' listeners and the text of settings have nothing of ours in their place.
                let is_blanked = matches!(api, ApiKey::DescribeQuorum | ApiKey::DescribeConfigs);
                if tells && !mapped && !is_blanked {
                    self.leaks
                        .push(format!("{api:?} v{version}: the upstream's addresses are gone, ours are not there"));
                }
            }
            Err(e) => self.refused.push(format!("{api:?} v{version} ({})", e.kind())),
        }
    }

    fn demand(self) {
        let Self { answered, telling, silent, refused, uncalled, leaks } = self;
        say(&format!(
            "no_upstream_address: {answered} answers through kroxy; {} of the broker's tell addresses",
            telling.len()
        ));
        say(&format!("no_upstream_address: not answered through kroxy: {}", refused.join(", ")));
        say(&format!("no_upstream_address: not answered by the broker itself: {}", silent.join(", ")));
        say(&format!("no_upstream_address: not asked, unknown to the codec: {}", uncalled.join(", ")));
        // ShareAcknowledge would tell only at the moment in which a leader moves: the golden frames stand for it.
        for (api, versions) in [
            (ApiKey::Metadata, 0..=13),
            (ApiKey::FindCoordinator, 0..=6),
            (ApiKey::DescribeCluster, 0..=2),
            (ApiKey::Produce, 10..=13),
            (ApiKey::Fetch, 16..=17),
            (ApiKey::ShareFetch, 1..=1),
            (ApiKey::DescribeConfigs, 1..=4),
            (ApiKey::DescribeQuorum, 2..=2),
        ] {
            for version in versions {
                assert!(
                    telling.contains(&(api as i16, version)),
                    "{api:?} v{version} of the broker tells no address: nothing is proved"
                );
            }
        }
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    }
}

/// One request of a conversation on one connection; the answer to the last one is looked at.
struct Step {
    api: ApiKey,
    version: i16,
    body: Bytes,
}

fn ask(at: SocketAddr, steps: &[Step]) -> io::Result<Vec<u8>> {
    let mut connection = Connection::open(at)?;
    let mut answer = Vec::new();
    for Step { api, version, body } in steps {
        answer = connection.exchange(*api, *version, body)?;
    }
    Ok(answer)
}

/// Every form in which a frame could hold the address of a broker's listener.
fn upstream_addresses(frame: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for port in (KAFKA_PLAINTEXT..KAFKA_PLAINTEXT + BROKERS).chain([KAFKA_CONTROLLER]) {
        let host = b"127.0.0.1".as_slice();
        let forms = [
            ("a number of 32 bits", i32::from(port).to_be_bytes().to_vec()),
            ("a host and a number of 16 bits", [host, &port.to_be_bytes()].concat()),
            ("text", format!("127.0.0.1:{port}").into_bytes()),
        ];
        let holds = |form: &[u8]| frame.windows(form.len()).any(|w| w == form);
        found.extend(forms.iter().filter(|(_, form)| holds(form)).map(|(name, _)| format!("{port} as {name}")));
    }
    found
}

/// What the cluster offers, by key: the oldest and the newest version.
fn offered(at: SocketAddr) -> Vec<(i16, (i16, i16))> {
    let asked = Step { api: ApiKey::ApiVersions, version: 0, body: Bytes::new() };
    let answer = ask(at, &[asked]).expect("the broker answers");
    let body = ApiVersionsResponse::decode(&mut Bytes::from(answer).slice(4..), 0).expect("the codec reads version 0");
    body.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn text(s: &'static str) -> StrBytes {
    StrBytes::from_static_str(s)
}

/// What requests must name so that the answers tell something.
struct World {
    /// The topic that another broker leads, as Metadata tells of it.
    elsewhere: metadata_response::MetadataResponseTopic,
    records: Bytes,
}

impl World {
    /// A topic that only broker 2 has, and coordinators for groups, transactions and share groups.
    fn prepare(cluster: &Cluster<'_>, direct: SocketAddr) -> Self {
        let bootstrap = cluster.bootstrap(Listener::Plaintext);
        let create = format!("--bootstrap-server {bootstrap} --create --topic {ELSEWHERE} --replica-assignment 2");
        cluster.tool("topics", &create).demand("topics --create");
        Load::new(Library::FranzGo, "transactional").run(&bootstrap);
        let mut world = Self { elsewhere: Default::default(), records: records() };
        wait_until("the broker knows of the topic and of coordinators", Duration::from_secs(60), || {
            world.elsewhere = described(direct).unwrap_or_default();
            let find = [world.step(ApiKey::FindCoordinator, 4).expect("the codec writes version 4")];
            !world.elsewhere.topic_id.is_nil()
                && ask(direct, &find).is_ok_and(|answer| !upstream_addresses(&answer).is_empty())
        });
        world
    }

    /// The conversation in which an API's answer tells most; `None` when the codec does not know the version.
    fn steps(&self, api: ApiKey, version: i16) -> Option<Vec<Step>> {
        let asked = self.step(api, version)?;
        if api != ApiKey::ShareAcknowledge {
            return Some(vec![asked]);
        }
        Some(vec![self.step(ApiKey::ShareFetch, 1)?, asked]) // it needs a share session, which belongs to the connection
    }

    fn step(&self, api: ApiKey, version: i16) -> Option<Step> {
        let range = api.valid_versions();
        if !(range.min..=range.max).contains(&version) {
            return None;
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the codec's enum, not ours: what needs no names is asked plainly"
        )]
        let body = match api {
            ApiKey::Produce => encoded(&self.produce(version), version),
            ApiKey::Fetch => encoded(&self.fetch(version), version),
            ApiKey::ShareFetch => encoded(&self.share_fetch(), version),
            ApiKey::ShareAcknowledge => encoded(&self.share_acknowledge(), version),
            ApiKey::FindCoordinator => encoded(&find_coordinator(version), version),
            ApiKey::DescribeQuorum => encoded(&describe_quorum(), version),
            ApiKey::DescribeConfigs => encoded(&describe_configs(), version),
            // No topics are all topics in version 0, and no topic afterwards, where null means all.
            ApiKey::Metadata => {
                encoded(&MetadataRequest::default().with_topics((version == 0).then(Vec::new)), version)
            }
            other => minimal(other, version),
        };
        body.ok().map(|body| Step { api, version, body })
    }

    fn produce(&self, version: i16) -> ProduceRequest {
        use produce_request::{PartitionProduceData, TopicProduceData};
        let partition = PartitionProduceData::default().with_records(Some(self.records.clone()));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let topic = if version >= 13 {
            topic.with_topic_id(self.elsewhere.topic_id)
        } else {
            topic.with_name(TopicName(text(ELSEWHERE)))
        };
        ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![topic])
    }

    fn fetch(&self, version: i16) -> FetchRequest {
        use fetch_request::{FetchPartition, FetchTopic};
        let topic =
            FetchTopic::default().with_partitions(vec![FetchPartition::default().with_partition_max_bytes(1000)]);
        let topic = if version >= 13 {
            topic.with_topic_id(self.elsewhere.topic_id)
        } else {
            topic.with_topic(TopicName(text(ELSEWHERE)))
        };
        FetchRequest::default().with_max_bytes(1000).with_topics(vec![topic])
    }

    fn share_fetch(&self) -> ShareFetchRequest {
        use share_fetch_request::{FetchPartition, FetchTopic};
        let topic = FetchTopic::default()
            .with_topic_id(self.elsewhere.topic_id)
            .with_partitions(vec![FetchPartition::default()]);
        let request =
            ShareFetchRequest::default().with_group_id(Some(GroupId(text("share")))).with_member_id(Some(text(MEMBER)));
        request.with_max_records(10).with_batch_size(10).with_max_bytes(1000).with_topics(vec![topic])
    }

    fn share_acknowledge(&self) -> ShareAcknowledgeRequest {
        use share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch};
        let batch = AcknowledgementBatch::default().with_acknowledge_types(vec![1]);
        let partition = AcknowledgePartition::default().with_acknowledgement_batches(vec![batch]);
        let topic = AcknowledgeTopic::default().with_topic_id(self.elsewhere.topic_id).with_partitions(vec![partition]);
        let request = ShareAcknowledgeRequest::default()
            .with_group_id(Some(GroupId(text("share"))))
            .with_member_id(Some(text(MEMBER)));
        request.with_share_session_epoch(1).with_topics(vec![topic])
    }
}

const MEMBER: &str = "pPS0jWb_TnWzGfLYUNfIzg";

fn described(at: SocketAddr) -> Option<metadata_response::MetadataResponseTopic> {
    let name = TopicName(text(ELSEWHERE));
    let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(name.clone()));
    let body = encoded(&MetadataRequest::default().with_topics(Some(vec![topic])), 12).ok()?;
    let answer = ask(at, &[Step { api: ApiKey::Metadata, version: 12, body }]).ok()?;
    let metadata = MetadataResponse::decode(&mut Bytes::from(answer).slice(5..), 12).ok()?; // behind a header without tags
    metadata.topics.into_iter().find(|t| t.name.as_ref() == Some(&name))
}

fn find_coordinator(version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default();
    if version >= 4 { request.with_coordinator_keys(vec![text("g"), text("h")]) } else { request.with_key(text("g")) }
}

fn describe_quorum() -> DescribeQuorumRequest {
    use describe_quorum_request::{PartitionData, TopicData};
    let topic = TopicData::default().with_topic_name(TopicName(text("__cluster_metadata")));
    DescribeQuorumRequest::default().with_topics(vec![topic.with_partitions(vec![PartitionData::default()])])
}

/// Of a topic, and of every broker: the one that is asked tells its own settings, its listeners among them.
fn describe_configs() -> DescribeConfigsRequest {
    use describe_configs_request::DescribeConfigsResource;
    let resources = [(2, ELSEWHERE), (4, "1"), (4, "2"), (4, "3")].map(|(kind, name)| {
        let resource = DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
        resource.with_configuration_keys(None)
    });
    DescribeConfigsRequest::default().with_resources(resources.to_vec())
}

fn records() -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 0,
        key: None,
        value: Some(Bytes::from_static(b"v")),
        headers: Default::default(),
    };
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, [&record], &options).expect("one small record");
    batch.freeze()
}

fn encoded(request: &impl Encodable, version: i16) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).map_err(io::Error::other)?;
    Ok(body.freeze())
}

/// The request that says nothing but its defaults.
fn minimal(api: ApiKey, version: i16) -> io::Result<Bytes> {
    macro_rules! defaults {
        ($($name:ident $request:ident,)*) => {
            match api { $(ApiKey::$name => encoded(&$request::default(), version),)* }
        };
    }
    #[rustfmt::skip]
    let body = defaults! {
            Produce ProduceRequest,
            Fetch FetchRequest,
            ListOffsets ListOffsetsRequest,
            Metadata MetadataRequest,
            OffsetCommit OffsetCommitRequest,
            OffsetFetch OffsetFetchRequest,
            FindCoordinator FindCoordinatorRequest,
            JoinGroup JoinGroupRequest,
            Heartbeat HeartbeatRequest,
            LeaveGroup LeaveGroupRequest,
            SyncGroup SyncGroupRequest,
            DescribeGroups DescribeGroupsRequest,
            ListGroups ListGroupsRequest,
            SaslHandshake SaslHandshakeRequest,
            ApiVersions ApiVersionsRequest,
            CreateTopics CreateTopicsRequest,
            DeleteTopics DeleteTopicsRequest,
            DeleteRecords DeleteRecordsRequest,
            InitProducerId InitProducerIdRequest,
            OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
            AddPartitionsToTxn AddPartitionsToTxnRequest,
            AddOffsetsToTxn AddOffsetsToTxnRequest,
            EndTxn EndTxnRequest,
            WriteTxnMarkers WriteTxnMarkersRequest,
            TxnOffsetCommit TxnOffsetCommitRequest,
            DescribeAcls DescribeAclsRequest,
            CreateAcls CreateAclsRequest,
            DeleteAcls DeleteAclsRequest,
            DescribeConfigs DescribeConfigsRequest,
            AlterConfigs AlterConfigsRequest,
            AlterReplicaLogDirs AlterReplicaLogDirsRequest,
            DescribeLogDirs DescribeLogDirsRequest,
            SaslAuthenticate SaslAuthenticateRequest,
            CreatePartitions CreatePartitionsRequest,
            CreateDelegationToken CreateDelegationTokenRequest,
            RenewDelegationToken RenewDelegationTokenRequest,
            ExpireDelegationToken ExpireDelegationTokenRequest,
            DescribeDelegationToken DescribeDelegationTokenRequest,
            DeleteGroups DeleteGroupsRequest,
            ElectLeaders ElectLeadersRequest,
            IncrementalAlterConfigs IncrementalAlterConfigsRequest,
            AlterPartitionReassignments AlterPartitionReassignmentsRequest,
            ListPartitionReassignments ListPartitionReassignmentsRequest,
            OffsetDelete OffsetDeleteRequest,
            DescribeClientQuotas DescribeClientQuotasRequest,
            AlterClientQuotas AlterClientQuotasRequest,
            DescribeUserScramCredentials DescribeUserScramCredentialsRequest,
            AlterUserScramCredentials AlterUserScramCredentialsRequest,
            Vote VoteRequest,
            BeginQuorumEpoch BeginQuorumEpochRequest,
            EndQuorumEpoch EndQuorumEpochRequest,
            DescribeQuorum DescribeQuorumRequest,
            AlterPartition AlterPartitionRequest,
            UpdateFeatures UpdateFeaturesRequest,
            Envelope EnvelopeRequest,
            FetchSnapshot FetchSnapshotRequest,
            DescribeCluster DescribeClusterRequest,
            DescribeProducers DescribeProducersRequest,
            BrokerRegistration BrokerRegistrationRequest,
            BrokerHeartbeat BrokerHeartbeatRequest,
            UnregisterBroker UnregisterBrokerRequest,
            DescribeTransactions DescribeTransactionsRequest,
            ListTransactions ListTransactionsRequest,
            AllocateProducerIds AllocateProducerIdsRequest,
            ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest,
            ConsumerGroupDescribe ConsumerGroupDescribeRequest,
            ControllerRegistration ControllerRegistrationRequest,
            GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest,
            PushTelemetry PushTelemetryRequest,
            AssignReplicasToDirs AssignReplicasToDirsRequest,
            ListConfigResources ListConfigResourcesRequest,
            DescribeTopicPartitions DescribeTopicPartitionsRequest,
            ShareGroupHeartbeat ShareGroupHeartbeatRequest,
            ShareGroupDescribe ShareGroupDescribeRequest,
            ShareFetch ShareFetchRequest,
            ShareAcknowledge ShareAcknowledgeRequest,
            AddRaftVoter AddRaftVoterRequest,
            RemoveRaftVoter RemoveRaftVoterRequest,
            UpdateRaftVoter UpdateRaftVoterRequest,
            InitializeShareGroupState InitializeShareGroupStateRequest,
            ReadShareGroupState ReadShareGroupStateRequest,
            WriteShareGroupState WriteShareGroupStateRequest,
            DeleteShareGroupState DeleteShareGroupStateRequest,
            ReadShareGroupStateSummary ReadShareGroupStateSummaryRequest,
            DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest,
            AlterShareGroupOffsets AlterShareGroupOffsetsRequest,
            DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest,
    };
    body
}
