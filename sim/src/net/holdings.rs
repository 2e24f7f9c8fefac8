//! How many bytes each connection of the proxy holds: what it has taken from one leg and not given to the other.
//!
//! Both legs of a connection are read and written by one task, so a task is a connection.

use crate::lock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Bytes that rustls may hold on top where both legs speak TLS: ciphertext read ahead, a record, and what waits to be sent.
const FOR_TLS: i64 = 256 << 10;

/// Bytes that a connection may hold for its client: a full read on top of an outbox at its mark, and the start of a frame
/// that has to be read whole.
const FOR_CLIENT: i64 = 448 << 10;

/// One part in so many by which answers may shrink when the addresses in them are replaced.
const SHRINKS: i64 = 4;

/// How many connections there may be more than there are before those that are gone are forgotten.
const TIDY: usize = 64;

/// Bytes that a connection may hold for upstream. What a drain turns away is taken and never given to anybody.
const FOR_UPSTREAM: i64 = 2 << 20;

/// All connections of the proxies, by task. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Holdings {
    all: Arc<Mutex<BTreeMap<String, Holding>>>,
    /// Bytes that each may hold for its client.
    for_client: i64,
}

/// What one connection holds. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    held: Arc<Mutex<Held>>,
    for_client: i64,
}

#[derive(Debug, Default)]
struct Held {
    for_client: i64,
    /// All that was ever read from upstream.
    taken: i64,
    for_upstream: i64,
    /// The client gets nothing more: what is still taken from upstream is thrown away.
    over: bool,
}

impl Holdings {
    /// None, in a world where TLS is spoken or not.
    pub(super) fn new(over_tls: bool) -> Self {
        Self { all: Arc::default(), for_client: if over_tls { FOR_CLIENT + FOR_TLS } else { FOR_CLIENT } }
    }

    /// What the connection holds whose task is running.
    pub(super) fn of_this_task(&self) -> Holding {
        let task = tokio::task::try_id().map(|id| id.to_string()).unwrap_or_default();
        let mut holdings = lock(&self.all);
        if holdings.len().is_multiple_of(TIDY) {
            holdings.retain(|_, holding| Arc::strong_count(&holding.held) > 1);
        }
        let new = || Holding { held: Arc::default(), for_client: self.for_client };
        holdings.entry(task).or_insert_with(new).clone()
    }
}

impl Holding {
    /// Bytes were read from the client's or from upstream's leg. Says so if that is more than may be held.
    pub(super) fn took(&self, from_client: bool, bytes: usize) -> Result<(), String> {
        let mut held = lock(&self.held);
        let over = held.over;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let (held, most, whom) = if from_client {
            held.for_upstream += bytes;
            (held.for_upstream, FOR_UPSTREAM, "upstream")
        } else {
            held.for_client += bytes;
            held.taken += bytes;
            (held.for_client - held.taken / SHRINKS, self.for_client, "its client")
        };
        let kib = most >> 10;
        if held > most && !over { Err(format!("a connection holds more than {kib} KiB for {whom}")) } else { Ok(()) }
    }

    /// The client has closed, or has been told that nothing more will come.
    pub(super) fn over(&self) {
        lock(&self.held).over = true;
    }

    /// Bytes were written to the client's or to upstream's leg.
    pub(super) fn gave(&self, to_client: bool, bytes: usize) {
        let mut held = lock(&self.held);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if to_client {
            held.for_client -= bytes;
        } else {
            held.for_upstream -= bytes;
        }
    }
}
