//! Linux' low-water mark: from how many bytes on a socket wakes who waits for it.

use nix::{libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use std::io;
use tokio::net::TcpStream;

/// Bytes. For fewer, setting the mark costs as much as being woken twice.
pub(super) const PAYS: usize = 8 << 10;

sockopt_impl!(
    /// `SO_RCVLOWAT`, bytes: see `socket(7)`. nix has the call, and lets others name options that it does not know.
    ReceiveLowWater, SetOnly, libc::SOL_SOCKET, libc::SO_RCVLOWAT, libc::c_int
);

/// Sets it. What is there already wakes the waiting at once if it is enough, as do an end and a full window, whatever the mark is.
pub(super) fn set(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    Ok(setsockopt(stream, ReceiveLowWater, &i32::try_from(bytes).unwrap_or(i32::MAX))?)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::pair, *};
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    async fn read(stream: &mut TcpStream) -> usize {
        stream.read(&mut [0; 64]).await.expect("it is whole")
    }

    async fn is_short(stream: &mut TcpStream) -> bool {
        timeout(Duration::from_millis(50), read(stream)).await.is_err()
    }

    #[tokio::test]
    async fn a_socket_wakes_its_reader_for_enough_or_for_the_end_and_for_what_is_there_when_less_is_enough() {
        let (mut from, mut to) = pair().await;
        assert!(is_short(&mut to).await); // and is registered
        set(&to, 10).expect("Linux can");
        from.write_all(&[0; 9]).await.expect("room");
        assert!(is_short(&mut to).await);
        from.write_all(&[0; 1]).await.expect("room");
        assert_eq!(read(&mut to).await, 10);
        from.write_all(&[0; 5]).await.expect("room");
        assert!(is_short(&mut to).await);
        set(&to, 1).expect("Linux can");
        assert_eq!(read(&mut to).await, 5);
        set(&to, 10).expect("Linux can");
        from.write_all(&[0; 5]).await.expect("room");
        drop(from);
        assert_eq!(read(&mut to).await, 5, "no more will come");
    }
}
