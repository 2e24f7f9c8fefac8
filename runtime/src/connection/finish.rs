//! Ends a connection without taking back what was already decided.
//!
//! What waits is written, then FIN, then reading on until the peer has closed as well: closing a socket that holds unread
//! bytes sends RST, which would destroy what the peer has not read yet.

use super::leg::LegIo;
use crate::limits;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How a leg ends.
pub(super) struct Closing<S> {
    io: LegIo<S>,
    /// The peer's FIN is waited for.
    awaits_peer: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    /// What waits is written, and then reading goes on until the peer has closed as well.
    pub(super) const fn with_peer(io: LegIo<S>) -> Self {
        Self { io, awaits_peer: true }
    }

    /// What waits is written. Whatever the peer may still say is for nobody.
    pub(super) const fn alone(io: LegIo<S>) -> Self {
        Self { io, awaits_peer: false }
    }
}

/// Finishes both legs at the same time, within [`limits::LINGER`].
pub(super) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(client: Closing<S>, upstream: Option<Closing<S>>) {
    let mut closing = [Some(client), upstream];
    let all = poll_fn(|cx| {
        let mut left = false;
        for slot in &mut closing {
            if let Some(leg) = slot {
                match leg.poll(cx) {
                    Poll::Ready(_) => *slot = None, // closed, or broken: there is nothing more to be done for it
                    Poll::Pending => left = true,
                }
            }
        }
        if left { Poll::Pending } else { Poll::Ready(()) }
    });
    // What is not done by then is cut: the peer does not take its bytes, or does not close.
    let _ = tokio::time::timeout(limits::LINGER, all).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.finish();
        ready!(self.io.poll_flush(cx))?;
        let mut thrown_away = [0; 1024];
        while self.awaits_peer && !self.io.eof {
            let mut buf = ReadBuf::new(&mut thrown_away);
            ready!(Pin::new(&mut self.io.stream).poll_read(cx, &mut buf))?;
            self.io.eof = buf.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }
}
