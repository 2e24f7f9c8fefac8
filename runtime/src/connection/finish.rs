//! Ends a connection without taking back what was already decided.
//!
//! What waits is written, then FIN, then reading on until the peer has closed as well: closing a socket that holds unread
//! bytes sends RST, which would destroy what the peer has not read yet.

use super::{leg::LegIo, scratch};
use crate::{limits, turns};
use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// How a leg ends.
pub(super) struct Closing<S> {
    io: LegIo<S>,
    /// The peer's FIN is waited for.
    awaits_peer: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    /// What waits is written, and then reading goes on until the peer has closed as well.
    pub(super) fn with_peer(io: LegIo<S>) -> Self {
        Self::new(io, true)
    }

    /// What waits is written. Whatever the peer may still say is for nobody.
    pub(super) fn alone(io: LegIo<S>) -> Self {
        Self::new(io, false)
    }

    /// What was read and not decided about is for nobody any more: a peer that does not close keeps no memory with it.
    fn new(mut io: LegIo<S>, awaits_peer: bool) -> Self {
        io.inbox = Vec::new();
        Self { io, awaits_peer }
    }
}

/// Finishes both legs at the same time. What is not done within its time is cut: the peer does not take its bytes, or does not
/// close.
pub(super) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
    client: Option<Closing<S>>,
    upstream: Option<Closing<S>>,
) {
    let client = async {
        if let Some(mut client) = client {
            let _ = timeout(limits::LINGER, poll_fn(|cx| client.poll(cx))).await;
        }
    };
    let upstream = async {
        if let Some(upstream) = upstream {
            upstream.finish_while_it_takes_bytes().await;
        }
    };
    tokio::join!(client, upstream); // closed, or broken, or late: there is nothing more to be done for it
}

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    async fn finish_while_it_takes_bytes(mut self) {
        loop {
            let waiting = self.io.waiting();
            let patience = if waiting > 0 { limits::UPSTREAM_LINGER } else { limits::LINGER };
            let is_over = timeout(patience, poll_fn(|cx| self.poll(cx))).await.is_ok();
            if is_over || self.io.waiting() == waiting {
                return;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.finish();
        ready!(self.io.poll_flush(cx))?;
        let mut thrown_away = 0;
        while self.awaits_peer && !self.io.eof {
            if thrown_away >= limits::MOVED_AT_ONCE {
                return turns::poll_pass_on(cx);
            }
            thrown_away += ready!(scratch::with(|scratch| self.io.poll_fill(cx, &mut scratch.buf)))?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, DuplexStream, duplex},
        time::sleep,
    };

    /// A leg whose peer has taken 16 bytes of what it was given.
    fn leg(given: &[u8]) -> (LegIo<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let mut leg = LegIo::new(ours);
        leg.queue(given);
        (leg, theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn upstream_gets_what_is_left_for_it_however_slowly_it_takes_it() {
        let records = [7; 100];
        let (upstream, mut broker) = leg(&records);
        let (client, gone) = leg(&[]);
        drop(gone);
        let slowly = async {
            let mut got = Vec::new();
            while got.len() < records.len() {
                sleep(limits::UPSTREAM_LINGER - Duration::from_secs(1)).await;
                broker.read_buf(&mut got).await.expect("it is not cut");
            }
            assert_eq!(broker.read(&mut [0]).await.expect("it is not cut"), 0);
            drop(broker);
            got
        };
        let ((), got) =
            tokio::join!(finish(Some(Closing::with_peer(client)), Some(Closing::with_peer(upstream))), slowly);
        assert_eq!(got, records);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut() {
        let within = async |client: &[u8], upstream: &[u8]| {
            let ((client, _silent), (upstream, _broker)) = (leg(client), leg(upstream));
            let began = tokio::time::Instant::now();
            finish(Some(Closing::with_peer(client)), Some(Closing::with_peer(upstream))).await;
            began.elapsed()
        };
        assert_eq!(within(&[7; 100], &[]).await.as_secs(), limits::LINGER.as_secs());
        // The first 16 bytes are progress.
        assert_eq!(within(&[], &[7; 100]).await.as_secs(), 2 * limits::UPSTREAM_LINGER.as_secs());
    }
}
