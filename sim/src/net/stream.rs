//! A turmoil stream that behaves like a socket on a bad day: short reads, short writes, pauses, a window in bytes.

use super::{
    eye::Eye,
    frames::Frames,
    wires::{Side, Wire, Wires},
};
use crate::{dice::Dice, lock, plan::Wrong};
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
    eye: Eye,
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
    /// The answer that is to be wrong, as far as the broker has said it.
    spoiling: Option<(Wrong, Vec<u8>)>,
    /// An answer that the next one overtakes.
    late: Vec<u8>,
    cut: bool,
}

impl SimStream {
    pub(super) fn new(
        inner: turmoil::net::TcpStream,
        host: Arc<str>,
        eye: Eye,
        side: Side,
        wire: Arc<Mutex<Wire>>,
        wires: &Wires,
    ) -> Self {
        let (number, seed) = wires.opened(&host);
        let speech = match eye {
            Eye::Broker(_) => Some(Speech::default()),
            Eye::Client(_) | Eye::Proxy(_) | Eye::Nobodys => None,
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
            eye,
            speech,
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
        if amount > 0
            && let Some(wrong) = me.eye.read(part.filled())
        {
            me.wires.accuse(&me.host, wrong);
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
        let (took, wrote) = match &mut me.speech {
            None => {
                let wrote = ready!(Pin::new(&mut me.inner).poll_write(cx, &buf[..amount]))?;
                me.eye.wrote(&buf[..wrote]);
                (wrote, wrote)
            }
            Some(speech) => {
                let said = speech.say(&buf[..amount], &me.wires, &me.host, &mut me.dice)?;
                // Turmoil takes all of it at once.
                let wrote = if said.is_empty() { 0 } else { ready!(Pin::new(&mut me.inner).poll_write(cx, &said))? };
                me.eye.wrote(&said[..wrote]);
                (amount, wrote)
            }
        };
        me.writing = Pause::Undecided;
        lock(&me.wire).sent(me.side, wrote);
        me.wires.journal.note(&me.host, format_args!("s{} wrote {wrote}", me.number));
        Poll::Ready(Ok(took))
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
        me.eye.shut();
        me.wires.journal.note(&me.host, format_args!("s{} says that it will send no more", me.number));
        Pin::new(&mut me.inner).poll_shutdown(cx)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.wires.journal.note(&self.host, format_args!("s{} closed", self.number));
        if let Some(wrong) = self.eye.gone() {
            self.wires.accuse(&self.host, wrong);
        }
        self.wires.closed(&self.host, &self.wire, self.side);
    }
}

impl Speech {
    /// What is said in place of `bytes`.
    fn say(&mut self, mut bytes: &[u8], wires: &Wires, host: &str, dice: &mut Dice) -> io::Result<Vec<u8>> {
        if self.cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut said = Vec::new();
        while !bytes.is_empty() && !self.cut {
            if self.frames.is_between() && self.late.is_empty() {
                self.spoiling = wires.take_tamper(host).map(|how| (how, Vec::new()));
            }
            let (part, rest) = bytes.split_at(self.frames.feed_one(bytes));
            bytes = rest;
            match &mut self.spoiling {
                None => said.extend_from_slice(part),
                Some((_, answer)) => answer.extend_from_slice(part),
            }
            if self.frames.is_between() {
                match self.spoiling.take() {
                    None => said.append(&mut self.late),
                    Some((how, answer)) => {
                        wires.journal.note(host, format_args!("a broker answers wrongly: {how:?}"));
                        self.spoil(how, answer, dice, &mut said);
                    }
                }
            }
        }
        Ok(said)
    }

    fn spoil(&mut self, how: Wrong, mut answer: Vec<u8>, dice: &mut Dice, said: &mut Vec<u8>) {
        match how {
            Wrong::Correlation => {
                answer.iter_mut().take(CORRELATION.end).skip(CORRELATION.start).for_each(|byte| *byte ^= 0x5a);
            }
            Wrong::Cut => {
                self.cut = true;
                answer.truncate((answer.len() / 2).max(1));
            }
            Wrong::Truncated => {
                answer.truncate(CORRELATION.end + answer.len().saturating_sub(CORRELATION.end) / 2);
                let length = u32::try_from(answer.len() - CORRELATION.start).expect("shorter than it was");
                answer[..CORRELATION.start].copy_from_slice(&length.to_be_bytes());
            }
            Wrong::Garbage => answer.iter_mut().for_each(|byte| *byte = dice.seed().to_be_bytes()[0]),
            Wrong::OutOfOrder => self.late = std::mem::take(&mut answer),
        }
        said.append(&mut answer);
    }
}
