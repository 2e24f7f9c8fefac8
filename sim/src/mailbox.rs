//! Orders from the world to a host, which outlive the host's crashes.

use crate::lock;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// A queue of orders. Clones are the same one.
#[derive(Debug)]
pub(crate) struct Mailbox<T>(Arc<(Mutex<VecDeque<T>>, Notify)>);

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self(Arc::new((Mutex::new(VecDeque::new()), Notify::new())))
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn send(&self, order: T) {
        lock(&self.0.0).push_back(order);
        self.0.1.notify_one();
    }

    /// Puts orders before all others.
    pub(crate) fn put_first(&self, orders: VecDeque<T>) {
        let mut queue = lock(&self.0.0);
        orders.into_iter().rev().for_each(|order| queue.push_front(order));
        self.0.1.notify_one();
    }

    /// The next order. One reader at a time.
    pub(crate) async fn next(&self) -> T {
        loop {
            if let Some(order) = lock(&self.0.0).pop_front() {
                return order;
            }
            self.0.1.notified().await;
        }
    }
}
