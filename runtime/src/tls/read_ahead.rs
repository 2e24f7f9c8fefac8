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
    handed_out: Records,
}

/// Follows records: rustls keeps one until all of it is there.
#[derive(Debug, Default)]
struct Records {
    /// Bytes of the present record that are there, its head included.
    there: usize,
    /// Bytes of all of it, as far as its head is there.
    all: usize,
}

/// Bytes of a record's head; the last two say how many follow (RFC 8446, section 5.1).
const HEAD: usize = 5;

impl Records {
    fn follow(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let step = match self.there {
                0..3 => 1,
                3 => {
                    self.all = HEAD + (usize::from(*first) << 8);
                    1
                }
                4 => {
                    self.all += usize::from(*first);
                    1
                }
                there => bytes.len().min(self.all - there),
            };
            self.there += step;
            bytes = &bytes[step..];
            if self.there >= HEAD && self.there == self.all {
                self.there = 0;
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    block: Box<[u8]>,
    from: usize,
    to: usize,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(inner: S) -> Self {
        Self::begun(inner, None)
    }

    pub(super) const fn transport(&self) -> &S {
        &self.inner
    }

    /// Bytes of a record that are here while others of it are missing.
    pub(super) const fn begun_record(&self) -> usize {
        self.handed_out.there
    }

    /// One whose first byte has been read already, where it is given.
    pub(super) fn begun(inner: S, first: Option<u8>) -> Self {
        let waiting = first.map(|first| {
            let mut block = block();
            block[0] = first;
            Waiting { block, from: 0, to: 1 }
        });
        Self { inner, waiting, handed_out: Records::default() }
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
        let before = buf.filled().len();
        waiting.hand_out(buf);
        self.handed_out.follow(&buf.filled()[before..]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_there_of_a_record_is_known_wherever_bytes_are_cut(
            lengths in prop::collection::vec(0_u16..700, 0..8),
            cuts in prop::collection::vec(1_usize..400, 1..20),
        ) {
            let mut bytes = Vec::new();
            let mut begins = Vec::new();
            for length in lengths {
                begins.push(bytes.len());
                bytes.extend([23, 3, 3]);
                bytes.extend(length.to_be_bytes());
                bytes.resize(bytes.len() + usize::from(length), 0xff);
            }
            begins.push(bytes.len());
            let (mut records, mut at, mut cuts) = (Records::default(), 0, cuts.iter().cycle());
            while at < bytes.len() {
                let end = bytes.len().min(at + cuts.next().expect("it goes round"));
                records.follow(&bytes[at..end]);
                at = end;
                let begun = begins.iter().rfind(|begin| **begin <= at).expect("the first begins at 0");
                prop_assert_eq!(records.there, at - begun);
            }
        }
    }
}
