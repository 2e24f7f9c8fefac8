//! Rejects a request partition by partition while it streams past.
//!
//! Requests and responses that name partitions have one shape: topics, and in each of them partitions. So the response is
//! written while the request is walked, and nothing of the request is kept, records least of all.

use super::{TXN_ERROR_FROM, frame_head, listing::OFFSETS_OF_GROUPS_FROM, with_length};
use crate::{
    api::{Api, ApiKey, Retriable},
    limits,
    wire::{Reader, Unread},
};
use bytes::Bytes;

/// Bytes: the longest string of the protocol, whatever its encoding could say.
const TEXT_MAX: usize = i16::MAX as usize;

const MINUS_ONE: [u8; 8] = [0xff; 8];

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unnamed {
    /// The request does not have the shape of its API and version.
    #[error("{0}")]
    Malformed(&'static str),
    /// It names more partitions than an answer of ours may.
    #[error("it names too many partitions to be rejected one by one")]
    TooMany,
}

/// How a request names partitions, and what the response says of each.
#[derive(Debug)]
struct Shape {
    flexible: bool,
    /// A nullable text stands in front of everything.
    text_first: bool,
    /// Bytes between that and the topics.
    before: u32,
    /// Topics are named by their id.
    ids: bool,
    /// Bytes behind each partition's index.
    behind_index: u32,
    /// Records follow.
    records: bool,
    /// A partition is a bare index, without tagged fields.
    bare: bool,
    /// The response has a partition's error before its index.
    error_first: bool,
    error: Retriable,
    /// What it says of a partition between its index and error.
    before_error: Vec<u8>,
    /// What the response says of a partition behind its index and error.
    of_partition: Vec<u8>,
    /// What it says behind all topics.
    at_end: Vec<u8>,
}

/// Where in the request the walk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Text,
    Before,
    Topics,
    Topic,
    Partitions,
    Partition,
    Records,
    PartitionTags,
    PartitionTag(u32),
    TopicTags,
    TopicTag(u32),
    /// All topics are named; what follows does not matter.
    Behind,
}

/// The rejection of one request, in the making.
#[derive(Debug)]
pub struct Naming {
    shape: Shape,
    at: At,
    topics: u32,
    partitions: u32,
    /// The next so many bytes do not matter.
    skip: u32,
    /// Bytes of the body that are still to come.
    left: u32,
    out: Vec<u8>,
}

impl Naming {
    /// For a request whose body has so many bytes; `None` where the API's response does not name partitions.
    pub fn new(key: ApiKey, version: i16, correlation_id: i32, body_len: u32) -> Option<Self> {
        let flexible = Api::find(key)?.is_flexible(version);
        let mut out = frame_head(key, version, correlation_id);
        let shape = match key {
            ApiKey::PRODUCE => produce(version, flexible),
            ApiKey::FETCH => fetch(version, flexible, &mut out),
            ApiKey::LIST_OFFSETS => list_offsets(version, flexible, &mut out),
            ApiKey::OFFSET_FOR_LEADER_EPOCH => offset_for_leader_epoch(version, flexible, &mut out),
            ApiKey::ADD_PARTITIONS_TO_TXN if version < TXN_ERROR_FROM => add_partitions_to_txn(flexible, &mut out),
            ApiKey::OFFSET_FETCH if version < OFFSETS_OF_GROUPS_FROM => offset_fetch(version, flexible, &mut out),
            ApiKey::DELETE_RECORDS => delete_records(flexible, &mut out),
            ApiKey::DESCRIBE_PRODUCERS => describe_producers(flexible, &mut out),
            _ => return None,
        };
        let at = if shape.text_first { At::Text } else { At::Before };
        Some(Self { shape, at, topics: 0, partitions: 0, skip: 0, left: body_len, out })
    }

    /// Bytes of a `Fetch` request's body before its session.
    pub(super) const fn fetch_fields_before_session(version: i16) -> usize {
        let replica = if version < 15 { 4 } else { 0 };
        replica + 4 + 4 + 4 + 1 // wait, bytes at least and at most, isolation
    }

    /// Whether the request is over.
    pub const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Bytes of the request that are still to come.
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// Takes what it can of `chunk` and says how many bytes; the rest has to be shown again with more behind it.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<usize, Unnamed> {
        let chunk = &chunk[..chunk.len().min(self.left as usize)];
        let mut settled = 0;
        loop {
            let n = (self.skip as usize).min(chunk.len() - settled);
            self.skip -= n as u32;
            self.settle(n, &mut settled);
            if settled == chunk.len() {
                let ends = self.skip == 0 && self.at == At::Behind;
                return if self.is_done() && !ends { Err(ENDS_INSIDE) } else { Ok(settled) };
            }
            let rest = &chunk[settled..];
            match self.step(rest) {
                Ok(n) => self.settle(n, &mut settled),
                Err(Unread::Short) if rest.len() < self.left as usize => return Ok(settled),
                Err(Unread::Short) => return Err(ENDS_INSIDE),
                Err(Unread::Wrong(why)) => return Err(Unnamed::Malformed(why)),
            }
            if self.skip > self.left {
                return Err(Unnamed::Malformed("a length beyond the end"));
            }
            if self.out.len() > limits::REJECTION_MAX {
                return Err(Unnamed::TooMany);
            }
        }
    }

    /// The whole answer to a request that [is done](Self::is_done).
    pub fn into_answer(mut self) -> Bytes {
        debug_assert!(self.is_done());
        self.out.extend_from_slice(&self.shape.at_end);
        with_length(self.out)
    }

    fn settle(&mut self, n: usize, settled: &mut usize) {
        *settled += n;
        self.left -= n as u32;
    }

    /// Reads one field, and says how many bytes it takes. Without enough bytes nothing happens.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Unread> {
        let mut r = Reader::new(rest);
        let flexible = self.shape.flexible;
        match self.at {
            At::Text => {
                self.skip = if flexible { r.count(true)? } else { u32::try_from(r.i16()?).unwrap_or(0) };
                self.at = At::Before;
            }
            At::Before => {
                self.skip = self.shape.before;
                self.at = At::Topics;
            }
            At::Topics => {
                self.topics = self.count(&mut r)?;
                self.at = if self.topics == 0 { At::Behind } else { At::Topic };
            }
            At::Topic => {
                if self.shape.ids {
                    r.take(16)?;
                } else {
                    text(&mut r, flexible)?;
                }
                self.out.extend_from_slice(&rest[..r.position()]);
                self.at = At::Partitions;
            }
            At::Partitions => {
                self.partitions = self.count(&mut r)?;
                if self.partitions == 0 { self.topic_ends() } else { self.at = At::Partition }
            }
            At::Partition => {
                let index = r.i32()?;
                self.name(index);
                self.skip = self.shape.behind_index;
                if self.shape.records { self.at = At::Records } else { self.partition_ends() }
            }
            At::Records => {
                self.skip = r.count(flexible)?;
                self.partition_ends();
            }
            At::PartitionTags => self.at = At::PartitionTag(r.uvarint()?),
            At::PartitionTag(0) => self.next_partition(),
            At::PartitionTag(more) => {
                self.skip_tag(&mut r)?;
                self.at = At::PartitionTag(more - 1);
            }
            At::TopicTags => self.at = At::TopicTag(r.uvarint()?),
            At::TopicTag(0) => self.next_topic(),
            At::TopicTag(more) => {
                self.skip_tag(&mut r)?;
                self.at = At::TopicTag(more - 1);
            }
            At::Behind => self.skip = self.left,
        }
        Ok(r.position())
    }

    fn skip_tag(&mut self, r: &mut Reader<'_>) -> Result<(), Unread> {
        r.uvarint()?;
        self.skip = r.uvarint()?;
        Ok(())
    }

    /// Reads how many elements there are, and says so in the answer.
    fn count(&mut self, r: &mut Reader<'_>) -> Result<u32, Unread> {
        let n = r.count(self.shape.flexible)?;
        if self.shape.flexible {
            let with_null = n.checked_add(1).ok_or(Unread::Wrong("a count beyond all memory"))?;
            put_uvarint(&mut self.out, with_null);
        } else {
            self.out.extend_from_slice(&n.to_be_bytes());
        }
        Ok(n)
    }

    fn name(&mut self, index: i32) {
        let (index, error) = (index.to_be_bytes(), self.shape.error.code().to_be_bytes());
        if self.shape.error_first {
            self.out.extend_from_slice(&error);
            self.out.extend_from_slice(&index);
        } else {
            self.out.extend_from_slice(&index);
            self.out.extend_from_slice(&self.shape.before_error);
            self.out.extend_from_slice(&error);
        }
        self.out.extend_from_slice(&self.shape.of_partition);
    }

    fn partition_ends(&mut self) {
        if self.shape.flexible && !self.shape.bare {
            self.at = At::PartitionTags;
        } else {
            self.next_partition();
        }
    }

    fn next_partition(&mut self) {
        self.partitions -= 1;
        if self.partitions > 0 { self.at = At::Partition } else { self.topic_ends() }
    }

    fn topic_ends(&mut self) {
        if self.shape.flexible { self.at = At::TopicTags } else { self.next_topic() }
    }

    fn next_topic(&mut self) {
        if self.shape.flexible {
            self.out.push(0);
        }
        self.topics -= 1;
        self.at = if self.topics > 0 { At::Topic } else { At::Behind };
    }
}

const ENDS_INSIDE: Unnamed = Unnamed::Malformed("it ends inside a field");

fn text(r: &mut Reader<'_>, flexible: bool) -> Result<(), Unread> {
    let n = if flexible { r.uvarint()?.checked_sub(1) } else { u32::try_from(r.i16()?).ok() };
    match n.map(|n| n as usize) {
        Some(n) if n <= TEXT_MAX => r.take(n).map(drop),
        Some(_) => Err(Unread::Wrong("a topic name that is too long")),
        None => Err(Unread::Wrong("a topic without a name")),
    }
}

fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A shape with what all have in common: topics with names, of partitions that are structures.
fn shape(flexible: bool, error: Retriable) -> Shape {
    Shape {
        flexible,
        text_first: false,
        before: 0,
        ids: false,
        behind_index: 0,
        records: false,
        bare: false,
        error_first: false,
        error,
        before_error: Vec::new(),
        of_partition: Vec::new(),
        at_end: tags(flexible),
    }
}

/// No tagged fields, where there is a place for them.
fn tags(flexible: bool) -> Vec<u8> {
    vec![0; usize::from(flexible)]
}

fn produce(version: i16, flexible: bool) -> Shape {
    let mut of_partition = [MINUS_ONE, MINUS_ONE].concat(); // base offset, append time
    if version >= 5 {
        of_partition.extend(MINUS_ONE); // log start
    }
    match version {
        ..8 => {}
        8 => of_partition.extend([0, 0, 0, 0, 0xff, 0xff]), // no record errors, no message
        9.. => of_partition.extend([1, 0, 0]),              // the same, and no tagged fields
    }
    Shape {
        text_first: true,
        before: 2 + 4, // acks, timeout
        ids: version >= 13,
        records: true,
        of_partition,
        at_end: [vec![0; 4], tags(flexible)].concat(), // throttle time
        ..shape(flexible, Retriable::NotLeaderOrFollower)
    }
}

fn fetch(version: i16, flexible: bool, out: &mut Vec<u8>) -> Shape {
    out.extend([0; 4]); // throttle time
    let mut before = Naming::fetch_fields_before_session(version) as u32;
    if version >= 7 {
        out.extend([0; 2 + 4]); // no error, no session
        before += 4 + 4;
    }
    let mut of_partition = [MINUS_ONE, MINUS_ONE].concat(); // high watermark, last stable offset
    if version >= 5 {
        of_partition.extend(MINUS_ONE); // log start
    }
    of_partition.extend(if flexible { vec![1] } else { vec![0; 4] }); // no aborted transactions
    if version >= 11 {
        of_partition.extend(&MINUS_ONE[..4]); // no replica is preferred
    }
    // Records: empty, not null, which old librdkafka does not take.
    of_partition.extend(if flexible { vec![1, 0] } else { vec![0; 4] });
    let epoch = if version >= 9 { 4 } else { 0 };
    let last_epoch = if version >= 12 { 4 } else { 0 };
    let log_start = if version >= 5 { 8 } else { 0 };
    Shape {
        before,
        ids: version >= 13,
        behind_index: epoch + 8 + last_epoch + log_start + 4,
        of_partition,
        ..shape(flexible, Retriable::NotLeaderOrFollower)
    }
}

fn list_offsets(version: i16, flexible: bool, out: &mut Vec<u8>) -> Shape {
    if version >= 2 {
        out.extend([0; 4]); // throttle time
    }
    let mut of_partition = [MINUS_ONE, MINUS_ONE].concat(); // timestamp, offset
    if version >= 4 {
        of_partition.extend(&MINUS_ONE[..4]); // leader epoch
    }
    of_partition.extend(tags(flexible));
    Shape {
        before: if version >= 2 { 4 + 1 } else { 4 },       // replica, isolation
        behind_index: if version >= 4 { 4 + 8 } else { 8 }, // leader epoch, timestamp
        of_partition,
        ..shape(flexible, Retriable::NotLeaderOrFollower)
    }
}

/// From version 2 on.
fn offset_for_leader_epoch(version: i16, flexible: bool, out: &mut Vec<u8>) -> Shape {
    out.extend([0; 4]); // throttle time
    Shape {
        before: if version >= 3 { 4 } else { 0 }, // replica
        behind_index: 4 + 4,                      // leader epochs
        error_first: true,
        of_partition: [&MINUS_ONE[..4], &MINUS_ONE, &tags(flexible)].concat(), // leader epoch, end offset
        ..shape(flexible, Retriable::NotLeaderOrFollower)
    }
}

/// Up to version 3.
fn add_partitions_to_txn(flexible: bool, out: &mut Vec<u8>) -> Shape {
    out.extend([0; 4]); // throttle time
    Shape {
        text_first: true,
        before: 8 + 2, // producer id and epoch
        bare: true,
        of_partition: tags(flexible),
        ..shape(flexible, Retriable::NotCoordinator)
    }
}

/// Up to version 7. From 2 on there is an error for all of it, and clients look for either.
fn offset_fetch(version: i16, flexible: bool, out: &mut Vec<u8>) -> Shape {
    if version >= 3 {
        out.extend([0; 4]); // throttle time
    }
    let mut before_error = MINUS_ONE.to_vec(); // offset
    if version >= 5 {
        before_error.extend(&MINUS_ONE[..4]); // leader epoch
    }
    before_error.extend(if flexible { vec![1] } else { vec![0; 2] }); // no metadata
    let error = Retriable::NotCoordinator;
    let for_all = if version >= 2 { error.code().to_be_bytes().to_vec() } else { Vec::new() };
    Shape {
        text_first: true,
        bare: true,
        before_error,
        of_partition: tags(flexible),
        at_end: [for_all, tags(flexible)].concat(),
        ..shape(flexible, error)
    }
}

fn delete_records(flexible: bool, out: &mut Vec<u8>) -> Shape {
    out.extend([0; 4]); // throttle time
    Shape {
        behind_index: 8,                  // offset
        before_error: MINUS_ONE.to_vec(), // low watermark
        of_partition: tags(flexible),
        ..shape(flexible, Retriable::NotLeaderOrFollower)
    }
}

fn describe_producers(flexible: bool, out: &mut Vec<u8>) -> Shape {
    out.extend([0; 4]); // throttle time
    Shape {
        bare: true,
        of_partition: vec![0, 1, 0], // no message, no producers, no tagged fields
        ..shape(flexible, Retriable::NotLeaderOrFollower)
    }
}
