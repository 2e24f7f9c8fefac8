//! Records through a cluster and back: an idempotent producer, a consumer group, and a ledger that compares the two.
//!
//! What is on its way is bounded, so that the brokers' retention never takes away what nobody has read yet.

use super::{
    client::{Client, ClientError, Consumer, ConsumerSpec, Delivery, Outgoing, Producer},
    histogram::Histogram,
    ledger::{Faults, Ledger},
    limits, payload, turned,
};
use crate::{clock::Clock, net::Net};
use kroxy_core::address::HostPort;
use std::{collections::BTreeMap, future::pending, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tracing::warn;

/// What goes through.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where clients begin.
    pub bootstrap: Vec<HostPort>,
    /// The topic, which has to be empty; it is created if brokers do that.
    pub topic: String,
    /// The group of the consumers.
    pub group: String,
    /// How many consumers.
    pub members: usize,
    /// Bytes of a record, at least 100.
    pub record_bytes: usize,
    /// How many records; `None` until told to stop.
    pub records: Option<u64>,
    /// How many a second; `None` as many as come back.
    pub rate: Option<u64>,
    /// How long a client goes on trying what fails, and how long nothing may come back before that is the verdict.
    pub patience: Duration,
}

/// How far it is.
#[derive(Debug)]
pub struct Progress {
    /// Since the first record.
    pub elapsed: Duration,
    /// Records that brokers have acknowledged.
    pub records_in: u64,
    /// Records that consumers have got.
    pub records_out: u64,
    /// Bytes of the latter.
    pub bytes_out: u64,
    /// Latencies of the records since the last time.
    pub latency: Latency,
    /// What is wrong so far, what is on its way not counted.
    pub faults: Faults,
}

/// From handing a record to the producer to getting it from a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Latency {
    /// Half of the records took no longer.
    pub p50: Duration,
    /// Nine of ten records took no longer.
    pub p90: Duration,
    /// 99 of 100 records took no longer.
    pub p99: Duration,
    /// No record took longer.
    pub max: Duration,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Records that were sent.
    pub sent: u64,
    /// Records that came back, repeated ones included.
    pub received: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the first record sent to the last one received.
    pub elapsed: Duration,
    /// Of all records.
    pub latency: Latency,
    /// What was found wrong.
    pub faults: Faults,
    /// Why it could not be brought to its end.
    pub failure: Option<String>,
}

impl Outcome {
    /// Whether every record came back once, in order and unchanged.
    pub fn is_clean(&self) -> bool {
        self.failure.is_none() && self.faults.is_clean() && self.sent == self.received
    }
}

/// A task that has ended.
enum Ended {
    Produced(Result<(), ClientError>),
    Consumed(Result<(), ClientError>),
}

impl Workload {
    /// Sends until `records` are sent or `stop` turns true, waits until all of it has come back, and judges.
    ///
    /// `show` is called once a second.
    pub async fn run<N: Net>(
        self,
        net: N,
        clock: Clock,
        mut stop: watch::Receiver<bool>,
        mut show: impl FnMut(&Progress),
    ) -> Outcome {
        let mut run = Running::start(self, net, clock);
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.tick().await;
        let failure = loop {
            run.generate();
            if run.is_complete() {
                break None;
            }
            let pause = run.next_chunk_at;
            tokio::select! {
                biased;
                () = turned(&mut stop), if !run.is_stopping => run.stop(),
                Some(delivery) = run.deliveries.recv() => run.take(&delivery),
                Some(ended) = run.tasks.join_next() => {
                    if let Err(failure) = run.note(ended).await {
                        break Some(failure);
                    }
                }
                // The producer has come to know the topic, or has taken something in: there may be room for more.
                Ok(()) = run.partitions.changed() => {}
                () = has_room(run.outbox.as_ref()), if run.wants_room => run.wants_room = false,
                () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => run.next_chunk_at = None,
                _ = second.tick() => show(&run.progress()),
                () = sleep_until(run.give_up_at) => break Some(run.stalled()),
            }
        };
        run.close(failure).await
    }
}

/// Waits until a chunk can be handed to the producer, or until that is gone.
async fn has_room(outbox: Option<&mpsc::Sender<Vec<Outgoing>>>) {
    match outbox {
        Some(outbox) => drop(outbox.reserve().await),
        None => pending().await,
    }
}

struct Running<N: Net> {
    spec: Workload,
    net: N,
    clock: Clock,
    tasks: JoinSet<Ended>,
    /// `None` when everything was sent.
    outbox: Option<mpsc::Sender<Vec<Outgoing>>>,
    partitions: watch::Receiver<i32>,
    acknowledged: watch::Receiver<u64>,
    deliveries: mpsc::Receiver<Delivery>,
    leave: watch::Sender<bool>,
    ledger: Ledger,
    all: Histogram,
    recent: Histogram,
    /// Records sent to each partition.
    sent: BTreeMap<i32, u64>,
    sent_total: u64,
    chunks: u64,
    began: Option<Instant>,
    last_received: Option<Instant>,
    /// The producer could not take a chunk.
    wants_room: bool,
    is_stopping: bool,
    next_chunk_at: Option<Instant>,
    give_up_at: Instant,
    /// Where the partitions end, once everything was acknowledged.
    ends: Option<BTreeMap<i32, i64>>,
}

impl<N: Net> Running<N> {
    fn start(spec: Workload, net: N, clock: Clock) -> Self {
        let mut tasks = JoinSet::new();
        let client = |name: &str| Client::new(net.clone(), name, spec.bootstrap.clone(), spec.patience);
        let (outbox, inbox) = mpsc::channel(1);
        let (partitions_known, partitions) = watch::channel(0);
        let (acknowledge, acknowledged) = watch::channel(0);
        let (producing, topic) = (client("demo-producer"), spec.topic.clone());
        tasks.spawn(async move {
            let produced = async {
                let producer = Producer::new(producing, clock, &topic).await?;
                partitions_known.send_replace(producer.partitions());
                producer.run(inbox, &acknowledge).await
            };
            Ended::Produced(produced.await)
        });
        let (deliver, deliveries) = mpsc::channel(limits::DELIVERIES_WAITING);
        let leave = watch::Sender::new(false);
        let read = ConsumerSpec { group: spec.group.clone(), topic: spec.topic.clone() };
        for member in 1..=spec.members {
            let consumer = Consumer::new(client(&format!("demo-consumer-{member}")), &read);
            let (deliver, leave) = (deliver.clone(), leave.subscribe());
            tasks.spawn(async move { Ended::Consumed(consumer.run(deliver, leave).await) });
        }
        Self {
            net,
            clock,
            tasks,
            outbox: Some(outbox),
            partitions,
            acknowledged,
            deliveries,
            leave,
            ledger: Ledger::default(),
            all: Histogram::default(),
            recent: Histogram::default(),
            sent: BTreeMap::new(),
            sent_total: 0,
            chunks: 0,
            began: None,
            last_received: None,
            wants_room: false,
            is_stopping: false,
            next_chunk_at: None,
            give_up_at: Instant::now() + spec.patience,
            ends: None,
            spec,
        }
    }

    /// How many records may be sent now.
    fn allowance(&mut self) -> u64 {
        let on_their_way = self.sent_total.saturating_sub(self.ledger.records);
        let window = (limits::WINDOW_BYTES / self.spec.record_bytes as u64).clamp(1, limits::WINDOW_RECORDS);
        let mut allowed = window.saturating_sub(on_their_way).min(limits::CHUNK_RECORDS);
        if let Some(records) = self.spec.records {
            allowed = allowed.min(records - self.sent_total);
        }
        if let (Some(rate), Some(began)) = (self.spec.rate, self.began) {
            let due = began.elapsed().as_micros() * u128::from(rate) / 1_000_000;
            allowed = allowed.min(u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.sent_total));
            if allowed == 0 {
                self.next_chunk_at = Some(Instant::now() + limits::PACE);
            }
        }
        allowed
    }

    /// Hands the producer as much as it takes and as is due.
    fn generate(&mut self) {
        let partitions = *self.partitions.borrow();
        // The producer knows the topic before it takes anything.
        while let Some(outbox) = self.outbox.clone()
            && partitions > 0
        {
            if self.spec.records.is_some_and(|records| self.sent_total >= records) {
                return self.finish_sending();
            }
            let records = self.allowance();
            let Ok(room) = outbox.try_reserve().map_err(|_| self.wants_room = true) else { return };
            if records == 0 {
                return;
            }
            self.began.get_or_insert_with(Instant::now);
            let partition = i32::try_from(self.chunks % u64::from(partitions.unsigned_abs())).unwrap_or(0);
            self.chunks += 1;
            self.sent_total += records;
            let sent = self.sent.entry(partition).or_default();
            let sent_at = self.clock.now();
            let stamps = (*sent..*sent + records).map(|sequence| payload::Stamp { partition, sequence, sent_at });
            *sent += records;
            let value = |stamp| Outgoing { partition, value: payload::write(stamp, self.spec.record_bytes) };
            room.send(stamps.map(value).collect());
        }
    }

    /// Sends no more: the producer ends when everything is acknowledged.
    fn finish_sending(&mut self) {
        self.outbox = None;
        self.next_chunk_at = None;
    }

    /// Sends no more, and does not wait long for what is on its way.
    fn stop(&mut self) {
        self.finish_sending();
        self.is_stopping = true;
        self.give_up_at = Instant::now() + limits::DRAIN;
    }

    fn take(&mut self, delivery: &Delivery) {
        let now = self.clock.now();
        let (all, recent) = (&mut self.all, &mut self.recent);
        self.ledger.take(delivery, |stamp| {
            let latency = now.since(stamp.sent_at);
            all.record(latency);
            recent.record(latency);
        });
        self.last_received = Some(Instant::now());
        if !self.is_stopping {
            self.give_up_at = Instant::now() + self.spec.patience;
        }
    }

    /// A task has ended: the producer because all is acknowledged, anything else because something is wrong.
    async fn note(&mut self, ended: Result<Ended, tokio::task::JoinError>) -> Result<(), String> {
        match ended {
            Ok(Ended::Produced(Ok(()))) => {
                let name = "demo-auditor";
                let mut client = Client::new(self.net.clone(), name, self.spec.bootstrap.clone(), self.spec.patience);
                let partitions: Vec<i32> = self.sent.keys().copied().collect();
                let asked = async {
                    client.partitions(&self.spec.topic).await?;
                    client.end_offsets(&self.spec.topic, &partitions).await
                };
                let wait = self.give_up_at - Instant::now();
                let ends = timeout(wait, asked).await.map_err(|_| self.stalled())?;
                self.ends = Some(ends.map_err(|e| format!("the topic's end cannot be learned: {e}"))?);
                Ok(())
            }
            Ok(Ended::Produced(Err(e))) => Err(format!("the producer failed: {e}")),
            Ok(Ended::Consumed(Ok(()))) => Err("a consumer left the group by itself".to_owned()),
            Ok(Ended::Consumed(Err(e))) => Err(format!("a consumer failed: {e}")),
            Err(e) => Err(format!("a task failed, which is a bug of kroxy: {e}")),
        }
    }

    /// Whether everything that is in the topic has been read.
    fn is_complete(&self) -> bool {
        let read_to = |(partition, end): (&i32, &i64)| self.ledger.next_offset(*partition) >= *end;
        self.ends.as_ref().is_some_and(|ends| ends.iter().all(read_to))
    }

    fn stalled(&self) -> String {
        let (acknowledged, received) = (*self.acknowledged.borrow(), self.ledger.records);
        format!("nothing more came back: {} sent, {acknowledged} acknowledged, {received} received", self.sent_total)
    }

    fn progress(&mut self) -> Progress {
        let progress = Progress {
            elapsed: self.began.map(|began| began.elapsed()).unwrap_or_default(),
            records_in: *self.acknowledged.borrow(),
            records_out: self.ledger.records,
            bytes_out: self.ledger.bytes,
            latency: latency(&self.recent),
            faults: self.ledger.faults(&BTreeMap::new()),
        };
        self.recent.clear();
        progress
    }

    async fn close(mut self, failure: Option<String>) -> Outcome {
        self.outbox = None;
        self.leave.send_replace(true);
        // What the consumers still have in hand is not waited for, so that none of them waits for us.
        self.deliveries.close();
        let leaving = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(limits::LEAVE, leaving).await.is_err() {
            warn!("the demo's clients did not leave in time");
        }
        self.tasks.shutdown().await;
        let elapsed = self.began.zip(self.last_received).map(|(began, last)| last - began);
        Outcome {
            sent: self.sent_total,
            received: self.ledger.records,
            bytes: self.ledger.bytes,
            elapsed: elapsed.unwrap_or_default(),
            latency: latency(&self.all),
            faults: self.ledger.faults(&self.sent),
            failure,
        }
    }
}

fn latency(histogram: &Histogram) -> Latency {
    Latency {
        p50: histogram.percentile(50),
        p90: histogram.percentile(90),
        p99: histogram.percentile(99),
        max: histogram.max(),
    }
}
