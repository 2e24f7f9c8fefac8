//! What a relay reads of a frame: the head of a request or a response, a `Produce` request's `acks`, and the few small
//! requests that are read whole.
//!
//! Everything is read where it stands and nothing is allocated. "Not enough bytes yet" is a value of its own (`Short`),
//! so that a frame may arrive in pieces of any size.

use crate::{
    api::{Api, ApiKey},
    limits,
};

/// The client id under which the proxy asks.
const CLIENT_ID: &str = "kroxy";

/// Bytes of the length that stands in front of every frame.
pub const LENGTH_PREFIX: usize = 4;

/// The size that stands at the start of a frame; `None`: it is not all there.
///
/// # Errors
/// With a size below zero.
pub fn frame_size(frame: &[u8]) -> Result<Option<u32>, i32> {
    let Some(prefix) = frame.first_chunk::<LENGTH_PREFIX>() else { return Ok(None) };
    let size = i32::from_be_bytes(*prefix);
    u32::try_from(size).map(Some).map_err(|_| size)
}

/// Why a field could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unread {
    /// The bytes end before the field does: with more of them it may be read.
    #[error("the bytes end before the field does")]
    Short,
    /// No further byte can make it right.
    #[error("{0}")]
    Wrong(&'static str),
}

/// Reads fields one after the other from the start of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Unread> {
        let end = self.at.checked_add(n).ok_or(Unread::Wrong("a length beyond all memory"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Unread::Short)?;
        self.at = end;
        Ok(taken)
    }

    /// What was read from `position` on.
    pub fn since(&self, position: usize) -> &'a [u8] {
        &self.bytes[position..self.at]
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        Ok(self.take(N)?.try_into().expect("take returns as many bytes as it was asked for"))
    }

    /// A big-endian 16-bit integer.
    pub fn i16(&mut self) -> Result<i16, Unread> {
        self.array().map(i16::from_be_bytes)
    }

    /// A big-endian 32-bit integer.
    pub fn i32(&mut self) -> Result<i32, Unread> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned varint of at most five bytes.
    pub fn uvarint(&mut self) -> Result<u32, Unread> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Unread::Wrong("a varint beyond 32 bits"));
            }
        }
        Err(Unread::Wrong("a varint of more than five bytes"))
    }

    /// A string with a 16-bit length, -1 standing for null.
    pub fn nullable_string(&mut self) -> Result<Option<&'a [u8]>, Unread> {
        match self.i16()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| Unread::Wrong("a negative string length"))?).map(Some),
        }
    }

    /// A string with its length plus one as a varint, 0 standing for null.
    pub fn compact_nullable_string(&mut self) -> Result<Option<&'a [u8]>, Unread> {
        match self.uvarint()? {
            0 => Ok(None),
            n => self.take(n as usize - 1).map(Some),
        }
    }

    /// A string, nullable or not, in either encoding.
    pub fn text(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, Unread> {
        if flexible { self.compact_nullable_string() } else { self.nullable_string() }
    }

    /// How many elements an array has, or how many bytes follow; 0 where it is null.
    pub fn count(&mut self, flexible: bool) -> Result<u32, Unread> {
        if flexible {
            return self.uvarint().map(|n| n.saturating_sub(1));
        }
        match self.i32()? {
            -1 => Ok(0),
            n => u32::try_from(n).map_err(|_| Unread::Wrong("a negative length")),
        }
    }

    /// Bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Reads over a section of tagged fields (KIP-482), however many and however large.
    pub fn skip_tagged_fields(&mut self) -> Result<(), Unread> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let size = self.uvarint()?;
            self.take(size as usize)?;
        }
        Ok(())
    }
}

/// The fixed part of a request's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHead {
    /// Bytes of the frame behind its length prefix.
    pub size: u32,
    /// Which API is asked.
    pub key: ApiKey,
    /// In which version.
    pub version: i16,
    /// What the response will carry as well.
    pub correlation_id: i32,
}

impl RequestHead {
    /// Bytes from the start of the frame, its length prefix included, that this takes.
    pub const LEN: usize = LENGTH_PREFIX + 8;

    /// Reads the head of a frame of which at least [`Self::LEN`] bytes are there.
    pub fn read(frame: &[u8]) -> Result<Self, Unread> {
        let mut r = Reader::new(frame);
        let size = u32::try_from(r.i32()?).map_err(|_| Unread::Wrong("a negative frame length"))?;
        Ok(Self { size, key: ApiKey(r.i16()?), version: r.i16()?, correlation_id: r.i32()? })
    }
}

/// Reads over the whole head: the reader is left at the first byte of the body.
pub fn request_body<'a>(api: &Api, version: i16, frame: &'a [u8]) -> Result<Reader<'a>, Unread> {
    let mut r = Reader::new(frame);
    r.take(RequestHead::LEN)?;
    r.nullable_string()?; // never compact, not in the flexible header either
    if api.is_flexible(version) {
        r.skip_tagged_fields()?;
    }
    Ok(r)
}

/// The client id in a request's head.
pub fn request_client_id(frame: &[u8]) -> Result<Option<&[u8]>, Unread> {
    let mut r = Reader::new(frame);
    r.take(RequestHead::LEN)?;
    r.nullable_string()
}

/// The `acks` of a `Produce` request (version 3 and later), which stands behind the nullable transactional id.
///
/// With 0 there will be no response.
pub fn produce_acks(api: &Api, version: i16, frame: &[u8]) -> Result<i16, Unread> {
    let mut r = request_body(api, version, frame)?;
    if api.is_flexible(version) {
        r.compact_nullable_string()?;
    } else {
        r.nullable_string()?;
    }
    r.i16()
}

/// What a client says of itself: the name of its software, and its version.
pub type Software<'a> = (&'a [u8], &'a [u8]);

/// What a client says of its software with `ApiVersions` from version 3 on (KIP-511).
pub fn client_software<'a>(api: &Api, version: i16, frame: &'a [u8]) -> Result<Option<Software<'a>>, Unread> {
    let mut r = request_body(api, version, frame)?;
    if version < 3 {
        return Ok(None);
    }
    let name = r.compact_nullable_string()?.ok_or(Unread::Wrong("a null client software name"))?;
    let software_version = r.compact_nullable_string()?.ok_or(Unread::Wrong("a null client software version"))?;
    Ok(Some((name, software_version)))
}

/// The mechanism that a `SaslHandshake` request names.
pub fn sasl_mechanism<'a>(api: &Api, version: i16, frame: &'a [u8]) -> Result<&'a [u8], Unread> {
    let mut r = request_body(api, version, frame)?;
    r.nullable_string()?.ok_or(Unread::Wrong("a null SASL mechanism"))
}

/// What a peer calls itself, fit for a log line: bounded, and without control characters.
pub(crate) fn printable(name: &[u8]) -> Box<str> {
    let shown: String = String::from_utf8_lossy(&name[..name.len().min(limits::SHOWN_NAME_MAX)])
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    shown.into_boxed_str()
}

/// The token in a `SaslAuthenticate` request.
pub fn sasl_token<'a>(api: &Api, version: i16, frame: &'a [u8]) -> Result<&'a [u8], Unread> {
    let mut r = request_body(api, version, frame)?;
    let size = r.count(api.is_flexible(version))?;
    r.take(size as usize)
}

/// What a `SaslAuthenticate` response says: an error code, and how many bytes the server's token has.
pub fn sasl_answer(api: &Api, version: i16, body: &[u8]) -> Result<(i16, usize), Unread> {
    let flexible = api.is_flexible(version);
    let mut r = Reader::new(body);
    let error = r.i16()?;
    r.text(flexible)?;
    Ok((error, r.count(flexible)? as usize))
}

/// Where the body of a response begins: behind the length, the correlation id and, in a flexible header, tagged fields.
pub fn response_body_at(header_version: i16, frame: &[u8]) -> Result<usize, Unread> {
    let mut r = Reader::new(frame);
    r.take(LENGTH_PREFIX + 4)?;
    if header_version >= 1 {
        r.skip_tagged_fields()?;
    }
    Ok(r.position())
}

/// A request of the proxy's own, complete with its length prefix.
pub(crate) fn own_request(key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let api = Api::find(key).expect("the proxy asks what it knows");
    let mut frame = vec![0; LENGTH_PREFIX];
    frame.extend_from_slice(&key.0.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&i16::try_from(CLIENT_ID.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(CLIENT_ID.as_bytes());
    if api.is_flexible(version) {
        frame.push(0); // no tagged fields
    }
    frame.extend_from_slice(body);
    let size = u32::try_from(frame.len() - LENGTH_PREFIX).expect("short").to_be_bytes();
    frame[..LENGTH_PREFIX].copy_from_slice(&size);
    frame
}

/// What the first bytes on a plain port say when they are no Kafka request.
pub fn other_protocol(first: &[u8]) -> Option<&'static str> {
    const HTTP: [&[u8; 4]; 7] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"CONN"];
    match first {
        [0x16, 0x03, ..] => Some("TLS"),
        [b'P', b'R', b'O', b'X', ..] | [0x0d, 0x0a, 0x0d, 0x0a, ..] => Some("the PROXY protocol"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        _ => HTTP.iter().any(|verb| first.starts_with(*verb)).then_some("HTTP"),
    }
}
