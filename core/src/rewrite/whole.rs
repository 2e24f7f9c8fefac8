//! Rewrites a response that is there from its first byte to its last.

use super::{
    Addresses, Learn, Malformed,
    schema::{self, Field, Kind},
};
use crate::{
    address::NodeId,
    api::{Api, ApiKey},
    wire::{Reader, Unread},
};

/// `EndpointType` of a `DescribeCluster` response that lists brokers (KIP-919).
const BROKERS: u8 = 1;

/// Whether a body had anything to rewrite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rewritten {
    /// Nothing: the input goes out as it stands.
    Unchanged,
    /// The output stands for it.
    Changed,
}

/// Rewrites a response body (what follows the response header), and appends it to `out` if anything in it changes.
///
/// Endpoints are learned when the walk is over: a broken message, an error or a list of controllers teaches nothing.
pub fn rewrite(
    key: ApiKey,
    version: i16,
    body: &[u8],
    addresses: &impl Addresses,
    learn: &mut impl Learn,
    out: &mut Vec<u8>,
) -> Result<Rewritten, Malformed> {
    let (Some(api), Some(fields)) = (Api::find(key), schema::response(key, version)) else {
        return Ok(Rewritten::Unchanged);
    };
    let flexible = api.is_flexible(version);
    let mut seen = Vec::new();
    let mut walk = Walk {
        version,
        flexible,
        addresses,
        seen: &mut seen,
        is_error: false,
        hides_endpoints: false,
        body,
        reader: Reader::new(body),
        kept: 0,
        out,
    };
    let ended = walk.message(fields);
    let at = walk.reader.position();
    ended.map_err(|why| Malformed::new(at, why))?;
    let is_error = walk.is_error;
    let rewritten = walk.finish();
    if !is_error {
        seen.into_iter().for_each(|(node, host, port)| learn.learn(node, host, port));
    }
    Ok(rewritten)
}

struct Walk<'a, 'b, A> {
    version: i16,
    flexible: bool,
    addresses: &'b A,
    /// The endpoints of upstream. No longer than there are bytes for: it grows with what was read, not with a count.
    seen: &'b mut Vec<(NodeId, &'a str, i32)>,
    /// The message says that it is an error.
    is_error: bool,
    /// The endpoints to come are not for clients: their array is shown empty.
    hides_endpoints: bool,
    body: &'a [u8],
    reader: Reader<'a>,
    /// How much of the body stands in the output, changed or not.
    kept: usize,
    out: &'b mut Vec<u8>,
}

impl<'a, A: Addresses> Walk<'a, '_, A> {
    /// The fields of a message. Its tagged fields are only looked at where one of them carries an address.
    fn message(&mut self, fields: &'static [Field]) -> Result<(), Unread> {
        self.fields(fields)?;
        if self.flexible && fields.iter().any(|f| f.tag.is_some() && f.is_in(self.version)) {
            self.tagged_fields(fields)?;
        }
        Ok(())
    }

    fn structure(&mut self, fields: &'static [Field]) -> Result<(), Unread> {
        self.fields(fields)?;
        if self.flexible { self.tagged_fields(fields) } else { Ok(()) }
    }

    fn fields(&mut self, fields: &'static [Field]) -> Result<(), Unread> {
        let version = self.version;
        fields.iter().filter(|f| f.tag.is_none() && f.is_in(version)).try_for_each(|f| self.field(f.kind))
    }

    fn field(&mut self, kind: Kind) -> Result<(), Unread> {
        match kind {
            Kind::Fixed(n) => self.reader.take(n as usize).map(drop),
            Kind::Text => self.reader.text(self.flexible).map(drop),
            Kind::Bytes => {
                let n = self.reader.count(self.flexible)?;
                self.reader.take(n as usize).map(drop)
            }
            Kind::Struct(fields) => self.structure(fields),
            Kind::Array(fields) => {
                let holds_endpoints = matches!(fields, [Field { kind: Kind::Endpoint, .. }, ..]);
                self.array(fields, holds_endpoints && self.hides_endpoints)
            }
            Kind::BlankedArray(fields) => self.array(fields, true),
            Kind::Endpoint => self.endpoint(),
            Kind::Error => {
                self.is_error |= self.reader.i16()? != 0;
                Ok(())
            }
            Kind::Setting => self.setting(),
            Kind::EndpointType => {
                self.hides_endpoints = self.reader.take(1)? != [BROKERS];
                Ok(())
            }
        }
    }

    fn array(&mut self, fields: &'static [Field], is_blanked: bool) -> Result<(), Unread> {
        let start = self.reader.position();
        let count = self.reader.count(self.flexible)?;
        for _ in 0..count {
            self.structure(fields)?;
        }
        if is_blanked && count > 0 {
            self.replace(start, if self.flexible { &[1] } else { &[0; 4] });
        }
        Ok(())
    }

    fn setting(&mut self) -> Result<(), Unread> {
        let name = self.reader.text(self.flexible)?.unwrap_or_default();
        let start = self.reader.position();
        let value = self.reader.text(self.flexible)?;
        if value.is_some() && schema::ADDRESS_SETTINGS.contains(&name) {
            self.replace(start, if self.flexible { &[0] } else { &[0xff; 2] });
        }
        Ok(())
    }

    fn endpoint(&mut self) -> Result<(), Unread> {
        let node = NodeId(self.reader.i32()?);
        let start = self.reader.position();
        let host = self.reader.text(self.flexible)?.unwrap_or_default();
        let port = self.reader.i32()?;
        if self.hides_endpoints || (node.0 < 0 && host.is_empty()) {
            return Ok(()); // gone with its array; or nobody, as in an error
        }
        let host = core::str::from_utf8(host).map_err(|_| Unread::Wrong("a host that is not UTF-8"))?;
        if node.0 >= 0 && !host.is_empty() {
            self.seen.push((node, host, port));
        }
        let (host, port) = self.addresses.virtual_address(node);
        let mut endpoint = Vec::with_capacity(host.len() + 9);
        put_text(&mut endpoint, &host, self.flexible);
        endpoint.extend_from_slice(&i32::from(port).to_be_bytes());
        self.replace(start, &endpoint);
        Ok(())
    }

    fn tagged_fields(&mut self, fields: &'static [Field]) -> Result<(), Unread> {
        for _ in 0..self.reader.uvarint()? {
            let tag = self.reader.uvarint()?;
            let size_at = self.reader.position();
            let size = self.reader.uvarint()?;
            let content_at = self.reader.position();
            let content = self.reader.take(size as usize)?;
            let known = fields.iter().find(|f| f.tag == Some(tag) && f.is_in(self.version));
            let Some(field) = known else { continue };
            let mut rewritten = Vec::new();
            let mut inner = Walk {
                body: content,
                reader: Reader::new(content),
                kept: 0,
                out: &mut rewritten,
                version: self.version,
                flexible: self.flexible,
                addresses: self.addresses,
                seen: self.seen,
                is_error: false,
                hides_endpoints: self.hides_endpoints,
            };
            inner.field(field.kind).map_err(|why| match why {
                Unread::Short => Unread::Wrong("a tagged field that ends inside its content"),
                wrong @ Unread::Wrong(_) => wrong,
            })?;
            if inner.finish() == Rewritten::Changed {
                debug_assert_eq!(content_at + content.len(), self.reader.position());
                let mut sized = Vec::with_capacity(rewritten.len() + 5);
                put_uvarint(&mut sized, u32::try_from(rewritten.len()).expect("not much longer than before"));
                sized.append(&mut rewritten);
                self.replace(size_at, &sized);
            }
        }
        Ok(())
    }

    /// Lets `new` stand for what was read since `start`.
    fn replace(&mut self, start: usize, new: &[u8]) {
        self.out.extend_from_slice(&self.body[self.kept..start]);
        self.out.extend_from_slice(new);
        self.kept = self.reader.position();
    }

    fn finish(self) -> Rewritten {
        if self.kept == 0 {
            return Rewritten::Unchanged;
        }
        self.out.extend_from_slice(&self.body[self.kept..]);
        Rewritten::Changed
    }
}

fn put_text(out: &mut Vec<u8>, text: &str, flexible: bool) {
    if flexible {
        put_uvarint(out, u32::try_from(text.len() + 1).expect("a host name is short"));
    } else {
        out.extend_from_slice(&i16::try_from(text.len()).expect("a host name is short").to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
