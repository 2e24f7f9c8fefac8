//! kroxy logs in to Kafka with tokens (OAUTHBEARER), which it fetches with its client credentials from a server of the story's.
//!
//! Kafka's own validator for developers reads them: it believes whoever they name, and nobody for longer than they say.

use crate::credentials::{counted, metrics};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use tests::cluster::{Cluster, Listener};
use tests::configuration::Configuration;
use tests::library::{Library, Load, demand};
use tests::proxy::Proxy;
use tests::{Mode, asked_for, scratch};

/// Seconds for which a token holds: Kafka ends sessions with it, so that kroxy has to log in again and again.
const LIFE: u64 = 6;

/// What a token server answers with: nobody has signed it.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let claims = format!(r#"{{"sub":"kroxy","iat":{now},"exp":{}}}"#, now + LIFE + 1);
    format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(claims))
}

/// Answers one question for a token, if it is one of kroxy's.
fn answer(mut stream: TcpStream) -> bool {
    let (mut asked, mut buf) = (String::new(), [0; 1024]);
    while !asked.contains("grant_type=client_credentials") {
        match stream.read(&mut buf) {
            Ok(n @ 1..) => asked += &String::from_utf8_lossy(&buf[..n]),
            Ok(0) | Err(_) => return false,
        }
    }
    let who = format!("authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode("kroxy:s3cret"));
    let is_kroxy = asked.starts_with("POST /token ") && asked.contains(&who);
    let body = format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":{LIFE}}}"#, token());
    let (status, body) = if is_kroxy { ("200 OK", body.as_str()) } else { ("401 Unauthorized", "{}") };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    is_kroxy && stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
}

/// A token server, and how many tokens it has given.
fn token_server() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    let given = Arc::<AtomicU64>::default();
    let counts = given.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counts.fetch_add(u64::from(answer(stream)), Relaxed);
        }
    });
    (at, given)
}

#[test]
fn kroxy_logs_in_with_tokens_that_hold_for_seconds_and_nobody_notices() {
    let Some(turn) = asked_for("tokens").filter(|turn| turn.mode == Mode::Proxied) else { return };
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let jaas = format!(
        r#"listener.name.sasl.oauthbearer.sasl.jaas.config={module} required unsecuredLoginStringClaim_sub="kafka";"#
    );
    let mechanisms = "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER";
    let cluster = Cluster::start(1, &["--sasl", "-c", mechanisms, "-c", &jaas]);
    let (issuer, given) = token_server();
    let folder = scratch("tokens");
    fs::write(folder.join("secret"), "s3cret\n").expect("writable");
    let mut configuration = Configuration::new(&["orders"], &cluster.bootstrap(Listener::Sasl));
    configuration.clusters[0].upstream_more = format!(
        r#"sasl: (mechanism: "OAUTHBEARER", oauth: (endpoint: "http://{issuer}/token", client_id: "kroxy",
            client_secret_file: "secret"))"#
    );
    let proxy = Proxy::serve("tokens", &configuration);
    let start = |library| Load::new(library, "idempotent").with("--seconds", 15).start(proxy.bootstrap());
    demand(Library::STEADFAST.map(start).into());
    let metrics = metrics();
    let logins = counted(&metrics, "kroxy_sasl_logins_total");
    assert!(logins > 4, "kroxy logs in again as tokens end: {metrics}");
    let given = given.load(Relaxed);
    assert!(
        given > 1 && given < logins,
        "{given} tokens for {logins} logins: one serves all connections, until it ends"
    );
    for cause in ["upstream_login_failed", "upstream_misbehaved"] {
        assert!(!metrics.contains(&format!("cause=\"{cause}\"")), "{cause}: {metrics}");
    }
    let log = proxy.log();
    assert!(!log.contains("s3cret") && !log.contains(&token()[..20]), "{log}");
    drop(turn);
}
