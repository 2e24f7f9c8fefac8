//! The frames of a stream of bytes: where each begins and ends, its first bytes, and a digest over all of them.

use crate::digest::Fnv;

/// Bytes of the length in front of each frame.
const LENGTH_PREFIX: usize = 4;

/// Something of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part<const HEAD: usize> {
    /// Its first bytes, length included, are there.
    Head([u8; HEAD]),
    /// It is there to its end, with this digest.
    End(u64),
}

/// Cuts a stream into frames and keeps the first `HEAD` bytes of each, length included.
#[derive(Debug)]
pub(super) struct Frames<const HEAD: usize> {
    head: Vec<u8>,
    /// Bytes of the frame behind its head that are still to come.
    rest: usize,
    digest: Fnv,
}

impl<const HEAD: usize> Default for Frames<HEAD> {
    fn default() -> Self {
        Self { head: Vec::with_capacity(HEAD), rest: 0, digest: Fnv::default() }
    }
}

impl<const HEAD: usize> Frames<HEAD> {
    /// Takes bytes, and tells what they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Part<HEAD>)) {
        while !bytes.is_empty() {
            let wanted = if self.rest > 0 { self.rest } else { HEAD - self.head.len() };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            bytes = later;
            self.digest.add(now);
            if self.rest > 0 {
                self.rest -= now.len();
                if self.rest == 0 {
                    tell(self.end());
                }
                continue;
            }
            self.head.extend_from_slice(now);
            if let Ok(head) = <[u8; HEAD]>::try_from(self.head.as_slice()) {
                let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
                self.rest = (LENGTH_PREFIX + usize::try_from(length).unwrap_or(0)).saturating_sub(HEAD);
                self.head.clear();
                tell(Part::Head(head));
                if self.rest == 0 {
                    tell(self.end());
                }
            }
        }
    }

    /// Takes bytes up to the end of the frame that they begin or go on with; how many that are.
    pub(super) fn feed_one(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let step = if self.rest > 0 { self.rest.min(bytes.len() - taken) } else { 1 };
            self.feed(&bytes[taken..taken + step], |_| {});
            taken += step;
            if self.is_between() {
                break;
            }
        }
        taken
    }

    fn end(&mut self) -> Part<HEAD> {
        Part::End(std::mem::take(&mut self.digest).value())
    }

    /// Whether the next byte begins a frame.
    pub(super) fn is_between(&self) -> bool {
        self.head.is_empty() && self.rest == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_chunking_gives_the_same_heads() {
        let stream: Vec<u8> = [(8_u32, 1_u8), (4, 2), (300, 3), (5, 4)]
            .into_iter()
            .flat_map(|(length, fill)| {
                let mut frame = length.to_be_bytes().to_vec();
                frame.resize(LENGTH_PREFIX + length as usize, fill);
                frame
            })
            .collect();
        let parts = |chunk| {
            let (mut frames, mut parts) = (Frames::<8>::default(), Vec::new());
            stream.chunks(chunk).for_each(|chunk| frames.feed(chunk, |part| parts.push(part)));
            assert!(frames.is_between());
            parts
        };
        let whole = parts(stream.len());
        let head = |part: &Part<8>| match part {
            Part::Head(head) => Some(head[7]),
            Part::End(_) => None,
        };
        assert_eq!(whole.iter().filter_map(head).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(whole.len(), 8, "each begins and ends");
        for chunk in 1..20 {
            assert_eq!(parts(chunk), whole, "in chunks of {chunk}");
        }
    }

    #[test]
    fn frames_can_be_taken_one_by_one() {
        let stream = [&2_u32.to_be_bytes()[..], b"ab", &0_u32.to_be_bytes(), &3_u32.to_be_bytes(), b"cd"].concat();
        let mut frames = Frames::<4>::default();
        let mut at = 0;
        let taken: Vec<usize> = std::iter::from_fn(|| {
            let taken = frames.feed_one(&stream[at..]);
            at += taken;
            (taken > 0).then_some(taken)
        })
        .collect();
        assert_eq!(taken, [6, 4, 6]);
        assert!(!frames.is_between(), "the last frame lacks a byte");
    }
}
