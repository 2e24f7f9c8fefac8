//! SASL ends at kroxy, which knows `alice`, and kroxy logs in to Kafka as `admin`: nobody sends to Kafka what a client sends.

use std::fs;
use std::process::Command;
use std::time::Duration;
use tests::cluster::{Cluster, Listener};
use tests::configuration::{Configuration, VirtualCluster};
use tests::library::{Library, Load, demand};
use tests::process::run;
use tests::proxy::Proxy;
use tests::{Mode, admin, asked_for, built, scratch};

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Has kroxy end SASL for alice, and log in to Kafka as admin with this mechanism: with files in the folder of the story.
pub(crate) fn swap(story: &str, of: &mut VirtualCluster, upstream: &str, session: &str) {
    let folder = scratch(story);
    fs::write(folder.join("alice"), "alice-secret\n").expect("writable");
    fs::write(folder.join("admin"), "admin-secret\n").expect("writable");
    let entry = |mechanism: &str| {
        let mut make = Command::new(built("kroxy"));
        make.args(["scram-credential", "--user", "alice", "--iterations", "4096", "--mechanism", mechanism]);
        make.arg("--password-file").arg(folder.join("alice"));
        run(Duration::from_secs(10), &make).demand("kroxy scram-credential")
    };
    let users = format!("[{}{}]", entry("SCRAM-SHA-256"), entry("SCRAM-SHA-512"));
    assert!(!users.contains("alice-secret"));
    fs::write(folder.join("users.ron"), users).expect("writable");
    of.more += &format!(r#"sasl: (mechanisms: {MECHANISMS:?}, credentials: "users.ron", {session}),"#);
    of.upstream_more += &format!(r#"sasl: (mechanism: "{upstream}", username: "admin", password_file: "admin"),"#);
}

/// kroxy with alice among its users, and with this mechanism towards Kafka.
fn swapping(story: &str, cluster: &Cluster<'_>, upstream: &str, session: &str) -> Proxy {
    let mut configuration = Configuration::new(&["orders"], &cluster.bootstrap(Listener::Sasl));
    swap(story, &mut configuration.clusters[0], upstream, session);
    Proxy::serve(story, &configuration)
}

/// Demands that sessions were renewed on the connections of a virtual cluster, as `renewals` counts, and that hardly anybody was closed
/// for coming too late (`late`): whom a busy machine holds up may be, and comes again.
pub(crate) fn demand_renewed(cluster: &str, renewals: &str, late: &str) {
    let of = |name: &str, label: (&str, &str)| admin::metric(name, &[("virtual_cluster", cluster), label]);
    let connections = admin::metric("kroxy_connections_accepted_total", &[("virtual_cluster", cluster)]);
    let (times, late) = (of(renewals, ("outcome", "accepted")), of("kroxy_disconnects_total", ("cause", late)));
    assert!(times > connections, "{cluster}, {renewals}: {times} times on {connections} connections");
    assert!(late < times / 10.0, "{cluster}, {renewals}: {late} of {times} were too late");
}

fn metrics() -> String {
    admin::get("/metrics").expect("kroxy runs").body
}

#[test]
fn credentials_are_swapped_whatever_the_mechanisms_are() {
    let Some(turn) = asked_for("credentials").filter(|turn| turn.mode == Mode::Proxied) else { return };
    let cluster = Cluster::start(&turn, 1, &["--sasl"]);
    for upstream in ["SCRAM-SHA-512", "PLAIN"] {
        let proxy = swapping("credentials", &cluster, upstream, "");
        for library in Library::ALL {
            if let Some(mechanism) = library.mechanisms().iter().find(|mechanism| **mechanism != upstream) {
                Load::new(library, "idempotent").with("--sasl", mechanism).run(proxy.bootstrap());
            }
        }
        for mechanism in MECHANISMS {
            let settings = cluster.client_properties(mechanism);
            let args =
                format!("--bootstrap-server {} --command-config {} --list", proxy.bootstrap(), settings.display());
            cluster.tool("topics", &args).demand(mechanism);
        }
        let metrics = metrics();
        assert!(
            metrics.contains(r#"kroxy_sasl_logins_total{outcome="accepted",virtual_cluster="orders"}"#),
            "{metrics}"
        );
        assert!(!metrics.contains(r#"outcome="refused""#), "{metrics}");
        let log = proxy.log();
        assert!(!log.contains("alice-secret") && !log.contains("admin-secret"), "{log}");
    }
}

#[test]
fn sessions_of_seconds_on_both_legs_are_noticed_by_nobody() {
    let Some(turn) = asked_for("credentials_again").filter(|turn| turn.mode == Mode::Proxied) else { return };
    let cluster = Cluster::start(&turn, 1, &["--sasl", "-c", "connections.max.reauth.ms=5000"]); // KIP-368
    let proxy = swapping("credentials_again", &cluster, "SCRAM-SHA-512", r#"session_max: "6s""#);
    let start = |library| {
        Load::new(library, "idempotent").with("--sasl", "PLAIN").with("--seconds", 20).start(proxy.bootstrap())
    };
    let others: Vec<_> = Library::STEADFAST.map(start).into();
    let settings = cluster.client_properties("SCRAM-SHA-256");
    let java = format!(
        "--bootstrap-server {} --command-config {} --topic java --num-records 4000 --record-size 100 --throughput 200",
        proxy.bootstrap(),
        settings.display()
    );
    let said = cluster.tool("producer-perf-test", &java).demand("producer-perf-test");
    assert!(said.contains("4000 records sent"), "{said}");
    demand(others);
    demand_renewed("orders", "kroxy_sasl_logins_total", "upstream_closed");
    demand_renewed("orders", "kroxy_sasl_authentications_total", "session_expired");
    let metrics = metrics();
    for cause in ["upstream_login_failed", "authentication_failed", "upstream_misbehaved"] {
        assert!(!metrics.contains(&format!("cause=\"{cause}\"")), "{cause}: {metrics}");
    }
}
