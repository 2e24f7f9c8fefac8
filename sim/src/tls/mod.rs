//! TLS in a world: who signs, what files hold, and what clients and brokers shake hands with.
//!
//! Everything is made from the seed. Keys are Ed25519, whose signatures are always the same and of one length.

mod certificates;
mod chance;

pub(crate) use self::chance::provider;

use self::certificates::{Authority, Identity};
use crate::{hosts, plan::Plan, topology};
use bytes::Bytes;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
    time_provider::TimeProvider,
};
use std::{path::Path, sync::Arc};

/// What the files of certificates hold now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Certificates {
    /// How often those towards clients were renewed.
    pub(crate) edition: u32,
    pub(crate) spoiled: Option<Spoiled>,
}

/// What is wrong with the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spoiled {
    /// The first gateway's certificate is cut off in its middle.
    Broken,
    /// The first gateway's certificate was good until the day before.
    Expired,
    /// The first cluster's brokers are to be trusted if somebody else has signed their certificates.
    ForeignCa,
}

/// Everything of TLS in a world. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Vault(Arc<Secrets>);

#[derive(Debug)]
struct Secrets {
    seed: u64,
    /// Signs what gateways show.
    public: Authority,
    /// Signs what brokers and the proxies show each other.
    internal: Authority,
    /// Signs nothing of this world.
    foreign: Authority,
    /// By cluster, where its gateways speak TLS: what clients trust.
    clients: Vec<Option<Arc<ClientConfig>>>,
    /// By cluster, where its brokers speak TLS: what they show and demand.
    brokers: Vec<Option<Arc<ServerConfig>>>,
}

/// The right time of day.
#[derive(Debug)]
struct RightTime;

impl TimeProvider for RightTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(hosts::right_time()))
    }
}

impl Vault {
    /// All that a plan's world needs. Begins the chance of this thread anew.
    pub(crate) fn new(plan: &Plan) -> Self {
        let seed = plan.seed;
        chance::seed(seed);
        let authority = |name: &str, salt| Authority::new(name, seed.wrapping_add(salt));
        let (public, internal) = (authority("public", 1), authority("internal", 2));
        let clusters = || (0..plan.clusters).map(|cluster| (cluster, plan.tls_of(cluster)));
        let clients = clusters().map(|(_, tls)| tls.clients.then(|| client_config(&public))).collect();
        let brokers = clusters().map(|(cluster, tls)| tls.upstream.then(|| broker_config(cluster, &internal, seed)));
        let brokers = brokers.collect();
        Self(Arc::new(Secrets { seed, foreign: authority("foreign", 3), public, internal, clients, brokers }))
    }

    /// What clients shake hands with at a gateway of the cluster, where it speaks TLS.
    pub(crate) fn clients(&self, cluster: u8) -> Option<Arc<ClientConfig>> {
        self.0.clients.get(usize::from(cluster)).cloned().flatten()
    }

    /// What brokers of the cluster shake hands with, where they speak TLS.
    pub(crate) fn brokers(&self, cluster: u8) -> Option<Arc<ServerConfig>> {
        self.0.brokers.get(usize::from(cluster)).cloned().flatten()
    }

    /// What a file holds that a proxy's configuration names.
    pub(crate) fn read(&self, path: &Path, now: Certificates) -> Result<Bytes, String> {
        let Secrets { seed, public, internal, foreign, .. } = &*self.0;
        let spoiled = |what| now.spoiled == Some(what);
        let path = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let gateway = |first: bool| gateway(public, *seed, now.edition, first && spoiled(Spoiled::Expired));
        let text = match path {
            topology::FIRST_CHAIN if spoiled(Spoiled::Broken) => {
                let whole = gateway(true).chain;
                whole[..whole.len() / 2].to_owned()
            }
            topology::FIRST_CHAIN => gateway(true).chain,
            topology::FIRST_KEY => gateway(true).key,
            topology::CHAIN => gateway(false).chain,
            topology::KEY => gateway(false).key,
            topology::FIRST_CA if spoiled(Spoiled::ForeignCa) => foreign.pem(),
            topology::FIRST_CA | topology::CA => internal.pem(),
            topology::OWN_CHAIN => own(internal, *seed).chain,
            topology::OWN_KEY => own(internal, *seed).key,
            _ => return Err("there is no such file".to_owned()),
        };
        Ok(text.into())
    }

    /// Which edition of a gateway's certificate this is.
    pub(crate) fn edition_of(&self, shown: &CertificateDer<'_>) -> Option<u32> {
        const MOST: u32 = 20; // more renewals than any plan has
        let Secrets { seed, public, .. } = &*self.0;
        (0..MOST).find(|edition| gateway(public, *seed, *edition, false).certificate() == *shown)
    }
}

/// What gateways show: one certificate for all of them.
fn gateway(public: &Authority, seed: u64, edition: u32, expired: bool) -> Identity {
    public.sign(&[format!("*{}", topology::PUBLIC)], seed.wrapping_add(100).wrapping_add(edition.into()), expired)
}

/// What proxies show brokers.
fn own(internal: &Authority, seed: u64) -> Identity {
    internal.sign(&["kroxy.internal.example".to_owned()], seed.wrapping_add(4), false)
}

fn roots(of: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(of.certificate().clone()).expect("an authority of ours can be trusted");
    Arc::new(roots)
}

fn client_config(public: &Authority) -> Arc<ClientConfig> {
    let provider = Arc::new(provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(public), provider.clone()).build();
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(RightTime))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for all versions")
        .with_webpki_verifier(verifier.expect("there is a root"))
        .with_no_client_auth();
    // Which certificate is shown is of interest each time.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn broker_config(cluster: u8, internal: &Authority, seed: u64) -> Arc<ServerConfig> {
    let provider = Arc::new(provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(internal), provider.clone()).build();
    let names = [format!("*.c{cluster}{}", topology::UPSTREAM)];
    let Identity { chain, key } = internal.sign(&names, seed.wrapping_add(10).wrapping_add(cluster.into()), false);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().expect("a chain of ours");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key of ours");
    let config = ServerConfig::builder_with_details(provider, Arc::new(RightTime))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for all versions")
        .with_client_cert_verifier(verifier.expect("there is a root"))
        .with_single_cert(chain, key)
        .expect("key and certificate belong together");
    Arc::new(config)
}
