//! The lab's acceptance suite: the clients of Kafka's own system tests.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tests::cluster::{Cluster, Listener};
use tests::process::{limited, tail};
use tests::proxy::Proxy;
use tests::{asked_for, say, scratch};

const LIMIT: Duration = Duration::from_secs(1200);

fn verifiable(cluster: &Cluster<'_>, proxy: &Proxy, story: &str, options: &[&str]) -> Child {
    let mut suite = cluster.script("verifiable");
    suite.arg(proxy.bootstrap()).arg("--out").arg(scratch(story).join("verifiable")).args(options);
    start(&suite)
}

/// Starts the suite as it is given.
pub(crate) fn start(suite: &Command) -> Child {
    limited(LIMIT, suite).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("coreutils are installed")
}

/// Waits for the suite's end, which must be a good one.
pub(crate) fn demand(suite: Child, story: &str) {
    let out = suite.wait_with_output().expect("it was started");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{story}: {}\n{}", out.status, tail(&said));
    say(&format!("{story}: {}", said.lines().last().unwrap_or_default()));
}

#[test]
fn the_verifiable_suite_passes() {
    let Some(turn) = asked_for("verifiable") else { return };
    let cluster = Cluster::start(&turn, 3, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    demand(verifiable(&cluster, &proxy, "verifiable", &[]), "verifiable");
}

#[test]
fn the_verifiable_suite_passes_while_kroxy_is_killed_again_and_again() {
    let Some(turn) = asked_for("verifiable_restart") else { return };
    let cluster = Cluster::start(&turn, 3, &[]);
    let mut proxy = Proxy::start(&cluster, Listener::Plaintext);
    // The suite is told of a disturbance that does nothing: then it allows what a disturbance may cause.
    let options = ["--cases", "classic-group,kip848-group,txn-copy", "--during", ":", "--every", "5"];
    let mut suite = verifiable(&cluster, &proxy, "verifiable_restart", &options);
    while matches!(suite.try_wait(), Ok(None)) {
        thread::sleep(Duration::from_secs(5)); // the pace of the disturbance, not a wait for anything
        proxy.kill_and_start();
    }
    demand(suite, "verifiable_restart");
}
