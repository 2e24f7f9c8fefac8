//! Record batches (format version 2): written by `kafka-protocol`, read here.
//!
//! Read here because the library reserves memory for whatever count of records or headers a batch claims to have.

use super::ClientError;
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::ApiKey,
    records::{Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
};
use kroxy_core::wire::{Reader, Unread};

/// The only batch format that Kafka 4 knows.
const MAGIC: i8 = 2;
/// Bytes of base offset and length, which the length does not count.
const LOG_OVERHEAD: usize = 12;
/// Attributes that say how records are compressed.
const COMPRESSION: i16 = 0x07;
/// The attribute of batches that hold transaction markers.
const CONTROL: i16 = 0x20;

/// A record as it was fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Its place in the partition.
    pub offset: i64,
    /// Its value, empty where it has none.
    pub value: Bytes,
}

/// Who writes a batch, and the sequence number of its first record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
}

/// A batch of values.
pub(super) fn write(values: &[Bytes], writer: Writer, timestamp_ms: i64) -> Result<Bytes, ClientError> {
    let record = |(place, value): (i32, &Bytes)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: writer.producer_id,
        producer_epoch: writer.producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(place),
        sequence: writer.base_sequence.wrapping_add(place),
        timestamp: timestamp_ms,
        key: None,
        value: Some(value.clone()),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..).zip(values).map(record).collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: MAGIC, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, &records, &options)
        .map_err(|e| ClientError::Unsendable { api: ApiKey::Produce, why: e.to_string() })?;
    Ok(batch.freeze())
}

/// All records from `from` on of the batches that a Fetch response has for one partition. A batch that the response has
/// no room for ends too early and is left out, as Kafka's consumers do.
pub(super) fn read(batches: &Bytes, from: i64) -> Result<Vec<Received>, ClientError> {
    let mut records = Vec::new();
    let mut rest = batches.clone();
    while let Some(length) = batch_length(&rest) {
        if rest.len() < length {
            break;
        }
        let batch = rest.split_to(length);
        read_batch(&batch, from, &mut records)
            .map_err(|e| ClientError::Unreadable { api: ApiKey::Fetch, why: format!("a batch: {e}") })?;
    }
    Ok(records)
}

fn batch_length(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 4] = bytes.get(8..LOG_OVERHEAD)?.try_into().ok()?;
    // A negative length is longer than anything that is there.
    Some(usize::try_from(i32::from_be_bytes(length)).map_or(usize::MAX, |length| length.saturating_add(LOG_OVERHEAD)))
}

fn read_batch(batch: &Bytes, from: i64, records: &mut Vec<Received>) -> Result<(), Unread> {
    let mut reader = Reader::new(batch);
    let base_offset = i64_of(&mut reader)?;
    reader.take(4 + 4)?; // length, leader epoch
    if reader.take(1)? != [MAGIC as u8] {
        return Err(Unread::Wrong("its format is not version 2"));
    }
    let crc = reader.i32()?.cast_unsigned();
    if crc32c::crc32c(&batch[reader.position()..]) != crc {
        return Err(Unread::Wrong("its checksum is wrong"));
    }
    let attributes = reader.i16()?;
    // Last offset delta, two timestamps, producer id and epoch, base sequence.
    reader.take(4 + 8 + 8 + 8 + 2 + 4)?;
    let count = reader.i32()?;
    if attributes & COMPRESSION != 0 {
        return Err(Unread::Wrong("it is compressed"));
    }
    if attributes & CONTROL != 0 {
        return Ok(());
    }
    for _ in 0..count {
        let length = usize::try_from(varint(&mut reader)?).map_err(|_| Unread::Wrong("a record of negative length"))?;
        let start = reader.position();
        let record = reader.take(length)?;
        let (offset_delta, value) = read_record(record)?;
        let offset = base_offset.wrapping_add(offset_delta);
        if offset >= from {
            let value = value.map_or(Bytes::new(), |(at, end)| batch.slice(start + at..start + end));
            records.push(Received { offset, value });
        }
    }
    Ok(())
}

/// The offset delta of a record, and where in it its value stands.
fn read_record(record: &[u8]) -> Result<(i64, Option<(usize, usize)>), Unread> {
    let mut reader = Reader::new(record);
    reader.take(1)?; // attributes
    varint(&mut reader)?; // timestamp delta
    let offset_delta = varint(&mut reader)?;
    if let Ok(key) = usize::try_from(varint(&mut reader)?) {
        reader.take(key)?;
    }
    let value = usize::try_from(varint(&mut reader)?).ok();
    let at = reader.position();
    value.map(|length| reader.take(length)).transpose()?;
    Ok((offset_delta, value.map(|length| (at, at + length))))
}

fn i64_of(reader: &mut Reader<'_>) -> Result<i64, Unread> {
    Ok((i64::from(reader.i32()?) << 32) | i64::from(reader.i32()?.cast_unsigned()))
}

/// A zigzag varint of up to ten bytes.
fn varint(reader: &mut Reader<'_>) -> Result<i64, Unread> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = reader.take(1)?.first().copied().expect("take returns what it was asked for");
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(Unread::Wrong("a varint of more than ten bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: u8) -> Vec<Bytes> {
        (0..n).map(|i| Bytes::from(vec![i; usize::from(i) * 40])).collect()
    }

    fn batch(n: u8) -> Bytes {
        let writer = Writer { producer_id: 7, producer_epoch: 1, base_sequence: 0 };
        write(&values(n), writer, 1_700_000_000_000).expect("encodes")
    }

    #[test]
    fn what_was_written_is_read_from_the_offset_asked_for() {
        let two = Bytes::from([batch(5), batch(5)].concat());
        let read = read(&two, 2).expect("reads");
        let expected: Vec<_> =
            [values(5).split_off(2), values(5).split_off(2)].concat().into_iter().zip([2, 3, 4, 2, 3, 4]).collect();
        assert_eq!(read.into_iter().map(|r| (r.value, r.offset)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_batch_that_is_cut_is_left_out() {
        let two = Bytes::from([batch(3), batch(3)].concat());
        let cut = two.slice(..two.len() - 1);
        assert_eq!(read(&cut, 0).expect("reads").len(), 3);
    }

    #[test]
    fn no_changed_byte_behind_the_checksum_goes_unnoticed() {
        let whole = batch(3);
        for at in LOG_OVERHEAD + 5..whole.len() {
            let mut changed = whole.to_vec();
            changed[at] ^= 0x10;
            assert!(read(&changed.into(), 0).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_count_of_records_that_are_not_there_reserves_nothing() {
        let mut batch = batch(1).to_vec();
        batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        assert!(read(&batch.into(), 0).is_err());
    }
}
