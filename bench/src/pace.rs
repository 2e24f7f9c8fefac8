//! When the requests on a connection are sent: as answers make room for them, or by a clock that waits for nothing.

use std::{
    future::pending,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long connections have to fall asleep before a clock begins: thousands that have just been opened keep everybody busy.
const LEAD: Duration = Duration::from_millis(500);

/// Turns that one connection takes at once, of those it has missed.
const AT_ONCE: usize = 64;

/// When requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Whenever fewer than so many wait for their answers on a connection.
    InFlight(usize),
    /// So many a second over all connections, evenly, however long answers take.
    PerSecond(u32),
}

impl Pace {
    /// The requests that wait for answers on a connection at once, unless answers take longer than a clock's turns.
    pub(crate) const fn in_flight(self) -> usize {
        match self {
            Self::InFlight(depth) => depth,
            Self::PerSecond(_) => 1,
        }
    }

    /// When the first request may be sent, and the turns of each of these connections, which sends `each` requests.
    pub(crate) fn begin(self, connections: usize, each: u64) -> (Instant, Vec<Turns>) {
        match self {
            Self::InFlight(depth) => (Instant::now(), (0..connections).map(|_| Turns::InFlight(depth)).collect()),
            Self::PerSecond(rate) => {
                let begins = Instant::now() + LEAD;
                let (clocks, turns): (Vec<_>, _) = (0..connections)
                    .map(|_| unbounded_channel())
                    .map(|(clock, given)| (clock, Turns::Given(given)))
                    .unzip();
                thread::spawn(move || tick(begins, Duration::from_secs(1) / rate, each, &clocks));
                (begins, turns)
            }
        }
    }
}

/// Gives every connection its turn `each` times, one connection after the other.
///
/// It sleeps in a thread of its own, and wakes some 60 µs late; tokio's timer is up to 2 ms late, and what became due in
/// the meantime would be sent at once.
fn tick(begins: Instant, interval: Duration, each: u64, connections: &[UnboundedSender<Instant>]) {
    let mut due = begins;
    for connection in (0..each).flat_map(|_| connections) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if connection.send(Instant::now()).is_err() {
            return; // nobody measures any more
        }
        due += interval;
    }
}

/// When one connection may send.
pub(crate) enum Turns {
    /// Whenever fewer than so many requests wait for their answers.
    InFlight(usize),
    /// When a clock has said so, which tells the moment.
    Given(UnboundedReceiver<Instant>),
}

impl Turns {
    /// Waits until requests may be sent while `waiting` others have no answer yet, and returns the moment from which the
    /// latency of each counts.
    ///
    /// What came due while the connection could not send counts from then on: a relay that does not read earns nothing by it.
    /// What wakes the connection up counts from its waking: how long that took is not the relay's fault.
    pub(crate) async fn next(&mut self, waiting: usize) -> Vec<Instant> {
        match self {
            Self::InFlight(depth) if waiting < *depth => vec![Instant::now(); *depth - waiting],
            Self::InFlight(_) => pending().await,
            Self::Given(given) => {
                let (slept, mut moments) = (given.is_empty(), Vec::new());
                given.recv_many(&mut moments, AT_ONCE).await;
                if slept {
                    moments.fill(Instant::now());
                }
                moments
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    /// What comes at once.
    fn now(turns: &mut Turns, waiting: usize) -> Poll<Vec<Instant>> {
        pin!(turns.next(waiting)).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn answers_make_room_in_flight() {
        let mut turns = Turns::InFlight(3);
        let Poll::Ready(moments) = now(&mut turns, 1) else { panic!("there is room") };
        assert_eq!(moments.len(), 2);
        assert_eq!(now(&mut turns, 3), Poll::Pending);
    }

    #[test]
    fn what_came_due_while_a_connection_was_busy_counts_from_then() {
        let (clock, given) = unbounded_channel();
        let due = Instant::now();
        clock.send(due).expect("open");
        clock.send(due + LEAD).expect("open");
        assert_eq!(now(&mut Turns::Given(given), 1), Poll::Ready(vec![due, due + LEAD]));
    }

    #[test]
    fn what_wakes_a_connection_up_counts_from_its_waking() {
        let (clock, given) = unbounded_channel();
        let mut turns = Turns::Given(given);
        let mut next = pin!(turns.next(0));
        let mut context = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        let woken = Instant::now();
        for late in [2, 1] {
            clock.send(woken - LEAD * late).expect("open");
        }
        let Poll::Ready(moments) = next.poll(&mut context) else { panic!("it is due") };
        assert_eq!(moments.len(), 2);
        assert!(moments.iter().all(|since| *since >= woken), "{:?} after {woken:?}", moments);
    }

    #[test]
    fn a_clock_gives_turns_in_order_and_none_too_early() {
        let (begins, interval) = (Instant::now(), Duration::from_millis(1));
        let (clocks, mut given): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded_channel()).unzip();
        tick(begins, interval, 2, &clocks);
        let mut latest = begins;
        for turn in 0..6 {
            let moment = given[turn % 3].try_recv().expect("its turn");
            assert!(moment >= latest && moment >= begins + interval * turn as u32, "turn {turn}");
            latest = moment;
        }
        assert!(given.iter().all(UnboundedReceiver::is_empty), "twice each");
    }
}
