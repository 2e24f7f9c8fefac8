//! The program itself, as an operator has it: its commands, its signals, its files and its admin API.

mod agreement;
#[path = "../support/certificates.rs"]
#[expect(dead_code, reason = "the stories of TLS need more of it")]
mod certificates;
mod client;
#[path = "../clusters/mod.rs"]
mod clusters;
mod kroxy;
#[path = "../ports/mod.rs"]
mod ports;
mod reload;
