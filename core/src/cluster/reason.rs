//! Why something happened: a chain of causes that never is empty.

use core::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::limits;

/// A chain of causes, outermost first, such as "cannot bind 127.0.0.1:9192", "address already in use".
///
/// Never empty, and bounded in links and bytes, because it is kept, shown and sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(Vec<String>);

impl Reason {
    /// A reason that has no deeper one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(vec![shortened(text.into())])
    }

    /// An error with its sources.
    pub fn of(error: &dyn Error) -> Self {
        let mut links = vec![shortened(error.to_string())];
        let mut deeper = error.source();
        while let Some(source) = deeper.filter(|_| links.len() < limits::REASON_LINKS_MAX) {
            links.push(shortened(source.to_string()));
            deeper = source.source();
        }
        Self(links)
    }

    /// The same, seen from further out: `outer` because of `self`.
    #[must_use]
    pub fn within(mut self, outer: impl Into<String>) -> Self {
        self.0.insert(0, shortened(outer.into()));
        self.0.truncate(limits::REASON_LINKS_MAX);
        self
    }

    /// The same with `deeper` below it.
    #[must_use]
    pub fn because(mut self, deeper: &Self) -> Self {
        self.0.extend_from_slice(&deeper.0);
        self.0.truncate(limits::REASON_LINKS_MAX);
        self
    }

    /// The links, outermost first; at least one.
    pub fn links(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(": "))
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > limits::REASON_LINK_MAX {
        const MARK: &str = "…";
        text.truncate(text.floor_char_boundary(limits::REASON_LINK_MAX - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot bind 127.0.0.1:9192")]
    struct CannotBind(#[source] core::num::TryFromIntError);

    #[test]
    fn an_error_is_told_with_its_sources() {
        let source = u8::try_from(300_u16).expect_err("300 is no u8");
        let reason = Reason::of(&CannotBind(source));
        assert_eq!(reason.links(), ["cannot bind 127.0.0.1:9192", &source.to_string()]);
        assert_eq!(reason.to_string(), format!("cannot bind 127.0.0.1:9192: {source}"));
    }

    #[test]
    fn a_reason_is_bounded_in_links_and_bytes() {
        let mut reason = Reason::new("ä".repeat(limits::REASON_LINK_MAX));
        assert!(reason.links()[0].len() <= limits::REASON_LINK_MAX && reason.links()[0].ends_with('…'));
        for i in 0..100 {
            reason = reason.within(format!("layer {i}"));
        }
        assert_eq!((reason.links().len(), reason.links()[0].as_str()), (limits::REASON_LINKS_MAX, "layer 99"));
        assert_eq!(reason.clone().because(&reason), reason, "what lies deeper is dropped");
    }
}
