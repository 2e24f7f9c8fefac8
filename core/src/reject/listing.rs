//! Rejects a request that lists groups, or transactional ids, one by one.
//!
//! Requests and responses list the same names in the same order and encoding. All of these requests are small: they come
//! from admin clients, and from consumers that ask for their own offsets.

use super::{frame_head, with_length};
use crate::{
    api::{Api, ApiKey, Retriable},
    wire::{Reader, Unread},
};
use bytes::Bytes;

/// The first version of `OffsetFetch` that lists groups (KIP-709).
pub(super) const OFFSETS_OF_GROUPS_FROM: i16 = 8;

/// What stands around each name in the response.
struct Shape {
    /// The response has a throttle time.
    throttled: bool,
    before_name: Vec<u8>,
    behind_name: Vec<u8>,
}

/// Whether requests of this API and version are rejected by [`listing`].
pub fn lists_names(key: ApiKey, version: i16) -> bool {
    shape(key, version).is_some()
}

/// The whole rejection of a request that lists groups or transactional ids; `None` where the API does not.
pub fn listing(key: ApiKey, version: i16, correlation_id: i32, body: &mut Reader<'_>) -> Result<Option<Bytes>, Unread> {
    let Some(Shape { throttled, before_name, behind_name }) = shape(key, version) else { return Ok(None) };
    let flexible = Api::find(key).is_some_and(|api| api.is_flexible(version));
    let mut out = frame_head(key, version, correlation_id);
    out.extend(vec![0; if throttled { 4 } else { 0 }]);
    let names = body.position();
    let count = body.count(flexible)?;
    out.extend_from_slice(body.since(names));
    for _ in 0..count {
        out.extend_from_slice(&before_name);
        let name = body.position();
        body.text(flexible)?.ok_or(Unread::Wrong("a group without a name"))?;
        out.extend_from_slice(body.since(name));
        out.extend_from_slice(&behind_name);
        if key == ApiKey::OFFSET_FETCH {
            skip_wanted_offsets(version, body)?;
        }
    }
    if flexible {
        out.push(0);
    }
    Ok(Some(with_length(out)))
}

/// What `OffsetFetch` asks of a group: who asks, and for which partitions.
fn skip_wanted_offsets(version: i16, body: &mut Reader<'_>) -> Result<(), Unread> {
    if version >= 9 {
        body.text(true)?; // member
        body.take(4)?; // member epoch
    }
    for _ in 0..body.count(true)? {
        if version >= 10 {
            body.take(16)?;
        } else {
            body.text(true)?;
        }
        let partitions = body.count(true)? as usize;
        body.take(partitions.checked_mul(4).ok_or(Unread::Wrong("a count beyond all memory"))?)?;
        body.skip_tagged_fields()?;
    }
    body.skip_tagged_fields()
}

fn shape(key: ApiKey, version: i16) -> Option<Shape> {
    const ERROR: [u8; 2] = Retriable::NotCoordinator.code().to_be_bytes();
    /// `AuthorizedOperations`: not asked for.
    const NO_OPERATIONS: [u8; 4] = i32::MIN.to_be_bytes();
    let shape = |before_name: &[&[u8]], behind_name: &[&[u8]]| Shape {
        throttled: true,
        before_name: before_name.concat(),
        behind_name: behind_name.concat(),
    };
    match key {
        // No topics.
        ApiKey::OFFSET_FETCH if version >= OFFSETS_OF_GROUPS_FROM => Some(shape(&[], &[&[1], &ERROR, &[0]])),
        ApiKey::DESCRIBE_GROUPS => {
            let (flexible, message) = (version >= 5, version >= 6);
            let empty: &[u8] = if flexible { &[1, 1, 1, 1] } else { &[0; 2 + 2 + 2 + 4] }; // three texts, no members
            let operations: &[u8] = if version >= 3 { &NO_OPERATIONS } else { &[] };
            let tags: &[u8] = if flexible { &[0] } else { &[] };
            let before: &[&[u8]] = if message { &[&ERROR, &[0]] } else { &[&ERROR] };
            Some(Shape { throttled: version >= 1, ..shape(before, &[empty, operations, tags]) })
        }
        ApiKey::DELETE_GROUPS => {
            let tags: &[u8] = if version >= 2 { &[0] } else { &[] };
            Some(shape(&[], &[&ERROR, tags]))
        }
        ApiKey::DESCRIBE_TRANSACTIONS => {
            // No state, timeout, start, producer id and epoch, no topics, no tagged fields.
            Some(shape(&[&ERROR], &[&[1], &[0; 4], &[0xff; 8], &[0xff; 8], &[0xff; 2], &[1], &[0]]))
        }
        // No message; no state, two epochs, no assignor, no members, no tagged fields.
        ApiKey::CONSUMER_GROUP_DESCRIBE | ApiKey::SHARE_GROUP_DESCRIBE => {
            Some(shape(&[&ERROR, &[0]], &[&[1], &[0; 8], &[1], &[1], &NO_OPERATIONS, &[0]]))
        }
        _ => None,
    }
}
