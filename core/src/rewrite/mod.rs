//! Replaces the addresses in responses by the gateway's.
//!
//! Nothing is decoded: a walk over a table (`schema`) finds the addresses, and everything else is kept byte for byte,
//! fields that this version of kroxy does not know included. The walk allocates nothing by a count that a peer gives.
//!
//! A response that is read whole is rewritten ([`rewrite`]). One that streams cannot change its length any more, which
//! stood in front: its addresses are masked ([`Masker`]).

pub mod api_versions;
mod mask;
mod refuse;
mod schema;
#[cfg(test)]
mod tests;
mod whole;

pub(crate) use self::refuse::framed;
pub use self::{
    mask::{Masker, Span},
    refuse::{asks_for_controllers, controllers_not_shown, refused},
    whole::{Rewritten, rewrite},
};

use crate::{address::NodeId, wire::Unread};
use std::borrow::Cow;

/// Where clients of a gateway reach a node.
pub trait Addresses {
    /// The host and port that clients are told for this node.
    fn virtual_address(&self, node: NodeId) -> (Cow<'_, str>, u16);
}

/// Takes note of what upstream says of its nodes.
pub trait Learn {
    /// An upstream endpoint, as it stood before it was replaced.
    fn learn(&mut self, node: NodeId, host: &str, port: i32);
}

/// A message that does not have the shape of its API and version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} (at byte {at} of its body)")]
pub struct Malformed {
    at: usize,
    what: &'static str,
}

impl Malformed {
    /// The header in front of the body cannot be read.
    pub const fn header() -> Self {
        Self { at: 0, what: "its header is broken" }
    }

    const fn new(at: usize, why: Unread) -> Self {
        match why {
            Unread::Short => Self { at, what: "it ends inside a field" },
            Unread::Wrong(what) => Self { at, what },
        }
    }
}
