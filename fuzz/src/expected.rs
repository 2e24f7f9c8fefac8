//! What a response has to become, by the other codec: decoded, each address replaced, encoded.

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        BrokerId, DescribeClusterResponse, DescribeConfigsResponse, DescribeQuorumResponse, FetchResponse,
        FindCoordinatorResponse, MetadataResponse, ProduceResponse, ShareAcknowledgeResponse, ShareFetchResponse,
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use kroxy_core::api::ApiKey;

/// The host that the gateway of all cases tells.
pub(crate) const HOST: &str = "kroxy.test";

/// The port of node 0, and how many nodes there are.
pub(crate) const FIRST_PORT: u16 = 9_100;
pub(crate) const NODES: u16 = 100;

/// The settings whose values are addresses.
const ADDRESS_SETTINGS: [&str; 7] = [
    "advertised.host.name",
    "advertised.listeners",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "host.name",
    "listeners",
    "zookeeper.connect",
];

fn place(node: BrokerId, host: &mut StrBytes, port: &mut i32) {
    if node.0 < 0 && host.is_empty() {
        return; // nobody
    }
    *host = StrBytes::from_static_str(HOST);
    let node = u16::try_from(node.0).ok().filter(|node| *node < NODES);
    *port = node.map_or(1, |node| i32::from(FIRST_PORT + node));
}

/// Decodes a valid body, and nothing else: this decoder reserves memory for whatever count it reads.
fn decoded<M: Decodable>(version: i16, body: &[u8]) -> anyhow::Result<M> {
    let mut rest = Bytes::copy_from_slice(body);
    let message = M::decode(&mut rest, version)?;
    if !rest.is_empty() {
        bail!("{} bytes are left over", rest.len());
    }
    Ok(message)
}

fn edited<M: Decodable + Encodable>(version: i16, body: &[u8], edit: impl FnOnce(&mut M)) -> anyhow::Result<Vec<u8>> {
    let mut message = decoded(version, body)?;
    edit(&mut message);
    let mut out = BytesMut::new();
    message.encode(&mut out, version)?;
    Ok(out.to_vec())
}

/// What the client has to receive for a valid body. Most carry no address and stay as they are.
pub(crate) fn rewritten(key: ApiKey, version: i16, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    match (key, version) {
        (ApiKey::PRODUCE, 10..) => edited::<ProduceResponse>(version, body, |m| {
            m.node_endpoints.iter_mut().for_each(|e| place(e.node_id, &mut e.host, &mut e.port));
        }),
        (ApiKey::FETCH, 16..) => edited::<FetchResponse>(version, body, |m| {
            m.node_endpoints.iter_mut().for_each(|e| place(e.node_id, &mut e.host, &mut e.port));
        }),
        (ApiKey::SHARE_FETCH, _) => edited::<ShareFetchResponse>(version, body, |m| {
            m.node_endpoints.iter_mut().for_each(|e| place(e.node_id, &mut e.host, &mut e.port));
        }),
        (ApiKey::SHARE_ACKNOWLEDGE, _) => edited::<ShareAcknowledgeResponse>(version, body, |m| {
            m.node_endpoints.iter_mut().for_each(|e| place(e.node_id, &mut e.host, &mut e.port));
        }),
        (ApiKey::METADATA, _) => edited::<MetadataResponse>(version, body, |m| {
            m.brokers.iter_mut().for_each(|b| place(b.node_id, &mut b.host, &mut b.port));
        }),
        (ApiKey::FIND_COORDINATOR, ..4) => edited::<FindCoordinatorResponse>(version, body, |m| {
            place(m.node_id, &mut m.host, &mut m.port);
        }),
        (ApiKey::FIND_COORDINATOR, _) => edited::<FindCoordinatorResponse>(version, body, |m| {
            m.coordinators.iter_mut().for_each(|c| place(c.node_id, &mut c.host, &mut c.port));
        }),
        (ApiKey::DESCRIBE_CLUSTER, _) => edited::<DescribeClusterResponse>(version, body, |m| {
            if m.endpoint_type == 1 {
                m.brokers.iter_mut().for_each(|b| place(b.broker_id, &mut b.host, &mut b.port));
            } else {
                m.brokers.clear(); // controllers
            }
        }),
        (ApiKey::DESCRIBE_QUORUM, 2..) => edited::<DescribeQuorumResponse>(version, body, |m| {
            m.nodes.iter_mut().for_each(|node| node.listeners.clear());
        }),
        (ApiKey::DESCRIBE_CONFIGS, _) => edited::<DescribeConfigsResponse>(version, body, |m| {
            for config in m.results.iter_mut().flat_map(|result| &mut result.configs) {
                if ADDRESS_SETTINGS.contains(&config.name.as_str()) {
                    config.value = None;
                }
                for synonym in &mut config.synonyms {
                    if ADDRESS_SETTINGS.contains(&synonym.name.as_str()) {
                        synonym.value = None;
                    }
                }
            }
        }),
        _ => Ok(body.to_vec()),
    }
}

/// Whether a masked body says what the valid one said, but for the endpoints, and for tagged fields of the message that nobody knows.
pub(crate) fn is_masked(key: ApiKey, version: i16, body: &[u8], masked: &[u8]) -> anyhow::Result<()> {
    macro_rules! compare {
        ($message:ty) => {{
            let (mut was, mut is) = (decoded::<$message>(version, body)?, decoded::<$message>(version, masked)?);
            if !is.node_endpoints.is_empty() {
                bail!("endpoints are left: {:?}", is.node_endpoints);
            }
            was.node_endpoints.clear();
            was.unknown_tagged_fields.clear();
            is.unknown_tagged_fields.clear();
            if was != is {
                bail!("{was:?} has become {is:?}");
            }
        }};
    }
    match key {
        ApiKey::FETCH => compare!(FetchResponse),
        _ => compare!(ShareFetchResponse),
    }
    Ok(())
}

/// What matters of a request that flows unread: whether it will be answered, and by whom.
pub(crate) fn is_answered_by_upstream(key: ApiKey, version: i16, body: &[u8]) -> anyhow::Result<bool> {
    Ok(match key {
        ApiKey::PRODUCE => decoded::<kafka_protocol::messages::ProduceRequest>(version, body)?.acks != 0,
        ApiKey::DESCRIBE_CLUSTER => {
            decoded::<kafka_protocol::messages::DescribeClusterRequest>(version, body)?.endpoint_type != 2
        }
        _ => true,
    })
}
