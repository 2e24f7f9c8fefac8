//! Newcomers take turns, so that nobody who is served waits behind a crowd of them.
//!
//! tokio runs what is ready in the order in which it became so, and looks for what else has happened when it is through. Clients that
//! come at once are hundreds of tasks, and a step of a handshake takes 100 µs: whoever has just been woken would wait behind all of
//! them. So what a connection does until it is served, and at its end, is done in steps, and a few of those are taken between two looks.

use crate::limits;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};
use tokio::{
    sync::{Notify, Semaphore},
    task::{JoinSet, yield_now},
};

/// The turns of a proxy.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Those that are left until the runtime has looked.
    left: Arc<Semaphore>,
    /// Some were taken.
    taken: Arc<Notify>,
    /// Who has them renewed, since the first was taken.
    renewing: OnceLock<JoinSet<()>>,
}

/// Somebody who takes turns.
pub(crate) struct Newcomer {
    turns: Arc<Turns>,
    /// It is its turn.
    has_turn: bool,
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Turns {
    pub(crate) fn new() -> Arc<Self> {
        let left = Arc::new(Semaphore::new(limits::STEPS));
        Arc::new(Self { left, taken: Arc::default(), renewing: OnceLock::new() })
    }

    pub(crate) fn newcomer(self: &Arc<Self>) -> Newcomer {
        Newcomer { turns: self.clone(), has_turn: false, waits: None }
    }

    /// One was taken.
    fn took(&self) {
        self.renewing.get_or_init(|| {
            let mut renewing = JoinSet::new();
            renewing.spawn(renew(self.left.clone(), self.taken.clone()));
            renewing
        });
        self.taken.notify_one();
    }
}

/// Has as many turns left as at first whenever the runtime has looked.
async fn renew(left: Arc<Semaphore>, taken: Arc<Notify>) {
    loop {
        taken.notified().await;
        yield_now().await;
        // Who gives up waiting when it is about to be his turn leaves one more.
        left.add_permits(limits::STEPS.saturating_sub(left.available_permits()));
    }
}

impl Newcomer {
    /// Does a step when it is time. One that has come to something may be followed by another at once.
    pub(crate) fn poll_step<T>(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.has_turn {
            ready!(self.poll_turn(cx));
        }
        let done = step(cx);
        self.has_turn = done.is_ready();
        done
    }

    /// Does some work, step by step.
    pub(crate) async fn steps<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| self.poll_step(cx, |cx| work.as_mut().poll(cx))).await
    }

    /// Waits for a turn, for what comes next.
    pub(crate) async fn turn(&mut self) {
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { turns, waits, .. } = self;
        match turns.left.try_acquire() {
            Ok(permit) if waits.is_none() => permit.forget(),
            _ => {
                let waiting = waits.get_or_insert_with(|| {
                    let left = turns.left.clone();
                    Box::pin(async move { left.acquire_owned().await.expect("it is never closed").forget() })
                });
                ready!(waiting.as_mut().poll(cx));
                *waits = None;
            }
        }
        turns.took();
        Poll::Ready(())
    }
}

/// Leaves the thread to others until the runtime has looked: whoever has much to do goes on then.
pub(crate) fn poll_pass_on<T>(cx: &mut Context<'_>) -> Poll<T> {
    let _ = pin!(yield_now()).poll(cx); // it has us woken
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn few_steps_of_a_crowd_are_taken_between_two_looks_and_all_of_them_in_the_end() {
        const CROWD: usize = 100;
        const EACH: usize = 3;
        let (turns, since_a_look) = (Turns::new(), Arc::new(Mutex::new((0, 0))));
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let (mut newcomer, since_a_look) = (turns.newcomer(), since_a_look.clone());
            crowd.spawn(async move {
                let mut steps = 0;
                let work = poll_fn(|cx| {
                    let (now, most) = &mut *since_a_look.lock().expect("no panic");
                    *now += 1;
                    *most = (*most).max(*now);
                    steps += 1;
                    cx.waker().wake_by_ref(); // it could go on at once
                    if steps < EACH { Poll::Pending } else { Poll::Ready(()) }
                });
                newcomer.steps(work).await;
            });
        }
        let looks = async {
            loop {
                since_a_look.lock().expect("no panic").0 = 0;
                yield_now().await;
            }
        };
        tokio::select! {
            () = async { while crowd.join_next().await.is_some() {} } => {}
            () = looks => {}
        }
        let most = since_a_look.lock().expect("no panic").1;
        assert!((1..=2 * limits::STEPS).contains(&most), "{most} at once");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_his_turn_to_others() {
        let turns = Turns::new();
        let mut newcomers: Vec<_> = (0..=limits::STEPS).map(|_| turns.newcomer()).collect();
        let (last, first) = newcomers.split_last_mut().expect("some");
        for newcomer in first {
            newcomer.turn().await;
        }
        assert!(poll_fn(|cx| Poll::Ready(last.poll_turn(cx))).await.is_pending());
        newcomers.clear();
        turns.newcomer().turn().await;
    }
}
