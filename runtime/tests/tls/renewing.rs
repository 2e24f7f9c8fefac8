//! Files that are wrong, are mended, are renewed under load, or expire.

use crate::{
    BOTH, PAIR, PATIENCE, World, answer_all, ask,
    certificates::{Authority, Made, keep},
    chain, client_config, connect,
    folder::Folder,
    gateway_files,
};
use kroxy_core::status::{ClusterState, ReloadOutcome};
use rustls::pki_types::CertificateDer;
use tokio::{net::TcpStream, sync::watch, task::JoinSet, time::timeout};
use tokio_rustls::client;

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
