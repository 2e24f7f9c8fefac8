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
    runtime::Handle,
    sync::{Notify, Semaphore},
    task::{JoinSet, yield_now},
};

/// The turns of a proxy.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Those that are left until the runtime has looked.
    left: Arc<Semaphore>,
    /// Some were taken, or are waited for.
    wanted: Arc<Notify>,
    /// Who renews them, since the first was wanted.
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
        Arc::new(Self { left, wanted: Arc::default(), renewing: OnceLock::new() })
    }

    pub(crate) fn newcomer(self: &Arc<Self>) -> Newcomer {
        Newcomer { turns: self.clone(), has_turn: false, waits: None }
    }

    /// There is one less, or one more who waits for one.
    fn are_wanted(&self) {
        self.renewing.get_or_init(|| {
            let each = Handle::current().metrics().num_workers() * limits::STEPS;
            let mut renewing = JoinSet::new();
            renewing.spawn(renew(self.left.clone(), self.wanted.clone(), each));
            renewing
        });
        self.wanted.notify_one();
    }
}

/// Has so many turns left whenever the runtime has looked, until nobody waits for one. Whether those who have waited take theirs does not
/// matter: one that does not look whether it is its turn holds up nobody else.
async fn renew(left: Arc<Semaphore>, wanted: Arc<Notify>, each: usize) {
    loop {
        wanted.notified().await;
        while left.available_permits() < each {
            yield_now().await;
            // Who gives up waiting when it is about to be its turn leaves one more.
            left.add_permits(each.saturating_sub(left.available_permits()));
        }
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
        if waits.is_none()
            && let Ok(permit) = turns.left.try_acquire()
        {
            permit.forget();
            turns.are_wanted();
            return Poll::Ready(());
        }
        let waiting = waits.get_or_insert_with(|| {
            turns.are_wanted();
            let left = turns.left.clone();
            Box::pin(async move { left.acquire_owned().await.expect("it is never closed").forget() })
        });
        ready!(waiting.as_mut().poll(cx));
        *waits = None;
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

    /// Newcomers who have begun to wait, and never look whether it is their turn.
    async fn absent(turns: &Arc<Turns>, count: usize) -> Vec<Newcomer> {
        let mut all: Vec<_> = (0..limits::STEPS + count).map(|_| turns.newcomer()).collect();
        let waiting =
            poll_fn(|cx| Poll::Ready(all.iter_mut().map(|one| one.poll_turn(cx)).filter(Poll::is_pending).count()));
        assert_eq!(waiting.await, count);
        all
    }

    #[tokio::test]
    async fn who_waits_and_does_not_look_holds_up_nobody() {
        let turns = Turns::new();
        let absent = absent(&turns, 10 * limits::STEPS).await;
        for _ in 0..10 * limits::STEPS {
            turns.newcomer().turn().await;
        }
        drop(absent);
    }

    #[tokio::test]
    async fn a_turn_that_is_given_up_is_others() {
        let turns = Turns::new();
        let absent = absent(&turns, limits::STEPS).await;
        while turns.left.available_permits() < limits::STEPS {
            yield_now().await; // those who wait have theirs
        }
        drop(absent);
        assert_eq!(turns.left.available_permits(), 2 * limits::STEPS);
        for _ in 0..10 * limits::STEPS {
            turns.newcomer().turn().await;
        }
    }

    #[tokio::test]
    async fn who_passes_on_goes_on_later() {
        let mut passes = 10;
        let done = poll_fn(|cx| {
            passes -= 1;
            if passes > 0 { poll_pass_on(cx) } else { Poll::Ready(()) }
        });
        done.await;
    }
}
