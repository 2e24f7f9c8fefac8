//! What becomes of bytes that somebody bent.

use crate::{dice::Dice, invent::framed};

/// Counts and lengths at the edges of what can be written, in each way in which Kafka writes one.
const EDGES: [&[u8]; 10] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x1f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0x7f, 0xff],
    &[0x80, 0],
    &[0x80, 0x01],
    &[0, 1, 0, 0],
];

/// Bends bytes a few times. What is behind `from` may be changed.
pub fn bent(mut bytes: Vec<u8>, from: usize, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(4) {
        let Some(span) = bytes.len().checked_sub(from).filter(|span| *span > 0) else { return bytes };
        let at = from + dice.below(span);
        match dice.below(7) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = *dice.one_of(&[0, 1, 2, 0x7f, 0x80, 0xff]),
            2 => bytes.truncate(at),
            3 => {
                let count = 1 + dice.below(8);
                let new = dice.bytes(count);
                bytes.splice(at..at, new);
            }
            4 => {
                let edge = *dice.one_of(&EDGES);
                let end = (at + edge.len()).min(bytes.len());
                bytes.splice(at..end, edge.iter().copied());
            }
            5 => {
                let end = at + dice.below(bytes.len() - at);
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated);
            }
            _ => {
                let end = at + dice.below((bytes.len() - at).min(16));
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

/// Bends a frame. Its length is right again nearly always: else whatever follows would hardly ever be looked at.
pub fn bent_frame(frame: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    if dice.percent(10) {
        return bent(frame, 0, dice);
    }
    let behind_the_head = *dice.one_of(&[4, 8, 12, 14]);
    let bent = bent(frame, behind_the_head, dice);
    framed(bent.get(4..).unwrap_or_default())
}
