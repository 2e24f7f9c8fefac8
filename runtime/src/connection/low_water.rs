//! With TLS, a large frame comes record by record, and each of them would wake the connection. Where it is known that more of the
//! frame has to come, it waits for more at a time.
//!
//! What is waited for has to come, or it would be waited for for ever: no more than what is missing of a frame, less what TLS has of it
//! already. Records take more bytes than what is in them, so that this much is always on its way. Without TLS it does not pay.

use super::{Connection, leg::LegIo};
use crate::{limits, net::Net, tls::Stream};
use kroxy_core::{relay::Leg, time::Instant};

impl<N: Net> Connection<N> {
    /// Nothing more is read now: whether each leg is to wait until more than a byte is there. Where a time is nearly over, it is not:
    /// who sends slowly has sent something in it.
    pub(super) fn wait_for_enough(&mut self) {
        let Some(pays) = N::LOW_WATER else { return };
        let soon = self.turned + limits::LOW_WATER_TIME * 2;
        let is_late = self.relay.deadline().is_some_and(|deadline| deadline < soon);
        for leg in [Leg::Upstream, Leg::Client] {
            let missing = usize::try_from(self.relay.unseen(leg)).unwrap_or(usize::MAX);
            let Some(io) = self.leg(leg) else { continue };
            let Some(begun) = io.stream.begun_record() else { continue };
            let enough = missing.saturating_sub(begun).min(limits::LOW_WATER);
            let pays = enough >= pays && io.inbox.is_empty() && !io.takes_little && !is_late;
            set_low_water::<N>(io, if pays { enough } else { 1 });
        }
    }

    /// Waits for the first byte on both legs until something comes; says whether one had waited for more.
    pub(super) fn wait_for_little(&mut self) -> bool {
        let mut waited = false;
        for io in [Some(&mut self.client), self.upstream.as_mut()].into_iter().flatten() {
            let waits = io.low_water > 1;
            io.takes_little |= waits;
            waited |= waits;
            set_low_water::<N>(io, 1);
        }
        waited
    }

    /// Until when more is waited for.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        let waits = self.client.low_water > 1 || self.upstream.as_ref().is_some_and(|upstream| upstream.low_water > 1);
        waits.then(|| self.turned + limits::LOW_WATER_TIME)
    }
}

fn set_low_water<N: Net>(io: &mut LegIo<Stream<N::Stream>>, bytes: usize) {
    if io.low_water != bytes && N::set_low_water(io.stream.transport(), bytes).is_ok() {
        io.low_water = bytes;
    }
}
