//! One side of a relayed connection: a stream, the bytes of it that could not be decided about yet, and the bytes that
//! it did not take yet.

use crate::limits;
use kroxy_core::relay::Segment;
use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One side of a relayed connection.
#[derive(Debug)]
pub(super) struct LegIo<S> {
    pub(super) stream: S,
    /// Read and not consumed: the start of a frame, or what the relay does not take now.
    pub(super) inbox: Vec<u8>,
    /// How many bytes the relay wants to see together.
    pub(super) want: usize,
    /// The relay takes nothing from this leg until something happens on the other one.
    pub(super) blocked: bool,
    /// The inbox is to be shown again: what kept the relay from taking it may be over.
    pub(super) recheck: bool,
    /// The peer will send no more.
    pub(super) eof: bool,
    /// The relay was told so.
    pub(super) eof_told: bool,
    /// What the peer does not take yet.
    pub(super) outbox: Vec<u8>,
    /// How much of the outbox is written.
    written: usize,
    /// The outbox was above its high mark and has not fallen to the low one.
    congested: bool,
    /// Bytes may wait in the stream itself (TLS).
    unflushed: bool,
    /// The peer has taken some since [`Self::delivery`] was asked for last.
    took: bool,
    fin: Fin,
    /// What came last went to the other leg unseen: most of what comes next may do so as well.
    pub(super) is_bulky: bool,
    /// Bytes that have to be there before the stream is ready for reading.
    pub(super) low_water: usize,
    /// It has waited for more than came in time, and takes what comes.
    pub(super) takes_little: bool,
}

/// Whether the peer is told that no more will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fin {
    /// More may come.
    Later,
    /// As soon as everything is written.
    Due,
    /// It is.
    Sent,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LegIo<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            inbox: Vec::new(),
            want: 0,
            blocked: false,
            recheck: false,
            eof: false,
            eof_told: false,
            outbox: Vec::new(),
            written: 0,
            congested: false,
            unflushed: false,
            took: false,
            fin: Fin::Later,
            is_bulky: false,
            low_water: 1,
            takes_little: false,
        }
    }

    /// The same with a first byte that has been read.
    pub(super) fn begun(stream: S, first: Option<u8>) -> Self {
        let inbox: Vec<_> = first.into_iter().collect();
        Self { recheck: !inbox.is_empty(), inbox, ..Self::new(stream) }
    }

    /// Sends FIN behind everything that waits to be written.
    pub(super) fn finish(&mut self) {
        if self.fin == Fin::Later {
            self.fin = Fin::Due;
        }
    }

    /// Whether the peer has been told, or is about to be told, that no more will come.
    pub(super) fn is_finished(&self) -> bool {
        self.fin != Fin::Later
    }

    /// Lets bytes wait to be written.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
        self.unflushed = true;
        self.note_congestion();
    }

    /// Bytes have gone by on their way to the peer: `moved` of them, with those that wait now.
    pub(super) const fn passed(&mut self, moved: usize) {
        self.took |= moved > self.waiting();
        self.note_congestion();
    }

    const fn note_congestion(&mut self) {
        self.congested |= self.waiting() > limits::OUTBOX_HIGH;
    }

    /// Whether so much waits here that the other leg must not be read.
    pub(super) const fn is_congested(&self) -> bool {
        self.congested
    }

    /// Lets the relay look at what it did not take before.
    pub(super) const fn unblock(&mut self) {
        self.recheck |= self.blocked;
        self.blocked = false;
    }

    /// Whether bytes wait to be written, and whether the peer has taken any since this was asked last.
    pub(super) const fn delivery(&mut self) -> (bool, bool) {
        (self.waiting() > 0 || self.unflushed, mem::replace(&mut self.took, false))
    }

    /// Bytes that wait to be written.
    pub(super) const fn waiting(&self) -> usize {
        self.outbox.len() - self.written
    }

    /// Reads until the stream has no more or `buf` is full. 0 with nothing pending before is the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buf);
        while read.remaining() > 0 {
            let before = read.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().len() == before => {
                    self.eof = true;
                    break;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) if read.filled().is_empty() => return Poll::Ready(Err(e)),
                Poll::Ready(Err(_)) => break, // what came before it counts; the next read says it again
                Poll::Pending if read.filled().is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes segments of a plan over `input`; what the peer does not take now is kept. Returns the bytes of both.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, input: &[u8], segments: &[Segment]) -> io::Result<u64> {
        self.unflushed = true;
        let mut rest = segments;
        let mut skip = 0; // bytes of rest[0] that are written
        if self.waiting() == 0 {
            while !rest.is_empty() {
                let mut slices = [IoSlice::new(&[]); limits::WRITE_VECTOR];
                let mut used = 0;
                for (slot, segment) in slices.iter_mut().zip(rest) {
                    let all = segment.bytes(input);
                    *slot = IoSlice::new(if used == 0 { &all[skip..] } else { all });
                    used += 1;
                }
                let stream = Pin::new(&mut self.stream);
                let wrote = if used == 1 {
                    stream.poll_write(cx, &slices[0])
                } else {
                    stream.poll_write_vectored(cx, &slices[..used])
                };
                match wrote {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(n)) => {
                        skip += n;
                        self.took = true;
                        while let Some(first) = rest.first()
                            && skip >= first.bytes(input).len()
                        {
                            skip -= first.bytes(input).len();
                            rest = &rest[1..];
                        }
                    }
                    Poll::Ready(Err(e)) => return Err(e),
                    Poll::Pending => break,
                }
            }
        }
        for segment in rest {
            self.outbox.extend_from_slice(&segment.bytes(input)[skip..]);
            skip = 0;
        }
        self.note_congestion();
        Ok(segments.iter().map(|segment| segment.bytes(input).len() as u64).sum())
    }

    /// Writes what waits. Ready when nothing does any more.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waiting() > 0 {
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outbox[self.written..]))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += wrote;
            self.took = true;
            if self.waiting() <= limits::OUTBOX_LOW {
                self.congested = false;
            }
        }
        if self.written > 0 {
            self.written = 0;
            release(&mut self.outbox);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.fin == Fin::Due {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.fin = Fin::Sent;
        }
        Poll::Ready(Ok(()))
    }
}

/// Empties a buffer and gives its memory back unless it is small: an idle connection owns no buffer worth the name.
pub(super) fn release(buffer: &mut Vec<u8>) {
    if buffer.capacity() > limits::KEPT_BUFFER {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}
