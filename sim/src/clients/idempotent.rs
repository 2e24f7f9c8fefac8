//! Idempotent producers: the client of `kroxy demo`, which sends again until it is acknowledged.

use super::{Client, Phase, reaches};
use crate::{
    findings::Checker,
    history::{Outcome, value},
    limits, topology,
};
use bytes::Bytes;
use runtime::demo::client::{self, ClientError, Outgoing, Producer};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

/// Sends records at its pace until the faults are over, then waits until all are acknowledged.
pub(super) async fn run(mut me: Client) {
    let mut sequences: BTreeMap<i32, u64> = BTreeMap::new();
    loop {
        let kafka = client::Client::new(me.net.clone(), &me.name, me.bootstraps(), limits::PATIENCE);
        let ended = match Producer::new(kafka, me.around.clock(), topology::ORDERS).await {
            Ok(producer) => produce(&mut me, producer, &mut sequences).await,
            Err(e) => Err(e),
        };
        match ended {
            Ok(()) => break,
            // With an id of its own the next one goes on with new records; those in flight are never sent again.
            Err(e) => me.history.accuse(Checker::Progress, format!("{} has given up: {e}", me.name)),
        }
        if me.is_finishing() {
            break;
        }
    }
    me.done();
}

async fn produce(
    me: &mut Client,
    producer: Producer<crate::net::SimNet>,
    sequences: &mut BTreeMap<i32, u64>,
) -> Result<(), ClientError> {
    let (inbox, outgoing) = mpsc::channel(16);
    let (acknowledged, _) = watch::channel(0);
    let mut inbox = Some(inbox);
    let mut handed: Vec<Bytes> = Vec::new();
    let mut phase = me.phase.clone();
    let mut pace = interval(Duration::from_millis(me.load.pace_ms));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = {
        let mut producing = std::pin::pin!(producer.run(outgoing, &acknowledged));
        loop {
            tokio::select! {
                biased;
                ended = &mut producing => break ended,
                () = reaches(&mut phase, Phase::Finish), if inbox.is_some() => inbox = None,
                _ = pace.tick(), if inbox.is_some() => {
                    let Some(Ok(room)) = inbox.as_ref().map(mpsc::Sender::try_reserve) else { continue };
                    let partition = me.partition();
                    let sequence = sequences.entry(partition).or_default();
                    let name = me.name.clone();
                    let bytes = me.record_bytes();
                    let record = value(&name, partition, *sequence, bytes);
                    me.history.sent(record.clone(), me.place(topology::ORDERS, partition), &name, *sequence);
                    *sequence += 1;
                    room.send(vec![Outgoing { partition, value: record.clone() }]);
                    handed.push(record);
                }
            }
        }
    };
    let count = *acknowledged.borrow();
    me.note(format_args!("{count} of {} acknowledged: {ended:?}", handed.len()));
    if ended.is_ok() {
        if count != handed.len() as u64 {
            me.history
                .accuse(Checker::Logs, format!("{}: {count} records acknowledged and {} sent", me.name, handed.len()));
        }
        handed.iter().for_each(|record| me.history.settled(record, Outcome::Ok));
    }
    ended
}
