//! Frames that tests at sockets exchange, byte by byte: no codec stands between them and the proxy.

/// `Heartbeat` version 4 with correlation id 7, whose body flows unread, and a response to it.
pub(crate) const HEARTBEAT: &[u8] = &[0, 0, 0, 12, 0, 12, 0, 4, 0, 0, 0, 7, 0, 1, b's', 0];
pub(crate) const HEARTBEAT_OK: &[u8] = &[0, 0, 0, 5, 0, 0, 0, 7, 0];

/// `Metadata` version 1 with correlation id 7.
pub(crate) const METADATA: &[u8] = &[0, 0, 0, 15, 0, 3, 0, 1, 0, 0, 0, 7, 0, 1, b's', 0, 0, 0, 0];

/// An answer to it that names one broker.
pub(crate) fn metadata_ok(host: &str, port: u16) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::try_from(host.len()).expect("short")];
    body.extend_from_slice(host.as_bytes());
    body.extend_from_slice(&i32::from(port).to_be_bytes());
    body.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]); // no rack, controller 0, no topic
    framed(&[&body])
}

/// A frame: its length, and what it holds. Kafka's `BYTES` are written likewise.
pub(crate) fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&u32::try_from(body.len()).expect("not that long").to_be_bytes()[..], &body].concat()
}
