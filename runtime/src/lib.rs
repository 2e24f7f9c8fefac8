//! The tokio driver of kroxy: sockets, configuration files, admin HTTP, metrics, command line.
//!
//! It carries out what `kroxy-core` decides, over any [`net::Net`]: the operating system's, or a simulated one.

mod accepting;
mod admin;
mod budget;
pub mod cli;
mod client;
pub mod clock;
mod cluster;
pub mod config;
mod connection;
pub mod demo;
mod descriptors;
mod entrance;
mod limits;
mod listen;
pub mod load;
mod log_quota;
mod logging;
pub mod metrics;
pub mod net;
pub mod proxy;
mod resolve;
mod sasl;
pub mod serve;
mod sni;
mod status;
mod systemd;
pub mod tls;
mod turns;
pub mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what a panicking thread leaves whole, because every change under the lock is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
