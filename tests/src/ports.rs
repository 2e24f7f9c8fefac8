//! Which ports the tests use, in one place: everything is on loopback.

/// Base of the brokers' ports; the lab's `kafka-up` explains which listener has which.
pub const KAFKA_BASE: u16 = 23_000;
/// Listener without authentication of broker 1; broker *i* has the following ones.
pub const KAFKA_PLAINTEXT: u16 = KAFKA_BASE + 92;
/// Listener with SASL of broker 1.
pub const KAFKA_SASL: u16 = KAFKA_BASE + 592;
/// Listener with TLS of broker 1.
pub const KAFKA_TLS: u16 = KAFKA_BASE + 692;
/// Listener with SASL over TLS of broker 1.
pub const KAFKA_SASL_TLS: u16 = KAFKA_BASE + 792;
/// Controller of node 1.
pub const KAFKA_CONTROLLER: u16 = KAFKA_BASE + 90;
/// Where clients find kroxy at first.
pub const KROXY_BOOTSTRAP: u16 = 24_092;
/// Port of node 0 at kroxy; node *i* has the *i*-th following one.
pub const KROXY_FIRST_NODE: u16 = 24_100;
/// The ports of the second virtual cluster are so far from those of the first, and so on.
pub const KROXY_PORTS_EACH: u16 = 100;
/// The first port of kroxy's gateways with TLS; each has so many.
pub const KROXY_DOORS: u16 = 24_500;
/// See [`KROXY_DOORS`].
pub const KROXY_PORTS_OF_DOOR: u16 = 20;
/// The first port of the proxies that the console looks at.
pub const CONSOLE_FIRST: u16 = 24_800;
/// The first of their admin interfaces.
pub const CONSOLE_ADMIN: u16 = 24_890;
/// Admin interface of kroxy.
pub const KROXY_ADMIN: u16 = 24_999;
