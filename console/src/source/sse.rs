//! Server-sent events, as the HTML standard has them, from bytes in any pieces.

use crate::limits::EVENT_BYTES_MAX;

/// Puts frames together.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    data: String,
    id: String,
}

/// One event: its data, and the id to name when the stream is opened anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The lines of data.
    pub(crate) data: String,
    /// The last id that came; empty before the first.
    pub(crate) id: String,
}

/// An event that is larger than any of ours: this is not our stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct TooLarge;

impl Parser {
    /// Takes bytes and gives the events that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, TooLarge> {
        let mut frames = Vec::new();
        for byte in bytes {
            // A line ends with CR, LF, or both.
            match (byte, std::mem::take(&mut self.after_cr)) {
                (b'\n', true) => {}
                (b'\n', false) => self.end_of_line(&mut frames),
                (b'\r', _) => {
                    self.after_cr = true;
                    self.end_of_line(&mut frames);
                }
                (byte, _) => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(frames)
    }

    fn end_of_line(&mut self, frames: &mut Vec<Frame>) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if !data.is_empty() {
                frames.push(Frame { data: data.trim_end_matches('\n').to_owned(), id: self.id.clone() });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            // The kind stands in the data as well; `retry`, comments and what is new are no concern of ours.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str =
        ": hello\n\nevent: log\nid: 7\ndata: {\"a\":1}\n\ndata: one\r\ndata: two\r\n\r\nid: 9\n\n: alive\n\ndata:x\r\r";

    fn frames(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        pieces
            .iter()
            .flat_map(|piece| parser.feed(piece).expect("small events"))
            .map(|frame| (frame.id, frame.data))
            .collect()
    }

    #[test]
    fn events_end_at_empty_lines_and_comments_are_none() {
        let expected = [("7", "{\"a\":1}"), ("7", "one\ntwo"), ("9", "x")].map(|(i, d)| (i.to_owned(), d.to_owned()));
        assert_eq!(frames(&[STREAM.as_bytes()]), expected);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let mebibyte = vec![b'x'; 1 << 20];
        let refused = (0..=EVENT_BYTES_MAX >> 20).any(|_| parser.feed(&mebibyte).is_err());
        assert!(refused);
    }

    proptest! {
        #[test]
        fn any_pieces_make_the_same_events(cuts in proptest::collection::vec(0..STREAM.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|w| &STREAM.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(frames(&pieces), frames(&[STREAM.as_bytes()]));
        }
    }
}
