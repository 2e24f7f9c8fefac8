//! Users of a proxy and its own password: files of them, made and checked by commands, and shown by nothing.

use crate::{
    folder::Folder,
    kroxy::{Kroxy, run},
    ports::free_port,
};
use kroxy_core::{
    reload::Secret,
    sasl::{
        client::Exchange,
        login::{Login, LoginError, Progress},
        scram::{Nonce, Scram},
    },
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// What nobody may ever read anywhere.
const SECRETS: [&str; 3] = ["alices-pencil", "a-wrong-guess", "the-proxys-own"];

/// An entry for `alice`, made by the command.
fn entry(folder: &Folder, more: &[&str]) -> crate::kroxy::Answer {
    let password = folder.write("alice.password", &format!("{}\n", SECRETS[0]));
    let password = password.to_str().expect("text");
    run(&[&["scram-credential", "--user", "alice", "--password-file", password], more].concat())
}

fn configuration(upstream: &str, port: u16) -> String {
    format!(
        r#"(admin: (bind: "127.0.0.1:0"), virtual_clusters: [(name: "c",
        upstream: (bootstrap_servers: ["{upstream}"], sasl: (mechanism: "PLAIN", username: "kroxy", password_file: "own")),
        sasl: (mechanisms: ["PLAIN", "SCRAM-SHA-512"], credentials: "users.ron"),
        gateways: [(name: "g", port_per_broker: (bind: "127.0.0.1", advertised_host: "localhost",
        bootstrap_port: {port}, nodes: [(ids: (0, 0), first_port: {})]))])])"#,
        free_port()
    )
}

fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = vec![0; 4];
    stream.read_exact(&mut answer).expect("an answer");
    let size = u32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
    answer.resize(4 + size, 0);
    stream.read_exact(&mut answer[4..]).expect("all of it");
    answer
}

fn log_in(port: u16, exchange: Exchange) -> (TcpStream, Result<(), LoginError>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the gateway listens");
    let (mut login, mut next) = Login::start(exchange);
    loop {
        stream.write_all(&next.0).expect("read");
        let progress = login.response(&answer(&mut stream)).and_then(|progress| match progress {
            Progress::Derive(derivation) => login.derived(&derivation.keys()),
            progress @ (Progress::Send(_) | Progress::Done { .. }) => Ok(progress),
        });
        match progress {
            Ok(Progress::Send(token)) => next = token,
            Ok(Progress::Derive(_)) => panic!("once is enough"),
            Ok(Progress::Done { .. }) => return (stream, Ok(())),
            Err(e) => return (stream, Err(e)),
        }
    }
}

#[test]
fn no_log_however_loud_and_no_answer_has_a_secret_in_it() {
    let (folder, port) = (Folder::new(), free_port());
    let made = entry(&folder, &["--iterations", "4096"]);
    assert_eq!((made.code, made.errors.as_str()), (0, ""), "{made:?}");
    folder.write("users.ron", &format!("[\n{}]\n", made.out));
    folder.write("own", SECRETS[2]);
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = upstream.local_addr().expect("bound").to_string();
    // A broker that does not believe the proxy.
    let broker = thread::spawn(move || {
        let (mut proxy, _) = upstream.accept().expect("the proxy connects");
        answer(&mut proxy);
        proxy.write_all(b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0").expect("read");
        let token = answer(&mut proxy);
        assert!(token.ends_with(SECRETS[2].as_bytes()), "this is where it belongs");
        proxy.write_all(b"\0\0\0\x14\0\0\0\x02\0\x3a\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0").expect("read");
    });
    let file = folder.write("kroxy.ron", &configuration(&at, port));
    let check = run(&["check", file.to_str().expect("text")]);
    assert_eq!(check.code, 0, "{check:?}");
    let mut kroxy = Kroxy::spawn(&file, &[("RUST_LOG", "trace")]);
    kroxy.hear("the proxy is started");

    let secret = |text: &str| Secret(text.to_owned().into());
    let scram = |password: &str| Exchange::scram(Scram::Sha512, "alice", secret(password), Nonce::of([1; 18]));
    for exchange in [Exchange::plain("alice", &secret(SECRETS[1])), scram(SECRETS[1])] {
        assert!(matches!(log_in(port, exchange).1, Err(LoginError::Refused { error: 58, .. })));
        let said = kroxy.hear("authentication refused");
        assert_eq!(said["user"], "alice", "{said}");
    }
    log_in(port, scram(SECRETS[0])).1.expect("let in");
    let (mut alice, let_in) = log_in(port, Exchange::plain("alice", &secret(SECRETS[0])));
    let_in.expect("let in");
    alice.write_all(b"\0\0\0\x0c\0\x0c\0\x04\0\0\0\x07\0\x01s\0").expect("read");
    let said = kroxy.hear("the proxy cannot log in to upstream");
    assert_eq!(said["cause"], "upstream_login_failed", "{said}");
    broker.join().expect("it was asked");

    let admin = |path: &str| {
        let answer = ureq::get(format!("http://{}{path}", kroxy.admin())).call().expect("served");
        answer.into_body().read_to_string().expect("text")
    };
    let mut shown = check.out + &admin("/api/v1/status") + &admin("/metrics") + &made.out;
    for command in [["status"], ["plan"]] {
        let words = if command == ["plan"] { vec!["plan", file.to_str().expect("text")] } else { command.to_vec() };
        shown += &kroxy.ask(&words).out;
    }
    kroxy.signal("TERM");
    kroxy.ended();
    shown += kroxy.heard();
    assert!(shown.contains("alice") && shown.len() > 10_000, "there was something to look at");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} is in\n{shown}");
    }
    let entry: Vec<_> = made.out.split('"').filter(|text| text.len() > 60).collect();
    assert_eq!(entry.len(), 2, "two keys");
    assert!(!kroxy.heard().contains(entry[0]) && !kroxy.heard().contains(entry[1]), "hashes are secrets as well");
}

#[test]
fn what_is_wrong_with_a_file_of_users_is_told_with_its_place() {
    let (folder, port) = (Folder::new(), free_port());
    folder.write("own", "secret");
    let file = folder.write("kroxy.ron", &configuration("127.0.0.1:1", port));
    for (users, said) in [
        ("[\n(user: 3)]", "users.ron, line 2, column 7: Expected string"),
        ("[]", "users.ron has no user for PLAIN, so nobody could be let in with it"),
        (
            "[(user: \"a\", mechanism: \"PLAIN\", iterations: 1, salt: \"\", stored_key: \"\", server_key: \"\")]",
            "entry 1 (user \"a\")",
        ),
    ] {
        folder.write("users.ron", users);
        let check = run(&["check", file.to_str().expect("text")]);
        assert_eq!(check.code, 1, "{check:?}");
        assert!(check.errors.contains("virtual cluster c would fail") && check.errors.contains(said), "{check:?}");
    }
    fs::remove_file(folder.file("users.ron")).expect("it was there");
    assert!(run(&["check", file.to_str().expect("text")]).errors.contains("users.ron cannot be read"));
}

#[test]
fn an_entry_is_made_only_of_what_makes_one() {
    let folder = Folder::new();
    for (more, code, said) in [
        (&["--mechanism", "PLAIN"][..], 1, "PLAIN has no credentials"),
        (&["--mechanism", "SCRAM-SHA-1"], 2, "is no SASL mechanism that kroxy knows"),
        (&["--iterations", "100"], 1, "100 iterations are too few or too many"),
        (&["--mechanism", "SCRAM-SHA-256"], 0, ""),
    ] {
        let made = entry(&folder, more);
        assert_eq!(made.code, code, "{made:?}");
        assert!(made.errors.contains(said), "{made:?}");
        assert_eq!(made.out.is_empty(), code != 0, "{made:?}");
    }
    assert_ne!(entry(&folder, &[]).out, entry(&folder, &[]).out, "each has a salt of its own");
    let empty = folder.write("empty", "\n");
    let made = run(&["scram-credential", "--user", "a", "--password-file", empty.to_str().expect("text")]);
    assert!(made.code == 1 && made.errors.contains("has no password in it"), "{made:?}");
}
