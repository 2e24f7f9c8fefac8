//! The frames of a stream of bytes: where each begins, and its first bytes.

/// Bytes of the length in front of each frame.
const LENGTH_PREFIX: usize = 4;

/// Cuts a stream into frames and keeps the first `HEAD` bytes of each, length included.
#[derive(Debug)]
pub(super) struct Frames<const HEAD: usize> {
    head: Vec<u8>,
    /// Bytes of the frame behind its head that are still to come.
    rest: usize,
}

impl<const HEAD: usize> Default for Frames<HEAD> {
    fn default() -> Self {
        Self { head: Vec::with_capacity(HEAD), rest: 0 }
    }
}

impl<const HEAD: usize> Frames<HEAD> {
    /// Takes bytes; the heads that they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Vec<[u8; HEAD]> {
        let mut heads = Vec::new();
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let Ok(head) = <[u8; HEAD]>::try_from(self.head.as_slice()) {
                let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
                self.rest = (LENGTH_PREFIX + usize::try_from(length).unwrap_or(0)).saturating_sub(HEAD);
                self.head.clear();
                heads.push(head);
            }
        }
        heads
    }

    /// Takes bytes up to the end of the frame that they begin or go on with; how many that are.
    pub(super) fn feed_one(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let step = if self.rest > 0 { self.rest.min(bytes.len() - taken) } else { 1 };
            self.feed(&bytes[taken..taken + step]);
            taken += step;
            if self.is_between() {
                break;
            }
        }
        taken
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
        let whole = Frames::<8>::default().feed(&stream);
        assert_eq!(whole.iter().map(|head| head[7]).collect::<Vec<_>>(), [1, 2, 3, 4]);
        for chunk in 1..20 {
            let mut frames = Frames::<8>::default();
            let heads: Vec<_> = stream.chunks(chunk).flat_map(|chunk| frames.feed(chunk)).collect();
            assert_eq!(heads, whole, "in chunks of {chunk}");
            assert!(frames.is_between());
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
