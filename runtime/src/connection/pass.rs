//! Bulk that goes from one leg to the other without being read: the relay need not see it, and the network can.

use super::{Connection, leg::LegIo};
use crate::{
    limits,
    net::{Net, Passed},
    tls::Stream,
};
use kroxy_core::relay::{Cause, Event, Leg, Plan};
use std::{
    io,
    task::{Context, Poll, ready},
};

impl<N: Net> Connection<N> {
    /// Moves what nobody needs to see from one leg to the other; says whether anything came of it, or it has to be
    /// read.
    pub(super) fn poll_pass(&mut self, leg: Leg, plan: &mut Plan, cx: &mut Context<'_>) -> Poll<Result<bool, Cause>> {
        let (from, to) = match (leg, &mut self.upstream) {
            (_, None) => return Poll::Ready(Ok(false)),
            (Leg::Client, Some(upstream)) => (&mut self.client, upstream),
            (Leg::Upstream, Some(upstream)) => (upstream, &mut self.client),
        };
        let unseen = self.relay.unseen(leg);
        let pays = N::PASSES.map(|pays| if from.is_bulky { pays.min(limits::HEAD_OF_BULK as u64) } else { pays });
        if pays.is_none_or(|pays| unseen < pays) {
            return Poll::Ready(Ok(false));
        }
        let most = usize::try_from(unseen).unwrap_or(usize::MAX).min(limits::SCRATCH);
        let broke = |leg, e: io::Error| Event::Broke(leg, e.to_string());
        let broke = match ready!(poll_between::<N>(from, to, most, cx)) {
            Passed::Cannot => return Poll::Ready(Ok(false)),
            Passed::Moved(0) => return Poll::Ready(Ok(true)),
            Passed::Moved(moved) => {
                self.moved += moved;
                return Poll::Ready(self.passed(leg, moved as u64, plan, cx).map(|()| true));
            }
            Passed::FromBroke(e) => broke(leg, e),
            Passed::ToBroke(e) => broke(leg.other(), e),
        };
        Poll::Ready(self.handle(broke).map(|()| true))
    }

    /// Tells the relay that so many bytes have passed, and carries out what it says.
    fn passed(&mut self, leg: Leg, moved: u64, plan: &mut Plan, cx: &mut Context<'_>) -> Result<(), Cause> {
        match leg {
            Leg::Client => self.around.seen.read(moved),
            Leg::Upstream => self.around.seen.wrote(moved),
        }
        plan.clear();
        let passed = self.relay.passed(leg, moved, self.turned, plan);
        let took = self.write_out(&[], plan, cx)?;
        if leg == Leg::Upstream {
            self.client.unblock();
        }
        passed.and(self.carry_out(plan, took))
    }
}

/// Moves up to `most` bytes, where there is nothing in between: no TLS, and nothing that waits.
fn poll_between<N: Net>(
    from: &mut LegIo<Stream<N::Stream>>,
    to: &mut LegIo<Stream<N::Stream>>,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<Passed> {
    let something_waits = !from.inbox.is_empty() || to.waiting() > 0;
    let (Stream::Plain(entrance), Stream::Plain(exit), false) = (&mut from.stream, &mut to.stream, something_waits)
    else {
        return Poll::Ready(Passed::Cannot);
    };
    let passed = ready!(N::poll_pass(entrance, exit, most, &mut to.outbox, cx));
    if let Passed::Moved(moved) = passed {
        from.eof = moved == 0;
        from.is_bulky |= moved > 0;
        to.passed(moved);
    }
    Poll::Ready(passed)
}
