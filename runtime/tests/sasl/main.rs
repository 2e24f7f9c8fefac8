//! SASL that ends at the proxy, and the proxy's own login, on real sockets.

mod broker;
#[expect(dead_code, reason = "the stories of TLS need more of it")]
#[path = "../certificates/mod.rs"]
mod certificates;
#[expect(dead_code, reason = "the stories of TLS need more of it")]
#[path = "../folder/mod.rs"]
mod folder;
#[expect(dead_code, reason = "the stories of addresses need more of it")]
#[path = "../frames/mod.rs"]
mod frames;
mod idp;
#[path = "../ports/mod.rs"]
mod ports;
mod tokens;
mod world;

use kroxy_core::{
    sasl::{Mechanism, login::LoginError},
    status::{ReloadAction, ReloadOutcome},
};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use world::{World, password, plain, scram};

/// Clients with SCRAM in front, PLAIN behind.
const SWAP: &str = r#"sasl: (mechanisms: ["SCRAM-SHA-512", "PLAIN"], credentials: "USERS"),"#;
const PLAIN_UPSTREAM: &str = r#"sasl: (mechanism: "PLAIN", username: "kroxy", password_file: "PASSWORD")"#;

const LIVE: (ReloadOutcome, ReloadAction) = (ReloadOutcome::Applied, ReloadAction::Live);

fn refused(ended: &Result<(), LoginError>) -> bool {
    matches!(ended, Err(LoginError::Refused { error: 58, .. }))
}

#[tokio::test]
async fn credentials_are_swapped() {
    let world = World::new(SWAP, PLAIN_UPSTREAM).await;
    for exchange in [scram("alice", "pencil"), plain("alice", "pencil")] {
        let mut client = world.client().await;
        client.log_in(exchange).await.expect("alice is let in");
        client.ask().await;
        client.ask().await;
        let status = world.status();
        let [shown] = &status.clients[..] else { panic!("one client: {:?}", status.clients) };
        assert_eq!(shown.principal.as_deref(), Some("alice"));
        assert_eq!(world.broker.logged_in(), ["kroxy"], "upstream knows the proxy alone");
        let login = (status.upstream.user.as_deref(), status.upstream.sasl_mechanism.as_deref());
        assert_eq!(login, (Some("kroxy"), Some("PLAIN")));
    }
    assert_eq!(world.counted("kroxy_sasl_authentications_total", r#"mechanism="PLAIN",outcome="accepted""#), 1);
    assert_eq!(world.counted("kroxy_sasl_authentications_total", r#"mechanism="SCRAM-SHA-512",outcome="accepted""#), 1);
    assert_eq!(world.counted("kroxy_sasl_logins_total", r#"outcome="accepted""#), 2);
    world.stop().await;
}

#[tokio::test]
async fn who_does_not_know_the_password_is_not_let_in_and_upstream_hears_nothing() {
    let world = World::new(SWAP, PLAIN_UPSTREAM).await;
    for exchange in [scram("alice", "wrong"), scram("nobody", "pencil"), plain("alice", "wrong")] {
        let mut client = world.client().await;
        let ended = client.log_in(exchange).await;
        assert!(refused(&ended), "{ended:?}");
        assert!(client.is_closed().await);
    }
    let mut client = world.client().await;
    client.log_in(scram("alice", "pencil")).await.expect("who knows it is let in all the while");
    client.ask().await;
    assert_eq!(world.broker.logged_in(), ["kroxy"]);
    let mut stranger = world.client().await;
    stranger.say_only().await;
    assert!(stranger.is_closed().await, "nothing is relayed for whom nobody knows");
    assert_eq!(world.broker.connections(), 1);
    assert_eq!(world.counted("kroxy_sasl_authentications_total", r#"mechanism="SCRAM-SHA-512",outcome="refused""#), 2);
    world.ended_by("authentication_failed", 3).await;
    world.stop().await;
}

#[tokio::test]
async fn who_does_not_say_who_it_is_in_time_is_closed() {
    let world = World::new(&SWAP.replace("),", r#", authentication_timeout: "50ms"),"#), PLAIN_UPSTREAM).await;
    assert!(world.client().await.is_closed().await);
    world.ended_by("authentication_timeout", 1).await;
    assert_eq!(world.counted("kroxy_limit_reached_total", r#"limit="authentication_timeout""#), 1);
    world.stop().await;
}

#[tokio::test]
async fn the_proxy_alone_logs_in() {
    let world = World::new("", PLAIN_UPSTREAM).await;
    let mut client = world.client().await;
    client.ask().await;
    assert_eq!(world.broker.logged_in(), ["kroxy"]);
    let ended = client.log_in(plain("alice", "pencil")).await;
    assert!(matches!(ended, Err(LoginError::Refused { mechanism: Mechanism::Plain, error: 34, .. })), "{ended:?}");
    client.ask().await;
    world.stop().await;
}

#[tokio::test]
async fn clients_alone_are_asked() {
    let world = World::new(SWAP, "").await;
    let mut client = world.client().await;
    client.log_in(scram("alice", "pencil")).await.expect("let in");
    client.ask().await;
    assert_eq!(world.broker.logged_in(), [""; 0]);
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_password_of_the_proxy_is_told_and_mended_by_a_reload() {
    let world = World::new("", PLAIN_UPSTREAM).await;
    world.write_password("wrong\n");
    world.reload().await;
    let mut client = world.client().await;
    client.say_only().await;
    assert!(client.is_closed().await);
    assert_eq!(world.counted("kroxy_sasl_logins_total", r#"outcome="refused""#), 1);
    world.ended_by("upstream_login_failed", 1).await;
    world.write_password(password());
    assert_eq!(world.reload().await, LIVE, "a password is for the next login");
    world.client().await.ask().await;
    world.stop().await;
}

#[tokio::test]
async fn whoever_wants_a_node_that_nobody_has_told_of_has_the_proxy_log_in_to_ask() {
    let world = World::new("", PLAIN_UPSTREAM).await;
    let mut client = world.client_of_node().await;
    client.ask().await;
    assert_eq!(world.broker.logged_in(), ["kroxy", "kroxy"], "once to ask, and once for the client");
    world.stop().await;
}

#[tokio::test]
async fn users_come_and_go_by_a_reload_while_connections_stay() {
    let world = World::new(SWAP, PLAIN_UPSTREAM).await;
    let mut alice = world.client().await;
    alice.log_in(scram("alice", "pencil")).await.expect("let in");
    alice.ask().await;
    world.write_users(&[("bob", "chalk")]);
    assert_eq!(world.reload().await, LIVE);
    alice.ask().await;
    assert!(refused(&alice.log_in(scram("alice", "pencil")).await), "alice is nobody any more");
    let mut bob = world.client().await;
    bob.log_in(scram("bob", "chalk")).await.expect("let in");
    bob.ask().await;
    world.write_users(&[]);
    assert_eq!(world.reload().await.0, ReloadOutcome::Failed, "a file without anybody is a mistake");
    bob.log_in(scram("bob", "chalk")).await.expect("what was in force stays");
    world.stop().await;
}

#[tokio::test]
async fn sessions_end_unless_they_are_renewed_on_either_leg() {
    let sessions = SWAP.replace("),", r#", session_max: "1500ms"),"#);
    let world = World::new(&sessions, PLAIN_UPSTREAM).await;
    world.broker.limit_sessions_ms(1_000);
    let mut client = world.client().await;
    let (began, mut renewed) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(2_500) {
        client.log_in(scram("alice", "pencil")).await.expect("still alice");
        renewed += 1;
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(400) {
            client.ask().await; // the broker closes what asks after its session's end
            sleep(Duration::from_millis(10)).await;
        }
    }
    let logins = world.broker.logged_in().len();
    assert!(renewed > 2 && logins > 2, "{renewed} of the client, {logins} of the proxy");
    assert_eq!(world.broker.connections(), 1);
    sleep(Duration::from_millis(1_510)).await;
    client.say_only().await;
    assert!(client.is_closed().await);
    world.ended_by("session_expired", 1).await;
    world.stop().await;
}

#[tokio::test]
async fn nothing_that_can_be_asked_for_shows_a_secret() {
    let world = World::new(SWAP, PLAIN_UPSTREAM).await;
    let mut client = world.client().await;
    client.log_in(scram("alice", "pencil")).await.expect("let in");
    client.ask().await;
    assert!(refused(&world.client().await.log_in(plain("alice", "pencil-box")).await));
    let shown = format!("{:?}{}{:?}", world.status(), world.metrics(), world.proxy());
    for secret in ["pencil", password().trim_end()] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    world.stop().await;
}
