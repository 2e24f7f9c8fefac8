//! The example of a proxy inside another program, as a program; and that any thread may steer a proxy.

use crate::{
    cargo,
    folder::Folder,
    kroxy::{Clusters, PATIENCE},
    ports::free_port,
};
use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Proxy, Source},
};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};
use tokio::time::timeout;

/// The example, which cargo builds beside the tests; where only this test was asked for, now.
fn example() -> PathBuf {
    assert!(cargo::build(&["--workspace", "--example", "embedded"]).status().expect("cargo is there").success());
    cargo::profile_folder().join("examples/embedded")
}

#[test]
fn the_example_serves_until_it_is_told_to_stop() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let admin = free_port();
    let more = format!(r#"admin: (bind: "127.0.0.1:{admin}"),"#);
    let file = folder.write("proxy.ron", &clusters.with("127.0.0.1:1", &more));
    let mut child = Command::new(example()).arg(file).stderr(Stdio::null()).spawn().expect("it was built");
    let ready = format!("http://127.0.0.1:{admin}/readyz");
    let deadline = std::time::Instant::now() + PATIENCE;
    while ureq::get(&ready).call().is_err() {
        assert!(std::time::Instant::now() < deadline, "it does not come up");
        thread::yield_now();
    }
    ureq::post(format!("http://127.0.0.1:{admin}/api/v1/shutdown")).send_empty().expect("served");
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
}

fn proxy() -> Proxy<OsNet> {
    let text = Clusters::new(&["orders"]).with("127.0.0.1:1", "");
    let config = config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}"));
    Proxy::new(load::loaded(config), Source::memory(), OsNet, Clock::system(), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn startup_and_shutdown_may_be_called_from_any_thread_and_there_is_one_lifetime() {
    let proxy = proxy();
    let first = proxy.startup().expect("it is new");
    let handle = tokio::runtime::Handle::current();
    let other = proxy.clone();
    let again = thread::spawn(move || {
        let _entered = handle.enter();
        other.startup().expect("it runs")
    });
    let second = again.join().expect("no panic");
    // Whoever gives up one of them does not end it.
    drop(first);
    assert!(timeout(std::time::Duration::ZERO, proxy.ended()).await.is_err());
    let other = proxy.clone();
    thread::spawn(move || {
        other.shutdown("another thread");
        other.shutdown("another thread, again");
    });
    assert_eq!(timeout(PATIENCE, second).await.expect("in time"), Ok(()));
    let refused = proxy.startup().expect_err("a proxy is started once");
    assert_eq!(refused.to_string(), "the proxy is stopped; a proxy is started once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_lifetime_stops_gracefully() {
    let proxy = proxy();
    drop(proxy.startup().expect("it is new"));
    assert_eq!(timeout(PATIENCE, proxy.ended()).await.expect("in time"), Ok(()));
}

#[tokio::test]
async fn a_proxy_that_never_started_stops_at_once() {
    let proxy = proxy();
    proxy.shutdown("changed my mind");
    assert_eq!(timeout(PATIENCE, proxy.ended()).await.expect("at once"), Ok(()));
    assert!(proxy.startup().is_err());
}
