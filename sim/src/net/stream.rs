//! An end of a connection as its holder uses it: over TLS or not, watched, and of a broker perhaps with wrong answers.
//!
//! Whoever holds one uses both of its directions in one task, as all here do: each direction drives the other one's rest.

use super::{
    eye::{Eye, Wrong},
    login::Gate,
    socket::Socket,
    speech::Speech,
    wires::Wires,
};
use crate::dice::Dice;
use runtime::net::Passed;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Accept, TlsStream};

/// Bytes that are moved at a time where they are looked at on the way, or pass unseen.
const PART: usize = 4 << 10;

/// An end of a simulated connection.
#[derive(Debug)]
pub(crate) struct SimStream {
    channel: Channel,
    host: Arc<str>,
    wires: Wires,
    eye: Eye,
    /// Of a broker.
    speech: Option<Speech>,
    /// Of a broker that demands a login.
    gate: Option<Gate>,
    /// What was taken from the holder, changed, and is not in the channel yet.
    waiting: Vec<u8>,
    dice: Dice,
}

/// What the bytes go over.
pub(super) enum Channel {
    Plain(Box<Socket>),
    /// It waits for its peer to say hello.
    Shaking(Box<Accept<Socket>>),
    Tls(Box<TlsStream<Socket>>),
    /// The handshake has failed.
    Failed,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "plain",
            Self::Shaking(_) => "shaking hands",
            Self::Tls(_) => "TLS",
            Self::Failed => "failed",
        })
    }
}

/// Both directions of bytes.
trait Bytes: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Bytes for S {}

impl Channel {
    /// The bytes that go over it, once there are any.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Bytes>>> {
        if let Self::Shaking(accept) = self {
            *self = match ready!(Pin::new(accept.as_mut()).poll(cx)) {
                Ok(stream) => Self::Tls(Box::new(stream.into())),
                Err(e) => {
                    *self = Self::Failed;
                    return Poll::Ready(Err(e));
                }
            };
        }
        Poll::Ready(match self {
            Self::Plain(socket) => Ok(Pin::new(socket.as_mut())),
            Self::Tls(stream) => Ok(Pin::new(stream.as_mut())),
            Self::Shaking(_) | Self::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl SimStream {
    pub(super) fn new(channel: Channel, host: Arc<str>, eye: Eye, gate: Option<Gate>, wires: &Wires) -> Self {
        let speech = match eye {
            Eye::Broker(_) => Some(Speech::default()),
            Eye::Client(_) | Eye::Nobodys => None,
        };
        let dice = Dice::new(wires.seed());
        Self { channel, host, wires: wires.clone(), eye, speech, gate, waiting: Vec::new(), dice }
    }

    /// The address of this end.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.channel {
            Channel::Plain(socket) => socket.local_addr(),
            Channel::Tls(stream) => stream.get_ref().0.local_addr(),
            Channel::Shaking(_) | Channel::Failed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn accuse(&self, wrong: Option<Wrong>) {
        wrong.into_iter().for_each(|wrong| self.wires.accuse(&self.host, wrong));
    }

    /// Gets rid of all that was taken already.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut channel = ready!(self.channel.poll(cx))?;
        while !self.waiting.is_empty() {
            let wrote = ready!(channel.as_mut().poll_write(cx, &self.waiting))?;
            self.eye.wrote(&self.waiting[..wrote]);
            self.waiting.drain(..wrote);
        }
        if let Some(Gate { answers, .. }) = &mut self.gate {
            while !answers.is_empty() {
                let wrote = ready!(channel.as_mut().poll_write(cx, answers))?;
                answers.drain(..wrote);
            }
        }
        channel.poll_flush(cx)
    }

    /// Receives what comes through the gate: logins are taken out and answered.
    fn poll_gate(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(gate) = &mut self.gate else { unreachable!("it is there") };
            if gate.has_passed() {
                gate.pass(buf.remaining()).for_each(|byte| buf.put_slice(&[byte]));
                return Poll::Ready(Ok(()));
            }
            if gate.is_refused() {
                // It hears nothing more, and hangs up when that was said.
                return self.poll_rest(cx);
            }
            let mut part = [0; PART];
            let mut part = ReadBuf::new(&mut part);
            ready!(ready!(self.channel.poll(cx))?.poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let wrong = gate.take(part.filled(), turmoil::sim_elapsed().unwrap_or_default());
            self.accuse(wrong);
            if let Poll::Ready(Err(e)) = self.poll_rest(cx) {
                return Poll::Ready(Err(e));
            }
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if let Poll::Ready(Err(e)) = me.poll_rest(cx) {
            return Poll::Ready(Err(e));
        }
        let before = buf.filled().len();
        let read = match me.gate {
            Some(_) => ready!(me.poll_gate(cx, buf)),
            None => ready!(ready!(me.channel.poll(cx))?.poll_read(cx, buf)),
        };
        // TLS calls it an error when the other end says no farewell.
        let ended = matches!(&read, Err(e) if e.kind() == io::ErrorKind::UnexpectedEof);
        if ended || (read.is_ok() && buf.capacity() > before) {
            let wrong = me.eye.read(&buf.filled()[before..]);
            me.accuse(wrong);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        ready!(me.poll_rest(cx))?;
        if let Some(speech) = &mut me.speech {
            me.waiting = speech.say(buf, &me.wires, &me.host, &mut me.dice)?;
            if let Poll::Ready(Err(e)) = me.poll_rest(cx) {
                return Poll::Ready(Err(e));
            }
            return Poll::Ready(Ok(buf.len()));
        }
        let wrote = ready!(ready!(me.channel.poll(cx))?.poll_write(cx, buf))?;
        me.eye.wrote(&buf[..wrote]);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_rest(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_rest(cx))?;
        ready!(me.channel.poll(cx))?.poll_shutdown(cx)
    }
}

/// Moves bytes from one stream to another, as a kernel does: what the other does not take now is `left`.
pub(super) fn poll_pass(
    from: &mut SimStream,
    to: &mut SimStream,
    most: usize,
    left: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Passed> {
    let mut part = [0; PART];
    let most = most.min(PART);
    let mut part = ReadBuf::new(&mut part[..most]);
    if let Err(e) = ready!(Pin::new(from).poll_read(cx, &mut part)) {
        return Poll::Ready(Passed::FromBroke(e));
    }
    let mut rest = part.filled();
    while !rest.is_empty() {
        match Pin::new(&mut *to).poll_write(cx, rest) {
            Poll::Ready(Ok(n)) => rest = &rest[n..],
            Poll::Ready(Err(e)) => return Poll::Ready(Passed::ToBroke(e)),
            Poll::Pending => {
                left.extend_from_slice(rest);
                break;
            }
        }
    }
    Poll::Ready(Passed::Moved(part.filled().len()))
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.eye.gone();
    }
}
