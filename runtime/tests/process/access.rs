//! Who is let in to the admin API, and how much anybody may take of it.

use crate::{
    certificates::{Authority, keep},
    folder::Folder,
    kroxy::{Clusters, Kroxy, PATIENCE, run},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// What the admin API answers to these bytes, until it closes the connection.
fn raw(kroxy: &Kroxy, question: &[u8]) -> String {
    let mut stream = TcpStream::connect(kroxy.admin()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let _ = stream.write_all(question); // it may have been closed before all is written
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // what came before a reset is kept
    String::from_utf8(answer).expect("text")
}

fn ask(kroxy: &Kroxy, method: &str, path: &str, headers: &str) -> String {
    raw(kroxy, format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes())
}

const TOKEN: &str = "0123456789abcdef-token";

#[test]
fn off_loopback_it_does_not_start_without_a_token_and_with_one_answers_whoever_shows_it() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let open = clusters.with("127.0.0.1:1", r#"admin: (bind: "0.0.0.0:0"),"#);
    let refused = run(&["serve", folder.write("open.ron", &open).to_str().expect("text")]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.errors.contains("whoever reaches the admin API may stop the proxy, so off loopback it needs a"),
        "{}",
        refused.errors
    );

    let token = folder.file("token");
    let token = token.to_str().expect("text");
    let closed = clusters.with("127.0.0.1:1", &format!(r#"admin: (bind: "0.0.0.0:0", token_file: "{token}"),"#));
    let file = folder.write("closed.ron", &closed);
    let absent = run(&["serve", file.to_str().expect("text")]);
    assert_eq!(absent.code, 1);
    assert!(absent.errors.contains("the token of the admin API cannot be read from"), "{}", absent.errors);

    folder.write("token", &format!("{TOKEN}\n"));
    let mut kroxy = Kroxy::serve(&file);
    let port = kroxy.admin().rsplit(':').next().expect("a port").to_owned();
    kroxy.reach(&format!("127.0.0.1:{port}"));
    let none = ask(&kroxy, "GET", "/api/v1/status", "Host: kroxy.example\r\n");
    assert!(none.starts_with("HTTP/1.1 401 "), "{none}");
    assert!(none.to_lowercase().contains("www-authenticate: bearer"), "{none}");
    for path in ["/metrics", "/api/v1/openapi.json", "/nowhere"] {
        assert!(ask(&kroxy, "GET", path, "Host: a\r\n").starts_with("HTTP/1.1 401 "), "{path}");
    }
    for probe in ["/livez", "/readyz"] {
        assert!(ask(&kroxy, "GET", probe, "Host: a\r\n").starts_with("HTTP/1.1 200 "), "{probe}");
    }
    let wrong = kroxy.ask(&[
        "drain",
        "orders",
        "--token-file",
        folder.write("wrong", "another-token-1234").to_str().expect("text"),
    ]);
    assert_eq!((wrong.code, wrong.out.as_str()), (1, "this is not the token of the admin API\n"));
    assert_eq!(kroxy.ask(&["status", "--token-file", token]).code, 0);

    folder.write("token", "a-new-token-that-holds-at-once");
    assert!(
        ask(&kroxy, "GET", "/metrics", &format!("Host: a\r\nAuthorization: Bearer {TOKEN}\r\n"))
            .starts_with("HTTP/1.1 401 ")
    );
    assert_eq!(kroxy.ask(&["shutdown", "--token-file", token]).code, 0);
    assert_eq!(kroxy.ended(), 0);
    for secret in [TOKEN, "a-new-token"] {
        assert!(!kroxy.heard().contains(secret), "a secret is in the log");
    }
}

#[test]
fn over_tls_a_certificate_lets_in_as_a_token_does() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let (ours, operators) = (Authority::new("ours"), Authority::new("operators"));
    keep(&folder, "admin", &ours.sign(&["127.0.0.1"]));
    keep(&folder, "operator", &operators.sign(&["operator"]));
    keep(&folder, "stranger", &ours.sign(&["stranger"]));
    folder.write("ca.pem", &ours.pem);
    folder.write("operators.pem", &operators.pem);
    folder.write("token", TOKEN);
    let (ca, token) = (folder.path("ca.pem"), folder.path("token"));
    let configured = |more: &str| {
        let tls = r#"tls: (certificates: [(chain: "admin.pem", key: "admin.key")], client_auth:"#;
        clusters.with(
            "127.0.0.1:1",
            &format!(r#"admin: (bind: "0.0.0.0:0", {more} {tls} Requested(ca: "operators.pem"))),"#),
        )
    };
    let serve = |more: &str| {
        let mut kroxy = Kroxy::serve(&folder.write("proxy.ron", &configured(more)));
        let port = kroxy.admin().rsplit(':').next().expect("a port").to_owned();
        kroxy.reach(&format!("https://127.0.0.1:{port}"));
        kroxy
    };
    let certificate = |name: &str| [folder.path(&format!("{name}.pem")), folder.path(&format!("{name}.key"))];
    let with =
        |kroxy: &Kroxy, [chain, key]: &[String; 2]| kroxy.ask(&["status", "--ca", &ca, "--cert", chain, "--key", key]);

    let mut kroxy = serve("");
    assert_eq!(kroxy.ask(&["status"]).code, 3, "nobody has signed for this that the system trusts");
    let nothing = kroxy.ask(&["status", "--ca", &ca]);
    assert_eq!((nothing.code, nothing.out.as_str()), (1, "the admin API wants a client certificate\n"));
    assert_eq!(with(&kroxy, &certificate("operator")).code, 0);
    assert_eq!(with(&kroxy, &certificate("stranger")).code, 3, "who signed for it is not known here");

    // What was renewed holds at once, and what is broken leaves the last good one in force.
    let renewed = Authority::new("renewed");
    keep(&folder, "admin", &renewed.sign(&["127.0.0.1"]));
    assert_eq!(with(&kroxy, &certificate("operator")).code, 3, "it is signed by somebody else now");
    folder.write("ca.pem", &renewed.pem);
    assert_eq!(with(&kroxy, &certificate("operator")).code, 0);
    folder.write("admin.key", "no key");
    assert_eq!(with(&kroxy, &certificate("operator")).code, 0);
    kroxy.hear("the admin API shows its old certificate");
    let [chain, key] = certificate("operator");
    assert_eq!(kroxy.ask(&["shutdown", "--ca", &ca, "--cert", &chain, "--key", &key]).code, 0);
    assert_eq!(kroxy.ended(), 0);

    let broken = run(&["serve", &folder.path("proxy.ron")]);
    assert_eq!(broken.code, 1);
    assert!(broken.errors.contains("TLS of the admin API"), "{}", broken.errors);
    keep(&folder, "admin", &renewed.sign(&["127.0.0.1"]));
    let mut kroxy = serve(r#"token_file: "token","#);
    assert_eq!(kroxy.ask(&["status", "--ca", &ca]).code, 1, "neither");
    assert_eq!(kroxy.ask(&["status", "--ca", &ca, "--token-file", &token]).code, 0, "the token");
    assert_eq!(with(&kroxy, &certificate("operator")).code, 0, "the certificate");
    assert_eq!(kroxy.ask(&["shutdown", "--ca", &ca, "--token-file", &token]).code, 0);
    assert_eq!(kroxy.ended(), 0);
}

#[test]
fn a_web_page_in_a_browser_on_this_machine_cannot_steer_it() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with("127.0.0.1:1", "")));
    let shutdown = |headers: &str| ask(&kroxy, "POST", "/api/v1/shutdown", headers);
    assert!(shutdown("Host: rebound.example\r\n").starts_with("HTTP/1.1 403 "));
    assert!(shutdown("Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n").starts_with("HTTP/1.1 403 "));
    assert_eq!(kroxy.status()["proxy"]["state"], "started");
}

#[test]
fn nobody_can_keep_it_busy() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with("127.0.0.1:1", "")));
    // Half a head: let go after a while, with nobody waiting for it meanwhile.
    let mut slow = TcpStream::connect(kroxy.admin()).expect("it listens");
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: localh").expect("writable");
    let mut idle: Vec<_> = (0..300).map(|_| TcpStream::connect(kroxy.admin()).expect("it listens")).collect();
    // More than it takes at once: one of those is closed unasked.
    idle.retain(|stream| {
        stream.set_nonblocking(true).expect("a socket");
        true
    });
    let deadline = std::time::Instant::now() + PATIENCE;
    while !idle.iter_mut().any(|stream| matches!(stream.read(&mut [0]), Ok(0))) {
        assert!(std::time::Instant::now() < deadline, "300 connections are too many");
        std::thread::yield_now();
    }
    drop(idle);
    slow.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("closed in time");

    let long = format!("X-Long: {}\r\n", "x".repeat(64 << 10));
    let answer = ask(&kroxy, "GET", "/livez", &long);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let large = format!("Host: localhost\r\nContent-Length: {}\r\n", 17 << 20);
    let answer = ask(&kroxy, "POST", "/api/v1/plan", &large);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    for (method, path, code) in
        [("GET", "/api/v1/reload", 405), ("GET", "/api/v2/status", 404), ("POST", "/api/v1/reload?dry_run=2", 400)]
    {
        let answer = ask(&kroxy, method, path, "Host: localhost\r\n");
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains("{\"error\":"), "{answer}");
    }
    assert_eq!(kroxy.status()["proxy"]["state"], "started");
}
