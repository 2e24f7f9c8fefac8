//! Membership in a classic consumer group: join, synchronise, heartbeat, commit, leave.

use super::{Client, ClientError, Purpose, connection::Connection, text};
use crate::{demo::limits, net::Net};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
        LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
        join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Request, StrBytes},
};
use kroxy_core::{
    address::HostPort,
    wire::{Reader, Unread},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";
/// The name of the assignor.
const RANGE: &str = "range";
/// The version of subscriptions and assignments that every consumer can read.
const PROTOCOL_VERSION: i16 = 0;

/// Partitions by topic.
type Partitions = BTreeMap<String, Vec<i32>>;

/// One member of a group.
#[derive(Debug)]
pub(super) struct Member {
    group: StrBytes,
    topic: String,
    /// Empty until the coordinator has given one.
    id: StrBytes,
    /// -1 while it has none.
    generation: i32,
    coordinator: Option<i32>,
}

impl Member {
    pub(super) fn new(group: &str, topic: &str) -> Self {
        Self { group: text(group), topic: topic.to_owned(), id: StrBytes::default(), generation: -1, coordinator: None }
    }

    /// Whether it has an assignment that it may commit offsets under.
    pub(super) fn is_in_generation(&self) -> bool {
        self.generation >= 0
    }

    /// Joins, waits for the others, and returns the partitions of the topic that are assigned to this member.
    pub(super) async fn join<N: Net>(&mut self, client: &mut Client<N>) -> Result<Vec<i32>, ClientError> {
        let request = self.join_request();
        let joined = self.ask(client, &request, limits::REBALANCE).await?;
        if joined.error_code == ResponseError::MemberIdRequired.code() {
            self.id = joined.member_id;
            return Box::pin(self.join(client)).await;
        }
        self.check(ApiKey::JoinGroup, joined.error_code)?;
        self.id = joined.member_id.clone();
        self.generation = joined.generation_id;
        let assignments = if joined.leader == joined.member_id { assign(client, &joined).await? } else { Vec::new() };
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
            .with_protocol_name(Some(StrBytes::from_static_str(RANGE)))
            .with_assignments(assignments);
        let synced = self.ask(client, &request, limits::REBALANCE).await?;
        self.check(ApiKey::SyncGroup, synced.error_code)?;
        let mut assigned = read_partitions(&synced.assignment)
            .map_err(|e| ClientError::Unreadable { api: ApiKey::SyncGroup, why: format!("the assignment: {e}") })?;
        Ok(assigned.remove(&self.topic).unwrap_or_default())
    }

    fn join_request(&self) -> JoinGroupRequest {
        let mut subscription = BytesMut::new();
        subscription.put_i16(PROTOCOL_VERSION);
        subscription.put_i32(1);
        put_string(&mut subscription, &self.topic);
        subscription.put_i32(-1); // no user data
        let range = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(RANGE))
            .with_metadata(subscription.freeze());
        JoinGroupRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_session_timeout_ms(millis(limits::SESSION))
            .with_rebalance_timeout_ms(millis(limits::REBALANCE))
            .with_member_id(self.id.clone())
            .with_protocol_type(StrBytes::from_static_str(CONSUMER))
            .with_protocols(vec![range])
    }

    /// Says that it is alive. [`ResponseError::RebalanceInProgress`] means that it has to join again.
    pub(super) async fn heartbeat<N: Net>(&mut self, client: &mut Client<N>) -> Result<(), ClientError> {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone());
        let response = self.ask(client, &request, Duration::ZERO).await?;
        self.check(ApiKey::Heartbeat, response.error_code)
    }

    /// Commits where the next records are to be read from.
    pub(super) async fn commit<N: Net>(
        &mut self,
        client: &mut Client<N>,
        positions: &BTreeMap<i32, i64>,
    ) -> Result<(), ClientError> {
        let partition = |(&partition, &offset): (&i32, &i64)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(offset)
                .with_committed_metadata(Some(StrBytes::default()))
        };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partitions(positions.iter().map(partition).collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.id.clone())
            .with_topics(vec![topic]);
        let response = self.ask(client, &request, Duration::ZERO).await?;
        let codes = response.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
        codes.into_iter().try_for_each(|code| self.check(ApiKey::OffsetCommit, code))
    }

    /// Where each of the partitions was committed to; what was never committed is left out.
    pub(super) async fn committed<N: Net>(
        &mut self,
        client: &mut Client<N>,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partition_indexes(partitions.to_vec());
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        let response = self.ask(client, &request, Duration::ZERO).await?;
        let mut committed = BTreeMap::new();
        for group in &response.groups {
            self.check(ApiKey::OffsetFetch, group.error_code)?;
            for partition in group.topics.iter().flat_map(|t| &t.partitions) {
                self.check(ApiKey::OffsetFetch, partition.error_code)?;
                if partition.committed_offset >= 0 {
                    committed.insert(partition.partition_index, partition.committed_offset);
                }
            }
        }
        Ok(committed)
    }

    /// Leaves, so that the others need not wait for the session to end.
    pub(super) async fn leave<N: Net>(&mut self, client: &mut Client<N>) -> Result<(), ClientError> {
        if self.id.is_empty() {
            return Ok(());
        }
        let member = MemberIdentity::default().with_member_id(self.id.clone());
        let request =
            LeaveGroupRequest::default().with_group_id(GroupId(self.group.clone())).with_members(vec![member]);
        let response = self.ask(client, &request, Duration::ZERO).await?;
        self.forget();
        self.check(ApiKey::LeaveGroup, response.error_code)
    }

    fn forget(&mut self) {
        self.id = StrBytes::default();
        self.generation = -1;
    }

    /// Takes in what an error says about the membership, before it is passed on.
    fn check(&mut self, api: ApiKey, code: i16) -> Result<(), ClientError> {
        let checked = ClientError::broker(api, code);
        if let Err(e) = &checked {
            match e.named() {
                Some(ResponseError::UnknownMemberId) => self.forget(),
                Some(ResponseError::IllegalGeneration) => self.generation = -1,
                Some(ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable) => self.coordinator = None,
                Some(_) | None => {}
            }
        }
        checked
    }

    async fn ask<N: Net, R: Request>(
        &mut self,
        client: &mut Client<N>,
        request: &R,
        waits: Duration,
    ) -> Result<R::Response, ClientError> {
        let (node, connection) = self.coordinator(client).await?;
        connection.call(request, waits).await.inspect_err(|_| {
            client.disconnect(node, Purpose::Coordination);
            self.coordinator = None;
        })
    }

    /// The connection to whoever coordinates the group.
    async fn coordinator<N: Net>(&mut self, client: &mut Client<N>) -> Result<(i32, Connection), ClientError> {
        let node = match self.coordinator {
            Some(node) => node,
            None => {
                let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![self.group.clone()]);
                let response = client.ask_anybody(&request).await?;
                let missing =
                    || ClientError::Unreadable { api: ApiKey::FindCoordinator, why: "it names nobody".to_owned() };
                let found = response.coordinators.first().ok_or_else(missing)?;
                ClientError::broker(ApiKey::FindCoordinator, found.error_code)?;
                let port = u16::try_from(found.port).map_err(|_| missing())?;
                client.nodes.insert(found.node_id.0, HostPort::new(found.host.as_str(), port));
                found.node_id.0
            }
        };
        let connection =
            client.connection(node, Purpose::Coordination).await.inspect_err(|_| self.coordinator = None)?;
        self.coordinator = Some(node);
        Ok((node, connection))
    }
}

/// Divides all topics that anybody has subscribed to, each among those who have (Kafka's range assignor).
async fn assign<N: Net>(
    client: &mut Client<N>,
    joined: &JoinGroupResponse,
) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
    let mut subscribers: BTreeMap<String, Vec<StrBytes>> = BTreeMap::new();
    for member in &joined.members {
        // Who cannot be understood gets nothing, and the others are served.
        for topic in read_topics(&member.metadata).unwrap_or_default() {
            subscribers.entry(topic).or_default().push(member.member_id.clone());
        }
    }
    let mut assigned: BTreeMap<StrBytes, Partitions> =
        joined.members.iter().map(|member| (member.member_id.clone(), Partitions::new())).collect();
    for (topic, mut members) in subscribers {
        // Without fresh metadata what was known before has to do. Where nothing was, nobody would get anything for as long as
        // the generation lasts.
        if let Err(e) = client.refresh(&topic).await
            && client.partition_count(&topic) == 0
        {
            return Err(e);
        }
        members.sort();
        for (member, partitions) in ranges(&members, client.partition_count(&topic)) {
            assigned.entry(member).or_default().insert(topic.clone(), partitions);
        }
    }
    let assignment = |(member, partitions): (StrBytes, Partitions)| {
        SyncGroupRequestAssignment::default().with_member_id(member).with_assignment(write_partitions(&partitions))
    };
    Ok(assigned.into_iter().map(assignment).collect())
}

/// Consecutive partitions for each member; the first ones get one more where they do not divide evenly.
fn ranges(members: &[StrBytes], partitions: i32) -> Vec<(StrBytes, Vec<i32>)> {
    let count = i32::try_from(members.len()).unwrap_or(i32::MAX).max(1);
    let (each, extra) = (partitions / count, partitions % count);
    let mut first = 0;
    let mut ranges = Vec::new();
    for (place, member) in (0..).zip(members) {
        let last = first + each + i32::from(place < extra);
        ranges.push((member.clone(), (first..last).collect()));
        first = last;
    }
    ranges
}

fn put_string(buffer: &mut BytesMut, string: &str) {
    buffer.put_i16(i16::try_from(string.len()).unwrap_or(i16::MAX));
    buffer.put_slice(&string.as_bytes()[..string.len().min(i16::MAX as usize)]);
}

fn write_partitions(partitions: &Partitions) -> Bytes {
    let length = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut assignment = BytesMut::new();
    assignment.put_i16(PROTOCOL_VERSION);
    assignment.put_i32(length(partitions.len()));
    for (topic, partitions) in partitions {
        put_string(&mut assignment, topic);
        assignment.put_i32(length(partitions.len()));
        partitions.iter().for_each(|partition| assignment.put_i32(*partition));
    }
    assignment.put_i32(-1); // no user data
    assignment.freeze()
}

fn read_string(reader: &mut Reader<'_>) -> Result<String, Unread> {
    let string = reader.nullable_string()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(string).into_owned())
}

/// The topics of a subscription of any version: later ones only add fields behind.
fn read_topics(subscription: &[u8]) -> Result<BTreeSet<String>, Unread> {
    let mut reader = Reader::new(subscription);
    reader.i16()?;
    (0..reader.i32()?).map(|_| read_string(&mut reader)).collect()
}

/// An assignment of any version. An empty one, which Kafka gives to those whom the leader forgot, has no partitions.
fn read_partitions(assignment: &[u8]) -> Result<Partitions, Unread> {
    let mut all = Partitions::new();
    if assignment.is_empty() {
        return Ok(all);
    }
    let mut reader = Reader::new(assignment);
    reader.i16()?;
    for _ in 0..reader.i32()? {
        let topic = read_string(&mut reader)?;
        let partitions = (0..reader.i32()?).map(|_| reader.i32()).collect::<Result<_, _>>()?;
        all.insert(topic, partitions);
    }
    Ok(all)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_goes_to_one_member_and_none_gets_two_more_than_another() {
        for members in 1..5_usize {
            let names: Vec<StrBytes> = (0..members).map(|m| text(&format!("member-{m}"))).collect();
            for partitions in 0..12 {
                let ranges = ranges(&names, partitions);
                let all: Vec<i32> = ranges.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
                assert_eq!(all, (0..partitions).collect::<Vec<_>>());
                let sizes: Vec<usize> = ranges.iter().map(|(_, partitions)| partitions.len()).collect();
                assert!(
                    sizes.iter().max().zip(sizes.iter().min()).is_some_and(|(max, min)| max - min <= 1),
                    "{sizes:?}"
                );
            }
        }
    }

    #[test]
    fn an_assignment_reads_back_and_a_cut_one_is_an_error() {
        let partitions = Partitions::from([("a".to_owned(), vec![0, 1]), ("b".to_owned(), vec![])]);
        let written = write_partitions(&partitions);
        assert_eq!(read_partitions(&written), Ok(partitions));
        // The last four bytes are user data, which nobody reads.
        for short in 1..written.len() - 4 {
            assert!(read_partitions(&written[..short]).is_err(), "{short} bytes");
        }
    }
}
