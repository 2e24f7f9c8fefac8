//! How long a client is waited for in the middle of something: of a request that it has begun, and of a response that it does not
//! take.
//!
//! Whoever is not read for reasons of the proxy (upstream takes nothing, a rate is reached) is not late.

use super::{Cause, Relay};
use crate::time::{Instant, earliest};

/// Since when a client has been waited for.
#[derive(Default, Debug)]
pub(super) struct Patience {
    /// Of a request that is to be seen whole there is a part, since then; of one that streams, nothing came since then.
    request: Option<Instant>,
    /// The driver does not read the client.
    held_back: bool,
    /// Bytes wait for the client, and it took none since then.
    response: Option<Instant>,
}

impl Patience {
    pub(super) const fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// Bytes of the client were looked at. `is_inside`: the end of a request that streams is missing; `is_partial`: so is the rest of
    /// what has to be seen together; `settled`: something before that was taken.
    pub(super) fn fed(&mut self, is_inside: bool, is_partial: bool, settled: bool, now: Instant) {
        self.request = match (is_inside, is_partial) {
            (true, _) => Some(now),
            // It has to be there in time as a whole: it is small, and takes memory.
            (false, true) => self.request.filter(|_| !settled).or(Some(now)),
            (false, false) => None,
        };
    }
}

impl Relay {
    /// The driver does not read the client for reasons that are not the client's, or reads it again.
    pub fn hold_back(&mut self, is_held_back: bool, now: Instant) {
        let Patience { request, held_back, .. } = &mut self.patience;
        let is_read_again = *held_back && !is_held_back;
        *held_back = is_held_back;
        if is_read_again {
            *request = request.map(|_| now);
            self.linger_anew(now);
        }
    }

    /// How the driver gets rid of what goes to the client: whether some of it `waits`, and whether the client `took` any since
    /// this was said last.
    pub fn delivers(&mut self, waits: bool, took: bool, now: Instant) {
        let since = self.patience.response.filter(|_| !took);
        self.patience.response = waits.then(|| since.unwrap_or(now));
    }

    /// When [`Self::client_is_late`] has something to say.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        earliest(self.request_is_due(), self.response_is_due())
    }

    /// Time has passed: the client does not go on with what it has begun, or takes nothing of what it has asked for.
    pub(super) fn client_is_late(&self, now: Instant) -> Result<(), Cause> {
        if self.request_is_due().is_some_and(|due| due <= now) {
            return Err(Cause::RequestUnfinished(self.spec.unfinished_request_timeout));
        }
        if self.response_is_due().is_some_and(|due| due <= now) {
            return Err(Cause::ResponseUnread(self.spec.unread_response_timeout));
        }
        Ok(())
    }

    fn request_is_due(&self) -> Option<Instant> {
        let since = self.patience.request.filter(|_| !self.patience.held_back);
        since.map(|since| since + self.spec.unfinished_request_timeout)
    }

    fn response_is_due(&self) -> Option<Instant> {
        self.patience.response.map(|since| since + self.spec.unread_response_timeout)
    }
}
