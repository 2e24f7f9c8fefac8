//! Masks the addresses of a response with records while it streams.
//!
//! The frame's length stood in front and is gone, and the addresses stand behind the records: so nothing may change its
//! size. What carries addresses is turned into a tagged field that no client knows, with zeros for content; clients skip it
//! and ask for metadata instead, as they do with brokers that send no endpoints (before KIP-951).
//!
//! - `Fetch`: the endpoints are a tagged field already. Its number is replaced.
//! - `ShareFetch`: they are an array, the last field before the message's tagged fields. Its count becomes "none", and all
//!   that follows becomes one tagged field. There is room for its head: an endpoint takes 11 bytes at the least (node id,
//!   host, port, rack, tagged fields), the message's tagged fields take one more, and the head takes 7.

use super::{
    Malformed,
    schema::{self, Field, Kind},
};
use crate::{
    api::{Api, ApiKey},
    wire::{Reader, Unread},
};
use bytes::Bytes;

/// The number of the tagged field that takes the addresses' place: unused, and as long as the one it replaces.
const UNUSED_TAG: u32 = 127;

/// Bytes of the head of such a field behind an emptied array: how many tagged fields there are (one), its number, and its
/// size as a varint that is padded to five bytes.
const TAIL_HEAD: u32 = 7;

const ZEROS: &[u8] = &[0; 4096];

/// Levels of structures in the deepest message (message, topics, partitions, an array or a structure in them).
const DEPTH: usize = 4;

/// What becomes of the next bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Span {
    /// So many go out as they are.
    Keep(usize),
    /// These go out in place of as many.
    Replace(Bytes),
}

/// A structure that the walk is inside.
#[derive(Clone, Copy, Debug)]
struct Level {
    fields: &'static [Field],
    /// The field that comes next.
    at: usize,
    /// Further elements of the same array.
    more: u32,
    /// Tagged fields still to come, once all others are behind.
    tagged: Option<u32>,
}

impl Level {
    const fn new(fields: &'static [Field], more: u32) -> Self {
        Self { fields, at: 0, more, tagged: None }
    }
}

/// Walks one response body, in pieces of any size.
#[derive(Debug)]
pub struct Masker {
    version: i16,
    levels: [Level; DEPTH],
    depth: usize,
    len: u32,
    /// Bytes of the body that are not settled.
    left: u32,
    /// The next so many bytes are settled already: kept, or zeroed.
    pass: u32,
    zero: bool,
}

impl Masker {
    /// For the body of a response with records.
    pub fn new(key: ApiKey, version: i16, body_len: u32) -> Self {
        let flexible = Api::find(key).is_some_and(|api| api.is_flexible(version));
        debug_assert!(flexible, "a message with endpoints behind its records is flexible");
        let fields = schema::response(key).unwrap_or(&[]);
        Self {
            version,
            levels: [Level::new(fields, 0); DEPTH],
            depth: 1,
            len: body_len,
            left: body_len,
            pass: 0,
            zero: false,
        }
    }

    /// Whether the body is settled to its last byte.
    pub const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Settles what can be settled of `chunk`, in order; says how many bytes. The rest, a few bytes, has to be shown again
    /// with more behind it.
    pub fn feed(&mut self, chunk: &[u8], emit: &mut impl FnMut(Span)) -> Result<usize, Malformed> {
        let chunk = &chunk[..chunk.len().min(self.left as usize)];
        let mut settled = 0;
        loop {
            let n = (self.pass as usize).min(chunk.len() - settled);
            if n > 0 {
                self.settle(n, &mut settled);
                self.pass -= n as u32;
                if self.zero {
                    emit_zeros(n, emit);
                } else {
                    emit(Span::Keep(n));
                }
            }
            if settled == chunk.len() {
                return if self.left == 0 && (self.pass > 0 || self.depth > 0 && !self.ends()) {
                    Err(self.malformed("it ends inside a field"))
                } else {
                    Ok(settled)
                };
            }
            let rest = &chunk[settled..];
            match self.step(rest) {
                Ok(Settled { keep, replace }) => {
                    if keep > 0 {
                        self.settle(keep, &mut settled);
                        emit(Span::Keep(keep));
                    }
                    if let Some(bytes) = replace {
                        self.settle(bytes.len(), &mut settled);
                        emit(Span::Replace(bytes));
                    }
                    if self.pass > self.left {
                        return Err(self.malformed("a length beyond the end"));
                    }
                }
                Err(Unread::Short) if rest.len() < self.left as usize => return Ok(settled),
                Err(why) => return Err(Malformed::new((self.len - self.left) as usize, why)),
            }
        }
    }

    fn settle(&mut self, n: usize, settled: &mut usize) {
        *settled += n;
        self.left -= n as u32;
    }

    const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: (self.len - self.left) as usize, what }
    }

    /// Whether the message may end here: every structure is complete.
    const fn ends(&self) -> bool {
        self.depth == 1 && matches!(self.levels[0].tagged, Some(0))
    }

    /// Reads one length, count or tag.
    fn step(&mut self, rest: &[u8]) -> Result<Settled, Unread> {
        let Some(level) = self.depth.checked_sub(1).and_then(|top| self.levels.get_mut(top)) else {
            self.pass = self.left; // behind the message: nothing that we know
            return Ok(Settled::NOTHING);
        };
        let mut r = Reader::new(rest);
        match level.tagged {
            Some(0) if level.more > 0 => *level = Level::new(level.fields, level.more - 1),
            Some(0) => self.depth -= 1,
            Some(left) => {
                let tag = r.uvarint()?;
                let tag_len = r.position();
                let size = r.uvarint()?;
                let is_endpoints = level.fields.iter().any(|f| f.tag == Some(tag) && f.is_in(self.version));
                level.tagged = Some(left - 1);
                self.pass = size;
                self.zero = is_endpoints;
                if is_endpoints {
                    let mut head = padded_uvarint(UNUSED_TAG, tag_len);
                    head.extend_from_slice(&rest[tag_len..r.position()]);
                    return Ok(Settled::replace(head));
                }
                return Ok(Settled::keep(r.position()));
            }
            None => match level.fields.get(level.at) {
                Some(field) if field.tag.is_some() || !field.is_in(self.version) => level.at += 1,
                Some(field) => {
                    level.at += 1;
                    let kind = field.kind;
                    return self.field(kind, r).inspect_err(|_| self.levels[self.depth - 1].at -= 1);
                }
                None => {
                    level.tagged = Some(r.uvarint()?);
                    self.zero = false;
                    return Ok(Settled::keep(r.position()));
                }
            },
        }
        Ok(Settled::NOTHING)
    }

    fn field(&mut self, kind: Kind, mut r: Reader<'_>) -> Result<Settled, Unread> {
        self.zero = false;
        match kind {
            Kind::Fixed(n) => self.pass = n,
            Kind::Error => self.pass = 2,
            Kind::EndpointType => self.pass = 1,
            Kind::Text | Kind::Bytes => self.pass = r.count(true)?,
            Kind::Struct(fields) => self.push(Level::new(fields, 0)),
            Kind::Array([Field { kind: Kind::Endpoint, .. }, ..]) if self.depth == 1 => {
                if r.count(true)? > 0 {
                    return self.mask_tail(r);
                }
            }
            Kind::Array(fields) | Kind::BlankedArray(fields) => {
                let count = r.count(true)?;
                if count > 0 {
                    self.push(Level::new(fields, count - 1));
                }
            }
            Kind::Endpoint => return Err(Unread::Wrong("an endpoint among records")),
        }
        Ok(Settled::keep(r.position()))
    }

    fn push(&mut self, level: Level) {
        *self.levels.get_mut(self.depth).expect("no message is deeper") = level;
        self.depth += 1;
    }

    /// Empties the array whose count was read last, and turns what follows it into one tagged field.
    fn mask_tail(&mut self, r: Reader<'_>) -> Result<Settled, Unread> {
        let behind = self.left - r.position() as u32;
        let content = behind.checked_sub(TAIL_HEAD).ok_or(Unread::Wrong("it ends inside its endpoints"))?;
        if r.remaining() < TAIL_HEAD as usize {
            return Err(Unread::Short); // the new head reaches over bytes that are still to come
        }
        let mut head = padded_uvarint(1, r.position()); // an empty array
        head.extend_from_slice(&padded_uvarint(1, 1)); // one tagged field
        head.extend_from_slice(&padded_uvarint(UNUSED_TAG, 1));
        head.extend_from_slice(&padded_uvarint(content, 5));
        self.levels[0].tagged = Some(0);
        self.pass = content;
        self.zero = true;
        Ok(Settled::replace(head))
    }
}

/// What one step has settled.
struct Settled {
    keep: usize,
    replace: Option<Bytes>,
}

impl Settled {
    const NOTHING: Self = Self { keep: 0, replace: None };

    const fn keep(keep: usize) -> Self {
        Self { keep, replace: None }
    }

    fn replace(bytes: Vec<u8>) -> Self {
        Self { keep: 0, replace: Some(Bytes::from(bytes)) }
    }
}

/// An unsigned varint of exactly `len` bytes. Readers take varints that are longer than they need to be.
fn padded_uvarint(value: u32, len: usize) -> Vec<u8> {
    let byte = |at: usize| (u64::from(value) >> (7 * at)) as u8 & 0x7f | if at + 1 < len { 0x80 } else { 0 };
    (0..len).map(byte).collect()
}

fn emit_zeros(mut n: usize, emit: &mut impl FnMut(Span)) {
    while n > 0 {
        let part = n.min(ZEROS.len());
        emit(Span::Replace(Bytes::from_static(&ZEROS[..part])));
        n -= part;
    }
}
