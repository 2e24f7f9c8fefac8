//! Stories with a real Kafka behind kroxy and real clients in front of it.
//!
//! They run with `KROXY_REAL_KAFKA=1`, one after the other; with `KROXY_REAL_KAFKA=direct` the same clients do the same
//! without kroxy. Each client demands every record once and in order: see `tests/clients`.

mod addresses;
mod changes;
mod credentials;
mod everyday;
mod lifecycle;
mod secured;
mod suite;
mod tokens;
