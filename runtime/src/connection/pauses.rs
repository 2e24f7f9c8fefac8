//! When a leg is not read for a while, because a limit is reached: what its peer sends waits with the peer.

use crate::budget::{Budget, Grant};
use kroxy_core::bucket::Bucket;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Keeps a client to its rate of requests.
#[derive(Default)]
pub(super) struct Throttle {
    pub(super) bucket: Bucket,
    pause: Option<Pin<Box<Sleep>>>,
    was_paused: bool,
}

impl Throttle {
    /// The client is not read until then; says whether this is the first time.
    pub(super) fn pause(&mut self, until: Instant) -> bool {
        self.pause = Some(Box::pin(sleep_until(until)));
        !std::mem::replace(&mut self.was_paused, true)
    }

    /// Ready where the client may be read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

/// Room for a response that is read whole.
#[derive(Default)]
pub(super) enum Room {
    /// There is no such response.
    #[default]
    Unneeded,
    /// It waits with upstream.
    Asked(Pin<Box<dyn Future<Output = Grant> + Send>>),
    /// There is, until it has gone on.
    Granted(Grant),
}

impl Room {
    /// Ready where so many bytes may be read; `reached` is told where they may not at once.
    pub(super) fn poll(
        &mut self,
        budget: &Arc<Budget>,
        bytes: u64,
        reached: impl FnOnce(),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // One response behind the other: what the first was granted is given back before more is asked for.
        if matches!(self, Self::Granted(grant) if grant.bytes() < bytes) {
            *self = Self::Unneeded;
        }
        if let Self::Unneeded = self {
            *self = budget.try_take(bytes).map_or_else(
                || {
                    reached();
                    Self::Asked(Box::pin(budget.clone().take(bytes)))
                },
                Self::Granted,
            );
        }
        if let Self::Asked(asked) = self {
            *self = Self::Granted(ready!(asked.as_mut().poll(cx)));
        }
        Poll::Ready(())
    }
}
