//! Who reads bytes, what is drawn for it, and what has to hold.

pub mod broker;
pub mod config;
pub mod header;
pub mod relay;
pub mod rewrite;
pub mod token;
