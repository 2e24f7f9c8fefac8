//! Transactional producers: each transaction writes to several partitions and commits an offset, or none of it.
//!
//! What goes wrong within a transaction aborts it, by taking the transactional id anew: that fences whatever of the old
//! producer is still under way, as Kafka's clients do since KIP-360. Only the end is asked for again until it is answered.

use super::{
    Client, kafka,
    lines::{Coordinates, Lines},
};
use crate::{
    findings::Checker,
    history::{Outcome, value},
    ledger::{End, group_of},
    limits, topology,
};
use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, ProducerId,
        TopicName, TransactionalId, TxnOffsetCommitRequest,
        add_partitions_to_txn_request::AddPartitionsToTxnTopic,
        txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
    },
    protocol::StrBytes,
};
use kroxy_core::address::HostPort;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};
use tokio::time::sleep;

/// The version of InitProducerId that is spoken.
const INIT: i16 = 4;
/// The version of all other APIs of transactions that is spoken: from here on they say `PRODUCER_FENCED`.
const TRANSACTION: i16 = 3;
/// How long a transaction may stay open: longer than any world goes wrong.
const TIMEOUT_MS: i32 = 60_000;

/// A producer id and its epoch.
type Identity = (i64, i16);

struct Producer {
    me: Client,
    lines: Lines,
    coordinator: Option<HostPort>,
    leaders: BTreeMap<i32, HostPort>,
    identity: Identity,
    /// The next sequence number of each partition.
    sequences: BTreeMap<i32, i32>,
    /// Records handed out.
    records: u64,
}

/// Makes transactions at its pace until the faults are over.
pub(super) async fn run(me: Client) {
    let lines = Lines::new(me.clone());
    let (leaders, sequences) = (BTreeMap::new(), BTreeMap::new());
    let mut producer = Producer { me, lines, coordinator: None, leaders, identity: (-1, -1), sequences, records: 0 };
    producer.take_id().await;
    let mut number = 0;
    while !producer.me.is_finishing() {
        sleep(Duration::from_millis(producer.me.load.pace_ms * 2)).await;
        number += 1;
        let end = producer.transaction(number).await;
        producer.me.history.ledger().ended(&producer.me.name, number, end);
    }
    producer.me.done();
}

impl Producer {
    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.me.name.clone()))
    }

    async fn transaction(&mut self, number: i64) -> End {
        let count = self.me.dice.between(1..=4);
        let records: Vec<(i32, Bytes)> = (0..count).map(|_| self.record()).collect();
        let ledger = self.me.history.ledger();
        ledger.begun(&self.me.name, number, self.me.cluster, records.iter().map(|(_, value)| value.clone()).collect());
        if let Err(e) = self.fill(number, &records).await {
            self.me.note(format_args!("transaction {number} is given up: {e}"));
            self.take_id().await;
            return End::Aborted;
        }
        if self.me.dice.per_mille(100) {
            return self.is_fenced(number).await;
        }
        let commit = !self.me.dice.per_mille(200);
        let end = self.end(commit).await;
        self.me.note(format_args!("transaction {number}: {end:?}"));
        end
    }

    fn record(&mut self) -> (i32, Bytes) {
        let (partition, bytes) = (self.me.partition(), self.me.record_bytes());
        let record = value(&self.me.name, partition, self.records, bytes);
        self.me.history.sent(record.clone(), self.me.place(topology::PAYMENTS, partition), &self.me.name, self.records);
        self.records += 1;
        (partition, record)
    }

    async fn the_coordinator(&mut self) -> io::Result<HostPort> {
        if let Some(known) = &self.coordinator {
            return Ok(known.clone());
        }
        let found = self.lines.coordinator(Coordinates::Transaction, &self.me.name).await?;
        self.coordinator = Some(found.clone());
        Ok(found)
    }

    /// Takes the transactional id, which aborts what is open under it; goes on until that is done.
    async fn take_id(&mut self) {
        self.sequences.clear();
        loop {
            match self.init().await {
                Ok(identity) => {
                    self.identity = identity;
                    return;
                }
                Err(e) => self.me.note(format_args!("no producer id: {e}")),
            }
            self.coordinator = None;
            sleep(limits::RETRY_PAUSE).await;
        }
    }

    async fn init(&mut self) -> io::Result<Identity> {
        let to = self.the_coordinator().await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(TIMEOUT_MS)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = self.lines.ask(&to, INIT, &request).await?;
        ok(answer.error_code)?;
        Ok((answer.producer_id.0, answer.producer_epoch))
    }

    /// Everything that belongs to the transaction but its end.
    async fn fill(&mut self, number: i64, records: &[(i32, Bytes)]) -> io::Result<()> {
        let added = self.add_partitions(records).await;
        if added.is_err() {
            self.coordinator = None;
        }
        added?;
        for (partition, record) in records {
            let produced = self.produce(*partition, record.clone()).await;
            if produced.is_err() {
                self.leaders.clear();
            }
            produced?;
        }
        let sent = self.send_offset(number).await;
        if sent.is_err() {
            self.coordinator = None;
        }
        sent
    }

    async fn add_partitions(&mut self, records: &[(i32, Bytes)]) -> io::Result<()> {
        let to = self.the_coordinator().await?;
        // A topic that is not there yet is created by asking for it.
        if self.leaders.is_empty() {
            self.leaders = self.lines.leaders(topology::PAYMENTS).await?;
        }
        let partitions: BTreeSet<i32> = records.iter().map(|(partition, _)| *partition).collect();
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(topology::PAYMENTS)))
            .with_partitions(partitions.into_iter().collect());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.identity.0))
            .with_v3_and_below_producer_epoch(self.identity.1)
            .with_v3_and_below_topics(vec![topic]);
        let answer = self.lines.ask(&to, TRANSACTION, &request).await?;
        let results = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
        results.map(|result| result.partition_error_code).try_for_each(ok)
    }

    async fn produce(&mut self, partition: i32, record: Bytes) -> io::Result<()> {
        if self.leaders.is_empty() {
            self.leaders = self.lines.leaders(topology::PAYMENTS).await?;
        }
        let leader = self.leaders.get(&partition).ok_or_else(|| io::Error::other("no leader"))?.clone();
        let at_ms = i64::try_from(self.me.around.clock().unix_ms()).unwrap_or(i64::MAX);
        let sequence = self.sequences.entry(partition).or_default();
        let (producer_id, epoch) = self.identity;
        let stamped = kafka::record(record.clone(), at_ms, Some((producer_id, epoch, *sequence)));
        let id = Some(self.transactional_id());
        let request = kafka::produce(topology::PAYMENTS, partition, -1, id, &[stamped]);
        let answer = self.lines.ask(&leader, kafka::PRODUCE, &request).await?;
        let code = kafka::produced(&answer).unwrap_or(-1);
        self.me.history.settled(&record, if code == 0 { Outcome::Ok } else { Outcome::Failed });
        ok(code)?;
        *self.sequences.entry(partition).or_default() += 1;
        Ok(())
    }

    async fn send_offset(&mut self, number: i64) -> io::Result<()> {
        let to = self.the_coordinator().await?;
        let group = || GroupId(StrBytes::from_string(group_of(&self.me.name)));
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.identity.0))
            .with_producer_epoch(self.identity.1)
            .with_group_id(group());
        ok(self.lines.ask(&to, TRANSACTION, &request).await?.error_code)?;
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(number)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(topology::PAYMENTS)))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(group())
            .with_producer_id(ProducerId(self.identity.0))
            .with_producer_epoch(self.identity.1)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let to = self.lines.coordinator(Coordinates::Group, &group_of(&self.me.name)).await?;
        let answer = self.lines.ask(&to, TRANSACTION, &request).await?;
        answer.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code).try_for_each(ok)
    }

    /// Ends the transaction; goes on until somebody says how it ended. To repeat it is harmless.
    async fn end(&mut self, commit: bool) -> End {
        loop {
            match self.ask_end(self.identity, commit).await {
                Ok(None) => return if commit { End::Committed } else { End::Aborted },
                Ok(Some(ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch)) => {
                    let what = format!("{} is fenced, and nobody else has its transactional id", self.me.name);
                    self.me.history.accuse(Checker::Transactions, what);
                    self.take_id().await;
                    return End::Unknown;
                }
                Ok(Some(error)) => self.me.note(format_args!("the transaction does not end: {error:?}")),
                Err(e) => self.me.note(format_args!("the transaction's end is not answered: {e}")),
            }
            self.coordinator = None;
            sleep(limits::RETRY_PAUSE).await;
        }
    }

    async fn ask_end(&mut self, (id, epoch): Identity, commit: bool) -> io::Result<Option<ResponseError>> {
        let to = self.the_coordinator().await?;
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_committed(commit);
        Ok(ResponseError::try_from_code(self.lines.ask(&to, TRANSACTION, &request).await?.error_code))
    }

    /// Somebody else takes the transactional id, and then this one wants to commit: it must not be able to.
    async fn is_fenced(&mut self, number: i64) -> End {
        let old = self.identity;
        self.take_id().await;
        if let Ok(None) = self.ask_end(old, true).await {
            let what = format!("{} has committed transaction {number} after it was fenced", self.me.name);
            self.me.history.accuse(Checker::Transactions, what);
        }
        self.me.note(format_args!("transaction {number} is fenced"));
        End::Aborted
    }
}

fn ok(code: i16) -> io::Result<()> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(io::Error::other(format!("{error:?}"))),
    }
}
