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
    api::ApiKey,
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
    /// The next so many bytes are decided already: kept, or zeroed.
    pass: u32,
    zero: bool,
}

impl Masker {
    /// For the body of a response with records.
    pub fn new(key: ApiKey, version: i16, body_len: u32) -> Self {
        let fields = schema::response(key, version);
        Self {
            version,
            levels: [Level::new(fields.unwrap_or_default(), 0); DEPTH],
            depth: usize::from(fields.is_some()), // without endpoints all of it is kept
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

    /// How many of the next bytes are kept whatever they are.
    pub const fn keeps(&self) -> u64 {
        if self.zero { 0 } else { self.pass as u64 }
    }

    /// So many of them have gone by.
    pub fn passed(&mut self, n: u64) -> Result<(), Malformed> {
        let n = u32::try_from(n).expect("no more than are kept");
        (self.pass, self.left) = (self.pass - n, self.left - n);
        self.check_end()
    }

    /// Settles what can be settled of `chunk`, in order; says how many bytes. The rest, a few bytes, has to be shown again
    /// with more behind it.
    pub fn feed(&mut self, chunk: &[u8], emit: &mut impl FnMut(Span)) -> Result<usize, Malformed> {
        let chunk = &chunk[..chunk.len().min(self.left as usize)];
        let (mut settled, mut kept, mut head) = (0, 0, Vec::new());
        let ended = loop {
            let n = (self.pass as usize).min(chunk.len() - settled);
            self.pass -= n as u32;
            self.settle(n, &mut settled);
            if self.zero && n > 0 {
                emit_kept(&mut kept, emit);
                emit_zeros(n, emit);
            } else {
                kept += n;
            }
            if settled == chunk.len() {
                break self.check_end().map(|()| settled);
            }
            let rest = &chunk[settled..];
            match self.step(rest, &mut head) {
                Ok(n) => {
                    self.settle(n, &mut settled);
                    if head.is_empty() {
                        kept += n;
                    } else {
                        emit_kept(&mut kept, emit);
                        emit(Span::Replace(Bytes::from(core::mem::take(&mut head))));
                    }
                    if self.pass > self.left {
                        break Err(self.malformed("a length beyond the end"));
                    }
                }
                Err(Unread::Short) if rest.len() < self.left as usize => break Ok(settled),
                Err(why) => break Err(Malformed::new((self.len - self.left) as usize, why)),
            }
        };
        emit_kept(&mut kept, emit);
        ended
    }

    fn settle(&mut self, n: usize, settled: &mut usize) {
        *settled += n;
        self.left -= n as u32;
    }

    const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: (self.len - self.left) as usize, what }
    }

    /// Where the body is over, the message has to be: every structure is complete.
    const fn check_end(&self) -> Result<(), Malformed> {
        let is_complete = self.depth == 0 || self.depth == 1 && matches!(self.levels[0].tagged, Some(0));
        if self.left == 0 && (self.pass > 0 || !is_complete) {
            return Err(self.malformed("it ends inside a field"));
        }
        Ok(())
    }

    /// Reads one length, count or tag, and says how many bytes it takes. What goes out in their place is put into `head`,
    /// which stays empty where they are kept. Without enough bytes nothing happens.
    fn step(&mut self, rest: &[u8], head: &mut Vec<u8>) -> Result<usize, Unread> {
        let mut r = Reader::new(rest);
        loop {
            let Some(level) = self.depth.checked_sub(1).and_then(|top| self.levels.get_mut(top)) else {
                self.pass = self.left; // behind the message: nothing that we know
                self.zero = false;
                return Ok(0);
            };
            match level.tagged {
                Some(0) if level.more > 0 => *level = Level::new(level.fields, level.more - 1),
                Some(0) => self.depth -= 1,
                Some(left) => {
                    let tag = r.uvarint()?;
                    let tag_len = r.position();
                    self.pass = r.uvarint()?;
                    level.tagged = Some(left - 1);
                    self.zero = level.fields.iter().any(|f| f.tag == Some(tag) && f.is_in(self.version));
                    if self.zero {
                        head.extend(padded_uvarint(UNUSED_TAG, tag_len));
                        head.extend_from_slice(&rest[tag_len..r.position()]);
                    }
                    return Ok(r.position());
                }
                None => match level.fields.get(level.at) {
                    Some(field) if field.tag.is_some() || !field.is_in(self.version) => level.at += 1,
                    Some(field) => {
                        let kind = field.kind;
                        self.field(kind, &mut r, head)?;
                        return Ok(r.position());
                    }
                    None => {
                        level.tagged = Some(r.uvarint()?);
                        return Ok(r.position());
                    }
                },
            }
        }
    }

    fn field(&mut self, kind: Kind, r: &mut Reader<'_>, head: &mut Vec<u8>) -> Result<(), Unread> {
        let (mut pass, mut inner) = (0, None);
        match kind {
            Kind::Fixed(n) => pass = n,
            Kind::Error => pass = 2,
            Kind::EndpointType => pass = 1,
            Kind::Text | Kind::Bytes => pass = r.count(true)?,
            Kind::Struct(fields) => inner = Some(Level::new(fields, 0)),
            Kind::Array([Field { kind: Kind::Endpoint, .. }, ..]) if self.depth == 1 => {
                if r.count(true)? > 0 {
                    return self.mask_tail(r, head);
                }
            }
            Kind::Array(fields) | Kind::BlankedArray(fields) => {
                inner = r.count(true)?.checked_sub(1).map(|more| Level::new(fields, more));
            }
            Kind::Endpoint | Kind::Setting => return Err(Unread::Wrong("an address among records")),
        }
        self.levels[self.depth - 1].at += 1;
        (self.pass, self.zero) = (pass, false);
        if let Some(level) = inner {
            *self.levels.get_mut(self.depth).expect("no message is deeper") = level;
            self.depth += 1;
        }
        Ok(())
    }

    /// Empties the array whose count was read last, and turns what follows it into one tagged field.
    fn mask_tail(&mut self, r: &mut Reader<'_>, head: &mut Vec<u8>) -> Result<(), Unread> {
        let count_len = r.position();
        let behind = self.left - count_len as u32;
        let content = behind.checked_sub(TAIL_HEAD).ok_or(Unread::Wrong("it ends inside its endpoints"))?;
        r.take(TAIL_HEAD as usize)?; // the new head reaches over these, so they have to be there
        head.extend(padded_uvarint(1, count_len)); // an empty array
        head.extend(padded_uvarint(1, 1)); // one tagged field
        head.extend(padded_uvarint(UNUSED_TAG, 1));
        head.extend(padded_uvarint(content, 5));
        self.levels[0].tagged = Some(0);
        (self.pass, self.zero) = (content, true);
        Ok(())
    }
}

/// An unsigned varint of exactly `len` bytes. Readers take varints that are longer than they need to be.
fn padded_uvarint(value: u32, len: usize) -> impl Iterator<Item = u8> {
    (0..len).map(move |at| (u64::from(value) >> (7 * at)) as u8 & 0x7f | if at + 1 < len { 0x80 } else { 0 })
}

fn emit_kept(kept: &mut usize, emit: &mut impl FnMut(Span)) {
    if *kept > 0 {
        emit(Span::Keep(core::mem::take(kept)));
    }
}

fn emit_zeros(mut n: usize, emit: &mut impl FnMut(Span)) {
    while n > 0 {
        let part = n.min(ZEROS.len());
        emit(Span::Replace(Bytes::from_static(&ZEROS[..part])));
        n -= part;
    }
}
