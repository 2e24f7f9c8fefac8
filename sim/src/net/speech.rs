//! What a broker says, where some of it is to be wrong.

use super::{frames::Frames, wires::Wires};
use crate::{dice::Dice, plan::Wrong};
use std::io;

/// Where the correlation id stands in an answer with its length.
const CORRELATION: std::ops::Range<usize> = 4..8;

/// What a broker says.
#[derive(Debug, Default)]
pub(super) struct Speech {
    frames: Frames<4>,
    /// The answer that is to be wrong, as far as the broker has said it.
    spoiling: Option<(Wrong, Vec<u8>)>,
    /// An answer that the next one overtakes.
    late: Vec<u8>,
    cut: bool,
}

impl Speech {
    /// What is said in place of `bytes`.
    pub(super) fn say(&mut self, mut bytes: &[u8], wires: &Wires, host: &str, dice: &mut Dice) -> io::Result<Vec<u8>> {
        if self.cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut said = Vec::new();
        while !bytes.is_empty() && !self.cut {
            if self.frames.is_between() && self.late.is_empty() {
                self.spoiling = wires.take_tamper(host).map(|how| (how, Vec::new()));
            }
            let (part, rest) = bytes.split_at(self.frames.feed_one(bytes));
            bytes = rest;
            match &mut self.spoiling {
                None => said.extend_from_slice(part),
                Some((_, answer)) => answer.extend_from_slice(part),
            }
            if self.frames.is_between() {
                match self.spoiling.take() {
                    None => said.append(&mut self.late),
                    Some((how, answer)) => {
                        wires.journal.note(host, format_args!("a broker answers wrongly: {how:?}"));
                        self.spoil(how, answer, dice, &mut said);
                    }
                }
            }
        }
        Ok(said)
    }

    fn spoil(&mut self, how: Wrong, mut answer: Vec<u8>, dice: &mut Dice, said: &mut Vec<u8>) {
        match how {
            Wrong::Correlation => {
                answer.iter_mut().take(CORRELATION.end).skip(CORRELATION.start).for_each(|byte| *byte ^= 0x5a);
            }
            Wrong::Cut => {
                self.cut = true;
                answer.truncate((answer.len() / 2).max(1));
            }
            Wrong::Truncated => {
                answer.truncate(CORRELATION.end + answer.len().saturating_sub(CORRELATION.end) / 2);
                let length = u32::try_from(answer.len() - CORRELATION.start).expect("shorter than it was");
                answer[..CORRELATION.start].copy_from_slice(&length.to_be_bytes());
            }
            Wrong::Garbage => answer.iter_mut().for_each(|byte| *byte = dice.seed().to_be_bytes()[0]),
            Wrong::OutOfOrder => self.late = std::mem::take(&mut answer),
        }
        said.append(&mut answer);
    }
}
