//! Reads from a socket in large pieces for rustls, which asks for 4 KiB at a time.
//!
//! The block that is read into belongs to the worker thread. A connection has one only while bytes in it wait for rustls,
//! which is hardly ever beyond one poll: so the cost of a large buffer is paid once for each thread.

use crate::limits;
use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

thread_local! {
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

fn block() -> Box<[u8]> {
    SPARE.take().unwrap_or_else(|| vec![0; limits::TLS_READ].into_boxed_slice())
}

/// A stream that is read in pieces of [`limits::TLS_READ`].
#[derive(Debug)]
pub(crate) struct ReadAhead<S> {
    inner: S,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    block: Box<[u8]>,
    from: usize,
    to: usize,
}

impl<S> ReadAhead<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner, waiting: None }
    }

    pub(super) const fn transport(&self) -> &S {
        &self.inner
    }

    /// One whose first byte has been read already, where it is given.
    pub(super) fn begun(inner: S, first: Option<u8>) -> Self {
        let waiting = first.map(|first| {
            let mut block = block();
            block[0] = first;
            Waiting { block, from: 0, to: 1 }
        });
        Self { inner, waiting }
    }
}

impl Waiting {
    fn hand_out(&mut self, to: &mut ReadBuf<'_>) {
        let n = to.remaining().min(self.to - self.from);
        to.put_slice(&self.block[self.from..self.from + n]);
        self.from += n;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let mut block = block();
                let mut read = ReadBuf::new(&mut block);
                let polled = Pin::new(&mut self.inner).poll_read(cx, &mut read);
                let to = read.filled().len();
                if to == 0 {
                    SPARE.set(Some(block));
                    ready!(polled)?;
                    return Poll::Ready(Ok(()));
                }
                Waiting { block, from: 0, to }
            }
        };
        waiting.hand_out(buf);
        if waiting.from == waiting.to {
            SPARE.set(Some(waiting.block));
        } else {
            self.waiting = Some(waiting);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
