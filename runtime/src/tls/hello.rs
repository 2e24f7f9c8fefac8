//! The first message of a client's handshake, read before it is known who answers.

use super::{
    handshake::{Failure, see_off_within},
    read_ahead::ReadAhead,
};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

/// A handshake that has begun, and can go on with whatever the client's wish calls for.
pub(crate) struct Hello<S>(pub(super) Box<StartHandshake<ReadAhead<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Hello<S> {
    /// Reads it, in so much time. Its `first` byte may have been read.
    pub(crate) async fn read(stream: S, first: Option<u8>, within: Duration) -> Result<Self, Failure> {
        let stream = ReadAhead::begun(stream, first);
        let mut reading = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let read: Result<io::Result<_>, _> = tokio::time::timeout(within, &mut reading).await;
        match read {
            Ok(Ok(start)) => Ok(Self(Box::new(start))),
            Ok(Err(error)) => {
                if let Some(stream) = reading.take_io() {
                    see_off_within(stream).await;
                }
                Err(Failure::of(&error, None))
            }
            Err(_) => Err(Failure::timed_out(within)),
        }
    }

    /// The name that the client asks for.
    pub(crate) fn server_name(&self) -> Option<String> {
        self.0.client_hello().server_name().map(str::to_owned)
    }
}
