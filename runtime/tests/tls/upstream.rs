//! TLS towards upstream: who is believed, and whom it believes.

use crate::{
    World, answer, ask,
    certificates::{Authority, Made, keep},
    chain, configuration,
    folder::Folder,
    key,
};
use kroxy_core::status::ReloadOutcome;
use runtime::{config, load};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{io, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server};

/// The proxy's own client certificate and those whom it believes, and the upstream's side of both.
pub(super) fn upstream_files() -> (Folder, Authority, Authority) {
    let (folder, brokers, clients) = (Folder::new(), Authority::new("brokers"), Authority::new("clients"));
    folder.write("ca.pem", &brokers.pem);
    keep(&folder, "own", &clients.sign(&["kroxy"]));
    (folder, brokers, clients)
}

/// What upstream is: a broker with this certificate, which wants one of the proxy where an authority is given.
pub(super) fn broker(made: &Made, wants: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("safe");
    let builder = match wants {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("one")).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    Arc::new(builder.with_single_cert(chain(made), key(made)).expect("a pair")).into()
}

/// A plain client asks once; upstream is this broker.
async fn asked_through(world: &World, broker: &TlsAcceptor) -> io::Result<()> {
    let work = async {
        let mut client = TcpStream::connect(world.clients_at).await?;
        ask(&mut client).await
    };
    tokio::select! {
        biased;
        done = work => done,
        () = async {
            loop {
                let (stream, _) = world.upstream.accept().await.expect("accepts");
                let shaken: io::Result<server::TlsStream<TcpStream>> = broker.accept(stream).await;
                if let Ok(mut stream) = shaken {
                    answer(&mut stream).await;
                }
            }
        } => unreachable!(),
    }
}

#[tokio::test]
async fn an_authority_that_is_shown_as_a_server_is_refused_in_words() {
    let (folder, brokers, _) = upstream_files();
    let world = World::serving(folder, "", r#"ca: File("{}ca.pem")"#).await;
    let asked = asked_through(&world, &broker(&brokers.itself(), None)).await;
    assert!(asked.is_err(), "webpki does not take it");
    world.failed("upstream", "certificate_invalid", 1).await;
    let status = world.proxy.status();
    let errors: Vec<_> = status.virtual_clusters[0].upstream.nodes.iter().flat_map(|n| n.last_error.clone()).collect();
    assert!(errors.join("; ").contains("the certificate of CN=brokers is an authority's"), "{errors:?}");
    world.end().await;
}

#[tokio::test]
async fn upstream_is_believed_only_with_a_certificate_for_its_name_that_a_known_authority_signed() {
    let trusting = r#"ca: File("{}ca.pem")"#;
    let named = r#"ca: File("{}ca.pem"), server_name: "kafka.internal""#;
    let strangers = Authority::new("strangers");
    type Case<'a> = (&'a str, fn(&Authority, &Authority) -> Made, Option<&'a str>);
    let cases: [Case<'_>; 7] = [
        (trusting, |brokers, _| brokers.sign(&["localhost"]), None),
        (trusting, |brokers, _| brokers.sign(&["kafka.internal"]), Some("certificate_wrong_host")),
        (named, |brokers, _| brokers.sign(&["kafka.internal"]), None),
        (named, |brokers, _| brokers.sign(&["localhost"]), Some("certificate_wrong_host")),
        (trusting, |_, strangers| strangers.sign(&["localhost"]), Some("certificate_unknown_issuer")),
        (trusting, |brokers, _| brokers.sign_for_years(&["localhost"], 2020, 2021), Some("certificate_expired")),
        ("insecure: true", |_, strangers| strangers.sign_for_years(&["somebody"], 2020, 2021), None),
    ];
    for (block, made, refused) in cases {
        let (folder, brokers, _) = upstream_files();
        let world = World::serving(folder, "", block).await;
        assert!(world.proxy.status().virtual_clusters[0].upstream.tls);
        let asked = asked_through(&world, &broker(&made(&brokers, &strangers), None)).await;
        assert_eq!(asked.is_ok(), refused.is_none(), "{block}, {refused:?}: {asked:?}");
        if let Some(cause) = refused {
            world.failed("upstream", cause, 1).await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn upstream_that_wants_a_certificate_gets_ours() {
    let own = r#"ca: File("{}ca.pem"), client_certificate: (chain: "{}own.pem", key: "{}own.key")"#;
    for (block, lets_in) in [(own, true), (r#"ca: File("{}ca.pem")"#, false)] {
        let (folder, brokers, clients) = upstream_files();
        let world = World::serving(folder, "", block).await;
        let asked = asked_through(&world, &broker(&brokers.sign(&["localhost"]), Some(&clients))).await;
        assert_eq!(asked.is_ok(), lets_in, "{asked:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn other_trust_towards_upstream_takes_new_connections() {
    let (folder, brokers, _) = upstream_files();
    let block = r#"ca: File("{}ca.pem")"#;
    let world = World::serving(folder, "", block).await;
    let plan = |world: &World| {
        let at = world.upstream.local_addr().expect("bound");
        let text = configuration(&world.folder, at, world.ports, "", block);
        world.proxy.plan(&load::loaded(config::parse_str("test", &text).expect("valid"))).to_string()
    };
    assert_eq!(plan(&world), "no change\n");
    let others = Authority::new("others");
    world.folder.write("ca.pem", &others.pem);
    assert_eq!(plan(&world), "! virtual cluster c: drained and built anew\n    contents of upstream.tls.ca\n");
    assert!(
        asked_through(&world, &broker(&brokers.sign(&["localhost"]), None)).await.is_ok(),
        "the old one is in force"
    );
    assert_eq!(world.reload("", block).await.outcome, ReloadOutcome::Applied);
    assert!(asked_through(&world, &broker(&brokers.sign(&["localhost"]), None)).await.is_err());
    assert!(asked_through(&world, &broker(&others.sign(&["localhost"]), None)).await.is_ok());
    world.end().await;
}
