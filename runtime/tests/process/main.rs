//! The program itself, as an operator has it: its commands, its signals, its files, its admin API, and its service manager.

mod access;
mod agreement;
#[path = "../cargo/mod.rs"]
mod cargo;
#[path = "../certificates/mod.rs"]
#[expect(dead_code, reason = "the stories of TLS need more of it")]
mod certificates;
mod client;
#[path = "../clusters/mod.rs"]
mod clusters;
mod descriptors;
mod embedded;
mod events;
mod exit;
#[path = "../folder/mod.rs"]
mod folder;
#[path = "../frames/mod.rs"]
#[expect(dead_code, reason = "other stories need more of it")]
mod frames;
mod haproxy;
mod kroxy;
mod openssl;
#[path = "../ports/mod.rs"]
mod ports;
mod reload;
mod secrets;
mod systemd;
