//! TLS on both sides of the proxy, on real sockets: who is let in, who is believed, and what a reload changes.

#[path = "../certificates/mod.rs"]
mod certificates;
#[path = "../folder/mod.rs"]
mod folder;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../ports/mod.rs"]
mod ports;
mod principals;
mod sni;

use certificates::{Authority, Made, keep};
use folder::Folder;
use frames::{HEARTBEAT, HEARTBEAT_OK};
use kroxy_core::{
    proxy::Trigger,
    status::{ClusterState, ReloadOutcome},
};
use ports::free_port;
use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Lifetime, Proxy, Source},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Long enough for a machine under load, short enough to notice what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy with one virtual cluster in front of an upstream that the test plays.
struct World {
    folder: Folder,
    proxy: Proxy<OsNet>,
    lifetime: Lifetime<OsNet>,
    upstream: TcpListener,
    clients_at: SocketAddr,
    ports: (u16, u16),
}

impl World {
    /// `clients` and `upstream` are what stands in the blocks `tls`, where `{}` is the folder of the files; empty is no TLS.
    async fn new(folder: Folder, clients: &str, upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let ports = (free_port(), free_port());
        let text = configuration(&folder, listener.local_addr().expect("bound"), ports, clients, upstream);
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        let proxy = Proxy::new(loaded, Source::memory(), OsNet, Clock::system(), 1);
        let lifetime = proxy.startup().expect("a new proxy can be started");
        let clients_at = SocketAddr::from(([127, 0, 0, 1], ports.0));
        Self { folder, proxy, lifetime, upstream: listener, clients_at, ports }
    }

    async fn serving(folder: Folder, clients: &str, upstream: &str) -> Self {
        let world = Self::new(folder, clients, upstream).await;
        timeout(PATIENCE, world.comes_to(ClusterState::Serving)).await.expect("in time");
        world
    }

    async fn comes_to(&self, state: ClusterState) {
        let mut events = self.proxy.events();
        while self.proxy.status().virtual_clusters[0].state != state {
            let _ = events.recv().await; // whatever it was, the state is looked at again
        }
    }

    /// Reloads with these blocks, whatever their files hold now.
    async fn reload(&self, clients: &str, upstream: &str) -> kroxy_core::status::ReloadReport {
        let at = self.upstream.local_addr().expect("bound");
        let text = configuration(&self.folder, at, self.ports, clients, upstream);
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        timeout(PATIENCE, self.proxy.reload(Trigger::Api, loaded)).await.expect("in time").expect("not busy")
    }

    fn metric(&self, line: &str) -> bool {
        self.proxy.metrics().text(&self.proxy.status()).lines().any(|l| l.starts_with(line))
    }

    /// Waits until so many handshakes have failed for this cause: that is counted when the alert has had its time.
    async fn failed(&self, leg: &str, cause: &str, times: u32) {
        let line = format!(
            "kroxy_tls_handshake_failures_total{{cause=\"{cause}\",leg=\"{leg}\",virtual_cluster=\"c\"}} {times}"
        );
        let counted = async {
            while !self.metric(&line) {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, counted).await.is_ok(), "{line}");
    }

    async fn end(self) {
        self.proxy.shutdown("the test is over");
        let ended = timeout(PATIENCE, self.lifetime).await.expect("it stops in time");
        assert_eq!(ended, Ok(()));
    }
}

fn configuration(folder: &Folder, upstream_at: SocketAddr, ports: (u16, u16), clients: &str, upstream: &str) -> String {
    let block = |text: &str| match text {
        "" => String::new(),
        text => format!("tls: ({}),", text.replace("{}", &folder.path(""))),
    };
    let ((bootstrap, node), clients, upstream) = (ports, block(clients), block(upstream));
    format!(
        r#"(admin: (bind: "127.0.0.1:0"), on_virtual_cluster_failure: (serve: Remaining),
        virtual_clusters: [(name: "c", drain_timeout: "5s",
        upstream: (bootstrap_servers: ["localhost:{port}"], {upstream}),
        gateways: [(name: "g", {clients} port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1",
        bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})]))])])"#,
        port = upstream_at.port()
    )
}

/// A client that trusts one authority and may show a certificate.
fn client_config(
    trusts: &Authority,
    shows: Option<&Made>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusts.pem.as_bytes()).expect("a certificate")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("supported")
        .with_root_certificates(roots);
    match shows {
        None => builder.with_no_client_auth(),
        Some(made) => builder.with_client_auth_cert(chain(made), key(made)).expect("a pair"),
    }
}

fn chain(made: &Made) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(made.chain.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}

fn key(made: &Made) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(made.key.as_bytes()).expect("a key")
}

async fn connect(at: SocketAddr, config: ClientConfig, name: &str) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("in time")
}

/// Sends a request and takes the answer; the upstream is played beside it.
async fn ask<S: AsyncReadExt + AsyncWriteExt + Unpin>(client: &mut S) -> io::Result<()> {
    client.write_all(HEARTBEAT).await?;
    client.flush().await?;
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time")?;
    assert_eq!(answer, HEARTBEAT_OK);
    Ok(())
}

/// Answers every request of one connection, until it is closed.
async fn answer<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S) {
    let mut request = vec![0; HEARTBEAT.len()];
    while stream.read_exact(&mut request).await.is_ok() {
        stream.write_all(HEARTBEAT_OK).await.expect("writable");
        stream.flush().await.expect("writable");
    }
}

/// A plain broker.
async fn answer_all(listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        connections.spawn(async move { answer(&mut stream).await });
    }
}

/// What upstream is: a broker with this certificate, which wants one of the proxy where an authority is given.
fn broker(made: &Made, wants: Option<&Authority>) -> TlsAcceptor {
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

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

/// One request of a new client, with a plain upstream behind the proxy.
async fn served(world: &World, config: ClientConfig) -> io::Result<()> {
    let work = async {
        let mut client = connect(world.clients_at, config, "kroxy.example").await?;
        ask(&mut client).await
    };
    tokio::select! {
        biased;
        done = work => done,
        () = answer_all(&world.upstream) => unreachable!("it ends never"),
    }
}

#[tokio::test]
async fn a_client_with_no_suite_in_common_is_told_so() {
    let (folder, servers, _) = gateway_files();
    // The certificate has an ECDSA key.
    let suites = r#"versions: [Tls12], cipher_suites: ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]"#;
    let world = World::serving(folder, &format!("{PAIR}, {suites}"), "").await;
    let connected = connect(world.clients_at, client_config(&servers, None, BOTH), "kroxy.example").await;
    let refused = connected.expect_err("nothing in common");
    assert!(refused.to_string().contains("HandshakeFailure"), "{refused}");
    world.failed("client", "incompatible", 1).await;
    world.end().await;
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

/// Files of a gateway: `a.pem` and `a.key` for `kroxy.example`, `clients.pem` with those who sign clients.
fn gateway_files() -> (Folder, Authority, Authority) {
    let (folder, servers, clients) = (Folder::new(), Authority::new("servers"), Authority::new("clients"));
    keep(&folder, "a", &servers.sign(&["kroxy.example"]));
    folder.write("clients.pem", &clients.pem);
    (folder, servers, clients)
}

const PAIR: &str = r#"certificates: [(chain: "{}a.pem", key: "{}a.key")]"#;

#[tokio::test]
async fn clients_are_served_with_the_versions_that_are_wanted_and_no_others() {
    let tls12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let tls13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    for (versions, with_12, with_13) in [("Tls12, Tls13", true, true), ("Tls12", true, false), ("Tls13", false, true)] {
        let (folder, servers, _) = gateway_files();
        let world = World::serving(folder, &format!("{PAIR}, versions: [{versions}]"), "").await;
        assert_eq!(served(&world, client_config(&servers, None, tls12)).await.is_ok(), with_12, "{versions}");
        assert_eq!(served(&world, client_config(&servers, None, tls13)).await.is_ok(), with_13, "{versions}");
        if !(with_12 && with_13) {
            world.failed("client", "incompatible", 1).await;
        }
        assert!(world.proxy.status().virtual_clusters[0].gateways[0].tls);
        world.end().await;
    }
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_as_configured_and_a_bad_one_never_passes() {
    let (good, bad, none) = (0, 1, 2);
    for (auth, lets_in) in [
        ("None", [true, true, true]),
        (r#"Requested(ca: "{}clients.pem")"#, [true, false, true]),
        (r#"Required(ca: "{}clients.pem")"#, [true, false, false]),
    ] {
        let (folder, servers, clients) = gateway_files();
        let strangers = Authority::new("strangers");
        let world = World::serving(folder, &format!("{PAIR}, client_auth: {auth}"), "").await;
        for versions in [&BOTH[..1], &BOTH[1..]] {
            let shown = [Some(clients.sign(&["alice"])), Some(strangers.sign(&["mallory"])), None];
            for which in [good, bad, none] {
                let served = served(&world, client_config(&servers, shown[which].as_ref(), versions)).await;
                assert_eq!(served.is_ok(), lets_in[which], "{auth}, {which}: {served:?}");
            }
            let expired = clients.sign_for_years(&["bob"], 2020, 2021);
            let served = served(&world, client_config(&servers, Some(&expired), versions)).await;
            assert_eq!(served.is_ok(), lets_in[bad], "{auth}: {served:?}");
        }
        if !lets_in[bad] {
            world.failed("client", "certificate_unknown_issuer", 2).await;
            world.failed("client", "certificate_expired", 2).await;
        }
        if !lets_in[none] {
            world.failed("client", "no_certificate", 2).await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn of_several_certificates_a_client_gets_the_one_for_the_name_that_it_asks_for() {
    let (folder, servers, _) = gateway_files();
    keep(&folder, "b", &servers.sign(&["other.example", "*.wild.example"]));
    let two = r#"certificates: [(chain: "{}a.pem", key: "{}a.key"), (chain: "{}b.pem", key: "{}b.key")]"#;
    let world = World::serving(folder, two, "").await;
    for name in ["kroxy.example", "other.example", "any.wild.example"] {
        let connected = connect(world.clients_at, client_config(&servers, None, BOTH), name).await;
        assert!(connected.is_ok(), "{name}: {connected:?}");
    }
    let stranger = connect(world.clients_at, client_config(&servers, None, BOTH), "third.example").await;
    assert!(stranger.is_err_and(|e| e.to_string().contains("kroxy.example")), "the first, which the client refuses");
    world.end().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_or_is_none_is_cut_off_and_counted() {
    let (folder, _, _) = gateway_files();
    let world = World::serving(folder, &format!("{PAIR}, handshake_timeout: \"100ms\""), "").await;
    let mut silent = TcpStream::connect(world.clients_at).await.expect("listens");
    let mut plain = TcpStream::connect(world.clients_at).await.expect("listens");
    plain.write_all(HEARTBEAT).await.expect("writable");
    for client in [&mut plain, &mut silent] {
        let mut left = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut left)).await.expect("closed in time").expect("closed cleanly");
        client.shutdown().await.expect("closable");
    }
    drop((plain, silent));
    world.failed("client", "timeout", 1).await;
    world.failed("client", "not_tls", 1).await;
    assert!(timeout(Duration::ZERO, world.upstream.accept()).await.is_err(), "upstream has heard nothing");
    world.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_the_reason_why_its_cluster_has_failed() {
    let servers = Authority::new("servers");
    let other = servers.sign(&["other.example"]);
    type Spoil = fn(&Folder, &Authority, &Made);
    let cases: [(Spoil, &str); 8] = [
        (|f, _, _| std::fs::remove_file(f.path("a.key")).expect("there"), "a.key cannot be read: No such file"),
        (
            |f, _, _| _ = f.write("a.pem", ""),
            "a.pem has no certificate: there is no `-----BEGIN CERTIFICATE-----` in it",
        ),
        (|f, _, o| _ = f.write("a.key", &o.chain), "a.key has no private key"),
        (|f, _, o| _ = f.write("a.pem", &o.key), "but there is a private key"),
        (|f, _, o| _ = f.write("a.key", &o.key), "a.key does not belong to the certificate of CN=kroxy.example in "),
        (
            |f, a, _| keep(f, "a", &a.sign_for_years(&["old.example"], 2020, 2021)),
            "CN=old.example in {}a.pem has expired: it was valid until 2021-01-01T00:00:00Z",
        ),
        (
            |f, a, _| keep(f, "a", &a.sign_for_years(&["new.example"], 2080, 2081)),
            "CN=new.example in {}a.pem is not yet valid: it will be from 2080-01-01T00:00:00Z on",
        ),
        (
            |f, _, _| _ = f.write("a.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "certificate 1 in {}a.pem is none",
        ),
    ];
    for (spoil, why) in cases {
        let folder = Folder::new();
        keep(&folder, "a", &servers.sign(&["kroxy.example"]));
        spoil(&folder, &servers, &other);
        let world = World::new(folder, PAIR, "").await;
        timeout(PATIENCE, world.comes_to(ClusterState::Failed)).await.expect("in time");
        let why = why.replace("{}", &world.folder.path(""));
        let reason = world.proxy.status().virtual_clusters[0].reason.clone().expect("a reason").join(": ");
        assert!(reason.contains(&why), "{reason}\nwhere this was expected:\n{why}");
        keep(&world.folder, "a", &servers.sign(&["kroxy.example"]));
        let report = world.reload(PAIR, "").await;
        assert_eq!(report.outcome, ReloadOutcome::Applied, "a mended file is enough");
        world.end().await;
    }
}

/// The proxy's own client certificate and those whom it believes, and the upstream's side of both.
fn upstream_files() -> (Folder, Authority, Authority) {
    let (folder, brokers, clients) = (Folder::new(), Authority::new("brokers"), Authority::new("clients"));
    folder.write("ca.pem", &brokers.pem);
    keep(&folder, "own", &clients.sign(&["kroxy"]));
    (folder, brokers, clients)
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

fn shown_to(client: &client::TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = client.get_ref();
    session.peer_certificates().expect("shaken hands")[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_swapped_under_load_and_nobody_is_disconnected() {
    let (folder, servers, _) = gateway_files();
    let world = World::serving(folder, PAIR, "").await;
    let work = async {
        let mut clients = JoinSet::new();
        let (stop, stopped) = watch::channel(false);
        for _ in 0..8 {
            let connected = connect(world.clients_at, client_config(&servers, None, BOTH), "kroxy.example").await;
            let (mut client, stopped) = (connected.expect("served"), stopped.clone());
            clients.spawn(async move {
                let mut asked = 0;
                while !*stopped.borrow() {
                    ask(&mut client).await.expect("it stays connected");
                    asked += 1;
                }
                asked
            });
        }
        for _ in 0..5 {
            let made = servers.sign(&["kroxy.example"]);
            keep(&world.folder, "a", &made);
            assert_eq!(world.reload(PAIR, "").await.outcome, ReloadOutcome::Applied);
            let fresh = connect(world.clients_at, client_config(&servers, None, BOTH), "kroxy.example").await;
            assert_eq!(shown_to(&fresh.expect("served")), chain(&made)[0], "the first handshake after the reload");
        }
        assert_eq!(world.reload(PAIR, "").await.outcome, ReloadOutcome::Unchanged);
        stop.send_replace(true);
        while let Some(asked) = clients.join_next().await {
            assert!(asked.expect("no client failed") > 0);
        }
    };
    tokio::select! {
        biased;
        () = work => {}
        () = answer_all(&world.upstream) => unreachable!("it ends never"),
    }
    world.end().await;
}

#[tokio::test]
async fn when_certificates_expire_is_seen_and_follows_a_reload() {
    let (folder, servers, _) = gateway_files();
    keep(&folder, "a", &servers.sign_for_years(&["kroxy.example"], 2020, 2080));
    let world = World::serving(folder, PAIR, "").await;
    let line = "kroxy_tls_certificate_not_after_seconds{certificate=\"gateways.g.tls.certificates[0]\",\
                virtual_cluster=\"c\"}";
    assert!(world.metric(&format!("{line} 3471292800")), "2080-01-01");
    keep(&world.folder, "a", &servers.sign_for_years(&["kroxy.example"], 2020, 2081));
    assert_eq!(world.reload(PAIR, "").await.outcome, ReloadOutcome::Applied);
    assert!(world.metric(&format!("{line} 3502915200")), "2081-01-01");
    let shown = &world.proxy.status().virtual_clusters[0].certificates[0];
    assert_eq!((shown.subject.as_str(), shown.not_after_unix_ms), ("CN=kroxy.example", 3_502_915_200_000));
    world.end().await;
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_certificate_in_force_and_the_report_says_why() {
    let (folder, servers, _) = gateway_files();
    let world = World::serving(folder, PAIR, "").await;
    let first = connect(world.clients_at, client_config(&servers, None, BOTH), "kroxy.example").await.expect("served");
    world.folder.write("a.pem", "nothing");
    let report = world.reload(PAIR, "").await;
    assert_eq!(report.outcome, ReloadOutcome::Failed, "{report:?}");
    assert!(format!("{report:?}").contains("a.pem has no certificate"), "{report:?}");
    let second = connect(world.clients_at, client_config(&servers, None, BOTH), "kroxy.example").await.expect("served");
    assert_eq!(shown_to(&first), shown_to(&second));
    world.end().await;
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

#[tokio::test]
async fn a_drain_says_close_notify_before_it_closes() {
    let (folder, servers, _) = gateway_files();
    let world = World::serving(folder, PAIR, "").await;
    let mut client =
        connect(world.clients_at, client_config(&servers, None, BOTH), "kroxy.example").await.expect("served");
    let work = async {
        ask(&mut client).await.expect("the handshake is over on both sides");
        let mut plain = Vec::new();
        let (drained, read) = tokio::join!(world.proxy.drain("c".parse().expect("a name")), async {
            // rustls gives an error where the connection ends without `close_notify`.
            let read = timeout(PATIENCE, client.read_to_end(&mut plain)).await.expect("in time");
            client.shutdown().await.expect("closable");
            read
        });
        assert_eq!(drained, Ok(()));
        assert_eq!(read.expect("close_notify"), 0);
    };
    tokio::select! {
        biased;
        () = work => {}
        () = answer_all(&world.upstream) => unreachable!("it ends never"),
    }
    drop(client);
    world.end().await;
}
