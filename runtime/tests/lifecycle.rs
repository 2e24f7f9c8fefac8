//! Virtual clusters that cannot be had as configured, on real sockets: what is served, what is said, what a reload does.
//!
//! Nothing here starts a process: for a moment it would hold copies of all sockets, and a port that was given back would seem taken.

mod clusters;
#[expect(dead_code, reason = "nobody asks for nodes here")]
mod frames;
mod ports;

use clusters::{Cluster, text};
use frames::{HEARTBEAT, HEARTBEAT_OK};
use kroxy_core::{
    proxy::Trigger,
    reload::Loaded,
    status::{ClusterOutcome, ClusterState, ProxyState, ReloadOutcome, Status},
};
use ports::free_port;
use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Lifetime, Proxy, Source},
};
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Long enough for a machine under load, short enough to notice what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has a client ask something, and sees that it is answered.
async fn demand_service(cluster: &Cluster, upstream: &tokio::net::TcpListener) {
    let exchange = async {
        let mut client = TcpStream::connect(("127.0.0.1", cluster.bootstrap_port)).await.expect("the gateway listens");
        client.write_all(HEARTBEAT).await.expect("the proxy reads");
        let (mut broker, _) = upstream.accept().await.expect("accepts");
        let mut asked = vec![0; HEARTBEAT.len()];
        broker.read_exact(&mut asked).await.expect("the question arrives");
        broker.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
        let mut answer = vec![0; HEARTBEAT_OK.len()];
        client.read_exact(&mut answer).await.expect("an answer");
        assert_eq!((&asked[..], &answer[..]), (HEARTBEAT, HEARTBEAT_OK));
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{} does not serve", cluster.name));
}

/// Part of a gateway that cannot be built.
const WITHOUT_FILES: &str = r#"tls: (certificates: [(chain: "/nowhere/kroxy.pem", key: "/nowhere/kroxy.key")]),"#;

fn loaded(settings: &str, clusters: &[Cluster]) -> Loaded {
    load::loaded(config::parse_str("test", &text(settings, clusters)).unwrap_or_else(|e| panic!("{e}")))
}

async fn upstream() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    (listener, at)
}

fn start(loaded: Loaded) -> (Proxy<OsNet>, Lifetime<OsNet>) {
    let proxy = Proxy::new(loaded, Source::memory(), OsNet, Clock::system(), 1);
    let lifetime = proxy.startup().expect("a new proxy can be started");
    (proxy, lifetime)
}

/// Waits until the status is as wanted; it is looked at whenever something has happened.
async fn until(proxy: &Proxy<OsNet>, what: &str, is: impl Fn(&Status) -> bool) -> Status {
    let mut events = proxy.events();
    let watch = async {
        loop {
            let status = proxy.status();
            if is(&status) {
                return status;
            }
            events.recv().await.expect("the proxy lives, and not so much happens");
        }
    };
    timeout(PATIENCE, watch).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn end(proxy: Proxy<OsNet>, lifetime: Lifetime<OsNet>) {
    proxy.shutdown("the test is over");
    assert_eq!(timeout(PATIENCE, lifetime).await.expect("it stops in time"), Ok(()));
}

fn states(status: &Status) -> Vec<ClusterState> {
    status.virtual_clusters.iter().map(|c| c.state).collect()
}

#[tokio::test]
async fn what_remains_is_served_and_a_port_that_gets_free_brings_the_rest_back() {
    let (broker, at) = upstream().await;
    let (good, taken) = (Cluster::new("good", at), Cluster::new("taken", at));
    let unreadable = Cluster { gateway: WITHOUT_FILES.to_owned(), ..Cluster::new("unreadable", at) };
    let intruder = TcpListener::bind(("127.0.0.1", taken.bootstrap_port)).expect("nobody has it yet");
    let settings =
        r#"on_virtual_cluster_failure: (serve: Remaining, retry: (initial_backoff: "5ms", max_backoff: "20ms")),"#;
    let (proxy, lifetime) = start(loaded(settings, &[good.clone(), taken.clone(), unreadable]));

    let status = until(&proxy, "the proxy is up", |s| s.proxy.state == ProxyState::Started).await;
    assert_eq!(states(&status)[0], ClusterState::Serving);
    demand_service(&good, &broker).await;
    let wanted = format!("gateway g cannot listen on 127.0.0.1:{}: Address already in use", taken.bootstrap_port);
    for (place, wanted) in [(1, wanted.as_str()), (2, "/nowhere/kroxy.pem cannot be read: No such file")] {
        // It is retried all the time, and never for long in another state than `failed`.
        let failed = until(&proxy, wanted, |s| s.virtual_clusters[place].state == ClusterState::Failed).await;
        let reason = failed.virtual_clusters[place].reason.clone().expect("a failed cluster has a reason").join(": ");
        assert!(reason.contains(wanted), "{reason}");
    }

    drop(intruder);
    until(&proxy, "the port is taken", |s| s.virtual_clusters[1].state == ClusterState::Serving).await;
    demand_service(&taken, &broker).await;
    end(proxy, lifetime).await;
}

/// One address cannot be bound beside all addresses, so the cluster lets go of the one first.
#[tokio::test]
async fn a_gateway_comes_to_listen_on_all_addresses_by_a_reload() {
    let (broker, at) = upstream().await;
    let narrow = Cluster::new("c", at);
    let wide = Cluster { bind: "0.0.0.0", ..narrow.clone() };
    let (proxy, lifetime) = start(loaded("", &[narrow]));
    until(&proxy, "it serves", |s| states(s) == [ClusterState::Serving]).await;
    let report = proxy.reload(Trigger::Api, loaded("", std::slice::from_ref(&wide))).await.expect("nothing else runs");
    assert_eq!(report.outcome, ReloadOutcome::Applied, "{report:?}");
    demand_service(&wide, &broker).await;

    // The way back is barred: what served before the reload serves again.
    let narrow = Cluster { bind: "127.0.0.2", bootstrap_port: free_port(), ..wide.clone() };
    let _intruder = TcpListener::bind(("127.0.0.2", narrow.bootstrap_port)).expect("nobody has it yet");
    let report = proxy.reload(Trigger::Api, loaded("", &[narrow])).await.expect("nothing else runs");
    assert_eq!(report.outcome, ReloadOutcome::Failed, "{report:?}");
    assert_eq!(report.virtual_clusters[0].outcome, ClusterOutcome::NotPrepared, "{report:?}");
    demand_service(&wide, &broker).await;
    end(proxy, lifetime).await;
}
