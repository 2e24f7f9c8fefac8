//! What `kroxy plan` says and what `kroxy reload` does are one.

use crate::{
    certificates::Authority,
    clusters::{Cluster, text},
    folder::Folder,
    kroxy::Kroxy,
};
use kroxy_core::{reload::Plan, status::ReloadReport};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// A proxy whose configuration changes again and again.
struct Changing {
    folder: Folder,
    kroxy: Kroxy,
}

impl Changing {
    fn new(settings: &str, clusters: &[Cluster]) -> Self {
        let folder = Folder::new();
        let kroxy = Kroxy::serve(&folder.write("proxy.ron", &text(settings, clusters)));
        Self { folder, kroxy }
    }

    /// Asks what the change would do, then makes it, and sees that it did just that. Returns it, a line for each thing.
    fn change(&mut self, settings: &str, clusters: &[Cluster]) -> Vec<String> {
        let wanted = text(settings, clusters);
        let new = self.folder.write("new.ron", &wanted);
        let asked = self.kroxy.ask(&["plan", new.to_str().expect("text"), "-o", "json"]);
        let plan: Plan = serde_json::from_value(asked.json()).expect("a plan");
        assert_eq!(asked.code, if plan.is_unchanged() { 0 } else { 10 }, "{asked:?}");

        let before = self.kroxy.status()["configuration"].clone();
        fs::write(self.folder.file("proxy.ron"), wanted).expect("writable");
        let made = self.kroxy.ask(&["reload", "-o", "json"]);
        let report: ReloadReport = serde_json::from_value(made.json()).expect("a report");
        assert_eq!((made.code, report.errors.len()), (0, 0), "{made:?}");
        let planned: Vec<_> = plan
            .virtual_clusters
            .iter()
            .map(|c| (c.name.to_string(), c.action, c.fields.iter().map(ToString::to_string).collect::<Vec<_>>()))
            .collect();
        let done: Vec<_> =
            report.virtual_clusters.iter().map(|c| (c.name.clone(), c.action, c.fields.clone())).collect();
        assert_eq!(planned, done, "the plan and the reload differ");
        assert_eq!(plan.warnings, report.warnings);
        let after = self.kroxy.status()["configuration"].clone();
        assert_eq!(before["digest"] == after["digest"], plan.is_unchanged(), "{before} {after}");
        assert_eq!(before["generation"] == after["generation"], plan.is_unchanged(), "{before} {after}");
        let said = plan.to_string();
        said.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Has a client that does not speak Kafka be turned away, which operators are told, as the `nth` one. Returns who it was.
    fn be_misused(&self, cluster: &Cluster, nth: u64) -> SocketAddr {
        let mut client = TcpStream::connect(("127.0.0.1", cluster.bootstrap_port)).expect("the gateway listens");
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("writable");
        let _ = client.read(&mut [0; 1]); // the proxy closes: with RST where it has not read everything
        let at = client.local_addr().expect("connected");
        drop(client);
        while self.kroxy.status()["virtual_clusters"][0]["disconnects"]["client_misbehaved"] != nth {}
        at
    }
}

fn broker(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn clusters_are_renamed_removed_added_and_moved_to_another_upstream_as_planned() {
    let (orders, audit) = (Cluster::new("orders", broker(1)), Cluster::new("audit", broker(2)));
    let mut proxy = Changing::new("", &[orders.clone(), audit.clone()]);

    let renamed = Cluster { name: "purchases", ..orders };
    let said = proxy.change("", &[renamed.clone(), audit.clone()]);
    assert_eq!(said[0], "= virtual cluster audit: unchanged");
    assert_eq!(said[1], "- virtual cluster orders: drained and removed");
    assert_eq!(said[2], "+ virtual cluster purchases: added");
    assert_eq!(said[3], "waits for addresses that orders still has");
    assert!(said[4].starts_with("warning: purchases looks like orders under another name"), "{said:?}");

    let said = proxy.change("", std::slice::from_ref(&renamed));
    assert_eq!(said, ["- virtual cluster audit: drained and removed", "= virtual cluster purchases: unchanged"]);

    let added = Cluster::new("telemetry", broker(3));
    let said = proxy.change("", &[renamed.clone(), added.clone()]);
    assert_eq!(said, ["= virtual cluster purchases: unchanged", "+ virtual cluster telemetry: added"]);

    let moved = Cluster { upstream: broker(4), ..renamed };
    let said = proxy.change("", &[moved.clone(), added.clone()]);
    assert_eq!(
        said,
        [
            "! virtual cluster purchases: drained and built anew",
            "upstream.bootstrap_servers: 127.0.0.1:1 → 127.0.0.1:4",
            "= virtual cluster telemetry: unchanged"
        ]
    );
    assert_eq!(proxy.change("", &[added, moved]), ["no change"], "the order of virtual clusters means nothing");
}

#[test]
fn a_changed_certificate_file_is_for_new_handshakes_as_planned() {
    let authority = Authority::new("kroxy's tests");
    let mut orders = Cluster::new("orders", broker(1));
    let mut proxy = Changing::new("", std::slice::from_ref(&orders));
    let (chain, key) = (proxy.folder.file("kroxy.pem"), proxy.folder.file("kroxy.key"));
    let renew = || {
        let made = authority.sign(&["localhost"]);
        fs::write(&chain, made.chain).expect("writable");
        fs::write(&key, made.key).expect("writable");
    };
    renew();
    orders.gateway = format!("tls: (certificates: [(chain: {chain:?}, key: {key:?})]),");
    let said = proxy.change("", std::slice::from_ref(&orders));
    assert_eq!(said[0], "! virtual cluster orders: drained and built anew", "{said:?}");

    renew();
    let said = proxy.change("", std::slice::from_ref(&orders));
    assert_eq!(said[0], "~ virtual cluster orders: changed while connections stay open", "{said:?}");
    assert!(said.len() == 3 && said[1..].iter().all(|line| line.starts_with("contents of gateways.g.tls")), "{said:?}");
    assert_eq!(proxy.change("", &[orders]), ["no change"]);
}

#[test]
fn the_level_of_the_log_changes_at_once_and_nothing_else_does() {
    let orders = [Cluster::new("orders", broker(1))];
    let mut proxy = Changing::new("", &orders);
    let said = proxy.change("log: (level: Debug),", &orders);
    assert_eq!(said, ["~ log.level: unset → Debug", "= virtual cluster orders: unchanged"]);
    proxy.be_misused(&orders[0], 1);
    assert_eq!(proxy.kroxy.hear("connection")["level"], "DEBUG", "it is told that somebody has connected");
    proxy.kroxy.hear("connection closed");

    let said = proxy.change("log: (level: Warn),", &orders);
    assert_eq!(said[0], "~ log.level: Debug → Warn");
    proxy.be_misused(&orders[0], 2);
    let said = proxy.change("", &orders);
    assert_eq!(said[0], "~ log.level: Warn → unset");
    let last = proxy.be_misused(&orders[0], 3);
    assert_eq!(proxy.kroxy.hear("connection")["peer"], last.to_string(), "nothing was said of the one before");
}
