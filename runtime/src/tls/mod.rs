//! TLS: from files to what rustls wants, handshakes, and streams.
//!
//! It sits above [`crate::net::Net`], so that it is simulated with everything else: the time of day comes from the
//! [`Clock`], and nothing here opens a socket. Chance and key exchange are the [`CryptoProvider`]'s, which a simulation seeds.
//!
//! Contents of files come in as a configuration's material; `files` names them. What is made of them is
//! `server_config` and `ClusterTls`.

mod certificate;
mod clients;
mod error;
mod expiry;
mod files;
mod handshake;
mod hello;
mod identity;
mod read_ahead;
mod sessions;
mod store;
mod stream;
mod upstream;
mod verify;

pub(crate) use self::{
    clients::Acceptor,
    expiry::{Own, own},
    files::of_cluster,
    handshake::{Failure, Leg},
    hello::Hello,
    stream::Stream,
    upstream::Connector,
};
pub use self::{
    clients::server_config,
    error::TlsError,
    files::{Contents, Needed, of_clients, of_upstream},
};

use crate::{clock::Clock, sasl::Hashing};
use kroxy_core::{
    config::{
        VirtualCluster,
        tls::{CipherSuite, Protocol, Version},
    },
    gateway::GatewayName,
    reload::Material,
};
use rustls::{
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::UnixTime,
    time_provider::TimeProvider,
};
use std::{collections::BTreeMap, sync::Arc};

/// Where cryptography and the time of day come from.
#[derive(Clone)]
pub struct Crypto {
    provider: CryptoProvider,
    clock: Clock,
    /// What makes users that are not there look like some that are. Of the process, so that they always look the same.
    decoy: [u8; 32],
    hashing: Hashing,
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crypto").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Crypto {
    /// The cryptography of `ring`, at this clock's time of day.
    pub fn new(clock: Clock) -> Self {
        Self::of(ring::default_provider(), clock)
    }

    /// Keys, chance and key exchange of `provider`, at this clock's time of day. Cipher suites are those of `ring`.
    pub fn of(provider: CryptoProvider, clock: Clock) -> Self {
        let mut decoy = [0; 32];
        provider.secure_random.fill(&mut decoy).expect("a system without random numbers has no TLS either");
        Self { provider, clock, decoy, hashing: Hashing::aside() }
    }

    /// The same with passwords hashed on the thread that asks, as a simulation needs it. Elsewhere that holds up whoever shares it.
    #[must_use]
    pub fn hashing_here(self) -> Self {
        Self { hashing: Hashing::Here, ..self }
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn hashing(&self) -> Hashing {
        self.hashing.clone()
    }

    pub(crate) const fn decoy(&self) -> [u8; 32] {
        self.decoy
    }

    /// Seconds since 1970-01-01.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.clock.since_epoch().as_secs()).unwrap_or(i64::MAX)
    }

    /// The same with these cipher suites only.
    fn limited_to(&self, protocol: &Protocol) -> Arc<CryptoProvider> {
        let cipher_suites = protocol.cipher_suites().iter().map(|suite| cipher_suite(*suite)).collect();
        Arc::new(CryptoProvider { cipher_suites, ..self.provider.clone() })
    }

    fn time(&self) -> Arc<dyn TimeProvider> {
        Arc::new(TimeOfDay(self.clock))
    }
}

#[derive(Debug)]
struct TimeOfDay(Clock);

impl TimeProvider for TimeOfDay {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.since_epoch()))
    }
}

fn versions(protocol: &Protocol) -> Vec<&'static SupportedProtocolVersion> {
    let rustls = |version: &Version| match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    };
    protocol.versions().iter().map(rustls).collect()
}

const fn cipher_suite(suite: CipherSuite) -> SupportedCipherSuite {
    use ring::cipher_suite as of;
    match suite {
        CipherSuite::Aes256Gcm => of::TLS13_AES_256_GCM_SHA384,
        CipherSuite::Aes128Gcm => of::TLS13_AES_128_GCM_SHA256,
        CipherSuite::Chacha20 => of::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdsaAes256Gcm => of::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdsaAes128Gcm => of::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdsaChacha20 => of::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::RsaAes256Gcm => of::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::RsaAes128Gcm => of::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::RsaChacha20 => of::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

/// All that one virtual cluster needs for its handshakes.
#[derive(Debug, Default)]
pub(crate) struct ClusterTls {
    clients: BTreeMap<GatewayName, Arc<Acceptor>>,
    pub(crate) upstream: Option<Arc<Connector>>,
    /// What of it expires.
    pub(crate) own: Vec<Own>,
}

impl ClusterTls {
    /// # Errors
    /// The first thing that is wrong with the files.
    pub(crate) fn new(config: &VirtualCluster, material: &Material, crypto: &Crypto) -> Result<Self, TlsError> {
        let mut made = Self { own: own(material), ..Self::default() };
        for gateway in &config.gateways {
            if let Some(tls) = &gateway.tls {
                let field = files::field_of_gateway(&gateway.name);
                let contents = Contents::new(&material.files, &field);
                let acceptor = Acceptor::new(tls, &contents, crypto)?;
                made.clients.insert(gateway.name.clone(), Arc::new(acceptor));
            }
        }
        if let Some(tls) = &config.upstream.tls {
            let contents = Contents::new(&material.files, files::FIELD_OF_UPSTREAM);
            made.upstream = Some(Arc::new(Connector::new(tls, &contents, crypto)?));
        }
        Ok(made)
    }

    /// What the clients of a gateway meet; `None`: plain Kafka.
    pub(crate) fn clients(&self, gateway: &GatewayName) -> Option<Arc<Acceptor>> {
        self.clients.get(gateway).cloned()
    }
}
