//! Bytes that move from socket to socket inside of the kernel, with `splice(2)`: it hands pages over, and nobody copies.
//!
//! Between two sockets there has to be a pipe. A worker thread has one for all its connections, empty except while bytes are moved.

use super::Passed;
use rustix::{
    io::{Errno, read, retry_on_intr},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::TcpStream};

/// Bytes: below this, copying costs no more than handing over.
pub(super) const PAYS: u64 = 128 << 10;

/// Bytes of a pipe: what Linux allows everybody (`fs.pipe-max-size`). It is about pages, and most come with less than a page's bytes.
const PIPE: usize = 1 << 20;

thread_local! {
    static OURS: RefCell<Option<Pipe>> = const { RefCell::new(None) };
}

struct Pipe {
    exit: OwnedFd,
    entrance: OwnedFd,
}

/// [`super::Net::poll_pass`] between two sockets.
pub(super) fn poll_pass(
    from: &TcpStream,
    to: &TcpStream,
    most: usize,
    left: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Passed> {
    OURS.with_borrow_mut(|ours| {
        if ours.is_none() {
            *ours = Pipe::new().ok();
        }
        let Some(pipe) = ours else { return Poll::Ready(Passed::Cannot) }; // no descriptors are left
        Poll::Ready(match ready!(pipe.poll_enter(from, most, cx)) {
            Ok(moved) => match pipe.leave(to, moved, left) {
                Ok(()) => Passed::Moved(moved),
                Err(e) => {
                    *ours = None; // what is in it goes with it
                    Passed::ToBroke(e)
                }
            },
            Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Passed::Cannot,
            Err(e) => Passed::FromBroke(e),
        })
    })
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (exit, entrance) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = fcntl_setpipe_size(&entrance, PIPE); // with a smaller one, less moves at a time
        Ok(Self { exit, entrance })
    }

    /// Lets in what a socket has; 0: it has ended.
    fn poll_enter(&self, from: &TcpStream, most: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || hand_over(from, &self.entrance, most.min(PIPE))) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {} // it is waited for
                ended => return Poll::Ready(ended),
            }
        }
    }

    /// Lets the `inside` bytes that are in it out to a socket. What that does not take now is read into `left`.
    fn leave(&self, to: &TcpStream, mut inside: usize, left: &mut Vec<u8>) -> io::Result<()> {
        while inside > 0 {
            match to.try_io(Interest::WRITABLE, || hand_over(&self.exit, to, inside)) {
                Ok(n) => inside -= n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let mut at = left.len();
                    left.resize(at + inside, 0);
                    while at < left.len() {
                        at += retry_on_intr(|| read(&self.exit, &mut left[at..]))?;
                    }
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn hand_over(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(retry_on_intr(|| splice(&from, None, &to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK))?)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::pair, *};
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pass(from: &TcpStream, to: &TcpStream, most: usize, left: &mut Vec<u8>) -> Passed {
        poll_fn(|cx| poll_pass(from, to, most, left, cx)).await
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    }

    #[tokio::test]
    async fn every_byte_arrives_in_order_however_little_is_taken() {
        let ((mut broker, from), (mut to, mut client)) = (pair().await, pair().await);
        let sent = noise(8 << 20);
        let sending = async {
            broker.write_all(&sent).await.expect("taken");
            broker.shutdown().await.expect("said");
        };
        let (full, is_full) = tokio::sync::oneshot::channel();
        let passing = async move {
            let (mut left, mut full, mut most) = (Vec::new(), Some(full), usize::MAX);
            loop {
                match pass(&from, &to, most, &mut left).await {
                    Passed::Moved(0) => break,
                    Passed::Moved(n) => assert!(n <= most, "no more than was said"),
                    other @ (Passed::Cannot | Passed::FromBroke(_) | Passed::ToBroke(_)) => panic!("{other:?}"),
                }
                if !left.is_empty() {
                    full.take().into_iter().for_each(|full| full.send(()).expect("it is waited for"));
                    to.write_all(&left).await.expect("taken");
                    left.clear();
                    most = 10_000;
                }
            }
            assert!(full.is_none(), "for a while there was no room");
        };
        let reading = async {
            is_full.await.expect("it comes to that");
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.expect("all of it arrives");
            got
        };
        let ((), (), got) = tokio::join!(sending, passing, reading);
        assert!(got == sent, "the same bytes in the same order");
    }

    #[tokio::test]
    async fn it_is_told_which_connection_broke() {
        let mut left = Vec::new();
        let ((broker, from), (to, _client)) = (pair().await, pair().await);
        broker.set_zero_linger().expect("Linux");
        drop(broker);
        assert!(matches!(pass(&from, &to, usize::MAX, &mut left).await, Passed::FromBroke(_)));

        let ((mut broker, from), (to, client)) = (pair().await, pair().await);
        client.set_zero_linger().expect("Linux");
        drop(client);
        to.readable().await.expect("the reset is there");
        broker.write_all(b"for nobody").await.expect("taken");
        assert!(matches!(pass(&from, &to, usize::MAX, &mut left).await, Passed::ToBroke(_)));

        // What could not leave is not given to anybody else.
        let ((mut broker, from), (to, mut client)) = (pair().await, pair().await);
        broker.write_all(b"for this one").await.expect("taken");
        assert!(matches!(pass(&from, &to, usize::MAX, &mut left).await, Passed::Moved(12)));
        let mut got = [0; 12];
        client.read_exact(&mut got).await.expect("it arrives");
        assert_eq!((&got, &left[..]), (b"for this one", &[][..]));
    }
}
