//! Producers without idempotence that send each record once, whatever becomes of it, several one behind the other.

use super::{Client, kafka, lines::Lines};
use crate::{
    history::{Outcome, value},
    limits, topology,
};
use bytes::Bytes;
use kafka_protocol::messages::ProduceResponse;
use kroxy_core::address::HostPort;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::sleep;

/// Who has to say that a record is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Acks {
    /// Nobody.
    None = 0,
    /// The partition's leader.
    Leader = 1,
    /// All replicas in sync.
    All = -1,
}

/// Sends records at its pace until the faults are over.
pub(super) async fn run(mut me: Client, acks: Acks) {
    let mut lines = Lines::new(me.clone());
    let mut leaders = BTreeMap::new();
    let depth = me.load.pipeline.max(1);
    let mut sequence = 0;
    while !me.is_finishing() {
        sleep(Duration::from_millis(me.load.pace_ms * u64::from(depth))).await;
        let partition = me.partition();
        let Some(leader) = leader(&me, &mut lines, &mut leaders, partition).await else {
            sleep(limits::RETRY_PAUSE).await;
            continue;
        };
        if lines.open(&leader).await.is_err() {
            leaders.clear();
            sleep(limits::RETRY_PAUSE).await;
            continue;
        }
        // What was given up on one connection may arrive behind what is sent on the next: order is kept within each.
        let by = format!("{}#{}", me.name, lines.opened());
        let records: Vec<Bytes> = (0..depth)
            .map(|_| {
                let bytes = me.record_bytes();
                let record = value(&me.name, partition, sequence, bytes);
                me.history.sent(record.clone(), me.place(topology::READINGS, partition), &by, sequence);
                sequence += 1;
                record
            })
            .collect();
        let outcomes = send(&me, &mut lines, &leader, partition, acks, &records).await;
        records.iter().zip(&outcomes).for_each(|(record, outcome)| me.history.settled(record, *outcome));
        if acks != Acks::None && outcomes.iter().any(|outcome| *outcome != Outcome::Ok) {
            leaders.clear();
            sleep(limits::RETRY_PAUSE).await;
        }
    }
    lines.close().await;
    me.done();
}

/// Where the leader of a partition is, as far as that can be found out now.
async fn leader(
    me: &Client,
    lines: &mut Lines,
    leaders: &mut BTreeMap<i32, HostPort>,
    partition: i32,
) -> Option<HostPort> {
    if !leaders.contains_key(&partition) {
        match lines.leaders(topology::READINGS).await {
            Ok(known) => *leaders = known,
            Err(e) => me.note(format_args!("no metadata: {:?}", e.kind())),
        }
    }
    leaders.get(&partition).cloned()
}

/// Sends all of them at once; one outcome for each.
async fn send(
    me: &Client,
    lines: &mut Lines,
    leader: &HostPort,
    partition: i32,
    acks: Acks,
    records: &[Bytes],
) -> Vec<Outcome> {
    let at_ms = i64::try_from(me.around.clock().unix_ms()).unwrap_or(i64::MAX);
    let request = |record: &Bytes| {
        let record = kafka::record(record.clone(), at_ms, None);
        kafka::produce(topology::READINGS, partition, acks as i16, None, &[record])
    };
    let requests: Vec<_> = records.iter().map(request).collect();
    let answers = lines.pipeline(leader, kafka::PRODUCE, &requests, acks != Acks::None).await;
    if acks == Acks::None && lines.has(leader) {
        return vec![Outcome::Written; records.len()];
    }
    let mut outcomes: Vec<Outcome> = answers.iter().map(outcome).collect();
    outcomes.resize(records.len(), Outcome::Indefinite);
    outcomes
}

fn outcome(answer: &ProduceResponse) -> Outcome {
    match kafka::produced(answer) {
        Some(0) => Outcome::Ok,
        Some(_) => Outcome::Failed,
        None => Outcome::Indefinite,
    }
}
