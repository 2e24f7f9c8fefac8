//! What the program knows and must tell nobody: passwords and tokens that pass by, its own token, its own keys.

use crate::{
    certificates::{Authority, keep},
    folder::Folder,
    frames::framed,
    guessing::{HANDSHAKE, answer, guess},
    kroxy::{Kroxy, run},
    ports::free_port,
    upstream::Upstream,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{fs, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const PASSWORD: &str = "swordfish-of-alice";
const TOKEN: &str = "0123456789abcdef-of-the-admin";
const BEARER: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJlLW9mLWJvYg";

/// Everything that can be got out of a running program, and out of one that refuses to run, at its most talkative.
struct Told(Vec<(&'static str, String)>);

impl Told {
    fn hides(&self, what: &str, secret: &str) {
        let spellings = [secret.to_owned(), STANDARD.encode(secret), format!("{:?}", secret.as_bytes())];
        for (by, text) in &self.0 {
            for spelling in &spellings {
                let inner = spelling.trim_matches(['[', ']']);
                assert!(!text.contains(inner), "{by} tells {what}");
            }
        }
    }
}

fn asked(kroxy: &Kroxy, path: &str, token: &str) -> String {
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let url = format!("http://{}{path}", kroxy.admin());
    let answer = agent.get(url).header("Authorization", format!("Bearer {token}")).call().expect("served");
    let headers = format!("{:?}", answer.headers());
    headers + &answer.into_body().read_to_string().expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_an_error_the_admin_api_or_the_arguments() {
    let folder = Folder::new();
    let (upstream_at, _upstream) = Upstream::new(None, Duration::ZERO).await;
    let made = Authority::new("servers").sign(&["kroxy.example"]);
    keep(&folder, "kroxy", &made);
    folder.write("token", TOKEN);
    let (bootstrap, node, other) = (free_port(), free_port(), free_port());
    let text = format!(
        r#"(admin: (bind: "127.0.0.1:0", token_file: "{token}"), log: (level: Trace),
        virtual_clusters: [(name: "c", upstream: (bootstrap_servers: ["{upstream_at}"]), gateways: [
        (name: "plain", port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1", bootstrap_port: {bootstrap},
        nodes: [(ids: (0, 0), first_port: {node})])),
        (name: "tls", tls: (certificates: [(chain: "{chain}", key: "{key}")]), port_per_broker: (bind: "127.0.0.1",
        advertised_host: "127.0.0.1", bootstrap_port: {other}, nodes: [(ids: (0, 0), first_port: {})]))])])"#,
        free_port(),
        token = folder.path("token"),
        chain = folder.path("kroxy.pem"),
        key = folder.path("kroxy.key"),
    );
    let file = folder.write("kroxy.ron", &text);
    let mut kroxy = Kroxy::spawn(&file, &[("RUST_LOG", "trace")]);
    kroxy.hear("the proxy is started");

    // Logins that upstream refuses: with a password, with a bearer token, and with a request that breaks off behind the password.
    let bearer = format!("n,,\x01auth=Bearer {BEARER}\x01\x01");
    for (mechanism, token) in [(&b"\x05PLAIN"[..], format!("\0alice\0{PASSWORD}")), (b"\x0bOAUTHBEARER", bearer)] {
        let mut client = TcpStream::connect(("127.0.0.1", bootstrap)).await.expect("it listens");
        client.write_all(&handshake(mechanism)).await.expect("read");
        answer(&mut client).await;
        client.write_all(&guess(&token)).await.expect("read");
        assert_eq!(answer(&mut client).await[4..6], [0, 58], "it was refused");
    }
    let mut client = TcpStream::connect(("127.0.0.1", bootstrap)).await.expect("it listens");
    client.write_all(HANDSHAKE).await.expect("read");
    answer(&mut client).await;
    let mut broken = guess(&format!("\0alice\0{PASSWORD}"));
    broken[17] = 0x7f; // its token is longer than it
    client.write_all(&broken).await.expect("read");
    crate::world::closed(&mut client).await;

    let mut told = Told(Vec::new());
    for path in ["/api/v1/status", "/api/v1/openapi.json", "/metrics", "/livez", "/readyz", "/nowhere"] {
        told.0.push((path, asked(&kroxy, path, TOKEN)));
        told.0.push((path, asked(&kroxy, path, "wrong-token-0123456789")));
    }
    assert!(told.0[0].1.contains("\"virtual_clusters\""), "the right token is let in: {}", told.0[0].1);
    let of_process = |name: &str| fs::read(format!("/proc/{}/{name}", kroxy.process_id())).expect("it runs");
    told.0.push(("its arguments", String::from_utf8_lossy(&of_process("cmdline")).into_owned()));
    told.0.push(("its environment", String::from_utf8_lossy(&of_process("environ")).into_owned()));
    let checked = run(&["check", file.to_str().expect("text")]);
    told.0.push(("kroxy check", checked.out + &checked.errors));

    // Errors about the files themselves: the key where the chain is expected, and a token that is too short.
    folder.write("kroxy.pem", &made.key);
    folder.write("short", &TOKEN[..8]);
    let short = folder.write("short.ron", &text.replace(&folder.path("token"), &folder.path("short")));
    for file in [&file, &short] {
        let refused = run(&["serve", file.to_str().expect("text")]);
        assert_eq!(refused.code, 1, "{refused:?}");
        told.0.push(("an error", refused.out + &refused.errors));
    }
    kroxy.signal("TERM");
    assert_eq!(kroxy.ended(), 0);
    assert!(kroxy.heard().contains("upstream refused the client's authentication"), "the logins were seen");
    told.0.push(("the log", kroxy.heard().to_owned()));

    told.hides("a password", PASSWORD);
    told.hides("a bearer token", BEARER);
    told.hides("the token of the admin API", TOKEN);
    told.hides("the token of the admin API", &TOKEN[..8]);
    let key = made.key.lines().filter(|line| !line.starts_with('-'));
    key.for_each(|line| told.hides("a private key", line));
}

/// `SaslHandshake` version 1 for a mechanism.
fn handshake(mechanism: &[u8]) -> Vec<u8> {
    framed(&[b"\0\x11\0\x01\0\0\0\x01\0\x01s\0", mechanism])
}
