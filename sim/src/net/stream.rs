//! A turmoil stream that behaves like a socket on a bad day: short reads, short writes, pauses, a window in bytes.

use super::{
    Role,
    frames::Frames,
    watch::Watch,
    wires::{Side, Tamper, Wire, Wires},
};
use crate::{dice::Dice, lock};
use std::{
    io,
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
/// Where the correlation id stands in an answer with its length.
const CORRELATION: std::ops::Range<usize> = 4..8;

/// One end of a simulated connection.
#[derive(Debug)]
pub(crate) struct SimStream {
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
    watch: Option<Watch>,
    speech: Option<Speech>,
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

/// What a broker says.
#[derive(Debug, Default)]
struct Speech {
    frames: Frames<4>,
    /// The answer that is being said has another correlation id, and so many bytes of it were said.
    changing: Option<usize>,
    cut: bool,
}

impl SimStream {
    pub(super) fn new(
        inner: turmoil::net::TcpStream,
        host: Arc<str>,
        role: Role,
        side: Side,
        wire: Arc<Mutex<Wire>>,
        wires: &Wires,
    ) -> Self {
        let (number, seed) = wires.opened(&host);
        let (watch, speech) = match role {
            Role::Proxy => (None, None),
            Role::Broker => (None, Some(Speech::default())),
            Role::Client => (Some(Watch::new(true)), None),
            Role::Rude => (Some(Watch::new(false)), None),
        };
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
            watch,
            speech,
        }
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

impl AsyncRead for SimStream {
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
        if let Some(watch) = &mut me.watch
            && let Some(wrong) = watch.received(part.filled())
        {
            me.wires.accuse(&me.host, wrong);
        }
        if read == 0 && amount > 0 && me.watch.as_ref().is_some_and(Watch::is_inside_answer) {
            me.wires.note_cut(&me.host);
        }
        buf.advance(read);
        lock(&me.wire).received(me.side, read);
        me.wires.journal.note(&me.host, format_args!("s{} read {read}", me.number));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
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
        let wrote = match &mut me.speech {
            None => ready!(Pin::new(&mut me.inner).poll_write(cx, &buf[..amount]))?,
            Some(speech) => {
                let said = speech.say(&buf[..amount], &me.wires, &me.host)?;
                ready!(Pin::new(&mut me.inner).poll_write(cx, &said))?
            }
        };
        me.writing = Pause::Undecided;
        if let Some(watch) = &mut me.watch {
            watch.sent(&buf[..wrote]);
        }
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
        me.wires.journal.note(&me.host, format_args!("s{} says that it will send no more", me.number));
        Pin::new(&mut me.inner).poll_shutdown(cx)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.wires.journal.note(&self.host, format_args!("s{} closed", self.number));
        self.wires.closed(&self.host, &self.wire, self.side);
    }
}

impl Speech {
    /// What is said in place of `bytes`, all of which turmoil takes at once.
    fn say(&mut self, bytes: &[u8], wires: &Wires, host: &str) -> io::Result<Vec<u8>> {
        if self.cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut said = bytes.to_vec();
        if self.frames.is_between() {
            self.changing = None;
            match wires.take_tamper(host) {
                None => {}
                Some(Tamper::Correlation) => {
                    wires.journal.note(host, format_args!("a broker answers with a wrong correlation id"));
                    self.changing = Some(0);
                }
                Some(Tamper::Cut) => {
                    wires.journal.note(host, format_args!("a broker hangs up in the middle of an answer"));
                    self.cut = true;
                    said.truncate((bytes.len() / 2).max(1));
                }
            }
        }
        if let Some(before) = self.changing {
            for (place, byte) in said.iter_mut().enumerate() {
                if CORRELATION.contains(&(before + place)) {
                    *byte ^= 0x5a;
                }
            }
            self.changing = Some(before + said.len());
        }
        self.frames.feed(&said);
        Ok(said)
    }
}
