//! A turmoil stream that behaves like a socket on a bad day: short reads, short writes, pauses, a window in bytes.

use super::{
    eye::Holder,
    wires::{Side, Wire, Wires},
};
use crate::{dice::Dice, digest::Fnv, lock};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes that a short read or write moves at most.
const SHORT: u64 = 40;
/// Bytes that any read or write moves at most: what turmoil carries as one segment.
const SEGMENT: usize = 16 << 10;

/// One end of a simulated connection, as the bytes go over it.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: turmoil::net::TcpStream,
    number: u64,
    host: Arc<str>,
    side: Side,
    wire: Arc<Mutex<Wire>>,
    wires: Wires,
    dice: Dice,
    reading: Pause,
    writing: Pause,
    shut: bool,
    /// Keeps the books of the proxy, where this is an end of its.
    holder: Option<Holder>,
    /// Over all that was sent, where the same plan says the same: what operators are told names a process.
    said: Option<Fnv>,
}

/// Whether a direction is kept waiting.
#[derive(Debug)]
enum Pause {
    /// The next operation may be.
    Undecided,
    /// It is.
    Waiting(Pin<Box<Sleep>>),
    /// It was, or was not.
    Over,
}

impl Socket {
    pub(super) fn new(
        inner: turmoil::net::TcpStream,
        host: Arc<str>,
        holder: Option<Holder>,
        side: Side,
        wire: Arc<Mutex<Wire>>,
        wires: &Wires,
        repeats: bool,
    ) -> Self {
        let (number, seed) = wires.opened(&host);
        Self {
            inner,
            number,
            host,
            side,
            wire,
            wires: wires.clone(),
            dice: Dice::new(seed),
            reading: Pause::Undecided,
            writing: Pause::Undecided,
            shut: false,
            holder,
            said: repeats.then(Fnv::default),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// How many bytes the next operation may move.
    fn amount(&mut self) -> usize {
        if self.dice.per_mille(self.wires.weather.short_per_mille) {
            usize::try_from(self.dice.between(1..=SHORT)).expect("a few bytes")
        } else {
            SEGMENT
        }
    }
}

impl Pause {
    fn poll(&mut self, dice: &mut Dice, wires: &Wires, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Undecided = self {
            let weather = wires.weather;
            *self = if dice.per_mille(weather.stall_per_mille) {
                Self::Waiting(Box::pin(sleep(Duration::from_millis(dice.between(1..=weather.stall_max_ms.max(1))))))
            } else {
                Self::Over
            };
        }
        if let Self::Waiting(sleep) = self {
            ready!(sleep.as_mut().poll(cx));
            *self = Self::Over;
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !lock(&me.wire).may_read(me.side, cx.waker())? {
            return Poll::Pending;
        }
        ready!(me.reading.poll(&mut me.dice, &me.wires, cx));
        let amount = me.amount().min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(amount));
        ready!(Pin::new(&mut me.inner).poll_read(cx, &mut part))?;
        me.reading = Pause::Undecided;
        let read = part.filled().len();
        if amount > 0
            && let Some(wrong) = me.holder.as_mut().and_then(|holder| holder.read(read))
        {
            me.wires.accuse(&me.host, wrong);
        }
        buf.advance(read);
        lock(&me.wire).received(me.side, read);
        me.wires.journal.note(&me.host, format_args!("s{} read {read}", me.number));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let window = usize::try_from(me.wires.weather.window).unwrap_or(usize::MAX);
        let allowed = lock(&me.wire).may_write(me.side, window, cx.waker())?;
        if allowed == 0 {
            return Poll::Pending;
        }
        ready!(me.writing.poll(&mut me.dice, &me.wires, cx));
        let amount = me.amount().min(allowed).min(buf.len());
        let wrote = ready!(Pin::new(&mut me.inner).poll_write(cx, &buf[..amount]))?;
        me.holder.iter_mut().for_each(|holder| holder.wrote(wrote));
        me.said.iter_mut().for_each(|said| said.add(&buf[..wrote]));
        me.writing = Pause::Undecided;
        lock(&me.wire).sent(me.side, wrote);
        me.wires.journal.note(&me.host, format_args!("s{} wrote {wrote}", me.number));
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        // A second shutdown is an error in turmoil and none of a socket.
        if std::mem::replace(&mut me.shut, true) {
            return Poll::Ready(Ok(()));
        }
        me.holder.iter_mut().for_each(Holder::ended);
        me.wires.journal.note(&me.host, format_args!("s{} says that it will send no more", me.number));
        Pin::new(&mut me.inner).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let said = self.said.as_ref().map_or(0, Fnv::value);
        self.wires.journal.note(&self.host, format_args!("s{} closed, said {said:016x}", self.number));
        if let Some(wrong) = self.holder.as_mut().and_then(Holder::gone) {
            self.wires.accuse(&self.host, wrong);
        }
        self.wires.closed(&self.host, &self.wire, self.side);
    }
}
