//! Hostile bytes for everything of kroxy that reads bytes: the relay, the rewriters, the embedded broker, the configuration.
//!
//! A seed makes a [`Case`](case::Case): frames of any API in any version, whole or bent, in any pieces. A case is a value with a text
//! form of its own, so one that found something is kept in `fixtures/fuzz` and outlives the code that drew it. Judging it
//! ([`case::Case::check`]) panics where something does not hold: besides what panics by itself, too much memory, an output that
//! depends on how the bytes were cut, an answer that Kafka's other codec reads otherwise, an address of upstream.
//!
//! What it is not: it is not guided by coverage. Structure is: valid messages of every API come from the other codec's own decoders,
//! fed with dice ([`invent`]).

pub mod bend;
pub mod case;
pub mod dice;
mod expected;
pub mod invent;
mod memory;
pub mod runner;
pub mod targets;
