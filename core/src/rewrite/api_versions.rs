//! What clients are offered: what upstream and the proxy both know.

use super::{Malformed, whole::put_uvarint};
use crate::{
    api::{Api, ApiKey, RequestTreatment},
    wire::{Reader, Unread},
};
use bytes::Bytes;

/// `UNSUPPORTED_VERSION`.
const UNSUPPORTED_VERSION: i16 = 35;

/// Appends the body of an `ApiVersions` response that offers, of what `body` offers, what the proxy knows as well.
///
/// APIs that are unknown to us (vendors number theirs from 10000) or not for clients are left out, as are those of which
/// no version is left. Features, their epoch and whatever else there is stay as they are.
pub fn intersect(version: i16, body: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut r = Reader::new(body);
    let done = offered(version, &mut r, out);
    let at = r.position();
    done.map_err(|why| Malformed::new(at, why))?;
    out.extend_from_slice(&body[at..]);
    Ok(())
}

fn offered(version: i16, r: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Unread> {
    let error = r.i16()?;
    // An upstream that does not speak this version answers in version 0, and that is how its answer goes on.
    let flexible = version >= 3 && error != UNSUPPORTED_VERSION;
    let (mut kept, mut rows) = (0u32, Vec::new());
    for _ in 0..r.count(flexible)? {
        let (key, min, max) = (ApiKey(r.i16()?), r.i16()?, r.i16()?);
        let tags_at = *r;
        let tags = if flexible {
            r.skip_tagged_fields()?;
            let mut tags = tags_at;
            tags.take(r.position() - tags_at.position())?
        } else {
            &[]
        };
        if let Some((min, max)) = common(key, min, max) {
            kept += 1;
            for field in [key.0, min, max] {
                rows.extend_from_slice(&field.to_be_bytes());
            }
            rows.extend_from_slice(tags);
        }
    }
    out.extend_from_slice(&error.to_be_bytes());
    if flexible {
        put_uvarint(out, kept + 1);
    } else {
        out.extend_from_slice(&kept.to_be_bytes());
    }
    out.append(&mut rows);
    Ok(())
}

fn common(key: ApiKey, min: i16, max: i16) -> Option<(i16, i16)> {
    let api = Api::find(key).filter(|api| api.request != RequestTreatment::Refuse)?;
    // What upstream really speaks begins at our own minimum at the least, whatever is offered below it.
    let newest = max.min(api.max);
    (newest >= min.max(api.min)).then(|| (api.offered_min(min), newest))
}

/// The whole answer to an `ApiVersions` request that is newer than we are: version 0, which every client reads, with the
/// range in which it may ask again (KIP-511).
pub fn too_new(correlation_id: i32) -> Bytes {
    let api = Api::find(ApiKey::API_VERSIONS).expect("ApiVersions is known");
    let mut frame = vec![0, 0, 0, 16];
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&UNSUPPORTED_VERSION.to_be_bytes());
    frame.extend_from_slice(&1i32.to_be_bytes());
    for field in [api.key.0, api.min, api.max] {
        frame.extend_from_slice(&field.to_be_bytes());
    }
    Bytes::from(frame)
}
