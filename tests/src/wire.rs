//! Kafka frames over a blocking socket: as raw as a test wants them.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);
const LARGEST_FRAME: usize = 64 << 20;

/// A connection to a broker, or to what stands in front of it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    /// Connects; nothing on this connection waits longer than five seconds.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&at, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation_id: 0 })
    }

    /// Sends a request, of which the body is given, and returns the response's frame, from the correlation id on.
    ///
    /// # Errors
    /// When the peer closes, or says nothing for five seconds, or answers another request.
    pub fn exchange(&mut self, api: ApiKey, version: i16, body: &[u8]) -> io::Result<Vec<u8>> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("kroxy-tests")));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame, api.request_header_version(version)).map_err(io::Error::other)?;
        frame.put_slice(body);
        let length = i32::try_from(frame.len() - 4).map_err(io::Error::other)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)?;
        let response = self.receive()?;
        if response.get(..4) != Some(&self.correlation_id.to_be_bytes()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another correlation id"));
        }
        Ok(response)
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > LARGEST_FRAME {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }
}

/// Whether somebody there answers the oldest request that there is without an error.
pub fn answers_api_versions(at: SocketAddr) -> bool {
    let ask = || -> io::Result<Vec<u8>> { Connection::open(at)?.exchange(ApiKey::ApiVersions, 0, &[]) };
    ask().is_ok_and(|response| response.get(4..6) == Some(&[0, 0]))
}
