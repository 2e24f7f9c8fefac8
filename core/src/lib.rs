//! Every decision of kroxy, as pure state machines.
//!
//! Nothing here opens a socket, reads a clock, starts a thread, touches a file or draws a random number: observations,
//! the time and seeds are handed in, and what is to be done comes out as values.

pub mod address;
pub mod admission;
pub mod api;
pub mod bucket;
pub mod cluster;
pub mod config;
pub mod discovery;
pub mod gateway;
pub mod health;
pub mod latency;
pub mod limits;
pub mod name;
pub mod principal;
pub mod proxy;
pub mod proxy_protocol;
pub mod reject;
pub mod relay;
pub mod reload;
pub mod rewrite;
pub mod sasl;
pub mod seed;
pub mod status;
pub mod time;
pub mod topology;
pub mod wire;
