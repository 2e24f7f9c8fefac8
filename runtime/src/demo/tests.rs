//! The whole demo over real sockets: brokers, proxy and clients.

use super::{client::Client, *};
use crate::net::Net;

/// Runs a demo on the first ports from `port` on that nobody has.
async fn demo(
    mut options: Options,
    stop: impl AsyncFn(SocketAddr),
) -> (Result<Verdict, DemoError>, String, SocketAddr) {
    loop {
        let address = SocketAddr::new(LOOPBACK, options.port);
        let mut screen = Screen::new(Vec::new(), false);
        let ended = run(options, stop(address), &mut screen).await;
        let text = String::from_utf8(screen.into_inner()).expect("text");
        match ended {
            Err(DemoError::Proxy(Failure::Startup(_))) => options.port += 16,
            ended => return (ended, text, address),
        }
    }
}

async fn never(_: SocketAddr) {
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_sent_verified_and_reported_and_nothing_is_left_behind() {
    for (brokers, port) in [(1, 21_000), (3, 21_400)] {
        let options = Options { brokers, port, admin_port: 0, records: Some(3_000), record_bytes: 200 };
        let (ended, text, address) = demo(options, never).await;
        assert_eq!(ended.expect("runs"), Verdict::Clean, "{text}");
        assert!(text.contains("3,000 sent, 3,000 received"), "{text}");
        assert!(text.contains("0 missing, 0 duplicated, 0 out of order, 0 corrupt"), "{text}");
        assert!(text.ends_with("✓ every record came back once, in order and unchanged\n"), "{text}");
        for port in address.port()..=address.port() + brokers {
            let at = SocketAddr::new(LOOPBACK, port);
            assert!(OsNet.bind(at).await.is_ok(), "{at} is still bound");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_stopped_ends_with_a_summary_of_what_came_back() {
    // Stopped while records flow: what is on its way then comes back all the same.
    let when_records_flow = async |address: SocketAddr| {
        let bootstrap = vec![HostPort::new(address.ip().to_string(), address.port())];
        let mut client = Client::new(OsNet, "onlooker", bootstrap, PATIENCE);
        client.partitions(NAME).await.expect("the proxy serves");
        while client.end_offsets(NAME, &[0]).await.expect("the proxy serves")[&0] < 100 {
            tokio::task::yield_now().await;
        }
    };
    let options = Options { port: 21_800, admin_port: 0, ..Options::default() };
    let (ended, text, _) = demo(options, when_records_flow).await;
    assert_eq!(ended.expect("runs"), Verdict::Clean, "{text}");
    assert!(text.contains("0 missing") && !text.contains(" 0 sent"), "{text}");

    let options = Options { port: 22_200, admin_port: 0, records: Some(u64::MAX), ..Options::default() };
    let (ended, text, _) = demo(options, when_records_flow).await;
    assert_eq!(ended.expect("runs"), Verdict::Flawed, "not all that was asked for was sent\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = OsNet.bind(SocketAddr::new(LOOPBACK, 0)).await.expect("some port is free");
    let port = taken.local_addr().expect("bound").port();
    let options = Options { port, admin_port: 0, records: Some(1), ..Options::default() };
    let mut screen = Screen::new(Vec::new(), false);
    let failure = run(options, std::future::pending(), &mut screen).await.expect_err("the port is taken").to_string();
    assert!(failure.contains(&format!("127.0.0.1:{port}")) && failure.contains("--port"), "{failure}");
}

#[tokio::test]
async fn options_that_make_no_demo_are_refused_with_what_would() {
    let base = Options { admin_port: 0, records: Some(1), ..Options::default() };
    let cases = [
        (Options { brokers: 0, ..base }, "1 to 64"),
        (Options { brokers: 65, ..base }, "1 to 64"),
        (Options { record_bytes: 99, ..base }, "100 to 1000000"),
        (Options { port: 0, ..base }, "--port"),
        (Options { port: 65_534, ..base }, "--port"),
        (Options { port: 65_535, ..base }, "--port"),
        (Options { admin_port: 9_093, ..base }, "--admin-port"),
    ];
    for (options, expected) in cases {
        let mut screen = Screen::new(Vec::new(), false);
        let refused = run(options, std::future::pending(), &mut screen).await.expect_err(expected).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
