//! Which mutant is alive. This module exists only in the copy that `kroxy-sim mutants` builds.

use bytes::Bytes;
use std::sync::{Mutex, OnceLock};

/// Whether this mutant is the one that was asked for.
pub fn on(name: &str) -> bool {
    static ALIVE: OnceLock<String> = OnceLock::new();
    ALIVE.get_or_init(|| std::env::var("KROXY_MUTANT").unwrap_or_default()) == name
}

/// Keeps these bytes, and gives those that were kept before.
pub fn swap(bytes: Bytes) -> Bytes {
    static KEPT: Mutex<Option<Bytes>> = Mutex::new(None);
    let mut kept = KEPT.lock().expect("nobody panics while holding it");
    kept.replace(bytes.clone()).unwrap_or(bytes)
}
