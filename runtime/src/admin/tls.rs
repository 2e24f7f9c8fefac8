//! TLS in front of the admin API.
//!
//! Its files are read at each handshake, as the token is at each question: there are few of either, and what was renewed
//! holds at once.

use crate::{
    load,
    tls::{self, Acceptor, Contents, Crypto, Failure, Stream, TlsError},
};
use kroxy_core::{cluster::Reason, config::tls::ClientTls};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::error;

/// What the block is called that names the files.
const FIELD: &str = "admin.tls";

/// Shakes hands with whoever wants to ask something.
#[derive(Debug)]
pub(crate) struct Door {
    tls: ClientTls,
    crypto: Crypto,
    /// Made of the files when they were good last.
    last: Mutex<Arc<Acceptor>>,
}

impl Door {
    /// Reads the files once, so that a proxy that nobody could steer does not start.
    pub(crate) fn new(tls: ClientTls, crypto: Crypto) -> Result<Self, TlsError> {
        let last = Mutex::new(acceptor(&tls, &crypto)?);
        Ok(Self { tls, crypto, last })
    }

    /// Files that are no good any more leave what was made of them in force.
    pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<Stream<S>, Failure> {
        let acceptor = match acceptor(&self.tls, &self.crypto) {
            Ok(acceptor) => {
                crate::lock(&self.last).clone_from(&acceptor);
                acceptor
            }
            Err(e) => {
                error!("the admin API shows its old certificate: {}", Reason::of(&e));
                crate::lock(&self.last).clone()
            }
        };
        acceptor.accept(stream, None).await
    }
}

fn acceptor(tls: &ClientTls, crypto: &Crypto) -> Result<Arc<Acceptor>, TlsError> {
    let files = load::contents(tls::of_clients(tls, FIELD), load::read);
    Acceptor::new(tls, &Contents::new(&files, FIELD), crypto).map(Arc::new)
}
