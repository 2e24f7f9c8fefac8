//! The built binary, without a terminal: snapshots, exit codes, what it says when it cannot work.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

fn console(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kroxy-console"))
        .args(args)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR")
        .output()
        .expect("the console can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_prints_the_golden_screen() {
    let printed = console(&["--demo", "--snapshot", "--at", "30", "--width", "80", "--height", "24"]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    assert_eq!(text(&printed.stdout), include_str!("golden/demo-80x24.txt"));
}

#[test]
fn without_a_terminal_it_says_what_would_work() {
    let refused = console(&["--demo"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--snapshot"), "{}", text(&refused.stderr));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    assert_eq!(console(&["--frobnicate"]).status.code(), Some(2));
    assert_eq!(console(&["--demo", "--connect", "http://127.0.0.1:1"]).status.code(), Some(2));
}

#[test]
fn a_snapshot_of_nobody_says_so_and_fails() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}", gone.expect("loopback has a free port"));
    let printed = console(&["--snapshot", "--connect", &url]);
    assert_eq!(printed.status.code(), Some(1));
    assert!(text(&printed.stdout).contains("connection refused"), "{}", text(&printed.stdout));
}

#[test]
fn a_snapshot_of_a_proxy_shows_its_clusters_and_rates() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        let mut asked = 0_u64;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let lines: Vec<_> =
                BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let status = lines.first().is_some_and(|line| line.contains("/api/v1/status"));
            let body = format!(
                r#"{{"version":"0.1.0","at_unix_ms":{},"proxy":{{"state":"started"}},"virtual_clusters":
                    [{{"name":"orders","state":"serving","totals":{{"requests":{}}}}}]}}"#,
                1_800_000_000_000 + asked * 1_000,
                asked * 250,
            );
            asked += u64::from(status);
            let head = if status { "200 OK" } else { "404 Not Found" };
            let answer =
                format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let printed = console(&["--snapshot", "--connect", &url]);
    let screen = text(&printed.stdout);
    assert!(printed.status.success(), "{screen}");
    for part in ["● started", "orders", "serving", "250 req/s", "polling"] {
        assert!(screen.contains(part), "{part} is missing:\n{screen}");
    }
}
