//! TLS towards clients: versions, suites, certificates on either side, and handshakes that come to nothing.

use crate::{
    BOTH, PAIR, PATIENCE, World, answer_all, ask,
    certificates::{Authority, keep},
    client_config, connect,
    frames::HEARTBEAT,
    gateway_files, served,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

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
