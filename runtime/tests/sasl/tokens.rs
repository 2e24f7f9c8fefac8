//! Bearer tokens: of clients, judged by the keys of their issuer, and of the proxy itself.

use crate::{
    certificates::Authority,
    idp::{Idp, Key},
    world::World,
};
use kroxy_core::{
    reload::Secret,
    sasl::{client::Exchange, login::LoginError},
};

fn bearer(token: String) -> Exchange {
    Exchange::bearer(&Secret(token.into()))
}

fn refused(ended: &Result<(), LoginError>) -> bool {
    matches!(ended, Err(LoginError::Refused { error: 58, said: Some(said), .. }) if said == r#"{"status":"invalid_token"}"#)
}

const BY_TOKENS: &str =
    r#"sasl: (mechanisms: ["OAUTHBEARER"], oauth: (keys: KEYS, issuer: "idp", audiences: ["kafka"])),"#;

#[tokio::test]
async fn a_token_lets_in_for_as_long_as_it_holds() {
    let idp = Idp::new().await;
    let key = Key::new("k1", 1);
    idp.answer("/jwks", Some(&key.set()));
    let sasl = BY_TOKENS.replace("KEYS", &format!(r#"Url("http://{}/jwks")"#, idp.at));
    let world = World::new(&sasl, "").await;
    assert_eq!(idp.asked(), [""; 0], "nobody is asked before there is somebody to judge");
    let mut client = world.client().await;
    client.log_in(bearer(key.token("alice", 600))).await.expect("let in");
    client.ask().await;
    assert_eq!(world.status().clients[0].principal.as_deref(), Some("alice"));
    let mut late = world.client().await;
    assert!(refused(&late.log_in(bearer(Key::new("k1", 2).token("mallory", 600))).await), "another key of that name");
    assert!(late.is_closed().await);
    assert_eq!(idp.asked().len(), 1, "keys are kept");
    world.stop().await;
}

#[tokio::test]
async fn keys_that_are_new_are_fetched_when_they_are_met_and_old_ones_outlive_the_issuer() {
    let idp = Idp::new().await;
    let (old, new) = (Key::new("k1", 1), Key::new("k2", 2));
    idp.answer("/jwks", None);
    let keys = format!(r#"Url("http://{}/jwks")"#, idp.at);
    let world = World::new(&BY_TOKENS.replace("KEYS", &keys), "").await;
    let mut early = world.client().await;
    early.say_who(bearer(old.token("alice", 600))).await;
    assert!(early.is_closed_after_handshake().await, "who cannot be judged is no liar: it may try again");
    world.ended_by("authentication_unavailable", 1).await;

    idp.answer("/jwks", Some(&old.set()));
    world.until_lets_in(|| bearer(old.token("alice", 600))).await;
    idp.answer("/jwks", Some(&new.set()));
    world.reload_touched().await;
    world.client().await.log_in(bearer(new.token("alice", 600))).await.expect("its key is fetched");
    idp.answer("/jwks", None);
    world.client().await.log_in(bearer(new.token("alice", 600))).await.expect("what was fetched holds");
    assert!(refused(&world.client().await.log_in(bearer(old.token("alice", 600))).await), "and what is gone is gone");
    world.stop().await;
}

#[tokio::test]
async fn keys_in_a_file_are_for_tokens_to_come() {
    let (old, new) = (Key::new("k1", 1), Key::new("k2", 2));
    let world = World::with_file(&BY_TOKENS.replace("KEYS", r#"File("jwks.json")"#), "", "jwks.json", &old.set()).await;
    world.client().await.log_in(bearer(old.token("alice", 600))).await.expect("let in");
    world.write("jwks.json", &new.set());
    assert_eq!(world.reload().await, crate::LIVE);
    assert!(refused(&world.client().await.log_in(bearer(old.token("alice", 600))).await));
    world.client().await.log_in(bearer(new.token("alice", 600))).await.expect("let in");
    world.stop().await;
}

#[tokio::test]
async fn one_token_of_the_proxy_serves_all_its_connections() {
    let idp = Idp::new().await;
    let key = Key::new("k1", 1);
    let granted = |seconds: u64| {
        format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":{seconds}}}"#, key.token("kroxy", 600))
    };
    idp.answer("/token", Some(&granted(600)));
    let upstream = format!(
        r#"sasl: (mechanism: "OAUTHBEARER", oauth: (endpoint: "http://{}/token", client_id: "kro xy",
        client_secret_file: "PASSWORD", scope: "kafka"))"#,
        idp.at
    );
    let world = World::new("", &upstream).await;
    world.broker.believe(&key.set(), "idp");
    for _ in 0..3 {
        world.client().await.ask().await;
    }
    assert_eq!(world.broker.logged_in(), ["kroxy"; 3]);
    let asked = idp.asked();
    let [asked] = &asked[..] else { panic!("asked once: {asked:?}") };
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Basic a3JvK3h5Om9wZW4tc2VzYW1l\r\n"), "kro+xy:open-sesame: {asked}");
    assert!(asked.ends_with("\r\n\r\ngrant_type=client_credentials&scope=kafka"), "{asked}");

    idp.answer("/token", None);
    world.client().await.ask().await;
    world.reload_touched().await;
    let mut client = world.client().await;
    client.say_only().await;
    assert!(client.is_closed().await, "without a token there is no login");
    world.ended_by("upstream_login_failed", 1).await;
    world.stop().await;
}

#[tokio::test]
async fn a_token_of_the_proxy_that_upstream_believes_no_longer_is_replaced() {
    let idp = Idp::new().await;
    let (old, new) = (Key::new("k1", 1), Key::new("k2", 2));
    let granted = |key: &Key| format!(r#"{{"access_token":"{}","expires_in":600}}"#, key.token("kroxy", 600));
    idp.answer("/token", Some(&granted(&old)));
    let upstream = format!(
        r#"sasl: (mechanism: "OAUTHBEARER", oauth: (endpoint: "http://{}/token", client_id: "kroxy",
        client_secret_file: "PASSWORD"))"#,
        idp.at
    );
    let world = World::new("", &upstream).await;
    world.broker.believe(&old.set(), "idp");
    world.client().await.ask().await;

    world.broker.believe(&new.set(), "idp");
    idp.answer("/token", Some(&granted(&new)));
    world.until_answers().await;
    assert_eq!(world.broker.logged_in(), ["kroxy"; 2]);
    assert_eq!(idp.asked().len(), 2, "however many clients came in between");
    world.stop().await;
}

#[tokio::test]
async fn keys_are_fetched_with_tls_from_nobody_but_who_the_authority_knows() {
    let (authority, strangers) = (Authority::new("issuers"), Authority::new("strangers"));
    let key = Key::new("k1", 1);
    let refused = [strangers.sign(&["localhost"]), authority.sign(&["elsewhere.example"])];
    for (made, lets_in) in [(&authority.sign(&["localhost"]), true), (&refused[0], false), (&refused[1], false)] {
        let idp = Idp::with_tls(made).await;
        idp.answer("/jwks", Some(&key.set()));
        let keys = format!(r#"Url("https://localhost:{}/jwks"), ca: File("ca.pem")"#, idp.at.port());
        let world = World::with_file(&BY_TOKENS.replace("KEYS", &keys), "", "ca.pem", &authority.pem).await;
        let mut client = world.client().await;
        if lets_in {
            client.log_in(bearer(key.token("alice", 600))).await.expect("let in");
            client.ask().await;
            assert_eq!(idp.asked().len(), 1);
        } else {
            client.say_who(bearer(key.token("alice", 600))).await;
            assert!(client.is_closed_after_handshake().await, "nobody can tell who it is");
            world.ended_by("authentication_unavailable", 1).await;
            assert_eq!(idp.asked(), [""; 0], "nothing is asked of a stranger");
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn the_proxys_secret_is_told_to_nobody_but_who_the_authority_knows() {
    let (authority, strangers) = (Authority::new("issuers"), Authority::new("strangers"));
    let key = Key::new("k1", 1);
    let granted = format!(r#"{{"access_token":"{}","expires_in":600}}"#, key.token("kroxy", 600));
    for (made, logs_in) in [(authority.sign(&["localhost"]), true), (strangers.sign(&["localhost"]), false)] {
        let idp = Idp::with_tls(&made).await;
        idp.answer("/token", Some(&granted));
        let upstream = format!(
            r#"sasl: (mechanism: "OAUTHBEARER", oauth: (endpoint: "https://localhost:{}/token", client_id: "kroxy",
            client_secret_file: "PASSWORD", ca: File("ca.pem")))"#,
            idp.at.port()
        );
        let world = World::with_file("", &upstream, "ca.pem", &authority.pem).await;
        world.broker.believe(&key.set(), "idp");
        let mut client = world.client().await;
        if logs_in {
            client.ask().await;
            assert_eq!(world.broker.logged_in(), ["kroxy"]);
        } else {
            client.say_only().await;
            assert!(client.is_closed().await);
            world.ended_by("upstream_login_failed", 1).await;
            assert_eq!(idp.asked(), [""; 0], "the secret stays here");
        }
        world.stop().await;
    }
}
