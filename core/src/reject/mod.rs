//! Answers to requests that a draining connection does not execute, and to long polls that it does not wait out.
//!
//! Each says what a broker says that has just moved its partitions or its groups elsewhere, so that a client asks again
//! and the application sees nothing. Most answers need nothing of the request but its head ([`from_head`]); those that have
//! to name the partitions asked for are made while the request streams past ([`Naming`]), those that list groups from the
//! whole of it ([`listing`]).

mod listing;
mod naming;
#[cfg(test)]
mod tests;

pub use self::{
    listing::{listing, lists_names},
    naming::{Naming, Unnamed},
};

use crate::{
    api::{Api, ApiKey, Retriable},
    rewrite::framed,
    wire::{LENGTH_PREFIX, Reader, Unread},
};
use bytes::Bytes;
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, ConsumerGroupHeartbeatResponse, FetchResponse,
    HeartbeatResponse, InitProducerIdResponse, JoinGroupResponse, OffsetDeleteResponse, ProducerId,
    ShareGroupHeartbeatResponse, SyncGroupResponse,
};

/// The first version of `AddPartitionsToTxn` with one error for all of it (KIP-890): its results may be left out.
const TXN_ERROR_FROM: i16 = 4;

/// The first version of `Fetch` with sessions and an error for all of it (KIP-227).
const SESSIONS_FROM: i16 = 7;

/// The whole rejection of a request, where the response has one error for all of it; `None` where it has to name what was
/// asked for, or the API has no such error.
///
/// For `Fetch` it says that the session is not known, which is the truth for a session that will go on without this request.
pub fn from_head(key: ApiKey, version: i16, correlation_id: i32) -> Option<Bytes> {
    const ERROR: i16 = Retriable::NotCoordinator.code();
    macro_rules! with_error {
        ($response:ty) => {
            framed(key, version, correlation_id, &<$response>::default().with_error_code(ERROR))
        };
    }
    match key {
        ApiKey::FETCH if version >= SESSIONS_FROM => {
            let body = FetchResponse::default().with_error_code(Retriable::FetchSessionIdNotFound.code());
            framed(key, version, correlation_id, &body)
        }
        ApiKey::JOIN_GROUP => with_error!(JoinGroupResponse),
        ApiKey::SYNC_GROUP => with_error!(SyncGroupResponse),
        ApiKey::HEARTBEAT => with_error!(HeartbeatResponse),
        ApiKey::INIT_PRODUCER_ID => {
            let none = InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
            framed(key, version, correlation_id, &none.with_error_code(ERROR))
        }
        ApiKey::ADD_PARTITIONS_TO_TXN if version >= TXN_ERROR_FROM => with_error!(AddPartitionsToTxnResponse),
        ApiKey::OFFSET_DELETE => with_error!(OffsetDeleteResponse),
        ApiKey::ADD_OFFSETS_TO_TXN => with_error!(AddOffsetsToTxnResponse),
        ApiKey::CONSUMER_GROUP_HEARTBEAT => with_error!(ConsumerGroupHeartbeatResponse),
        ApiKey::SHARE_GROUP_HEARTBEAT => with_error!(ShareGroupHeartbeatResponse),
        ApiKey::SHARE_FETCH => Some(share_fetch(version, correlation_id, Retriable::ShareSessionNotFound.code())),
        ApiKey::STREAMS_GROUP_HEARTBEAT => Some(streams_heartbeat(version, correlation_id, ERROR)),
        _ => None,
    }
}

/// A response to `Fetch` without anything new, in the incremental session `session`, or for a full fetch.
///
/// An incremental response names what has changed, so an empty one is valid. A full one has to name every partition asked
/// for, with one exception: it may be empty if it says that the client is throttled (KIP-219). So it says that, for 1 ms,
/// and the client asks again.
pub fn nothing_fetched(version: i16, correlation_id: i32, session: Option<i32>) -> Bytes {
    let empty = match session {
        Some(session) => FetchResponse::default().with_session_id(session),
        None => FetchResponse::default().with_throttle_time_ms(1),
    };
    framed(ApiKey::FETCH, version, correlation_id, &empty).expect("every version of an empty response can be encoded")
}

/// A response to `ShareFetch` without anything new. Clients do not mind which partitions it names.
pub fn nothing_share_fetched(version: i16, correlation_id: i32) -> Bytes {
    share_fetch(version, correlation_id, 0)
}

fn share_fetch(version: i16, correlation_id: i32, error: i16) -> Bytes {
    let [high, low] = error.to_be_bytes();
    // Throttle time, error, no message, lock timeout, no topics, no endpoints, no tagged fields.
    let body = [0, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 1, 1, 0];
    frame(ApiKey::SHARE_FETCH, version, correlation_id, &body)
}

/// `StreamsGroupHeartbeat` 0 (KIP-1071).
fn streams_heartbeat(version: i16, correlation_id: i32, error: i16) -> Bytes {
    let mut body = vec![0; 4]; // throttle time
    body.extend_from_slice(&error.to_be_bytes());
    body.extend_from_slice(&[0, 1]); // no message, and an empty member id
    body.extend_from_slice(&[0; 4 * 4]); // member epoch, and three intervals and lags
    body.extend_from_slice(&[1, 0, 0, 0]); // no status, and no news about active, standby and warm-up tasks
    body.extend_from_slice(&[0; 4]); // endpoint epoch
    body.extend_from_slice(&[0, 0]); // no endpoints, no tagged fields
    frame(ApiKey::STREAMS_GROUP_HEARTBEAT, version, correlation_id, &body)
}

fn frame(key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) -> Bytes {
    let mut frame = frame_head(key, version, correlation_id);
    frame.extend_from_slice(body);
    with_length(frame)
}

/// Room for the length, and the response header.
fn frame_head(key: ApiKey, version: i16, correlation_id: i32) -> Vec<u8> {
    let mut frame = vec![0; LENGTH_PREFIX];
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    if Api::find(key).is_some_and(|api| api.response_header_version(version) >= 1) {
        frame.push(0);
    }
    frame
}

fn with_length(mut frame: Vec<u8>) -> Bytes {
    let size = u32::try_from(frame.len() - LENGTH_PREFIX).expect("answers of ours have a limit far below 4 GiB");
    frame[..LENGTH_PREFIX].copy_from_slice(&size.to_be_bytes());
    Bytes::from(frame)
}

/// The incremental session that the body of a `Fetch` request is about, or `None` where it is a full fetch.
///
/// Epoch 0 begins a session and -1 ends it, and both are full; older versions have none.
pub fn incremental_session(version: i16, body: &mut Reader<'_>) -> Result<Option<i32>, Unread> {
    if version < SESSIONS_FROM {
        return Ok(None);
    }
    body.take(Naming::fetch_fields_before_session(version))?;
    let (session, epoch) = (body.i32()?, body.i32()?);
    Ok((epoch > 0).then_some(session))
}

/// Whether the body of a `ShareFetch` request carries acknowledgements, of which a broker must hear.
pub fn carries_acknowledgements(version: i16, body: &mut Reader<'_>) -> Result<bool, Unread> {
    body.text(true)?; // group
    body.text(true)?; // member
    body.take(4 + 4 + 4 + 4 + 4 + 4)?; // epoch, wait, bytes at least and at most, records, batch
    if version >= 2 {
        body.take(1 + 1)?; // acquire mode, renewal
    }
    for _ in 0..body.count(true)? {
        body.take(16)?;
        for _ in 0..body.count(true)? {
            body.take(4)?;
            if body.count(true)? > 0 {
                return Ok(true);
            }
            body.skip_tagged_fields()?;
        }
        body.skip_tagged_fields()?;
    }
    Ok(false)
}

/// Whether the body of a heartbeat of a group of the newer kind (KIP-848, KIP-932, KIP-1071) says that the member leaves:
/// it is what `LeaveGroup` is in the older kind.
pub fn says_goodbye(body: &mut Reader<'_>) -> Result<bool, Unread> {
    body.text(true)?; // group
    body.text(true)?; // member
    Ok(body.i32()? < 0)
}
