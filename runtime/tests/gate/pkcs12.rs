//! Certificates and keys in PKCS#12 files, as OpenSSL makes them: with today's algorithms, and with those of old tools.
//!
//! They stand here because they start processes: such a process holds, for a moment, ports that stories of TLS give back.

use super::*;
use certificates::Made;
use kroxy_core::status::ReloadOutcome;
use rustls::{ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use std::process::Command;
use tokio_rustls::TlsAcceptor;

const STORE: &str = r#"certificates: [(pkcs12: "{}a.p12", password_file: "{}a.password")]"#;

/// What OpenSSL makes unless told otherwise (AES-256, SHA-256), what tools of ten years ago made (RC2, 3DES, SHA-1), and 3DES for
/// both, as Java did.
const KINDS: [&[&str]; 3] =
    [&[], &["-legacy"], &["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]];

fn openssl(arguments: &[&str]) {
    let ran = Command::new("openssl").args(arguments).output().expect("openssl is there");
    assert!(ran.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Writes `a.p12` with this certificate, its key and whoever has signed it, and `a.password`.
fn store(folder: &Folder, made: &Made, authority: &Authority, password: &str, kind: &[&str]) {
    folder.write("made.pem", &made.chain);
    folder.write("made.key", &made.key);
    folder.write("authority.pem", &authority.pem);
    let (chain, key, signer) = (folder.path("made.pem"), folder.path("made.key"), folder.path("authority.pem"));
    let (out, password_argument) = (folder.path("a.p12"), format!("pass:{password}"));
    let usual = ["pkcs12", "-export", "-in", &chain, "-inkey", &key, "-certfile", &signer, "-out", &out];
    openssl(&[&usual[..], &["-passout", &password_argument], kind].concat());
    folder.write("a.password", &format!("{password}\n"));
}

/// The block `tls` of a gateway or of upstream, with `{}` for the folder of the files.
fn tls(folder: &Folder, fields: &str) -> String {
    format!("tls: ({}),", fields.replace("{}", &folder.path("")))
}

/// A request of this client's, and its answer.
async fn asks(client: &mut TlsStream<TcpStream>, upstream: &mut TcpStream) {
    client.write_all(HEARTBEAT).await.expect("writable");
    client.flush().await.expect("writable");
    take(upstream, HEARTBEAT).await;
    upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    take(client, HEARTBEAT_OK).await;
}

#[tokio::test]
async fn a_store_is_shown_to_clients_whoever_made_it() {
    for kind in KINDS {
        let (folder, servers) = (Folder::new(), Authority::new("servers"));
        store(&folder, &servers.sign_for_years(&["kroxy.example"], 2020, 2080), &servers, "ein Geheimnis äöü", kind);
        let world = World::new(More { gateway: &tls(&folder, STORE), ..More::default() }).await;
        let client = shake_hands(world.client().await, &servers, "kroxy.example").await;
        let client = client.unwrap_or_else(|e| panic!("{kind:?}: {e}"));
        let shown = client.get_ref().1.peer_certificates().expect("shown").len();
        assert_eq!(shown, 2, "the certificate, and whoever has signed it");
        let name = "kroxy_tls_certificate_not_after_seconds{certificate=\"gateways.g.tls.certificates[0]\",\
                    virtual_cluster=\"c\"}";
        world.counts_where(name, |at| at == 3_471_292_800).await; // 2080-01-01
        drop(client);
        world.end().await;
    }
}

#[tokio::test]
async fn a_store_is_shown_to_upstream() {
    let (folder, brokers, clients) = (Folder::new(), Authority::new("brokers"), Authority::new("clients"));
    folder.write("ca.pem", &brokers.pem);
    store(&folder, &clients.sign(&["kroxy"]), &clients, "", &[]);
    // An empty password needs no file.
    let fields = r#"ca: File("{}ca.pem"), server_name: "broker", client_certificate: (pkcs12: "{}a.p12")"#;
    let world = World::new(More { upstream: &tls(&folder, fields), ..More::default() }).await;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).expect("one")).expect("a root");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let broker = brokers.sign(&["broker"]);
    let certificate = CertificateDer::from_pem_slice(broker.chain.as_bytes()).expect("one");
    let key = PrivateKeyDer::from_pem_slice(broker.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("supported")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![certificate], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a pair")));

    let mut client = world.client().await;
    client.write_all(HEARTBEAT).await.expect("the proxy reads");
    let mut upstream = acceptor.accept(world.accept().await).await.expect("the proxy shows its certificate");
    take(&mut upstream, HEARTBEAT).await;
    drop((client, upstream));
    world.end().await;
}

#[tokio::test]
async fn a_renewed_store_with_another_password_is_for_new_handshakes() {
    let (folder, servers) = (Folder::new(), Authority::new("servers"));
    store(&folder, &servers.sign(&["kroxy.example"]), &servers, "old", &[]);
    let gateway = tls(&folder, STORE);
    let more = More { gateway: &gateway, ..More::default() };
    let world = World::new(more).await;
    let mut first = shake_hands(world.client().await, &servers, "kroxy.example").await.expect("served");
    first.write_all(HEARTBEAT).await.expect("writable");
    first.flush().await.expect("writable");
    let mut behind = world.asked().await;
    behind.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    take(&mut first, HEARTBEAT_OK).await;

    store(&folder, &servers.sign(&["kroxy.example", "renewed.example"]), &servers, "new", &[]);
    assert_eq!(world.reloaded(more).await.outcome, ReloadOutcome::Applied);
    asks(&mut first, &mut behind).await; // it notices nothing
    shake_hands(world.client().await, &servers, "renewed.example").await.expect("the new one is shown");

    // A file that is broken now leaves the last good one in force.
    folder.write("a.password", "another");
    let report = world.reloaded(more).await;
    assert_eq!(report.outcome, ReloadOutcome::Failed, "{report:?}");
    assert!(format!("{report:?}").contains("a.password does not open"), "{report:?}");
    shake_hands(world.client().await, &servers, "renewed.example").await.expect("still");
    asks(&mut first, &mut behind).await;
    drop(first);
    world.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_store_is_the_reason_why_its_cluster_has_failed() {
    let servers = Authority::new("servers");
    type Spoil = fn(&Folder, &Authority);
    let with_password = STORE;
    let without = r#"certificates: [(pkcs12: "{}a.p12")]"#;
    let cases: [(Spoil, &str, &str); 8] = [
        (
            |f, _| _ = f.write("a.password", "guess"),
            with_password,
            "the password in {}a.password does not open {}a.p12",
        ),
        (|_, _| {}, without, "{}a.p12 has a password, and no `password_file` says it"),
        (
            |f, _| std::fs::remove_file(f.path("a.password")).expect("there"),
            with_password,
            "a.password cannot be read: No such",
        ),
        (|f, _| _ = f.write("a.p12", "nothing"), with_password, "{}a.p12 is no PKCS#12 file"),
        (|f, a| _ = f.write("a.p12", &a.pem), with_password, "it is PEM, which goes to `chain` and `key`"),
        (
            |f, _| {
                let (trusted, out) = (f.path("authority.pem"), f.path("a.p12"));
                openssl(&["pkcs12", "-export", "-nokeys", "-in", &trusted, "-out", &out, "-passout", "pass:secret"]);
            },
            with_password,
            "{}a.p12 has no private key",
        ),
        (
            |f, a| store(f, &a.sign_for_years(&["old.example"], 2020, 2021), a, "secret", &[]),
            with_password,
            "the certificate of CN=old.example in {}a.p12 has expired: it was valid until 2021-01-01T00:00:00Z",
        ),
        (
            |f, _| {
                let (key, out) = (f.path("made.key"), f.path("a.p12"));
                openssl(&["pkcs12", "-export", "-nocerts", "-inkey", &key, "-out", &out, "-passout", "pass:secret"]);
            },
            with_password,
            "{}a.p12 has no certificate, only a private key",
        ),
    ];
    for (spoil, fields, why) in cases {
        let folder = Folder::new();
        store(&folder, &servers.sign(&["kroxy.example"]), &servers, "secret", &[]);
        spoil(&folder, &servers);
        let world = World::starting(More { gateway: &tls(&folder, fields), ..More::default() }).await;
        world.comes_to(ClusterState::Failed).await;
        let why = why.replace("{}", &folder.path(""));
        let reason = world.proxy.status().virtual_clusters[0].reason.clone().expect("a reason").join(": ");
        assert!(reason.contains(&why), "{reason}\nwhere this was expected:\n{why}");
        assert!(!reason.contains("secret") && !reason.contains("guess"), "{reason}");
        world.end().await;
    }
}
