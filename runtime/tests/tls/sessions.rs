//! Clients that come again: without signatures, as long as nothing was reloaded.

use crate::{BOTH, PAIR, World, answer_all, ask, client_config, connect, gateway_files, served};
use kroxy_core::status::ReloadOutcome;
use rustls::{ClientConfig, HandshakeKind};
use std::sync::Arc;

/// How a client that may have been here before shakes hands, and asks something.
async fn shaken(world: &World, config: &Arc<ClientConfig>) -> HandshakeKind {
    let work = async {
        let mut client = connect(world.clients_at, config.clone(), "kroxy.example").await.expect("let in");
        ask(&mut client).await.expect("served"); // what it needs to come again arrives before the answer
        client.get_ref().1.handshake_kind().expect("shaken hands")
    };
    tokio::select! {
        biased;
        kind = work => kind,
        () = answer_all(&world.upstream) => unreachable!("it ends never"),
    }
}

#[tokio::test]
async fn a_client_that_comes_again_resumes_however_many_came_in_between() {
    const OTHERS: usize = 300; // more than rustls remembers by itself
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let (folder, servers, _) = gateway_files();
        let world = World::serving(folder, PAIR, "").await;
        let config = || Arc::new(client_config(&servers, None, versions));
        let (client, is_full) = (config(), |kind| kind != HandshakeKind::Resumed);
        assert!(is_full(shaken(&world, &client).await), "nobody knows it yet");
        assert_eq!(shaken(&world, &client).await, HandshakeKind::Resumed);
        for _ in 0..OTHERS {
            assert!(is_full(shaken(&world, &config()).await));
        }
        assert_eq!(shaken(&world, &client).await, HandshakeKind::Resumed);
        world.end().await;
    }
}

#[tokio::test]
async fn who_could_resume_is_judged_anew_after_a_reload() {
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let (folder, servers, _) = gateway_files();
        let world = World::serving(folder, PAIR, "").await;
        let client = Arc::new(client_config(&servers, None, versions));
        shaken(&world, &client).await;
        assert_eq!(shaken(&world, &client).await, HandshakeKind::Resumed);
        let report = world.reload(&format!(r#"{PAIR}, client_auth: Required(ca: "{{}}clients.pem")"#), "").await;
        assert_eq!(report.outcome, ReloadOutcome::Applied);
        assert!(served(&world, client).await.is_err(), "it has no certificate to show");
        world.end().await;
    }
}
