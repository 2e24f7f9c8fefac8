//! What has happened: told to everybody who listens, and kept for those who come back.

use crate::lock;
use kroxy_core::status::{Event, EventKind};
use std::{collections::VecDeque, sync::Mutex};
use tokio::sync::broadcast;

/// Events that are kept, and that a slow reader may fall behind before it misses some.
const KEPT: usize = 1_024;

/// The events of one proxy, counted from 1.
#[derive(Debug)]
pub(super) struct Events {
    log: Mutex<Log>,
    sender: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Log {
    kept: VecDeque<Event>,
    last: u64,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { log: Mutex::default(), sender: broadcast::Sender::new(KEPT) }
    }

    pub(super) fn publish(&self, at_unix_ms: u64, kind: EventKind) {
        let mut log = lock(&self.log);
        log.last += 1;
        let event = Event { seq: log.last, at_unix_ms, kind };
        if log.kept.len() == KEPT {
            log.kept.pop_front();
        }
        log.kept.push_back(event.clone());
        // Told under the lock, so that whoever takes what is kept and listens on misses none and hears none twice.
        let _ = self.sender.send(event); // an error means that nobody listens
    }

    pub(super) fn last(&self) -> u64 {
        lock(&self.log).last
    }

    /// Those that come from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// Those after `seq` that are kept, and those that come from now on.
    pub(super) fn after(&self, seq: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let log = lock(&self.log);
        (log.kept.iter().filter(|event| event.seq > seq).cloned().collect(), self.sender.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_what_comes_fit_together_and_the_oldest_go_first() {
        let events = Events::new();
        let publish = |n: usize| (0..n).for_each(|_| events.publish(0, EventKind::Unknown));
        publish(3);
        let (kept, mut live) = events.after(1);
        assert_eq!(kept.iter().map(|e| e.seq).collect::<Vec<_>>(), [2, 3]);
        publish(1);
        assert_eq!(live.try_recv().map(|e| e.seq), Ok(4));
        publish(KEPT);
        let (kept, _) = events.after(1);
        assert_eq!((kept.len(), kept[0].seq, events.last()), (KEPT, 5, 4 + KEPT as u64));
    }
}
