//! Memory that connections share: who wants much of it at once asks first, and waits for others to give theirs back.
//!
//! Waiting is all that happens: a response that finds no room is left with upstream until there is some. Whoever has been granted
//! what it asked for needs no more to come to its end, so those who wait never wait for each other.

use crate::lock;
use std::{
    pin::pin,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// How much there is, and how much of it is granted.
#[derive(Debug)]
pub(crate) struct Budget {
    held: Mutex<Held>,
    /// Those who ask are served in turn, or a large wish would never find its moment.
    turn: tokio::sync::Mutex<()>,
    freed: Notify,
}

#[derive(Debug)]
struct Held {
    bytes: u64,
    max: u64,
}

impl Held {
    /// A wish that is larger than all there is has to wait until nobody else holds any.
    const fn fits(&self, bytes: u64) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.max
    }
}

/// Some of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(max: u64) -> Self {
        Self { held: Mutex::new(Held { bytes: 0, max }), turn: tokio::sync::Mutex::default(), freed: Notify::new() }
    }

    /// There is more or less of it from now on. What is granted stays so.
    pub(crate) fn resize(&self, max: u64) {
        lock(&self.held).max = max;
        self.freed.notify_waiters();
    }

    /// Some of it, if nobody has to be waited for.
    pub(crate) fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Grant> {
        let _first = self.turn.try_lock().ok()?;
        self.grant(bytes)
    }

    /// Some of it, as soon as there is enough and everybody who asked before has theirs.
    pub(crate) async fn take(self: Arc<Self>, bytes: u64) -> Grant {
        let _first = self.turn.lock().await;
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable(); // or what is freed before it is waited for would go unnoticed
            if let Some(grant) = self.grant(bytes) {
                return grant;
            }
            freed.await;
        }
    }

    /// Some of it for somebody who does not wait, if there is enough; those who wait have no part in it.
    pub(crate) fn grant(self: &Arc<Self>, bytes: u64) -> Option<Grant> {
        let mut held = lock(&self.held);
        if !held.fits(bytes) {
            return None;
        }
        held.bytes += bytes;
        drop(held);
        Some(Grant { budget: self.clone(), bytes })
    }
}

impl Grant {
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        lock(&self.budget.held).bytes -= self.bytes;
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn who_finds_no_room_waits_in_turn_until_some_is_given_back() {
        let budget = Arc::new(Budget::new(100));
        let first = budget.try_take(60).expect("there is room");
        assert!(budget.try_take(50).is_none());
        let mut large = pin!(budget.clone().take(90));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = pin!(budget.clone().take(10));
        assert!(small.as_mut().now_or_never().is_none(), "it would fit, and is not first");
        assert!(budget.try_take(1).is_none(), "likewise");
        drop(first);
        let large = large.await;
        let small = small.await;
        drop((large, small));
        assert_eq!(lock(&budget.held).bytes, 0);
    }

    #[tokio::test]
    async fn a_wish_beyond_all_there_is_is_granted_to_who_is_alone() {
        let budget = Arc::new(Budget::new(100));
        let first = budget.try_take(10).expect("there is room");
        let mut beyond = pin!(budget.clone().take(1_000));
        assert!(beyond.as_mut().now_or_never().is_none());
        drop(first);
        let beyond = beyond.await;
        assert!(budget.try_take(1).is_none());
        drop(beyond);
        assert!(budget.try_take(1).is_some());
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_is_in_nobodys_way_and_a_larger_budget_is_there_at_once() {
        let budget = Arc::new(Budget::new(100));
        let _first = budget.try_take(100).expect("there is room");
        let mut gone = Box::pin(budget.clone().take(50));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        let mut waits = pin!(budget.clone().take(50));
        assert!(waits.as_mut().now_or_never().is_none());
        budget.resize(150);
        drop(waits.await);
    }
}
