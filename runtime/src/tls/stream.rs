//! A stream with TLS or without, on either side of the proxy.

use super::{
    certificate::{distinguished_name_of, subject_of},
    read_ahead::ReadAhead,
};
use rustls::pki_types::CertificateDer;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// A stream with TLS or without. Plain Kafka pays for the choice with one comparison; the state of TLS is large, so it
/// lives elsewhere.
#[derive(Debug)]
pub(crate) enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<ReadAhead<S>>>),
}

impl<S> Stream<S> {
    /// Whether the other side has shown a certificate, which then was accepted.
    pub(crate) fn has_certified_peer(&self) -> bool {
        self.peer_certificate().is_some()
    }

    /// What it all goes through.
    pub(crate) fn transport(&self) -> &S {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0.transport(),
        }
    }

    /// With TLS, when it has nothing more to read: how many bytes of a record it keeps until the others are there.
    pub(crate) fn begun_record(&self) -> Option<usize> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream.get_ref().0.begun_record()),
        }
    }

    /// The subject of the certificate that the other side has shown, which then was accepted.
    pub(crate) fn peer_subject(&self) -> Option<String> {
        self.peer_certificate().map(subject_of)
    }

    /// The same as Kafka's rules have it.
    pub(crate) fn peer_distinguished_name(&self) -> Option<String> {
        self.peer_certificate().map(distinguished_name_of)
    }

    fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates()?.first(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            // Kafka clients and brokers close without `close_notify`. Nobody can cut a frame short by it, since each says
            // its length beforehand.
            Self::Tls(stream) => {
                let polled = Pin::new(&mut **stream).poll_read(cx, buf);
                if stream.get_ref().1.wants_write() {
                    // An alert, or new keys: the peer waits for it, and there may be nothing else to write for long. If it
                    // fails, the next write says so.
                    let _ = Pin::new(&mut **stream).poll_flush(cx);
                }
                match polled {
                    Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                    polled @ (Poll::Ready(_) | Poll::Pending) => polled,
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// With TLS, `close_notify` goes before FIN.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
