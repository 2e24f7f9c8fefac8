//! Random messages that carry addresses, in every version that an independent codec (`kafka-protocol`) writes.
//!
//! A message is encoded twice: as upstream sends it, and with its endpoints mapped before they are encoded. The second is
//! what the rewriters, which never decode anything, must make of the first.

use crate::{address::NodeId, api::ApiKey, rewrite::Addresses};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        BrokerId, DescribeClusterResponse, DescribeQuorumResponse, FetchResponse, FindCoordinatorResponse,
        MetadataResponse, ProduceResponse, ShareAcknowledgeResponse, ShareFetchResponse, TopicName,
        describe_cluster_response::DescribeClusterBroker,
        describe_quorum_response::{self, Listener, Node, ReplicaState},
        fetch_response::{self, AbortedTransaction, FetchableTopicResponse},
        find_coordinator_response::Coordinator,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
        produce_response::{self, BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
        share_acknowledge_response::{self, ShareAcknowledgeTopicResponse},
        share_fetch_response::{self, AcquiredRecords, ShareFetchableTopicResponse},
    },
    protocol::{Encodable, StrBytes},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Tags = BTreeMap<i32, Bytes>;

/// An upstream node, with the id -1 and no host where it is nobody.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    id: i32,
    host: String,
    port: i32,
    rack: Option<String>,
}

/// What a message of any API is filled with.
#[derive(Clone, Debug)]
pub(super) struct Filling {
    nodes: Vec<Upstream>,
    /// Partitions of each topic, by their records.
    topics: Vec<Vec<Option<Vec<u8>>>>,
    message: Option<String>,
    number: i32,
    unknown: Option<Vec<u8>>,
}

pub(super) fn filling() -> impl Strategy<Value = Filling> {
    let text = || prop::option::of("[a-z]{0,150}");
    let host = (0..150i32, "[a-z]{0,140}\\.upstream\\.internal", 0..70_000i32);
    let node = prop_oneof![
        9 => (host, text()).prop_map(|((id, host, port), rack)| Upstream { id, host, port, rack }),
        1 => text().prop_map(|rack| Upstream { id: -1, host: String::new(), port: -1, rack }),
    ];
    let records = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    (
        prop::collection::vec(node, 0..5),
        prop::collection::vec(prop::collection::vec(records, 0..4), 0..4),
        text(),
        any::<i32>(),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..150)),
    )
        .prop_map(|(nodes, topics, message, number, unknown)| Filling { nodes, topics, message, number, unknown })
}

/// Versions that the codec writes and that carry addresses.
pub(super) const VERSIONS: [(ApiKey, i16, i16); 8] = [
    (ApiKey::PRODUCE, 10, 13),
    (ApiKey::FETCH, 16, 18),
    (ApiKey::METADATA, 0, 13),
    (ApiKey::FIND_COORDINATOR, 0, 6),
    (ApiKey::DESCRIBE_QUORUM, 2, 2),
    (ApiKey::DESCRIBE_CLUSTER, 0, 2),
    (ApiKey::SHARE_FETCH, 1, 1),
    (ApiKey::SHARE_ACKNOWLEDGE, 1, 1),
];

/// Encodes messages of one version, with or without mapped endpoints.
pub(super) struct Encoder<'a, A> {
    pub(super) version: i16,
    pub(super) is_flexible: bool,
    /// `None`: as upstream sends it.
    pub(super) addresses: Option<&'a A>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn maybe(maybe: Option<&String>) -> Option<StrBytes> {
    maybe.map(|t| text(t))
}

impl<A: Addresses> Encoder<'_, A> {
    pub(super) fn body(&self, key: ApiKey, filling: &Filling) -> Bytes {
        let mut out = BytesMut::new();
        let encoded = match key {
            ApiKey::PRODUCE => self.produce(filling).encode(&mut out, self.version),
            ApiKey::FETCH => self.fetch(filling).encode(&mut out, self.version),
            ApiKey::METADATA => self.metadata(filling).encode(&mut out, self.version),
            ApiKey::FIND_COORDINATOR => self.coordinator(filling).encode(&mut out, self.version),
            ApiKey::DESCRIBE_QUORUM => self.quorum(filling).encode(&mut out, self.version),
            ApiKey::DESCRIBE_CLUSTER => self.cluster(filling).encode(&mut out, self.version),
            ApiKey::SHARE_FETCH => self.share_fetch(filling).encode(&mut out, self.version),
            ApiKey::SHARE_ACKNOWLEDGE => self.share_acknowledge(filling).encode(&mut out, self.version),
            other => panic!("{other} carries no address"),
        };
        encoded.unwrap_or_else(|e| panic!("{key} version {}: {e}", self.version));
        out.freeze()
    }

    fn endpoint(&self, node: &Upstream) -> (BrokerId, StrBytes, i32) {
        match self.addresses {
            Some(addresses) if node.id >= 0 => {
                let (host, port) = addresses.virtual_address(NodeId(node.id));
                (BrokerId(node.id), text(&host), i32::from(port))
            }
            Some(_) | None => (BrokerId(node.id), text(&node.host), node.port),
        }
    }

    fn tags(&self, filling: &Filling) -> Tags {
        let unknown = filling.unknown.as_ref().filter(|_| self.is_flexible);
        unknown.map(|content| Tags::from([(10_000, Bytes::copy_from_slice(content))])).unwrap_or_default()
    }

    fn metadata(&self, f: &Filling) -> MetadataResponse {
        let broker = |node| {
            let (id, host, port) = self.endpoint(node);
            MetadataResponseBroker::default()
                .with_node_id(id)
                .with_host(host)
                .with_port(port)
                .with_rack(maybe(node.rack.as_ref()))
                .with_unknown_tagged_fields(self.tags(f))
        };
        let partition = MetadataResponsePartition::default()
            .with_replica_nodes(f.nodes.iter().map(|n| BrokerId(n.id)).collect())
            .with_unknown_tagged_fields(self.tags(f));
        let topic = |partitions: &Vec<_>| {
            MetadataResponseTopic::default()
                .with_name(Some(TopicName(text(f.message.as_deref().unwrap_or("topic")))))
                .with_partitions(vec![partition.clone(); partitions.len()])
                .with_unknown_tagged_fields(self.tags(f))
        };
        MetadataResponse::default()
            .with_brokers(f.nodes.iter().map(broker).collect())
            .with_cluster_id(maybe(f.message.as_ref()))
            .with_controller_id(BrokerId(f.number))
            .with_topics(f.topics.iter().map(topic).collect())
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn coordinator(&self, f: &Filling) -> FindCoordinatorResponse {
        let mut response = FindCoordinatorResponse::default().with_unknown_tagged_fields(self.tags(f));
        response.throttle_time_ms = if self.version >= 1 { f.number } else { 0 };
        if self.version >= 4 {
            let coordinator = |node| {
                let (id, host, port) = self.endpoint(node);
                Coordinator::default()
                    .with_key(text(f.message.as_deref().unwrap_or("group")))
                    .with_node_id(id)
                    .with_host(host)
                    .with_port(port)
                    .with_error_code(f.number as i16)
                    .with_error_message(maybe(node.rack.as_ref()))
                    .with_unknown_tagged_fields(self.tags(f))
            };
            return response.with_coordinators(f.nodes.iter().map(coordinator).collect());
        }
        if self.version >= 1 {
            response.error_message = maybe(f.message.as_ref());
        }
        let Some(node) = f.nodes.first() else { return response.with_node_id(BrokerId(-1)) };
        let (id, host, port) = self.endpoint(node);
        response.with_error_code(f.number as i16).with_node_id(id).with_host(host).with_port(port)
    }

    fn cluster(&self, f: &Filling) -> DescribeClusterResponse {
        let broker = |node: &Upstream| {
            let (id, host, port) = self.endpoint(node);
            DescribeClusterBroker::default()
                .with_broker_id(id)
                .with_host(host)
                .with_port(port)
                .with_rack(maybe(node.rack.as_ref()))
                .with_is_fenced(self.version >= 2 && node.port % 2 == 0)
                .with_unknown_tagged_fields(self.tags(f))
        };
        DescribeClusterResponse::default()
            .with_error_message(maybe(f.message.as_ref()))
            .with_cluster_id(text(f.message.as_deref().unwrap_or("cluster")))
            .with_controller_id(BrokerId(f.number))
            .with_brokers(f.nodes.iter().map(broker).collect())
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn quorum(&self, f: &Filling) -> DescribeQuorumResponse {
        let listener = |n: &Upstream| {
            Listener::default()
                .with_name(text("CONTROLLER"))
                .with_host(text(&n.host))
                .with_port(n.port as u16)
                .with_unknown_tagged_fields(self.tags(f))
        };
        let listeners: Vec<_> = f.nodes.iter().filter(|_| self.addresses.is_none()).map(listener).collect();
        let node = |n: &Upstream| {
            Node::default()
                .with_node_id(BrokerId(n.id))
                .with_listeners(listeners.clone())
                .with_unknown_tagged_fields(self.tags(f))
        };
        let replicas = vec![ReplicaState::default().with_unknown_tagged_fields(self.tags(f)); f.topics.len()];
        let partition = describe_quorum_response::PartitionData::default()
            .with_error_message(maybe(f.message.as_ref()))
            .with_current_voters(replicas.clone())
            .with_observers(replicas)
            .with_unknown_tagged_fields(self.tags(f));
        let topic = |partitions: &Vec<_>| {
            describe_quorum_response::TopicData::default()
                .with_partitions(vec![partition.clone(); partitions.len()])
                .with_unknown_tagged_fields(self.tags(f))
        };
        DescribeQuorumResponse::default()
            .with_error_message(maybe(f.message.as_ref()))
            .with_topics(f.topics.iter().map(topic).collect())
            .with_nodes(f.nodes.iter().map(node).collect())
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn produce(&self, f: &Filling) -> ProduceResponse {
        let leader = produce_response::LeaderIdAndEpoch::default().with_leader_id(BrokerId(f.number));
        let error = BatchIndexAndErrorMessage::default()
            .with_batch_index_error_message(maybe(f.message.as_ref()))
            .with_unknown_tagged_fields(self.tags(f));
        let partition = |records: &Option<Vec<u8>>| {
            PartitionProduceResponse::default()
                .with_record_errors(vec![error.clone(); records.as_ref().map_or(0, |r| r.len() % 3)])
                .with_error_message(maybe(f.message.as_ref()))
                .with_current_leader(leader.clone())
                .with_unknown_tagged_fields(self.tags(f))
        };
        let topic = |partitions: &Vec<_>| {
            let name = if self.version < 13 { f.message.as_deref().unwrap_or("topic") } else { "" };
            TopicProduceResponse::default()
                .with_name(TopicName(text(name)))
                .with_partition_responses(partitions.iter().map(partition).collect())
                .with_unknown_tagged_fields(self.tags(f))
        };
        ProduceResponse::default()
            .with_responses(f.topics.iter().map(topic).collect())
            .with_node_endpoints(self.node_endpoints(f, produce_response::NodeEndpoint::default()))
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn fetch(&self, f: &Filling) -> FetchResponse {
        let aborted = vec![AbortedTransaction::default().with_unknown_tagged_fields(self.tags(f)); f.nodes.len()];
        let partition = |records: &Option<Vec<u8>>| {
            let leader = fetch_response::LeaderIdAndEpoch::default().with_leader_id(BrokerId(f.number));
            fetch_response::PartitionData::default()
                .with_records(records.as_deref().map(Bytes::copy_from_slice))
                .with_aborted_transactions(f.message.as_ref().map(|_| aborted.clone()))
                .with_current_leader(leader)
                .with_unknown_tagged_fields(self.tags(f))
        };
        let topic = |partitions: &Vec<_>| {
            FetchableTopicResponse::default()
                .with_partitions(partitions.iter().map(partition).collect())
                .with_unknown_tagged_fields(self.tags(f))
        };
        FetchResponse::default()
            .with_session_id(f.number)
            .with_responses(f.topics.iter().map(topic).collect())
            .with_node_endpoints(self.node_endpoints(f, fetch_response::NodeEndpoint::default()))
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn share_fetch(&self, f: &Filling) -> ShareFetchResponse {
        let acquired = vec![AcquiredRecords::default().with_unknown_tagged_fields(self.tags(f)); f.nodes.len()];
        let partition = |records: &Option<Vec<u8>>| {
            share_fetch_response::PartitionData::default()
                .with_error_message(maybe(f.message.as_ref()))
                .with_records(records.as_deref().map(Bytes::copy_from_slice))
                .with_acquired_records(acquired.clone())
                .with_unknown_tagged_fields(self.tags(f))
        };
        let topic = |partitions: &Vec<_>| {
            ShareFetchableTopicResponse::default()
                .with_partitions(partitions.iter().map(partition).collect())
                .with_unknown_tagged_fields(self.tags(f))
        };
        ShareFetchResponse::default()
            .with_error_message(maybe(f.message.as_ref()))
            .with_responses(f.topics.iter().map(topic).collect())
            .with_node_endpoints(self.node_endpoints(f, share_fetch_response::NodeEndpoint::default()))
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn share_acknowledge(&self, f: &Filling) -> ShareAcknowledgeResponse {
        let partition = |_: &Option<Vec<u8>>| {
            share_acknowledge_response::PartitionData::default()
                .with_error_message(maybe(f.message.as_ref()))
                .with_unknown_tagged_fields(self.tags(f))
        };
        let topic = |partitions: &Vec<_>| {
            ShareAcknowledgeTopicResponse::default()
                .with_partitions(partitions.iter().map(partition).collect())
                .with_unknown_tagged_fields(self.tags(f))
        };
        ShareAcknowledgeResponse::default()
            .with_responses(f.topics.iter().map(topic).collect())
            .with_node_endpoints(self.node_endpoints(f, share_acknowledge_response::NodeEndpoint::default()))
            .with_unknown_tagged_fields(self.tags(f))
    }

    fn node_endpoints<E: NodeEndpoint>(&self, f: &Filling, empty: E) -> Vec<E> {
        let endpoint = |n| empty.clone().filled(self.endpoint(n), maybe(n.rack.as_ref()), self.tags(f));
        f.nodes.iter().map(endpoint).collect()
    }
}

/// The same structure, which the codec has once for each message.
trait NodeEndpoint: Clone {
    fn filled(self, endpoint: (BrokerId, StrBytes, i32), rack: Option<StrBytes>, unknown: Tags) -> Self;
}

macro_rules! node_endpoint {
    ($($module:ident),+) => {$(
        impl NodeEndpoint for $module::NodeEndpoint {
            fn filled(self, (id, host, port): (BrokerId, StrBytes, i32), rack: Option<StrBytes>, unknown: Tags) -> Self {
                self.with_node_id(id).with_host(host).with_port(port).with_rack(rack).with_unknown_tagged_fields(unknown)
            }
        }
    )+};
}
node_endpoint!(produce_response, fetch_response, share_fetch_response, share_acknowledge_response);
