//! Who may be connected to a virtual cluster: how many in all, from one address and as one principal, and how fast they may come.
//!
//! What is remembered of an address is bounded whoever comes: an address without a connection is kept only while its rate is worth
//! remembering, and [`limits::ADDRESSES_KEPT`] of them at the most.

use crate::{bucket::Bucket, config::Limits, limits, time::Instant};
use core::fmt;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// A limit that somebody has come up against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// `max_connections`.
    Connections,
    /// `max_connections_per_address`.
    ConnectionsPerAddress,
    /// `max_connections_per_principal`.
    ConnectionsPerPrincipal,
    /// `max_connection_rate`.
    ConnectionRate,
    /// `max_connection_rate_per_address`.
    ConnectionRatePerAddress,
    /// `max_request_frame`.
    RequestFrame,
    /// `max_request_rate`.
    RequestRate,
    /// `max_buffered`.
    Buffered,
    /// `handshake_timeout`.
    HandshakeTimeout,
    /// `first_request_timeout`.
    FirstRequestTimeout,
    /// `sasl.authentication_timeout`.
    AuthenticationTimeout,
    /// `unfinished_request_timeout`.
    UnfinishedRequestTimeout,
    /// `unread_response_timeout`.
    UnreadResponseTimeout,
    /// `max_unfinished_requests`.
    UnfinishedRequests,
    /// `idle_timeout`.
    IdleTimeout,
}

impl Limit {
    /// The value of the label `limit` in the metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectionsPerPrincipal => "connections_per_principal",
            Self::ConnectionRate => "connection_rate",
            Self::ConnectionRatePerAddress => "connection_rate_per_address",
            Self::RequestFrame => "request_frame",
            Self::RequestRate => "request_rate",
            Self::Buffered => "buffered",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::FirstRequestTimeout => "first_request_timeout",
            Self::AuthenticationTimeout => "authentication_timeout",
            Self::UnfinishedRequestTimeout => "unfinished_request_timeout",
            Self::UnreadResponseTimeout => "unread_response_timeout",
            Self::UnfinishedRequests => "unfinished_requests",
            Self::IdleTimeout => "idle_timeout",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "there are as many connections as there may be (max_connections)",
            Self::ConnectionsPerAddress => {
                "its address has as many connections as it may have (max_connections_per_address)"
            }
            Self::ConnectionsPerPrincipal => {
                "its principal has as many connections as it may have (max_connections_per_principal)"
            }
            Self::ConnectionRate => "connections come faster than they may (max_connection_rate)",
            Self::ConnectionRatePerAddress => {
                "connections of its address come faster than they may (max_connection_rate_per_address)"
            }
            Self::RequestFrame => "a request is larger than it may be (max_request_frame)",
            Self::RequestRate => "requests come faster than they may (max_request_rate)",
            Self::Buffered => "responses that are read whole take as much memory as they may (max_buffered)",
            Self::HandshakeTimeout => "a handshake took longer than it may (handshake_timeout)",
            Self::FirstRequestTimeout => "the first request did not come in time (first_request_timeout)",
            Self::AuthenticationTimeout => "nobody authenticated itself in time (authentication_timeout)",
            Self::UnfinishedRequestTimeout => "a request did not go on in time (unfinished_request_timeout)",
            Self::UnreadResponseTimeout => "responses were not taken in time (unread_response_timeout)",
            Self::UnfinishedRequests => {
                "requests that have begun take as much memory as they may (max_unfinished_requests)"
            }
            Self::IdleTimeout => "nothing was said for too long (idle_timeout)",
        })
    }
}

/// Whose connections are counted together: an IPv4 address, or the 64 bits of an IPv6 address that one customer of a provider
/// has, who can take any address within.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        })
    }
}

/// What is known of one of them.
#[derive(Default, Debug)]
struct Known {
    connections: usize,
    rate: Bucket,
}

/// The books.
#[derive(Default, Debug)]
pub struct Admission {
    rate: Bucket,
    origins: BTreeMap<Origin, Known>,
    principals: BTreeMap<Box<str>, usize>,
}

impl Admission {
    /// When the next connection may be accepted, unless that is now.
    pub fn accepts_at(&self, limits: &Limits, now: Instant) -> Option<Instant> {
        self.rate.ready_at(limits.max_connection_rate?, now)
    }

    /// A connection was accepted.
    pub fn accepted(&mut self, limits: &Limits, now: Instant) {
        if let Some(rate) = limits.max_connection_rate {
            self.rate.take(1, rate, now);
        }
    }

    /// It is known where a connection comes from. One that is let in has to be given back with [`Self::left`].
    ///
    /// # Errors
    /// With the limit that it is beyond; then it was not counted.
    pub fn comes_from(&mut self, origin: Origin, limits: &Limits, now: Instant) -> Result<(), Limit> {
        if self.origins.len() >= limits::ADDRESSES_KEPT && !self.origins.contains_key(&origin) {
            self.forget(now);
        }
        let known = self.origins.entry(origin).or_default();
        if limits.max_connections_per_address.is_some_and(|max| known.connections >= max) {
            return Err(Limit::ConnectionsPerAddress);
        }
        if let Some(rate) = limits.max_connection_rate_per_address {
            known.rate.try_take(rate, now).map_err(|_| Limit::ConnectionRatePerAddress)?;
        }
        known.connections += 1;
        Ok(())
    }

    /// A connection that [`Self::comes_from`] there is over.
    pub fn left(&mut self, origin: Origin, now: Instant) {
        let Some(known) = self.origins.get_mut(&origin) else { return };
        known.connections = known.connections.saturating_sub(1);
        if known.connections == 0 && known.rate.is_full(now) {
            self.origins.remove(&origin);
        }
    }

    /// Makes room: first what is as good as forgotten, and where that is not enough, all without a connection.
    fn forget(&mut self, now: Instant) {
        self.origins.retain(|_, known| known.connections > 0 || !known.rate.is_full(now));
        if self.origins.len() >= limits::ADDRESSES_KEPT {
            self.origins.retain(|_, known| known.connections > 0);
        }
    }

    /// A connection has turned out to be this principal's. One that is let in has to be given back with [`Self::resigned`].
    ///
    /// # Errors
    /// With the limit that it is beyond; then it was not counted.
    pub fn is_principal(&mut self, name: &str, limits: &Limits) -> Result<(), Limit> {
        let known = self.principals.get(name).copied().unwrap_or_default();
        if limits.max_connections_per_principal.is_some_and(|max| known >= max) {
            return Err(Limit::ConnectionsPerPrincipal);
        }
        *self.principals.entry(name.into()).or_default() += 1;
        Ok(())
    }

    /// A connection that [`Self::is_principal`] is over, or is another's now.
    pub fn resigned(&mut self, name: &str) {
        if let Some(known) = self.principals.get_mut(name) {
            *known = known.saturating_sub(1);
            if *known == 0 {
                self.principals.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn from(address: &str) -> Origin {
        address.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn an_address_has_as_many_connections_as_it_may_and_others_have_theirs() {
        let limits = Limits { max_connections_per_address: Some(2), ..Limits::default() };
        let mut admission = Admission::default();
        let (one, other) = (from("192.0.2.1"), from("192.0.2.2"));
        assert_eq!(admission.comes_from(one, &limits, at(0)), Ok(()));
        assert_eq!(admission.comes_from(one, &limits, at(0)), Ok(()));
        assert_eq!(admission.comes_from(one, &limits, at(0)), Err(Limit::ConnectionsPerAddress));
        assert_eq!(admission.comes_from(other, &limits, at(0)), Ok(()));
        admission.left(one, at(1));
        assert_eq!(admission.comes_from(one, &limits, at(1)), Ok(()));
    }

    #[test]
    fn the_64_bits_of_a_network_are_one_customer() {
        assert_eq!(from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::9"));
        assert_ne!(from("2001:db8:1:2::1"), from("2001:db8:1:3::1"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
    }

    #[test]
    fn an_address_that_comes_too_fast_waits_and_nobody_else_does() {
        let limits = Limits { max_connection_rate_per_address: Some(1), ..Limits::default() };
        let mut admission = Admission::default();
        let (one, other) = (from("192.0.2.1"), from("192.0.2.2"));
        assert_eq!(admission.comes_from(one, &limits, at(0)), Ok(()));
        admission.left(one, at(1)); // that it has gone again does not help
        assert_eq!(admission.comes_from(one, &limits, at(2)), Err(Limit::ConnectionRatePerAddress));
        assert_eq!(admission.comes_from(other, &limits, at(2)), Ok(()));
        assert_eq!(admission.comes_from(one, &limits, at(1_000)), Ok(()));
    }

    #[test]
    fn all_together_come_as_fast_as_they_may() {
        let limits = Limits { max_connection_rate: Some(2), ..Limits::default() };
        let mut admission = Admission::default();
        for _ in 0..2 {
            assert_eq!(admission.accepts_at(&limits, at(0)), None);
            admission.accepted(&limits, at(0));
        }
        assert_eq!(admission.accepts_at(&limits, at(0)), Some(at(500)));
        assert_eq!(admission.accepts_at(&limits, at(500)), None);
        assert_eq!(admission.accepts_at(&Limits::default(), at(0)), None, "a reload has lifted it");
    }

    #[test]
    fn a_principal_has_as_many_connections_as_it_may() {
        let limits = Limits { max_connections_per_principal: Some(1), ..Limits::default() };
        let mut admission = Admission::default();
        assert_eq!(admission.is_principal("alice", &limits), Ok(()));
        assert_eq!(admission.is_principal("alice", &limits), Err(Limit::ConnectionsPerPrincipal));
        assert_eq!(admission.is_principal("bob", &limits), Ok(()));
        admission.resigned("alice");
        assert_eq!(admission.is_principal("alice", &limits), Ok(()));
        admission.resigned("alice");
        admission.resigned("bob");
        assert!(admission.principals.is_empty());
    }

    #[test]
    fn an_attacker_with_any_number_of_addresses_fills_no_memory() {
        let limits = Limits { max_connection_rate_per_address: Some(1), ..Limits::default() };
        let mut admission = Admission::default();
        let stays = from("192.0.2.1");
        admission.comes_from(stays, &limits, at(0)).expect("let in");
        for n in 0..3 * limits::ADDRESSES_KEPT as u64 {
            let origin = Origin::from(IpAddr::V6(Ipv6Addr::from_bits(u128::from(n) << 64)));
            admission.comes_from(origin, &limits, at(0)).expect("let in");
            admission.left(origin, at(0));
            assert!(admission.origins.len() <= limits::ADDRESSES_KEPT);
        }
        assert_eq!(admission.origins[&stays].connections, 1, "who is connected is not forgotten");
    }

    proptest! {
        /// Somebody comes, or somebody who is there leaves; limits change in between.
        #[test]
        fn the_books_are_those_of_who_is_there(steps in prop::collection::vec((0_u8..4, any::<bool>(), 0_u64..300, prop::option::of(1_usize..3), prop::option::of(1_u32..5)), 0..200)) {
            let (mut admission, mut now, mut there) = (Admission::default(), 0, Vec::new());
            for (who, comes, step, max, rate) in steps {
                now += step;
                let origin = from(&format!("192.0.2.{who}"));
                let limits = Limits { max_connections_per_address: max, max_connection_rate_per_address: rate, ..Limits::default() };
                if comes {
                    let of_it = there.iter().filter(|o| **o == origin).count();
                    match admission.comes_from(origin, &limits, at(now)) {
                        Ok(()) => there.push(origin),
                        Err(limit) => prop_assert_eq!(limit == Limit::ConnectionsPerAddress, max.is_some_and(|max| of_it >= max)),
                    }
                } else if let Some(place) = there.iter().position(|o| *o == origin) {
                    there.swap_remove(place);
                    admission.left(origin, at(now));
                }
                let counted: usize = admission.origins.values().map(|known| known.connections).sum();
                prop_assert_eq!(counted, there.len());
            }
            for origin in there.drain(..) {
                admission.left(origin, at(now + 10_000));
            }
            prop_assert!(admission.origins.values().all(|known| known.connections == 0), "{:?}", admission);
        }
    }
}
