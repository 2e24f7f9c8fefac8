//! Something changes under load: brokers and kroxy go and come back. Nothing is lost, nothing doubled.

use std::time::{Duration, Instant};
use tests::asked_for;
use tests::cluster::{Cluster, Listener};
use tests::library::{Library, Load, Running, demand};
use tests::process::wait_until;
use tests::proxy::Proxy;

const SENDING: Duration = Duration::from_secs(25);

/// Every library that keeps its promises sends for a while, all at once; idempotence is what lets them demand every record exactly once.
fn load(bootstrap: &str, replication: u16) -> Vec<Running> {
    let start = |library| {
        let load = Load::new(library, "idempotent").with("--records", 2000).with("--seconds", SENDING.as_secs());
        load.with("--replication", replication).start(bootstrap)
    };
    Library::STEADFAST.map(start).into()
}

/// Does something at each of these seconds after now, unless all the clients have ended by then.
fn disturb(clients: &mut [Running], at_seconds: &[u64], mut action: impl FnMut()) {
    let begin = Instant::now();
    for &second in at_seconds {
        let due = begin + Duration::from_secs(second);
        wait_until("the time comes", Duration::from_secs(second + 1), || Instant::now() >= due);
        assert!(clients.iter_mut().any(Running::runs), "every client has ended before the disturbance at {second} s");
        action();
    }
}

#[test]
fn leaders_move_under_load() {
    let Some(turn) = asked_for("leader_movement") else { return };
    let cluster = Cluster::start(&turn, 3, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    let mut clients = load(proxy.bootstrap(), 3);
    disturb(&mut clients, &[4], || {
        // Its leaders move to the others, then back to it.
        cluster.signal_broker(2, "TERM").start();
        let elect =
            format!("--bootstrap-server {} --election-type preferred --all-topic-partitions", proxy.bootstrap());
        wait_until("the preferred leaders are elected", Duration::from_secs(60), || {
            cluster.tool("leader-election", &elect).status.success() // not before the broker is in sync again
        });
    });
    demand(clients);
}

#[test]
fn a_broker_dies_and_returns_under_load() {
    let Some(turn) = asked_for("broker_restart") else { return };
    let cluster = Cluster::start(&turn, 1, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    let mut clients = load(proxy.bootstrap(), 1);
    disturb(&mut clients, &[5], || cluster.signal_broker(1, "KILL").start());
    demand(clients);
}

#[test]
fn kroxy_dies_and_returns_under_load() {
    let Some(turn) = asked_for("proxy_restart") else { return };
    let cluster = Cluster::start(&turn, 3, &[]);
    let mut proxy = Proxy::start(&cluster, Listener::Plaintext);
    let mut clients = load(proxy.bootstrap(), 3);
    disturb(&mut clients, &[5, 10, 15], || proxy.kill_and_start());
    demand(clients);
}
