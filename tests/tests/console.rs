//! The console in a terminal, with a proxy that is drained, fails, and is killed: what an operator sees, and which keys help.
//!
//! Screens are looked at until they show what they must; nothing waits for a time.

#[path = "../../runtime/tests/certificates/mod.rs"]
#[expect(dead_code, reason = "the stories of TLS need more of it")]
mod certificates;
#[path = "../../runtime/tests/folder/mod.rs"]
mod folder;

use certificates::{Authority, keep};
use folder::Folder;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::ports::{CONSOLE_ADMIN, CONSOLE_FIRST};
use tests::process::{run, wait_until};
use tests::terminal::Terminal;
use tests::{built, scratch};

const SMALL: (u16, u16) = (80, 24);
/// A machine that is busy with other tests needs a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// kroxy as a process, ended by its id.
struct Kroxy(Child);

impl Kroxy {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("kroxy.log")).expect("a writable folder");
        let mut command = Command::new(built("kroxy"));
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor more")).stderr(log);
        Self(command.spawn().expect("it was built"))
    }
}

impl Drop for Kroxy {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn console(name: &str, admin: u16) -> Terminal {
    let url = format!("http://127.0.0.1:{admin}");
    Terminal::open(name, SMALL, &built("kroxy-console"), &["--connect", &url])
}

/// A virtual cluster of an upstream that nobody asks for, with this port and the next.
fn cluster(name: &str, port: u16) -> String {
    let node = port + 1;
    format!(
        r#"(name: "{name}", upstream: (bootstrap_servers: ["127.0.0.1:1"]), gateways: [(name: "default",
            port_per_broker: (bind: "127.0.0.1", advertised_host: "localhost", bootstrap_port: {port},
            nodes: [(ids: (0, 0), first_port: {node})]))])"#
    )
}

/// The line of the overview that begins with a virtual cluster's name.
fn row<'a>(screen: &'a str, name: &str) -> &'a str {
    let is_row = |line: &&str| line.chars().skip(3).collect::<String>().starts_with(name);
    screen.lines().find(is_row).unwrap_or_else(|| panic!("no row of {name}:\n{screen}"))
}

#[test]
fn a_busy_cluster_is_measured_drained_and_brought_back_by_keys() {
    let folder = scratch("console-demo");
    let (port, admin) = (CONSOLE_FIRST.to_string(), CONSOLE_ADMIN.to_string());
    let _kroxy = Kroxy::start(&folder, &["demo", "--port", &port, "--admin-port", &admin]);
    let terminal = console("demo", CONSOLE_ADMIN);

    // It serves, and figures have their units: bytes in and out, and the latency that it adds.
    terminal.wait_for(&["● started", "● live", "1 serving", "B/s"]);
    let screen = terminal.wait_for(&["demo", " µs"]);
    assert!(row(&screen, "demo").contains("serving"), "{screen}");

    terminal.press(&["Enter"]);
    terminal.wait_for(&["● serving", "lifecycle"]);
    terminal.press(&["End"]);
    terminal.wait_for(&["demo-producer", "kroxy-demo 0.1.0"]);
    terminal.press(&["Escape"]);
    terminal.wait_for(&["Enter: detail"]);

    terminal.press(&["d"]);
    terminal.wait_for(&["drain demo?"]);
    terminal.press(&["y"]);
    let screen = terminal.wait_for(&["◐ 1 draining"]);
    assert!(row(&screen, "demo").contains("draining"), "{screen}");
    terminal.press(&["e"]);
    terminal.wait_for(&["serving → draining (operator)"]);
    terminal.press(&["Escape"]);

    terminal.wait_for(&["◐ 1 draining"]);
    terminal.press(&["r"]);
    terminal.wait_for(&["retry demo?"]);
    terminal.press(&["y"]);
    terminal.wait_for(&["● 1 serving"]);
    terminal.press(&["q"]);
    terminal.wait_until_closed();
}

#[test]
fn a_failed_cluster_tells_why_and_a_killed_proxy_since_when() {
    let folder = scratch("console-serve");
    let (admin, first) = (CONSOLE_ADMIN + 1, CONSOLE_FIRST + 20);
    let text = format!(
        r#"(admin: (bind: "127.0.0.1:{admin}"),
            on_virtual_cluster_failure: (serve: Remaining, retry: (initial_backoff: "10m", max_backoff: "20m")),
            virtual_clusters: [{}, {}])"#,
        cluster("billing", first),
        cluster("orders", first + 10)
    );
    let file = folder.join("kroxy.ron");
    fs::write(&file, text).expect("cargo's output folder is writable");
    let args = ["serve", file.to_str().expect("a path in UTF-8")];
    let taken = TcpListener::bind(("127.0.0.1", first + 10)).expect("the port is free");

    let kroxy = Kroxy::start(&folder, &args);
    let terminal = console("serve", admin);
    terminal.wait_for(&["✗ 1 failed", "● 1 serving"]);
    // The reason, wrapped, and what happens next.
    let address = format!("127.0.0.1:{}", first + 10);
    let screen = terminal.wait_for(&["cannot listen on", &address, "Address already in use", "r retries now"]);
    assert!(row(&screen, "orders").contains("failed"), "{screen}");

    drop(taken);
    terminal.press(&["r"]);
    terminal.wait_for(&["retry orders?"]);
    terminal.press(&["y"]);
    terminal.wait_for(&["● 2 serving"]);

    drop(kroxy);
    terminal.wait_for(&["no answer since", "stale"]);
    let _kroxy = Kroxy::start(&folder, &args);
    terminal.wait_for(&["● live", "● 2 serving"]);
    terminal.press(&["q"]);
    terminal.wait_until_closed();
}

#[test]
fn over_tls_it_shows_the_cluster_or_says_why_not_and_never_a_token() {
    const TOKEN: &str = "0123456789abcdef-token";
    const WRONG: &str = "fedcba9876543210-wrong";
    let folder = Folder::new();
    let (ours, strangers) = (Authority::new("ours"), Authority::new("strangers"));
    keep(&folder, "admin", &ours.sign(&["127.0.0.1"]));
    for (name, text) in [("ca", &ours.pem), ("strangers", &strangers.pem)] {
        folder.write(&format!("{name}.pem"), text);
    }
    folder.write("token", TOKEN);
    folder.write("wrong", WRONG);
    let (admin, orders) = (CONSOLE_ADMIN + 2, cluster("orders", CONSOLE_FIRST + 50));
    let configuration = format!(
        r#"(admin: (bind: "127.0.0.1:{admin}", token_file: "token", tls: (certificates: [(chain: "admin.pem",
            key: "admin.key")])), virtual_clusters: [{orders}])"#
    );
    folder.write("kroxy.ron", &configuration);
    let _kroxy = Kroxy::start(&scratch("console-tls"), &["serve", &folder.path("kroxy.ron")]);
    wait_until("the admin API listens", PATIENCE, || TcpStream::connect(("127.0.0.1", admin)).is_ok());

    let program = built("kroxy-console");
    let url = format!("https://127.0.0.1:{admin}");
    let shown = |ca: Option<&str>, token: Option<&str>| {
        let mut console = Command::new(&program);
        console.args(["--snapshot", "--connect", &url]);
        for (option, name) in [("--ca", ca), ("--token-file", token)] {
            console.args(name.map(|name| [option.to_owned(), folder.path(name)]).into_iter().flatten());
        }
        let printed = run(PATIENCE, &console);
        for secret in [TOKEN, WRONG] {
            assert!(!printed.stdout.contains(secret) && !printed.stderr.contains(secret), "{printed:?}");
        }
        (printed.status.code(), printed.stdout)
    };

    let (code, screen) = shown(Some("ca.pem"), Some("token"));
    assert_eq!(code, Some(0), "{screen}");
    assert!(row(&screen, "orders").contains("serving"), "{screen}");
    for ca in [None, Some("strangers.pem")] {
        let (code, screen) = shown(ca, Some("token"));
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("--ca") && !screen.contains("orders"), "{ca:?}:\n{screen}");
    }
    for token in [None, Some("wrong")] {
        let (code, screen) = shown(Some("ca.pem"), token);
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("--token-file") && !screen.contains("orders"), "{token:?}:\n{screen}");
    }
}
