//! What happens first on a client's connection: a load balancer says whose it is, where the gateway lets it.

use crate::net::Net;
use kroxy_core::{
    proxy_protocol::{BadHeader, Ends, Expected, Header, Parsed, ProxyProtocol, parse},
    relay::Cause,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// Where the client is, and what it connected to.
    pub(crate) ends: Ends,
    /// Who has said so, unless the client came by itself.
    pub(crate) via: Option<IpAddr>,
}

/// A client that may begin.
pub(crate) struct Entered<S> {
    pub(crate) stream: S,
    /// What it has begun with, where that had to be seen.
    pub(crate) first: Option<u8>,
    pub(crate) origin: Origin,
}

/// Why a client may not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEntered {
    /// A port scan, or a health check that wants no more than a connection.
    #[error("it was closed before anything was said")]
    Gone,
    #[error("clients come through a load balancer, and this address is none")]
    Untrusted,
    #[error("there is no header")]
    Absent,
    #[error("the header is none: {0}")]
    Bad(#[from] BadHeader),
    #[error("there was no whole header after {0:?}")]
    Late(Duration),
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
}

impl From<NotEntered> for Cause {
    fn from(why: NotEntered) -> Self {
        match why {
            NotEntered::Gone => Self::ClientClosed,
            NotEntered::Broke(e) => Self::ClientBroke(e.to_string()),
            NotEntered::Untrusted | NotEntered::Absent | NotEntered::Bad(_) | NotEntered::Late(_) => {
                Self::NotIntroduced(why.to_string())
            }
        }
    }
}

/// Finds out whose connection it is, in so much time. Of what the client says itself nothing is taken, but for one byte where
/// only that tells.
pub(crate) async fn enter<N: Net>(
    mut stream: N::Stream,
    peer: SocketAddr,
    proxy_protocol: &ProxyProtocol,
    within: Duration,
) -> Result<Entered<N::Stream>, NotEntered> {
    let by_itself = Origin { ends: Ends { client: peer, server: N::address_of(&stream)? }, via: None };
    let expected = proxy_protocol.expects(peer.ip());
    match expected {
        Expected::Client => return Ok(Entered { stream, first: None, origin: by_itself }),
        Expected::Nothing => return Err(NotEntered::Untrusted),
        Expected::MaybeHeader | Expected::Header => {}
    }
    let read = tokio::time::timeout(within, header(&mut stream)).await.map_err(|_| NotEntered::Late(within))?;
    let (first, origin) = match (read?, expected) {
        (First::Header(Header::Proxied(ends)), _) => (None, Origin { ends, via: Some(peer.ip()) }),
        (First::Header(Header::Local), _) => (None, by_itself),
        (First::Byte(first), Expected::MaybeHeader) => (Some(first), by_itself),
        (First::Byte(_), Expected::Client | Expected::Header | Expected::Nothing) => return Err(NotEntered::Absent),
    };
    Ok(Entered { stream, first, origin })
}

/// What a connection begins with.
enum First {
    Header(Header),
    Byte(u8),
}

async fn header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<First, NotEntered> {
    let mut bytes = Vec::new();
    loop {
        let seen = bytes.len();
        match parse(&bytes)? {
            Parsed::Whole(header) => return Ok(First::Header(header)),
            Parsed::Absent => return Ok(First::Byte(bytes[0])),
            Parsed::Want(more) => bytes.resize(seen + more, 0),
        }
        let read = stream.read(&mut bytes[seen..]).await?;
        if read == 0 {
            return Err(if seen == 0 {
                NotEntered::Gone
            } else {
                io::Error::from(io::ErrorKind::UnexpectedEof).into()
            });
        }
        bytes.truncate(seen + read);
    }
}
