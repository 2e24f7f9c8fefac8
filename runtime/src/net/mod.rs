//! The one seam between kroxy and a network: tokio's in production, turmoil's in the simulations.
//!
//! A trait instead of a `cfg` alias: cargo unifies features, so an alias could compile the product against the simulator,
//! and a stream could not be wrapped by one that reads short and stalls. This is the only folder that names `tokio::net`.

#[cfg(target_os = "linux")]
mod low_water;
#[cfg(target_os = "linux")]
mod splice;

use kroxy_core::address::HostPort;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// Connections that may wait to be accepted on one listener; Linux caps it at `net.core.somaxconn` (4096).
const BACKLOG: u32 = 4_096;

/// How long a silent peer is trusted before the kernel asks whether it is still there, and how long between questions.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));

/// A network.
pub trait Net: Clone + Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A port that accepts connections.
    type Listener: Listener<Stream = Self::Stream>;

    /// Starts to listen.
    fn bind(&self, at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects; the caller bounds how long it may take.
    fn connect(&self, to: &HostPort) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The address of this end of a connection.
    fn address_of(stream: &Self::Stream) -> io::Result<SocketAddr>;

    /// Once the connection is dropped, its peer is to see that it broke, and no orderly end.
    fn break_off(stream: &Self::Stream) -> io::Result<()>;

    /// Bytes from which on it pays to be woken for so many together; `None`: this network cannot.
    const LOW_WATER: Option<usize> = None;

    /// A stream that has nothing to read is to be ready for it only once so many bytes are there, or it has ended or broken.
    fn set_low_water(stream: &Self::Stream, bytes: usize) -> io::Result<()> {
        let _ = (stream, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Bytes from which on it pays to let them pass unseen; `None`: this network cannot.
    const PASSES: Option<u64> = None;

    /// Moves up to `most` bytes that have arrived on one connection to another one without showing them to anybody. What the other
    /// one does not take now is put into `left`.
    fn poll_pass(
        from: &mut Self::Stream,
        to: &mut Self::Stream,
        most: usize,
        left: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<Passed> {
        let _ = (from, to, most, left, cx);
        Poll::Ready(Passed::Cannot)
    }
}

/// What became of bytes that were to pass unseen.
#[derive(Debug)]
pub enum Passed {
    /// So many have left the first connection; 0: it will send no more.
    Moved(usize),
    /// Not now: they have to be read.
    Cannot,
    /// The first connection broke.
    FromBroke(io::Error),
    /// The second connection broke.
    ToBroke(io::Error),
}

/// A port that accepts connections.
pub trait Listener: Send + 'static {
    /// What is accepted.
    type Stream;

    /// The next connection, and where it comes from.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Where it listens, with the port that the system chose where 0 was asked for.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The operating system's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsNet;

impl Net for OsNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn bind(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG)
    }

    async fn connect(&self, to: &HostPort) -> io::Result<TcpStream> {
        let stream = match to.host.parse::<IpAddr>() {
            Ok(ip) => TcpStream::connect(SocketAddr::new(ip, to.port)).await?,
            Err(_) => TcpStream::connect((to.host.as_str(), to.port)).await?,
        };
        tune(&stream)?;
        Ok(stream)
    }

    fn address_of(stream: &TcpStream) -> io::Result<SocketAddr> {
        stream.local_addr()
    }

    fn break_off(stream: &TcpStream) -> io::Result<()> {
        stream.set_zero_linger()
    }

    #[cfg(target_os = "linux")]
    const LOW_WATER: Option<usize> = Some(low_water::PAYS);

    #[cfg(target_os = "linux")]
    fn set_low_water(stream: &TcpStream, bytes: usize) -> io::Result<()> {
        low_water::set(stream, bytes)
    }

    #[cfg(target_os = "linux")]
    const PASSES: Option<u64> = Some(splice::PAYS);

    #[cfg(target_os = "linux")]
    fn poll_pass(
        from: &mut TcpStream,
        to: &mut TcpStream,
        most: usize,
        left: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<Passed> {
        splice::poll_pass(from, to, most, left, cx)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = TcpListener::accept(self).await?;
        tune(&stream)?;
        Ok((stream, from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

/// A proxy adds no delay of its own, and notices a peer that has vanished.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (idle, interval) = KEEPALIVE;
    socket2::SockRef::from(stream)
        .set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(idle).with_interval(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of a connection.
    pub(super) async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let (connected, accepted) = tokio::join!(TcpStream::connect(at), listener.accept());
        (connected.expect("connected"), accepted.expect("accepted").0)
    }
}
