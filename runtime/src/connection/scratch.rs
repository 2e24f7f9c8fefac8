//! What a worker thread owns for all its connections: the buffer that is read into, and the plan that is filled.
//!
//! A connection borrows it for the time of one poll, in which nothing else runs on the thread. So an idle connection owns
//! no buffer, and the steady state allocates nothing.

use crate::limits;
use kroxy_core::relay::Plan;
use std::cell::RefCell;

pub(super) struct Scratch {
    pub(super) buf: Box<[u8]>,
    pub(super) plan: Plan,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { buf: vec![0; limits::SCRATCH].into_boxed_slice(), plan: Plan::default() });
}

/// Lends the thread's scratch for one poll.
pub(super) fn with<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(f)
}
