//! Virtual clusters drain, roll back and come back, kroxy stops and starts, all under load: no application notices.

use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tests::admin;
use tests::cluster::{Cluster, Listener};
use tests::configuration::Configuration;
use tests::java::{Member, Probe};
use tests::library::{Library, Load, Running};
use tests::process::wait_until;
use tests::proxy::Proxy;
use tests::{Mode, asked_for, say};

const LIMIT: Duration = Duration::from_secs(60);

/// Between two disturbances everybody comes to rest.
const PAUSE: Duration = Duration::from_secs(4);

/// `linger.ms` groups records, as it does in applications that send much.
const IDEMPOTENT: &str = "acks=all linger.ms=5";
const ACKNOWLEDGED_ONCE: &str = "acks=1 enable.idempotence=false linger.ms=5";
const UNACKNOWLEDGED: &str = "acks=0 enable.idempotence=false linger.ms=5";

/// Longer than anything in a story: what is not cut short is noticed.
const LONG_POLLS: &str = "fetch.max.wait.ms=30000\nfetch.min.bytes=1000000\nrequest.timeout.ms=60000\n";

#[test]
fn no_application_notices_drains_and_restarts() {
    let story = "drains";
    let Some(turn) = asked_for(story) else { return };
    let cluster = Cluster::start(&turn, 3, &["-c", "num.partitions=3"]);
    let brokers = cluster.bootstrap(Listener::Plaintext);
    let mut proxy = Proxy::start(&cluster, Listener::Plaintext);
    let at = proxy.bootstrap().to_owned();
    let mut quiet = QuietGroups::start(&cluster, story, &at);
    quiet.wait_until_parked();
    // The same brokers in another order: connections that exist were made with the old list.
    let mut configured = Configuration::new(&["orders"], &brokers);
    if turn.mode == Mode::Proxied {
        reload_with_drain(&proxy, &mut configured, "of nothing but long polls of 30 s");
        quiet.wait_until_parked();
    }
    let mut applications = Applications::start(&cluster, story, &at, 28);
    if turn.mode == Mode::Proxied {
        for _ in 0..2 {
            applications.rest();
            reload_with_drain(&proxy, &mut configured, "of long polls of 30 s and producers");
            quiet.wait_until_parked();
        }
        assert_eq!(
            admin::metric("kroxy_drain_connections_total", &[("outcome", "timeout")]),
            0.0,
            "connections were cut"
        );
    }
    for _ in 0..2 {
        applications.rest();
        if let Some(took) = proxy.restart() {
            say(&format!("{story}: stopped within {} ms", took.as_millis()));
        }
        quiet.wait_until_parked();
    }
    applications.demand();
    quiet.demand_records(&cluster);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

/// Changes something that takes a drain; long polls are there to be cut short.
fn reload_with_drain(proxy: &Proxy, configured: &mut Configuration, of: &str) {
    let servers = &mut configured.clusters[0].upstream;
    let (first, rest) = servers.split_once(',').expect("several brokers");
    *servers = format!("{rest},{first}");
    let cut_short = own_fetches();
    let report = proxy.reload(configured).json();
    say(&format!("drains: a drain {of} takes {} ms", report["duration_ms"]));
    assert_eq!(report["outcome"], "applied", "{report}");
    assert_eq!(report["virtual_clusters"][0]["action"], "drain", "{report}");
    assert!(own_fetches() >= cut_short + 3.0, "no long poll was there to be cut short");
}

/// Fetch requests that kroxy has answered itself.
fn own_fetches() -> f64 {
    admin::metric("kroxy_own_answers_total", &[("api", "Fetch")])
}

/// Producers of every kind, each with a reader that demands its records.
struct Applications {
    probes: Vec<(&'static str, Probe)>,
    clients: Vec<Running>,
}

impl Applications {
    /// They send for so many seconds.
    fn start(cluster: &Cluster<'_>, story: &str, at: &str, seconds: u64) -> Self {
        // What has to be built for them is built before the first begins to send.
        let load = |variant| Load::new(Library::Librdkafka, variant).with("--records", 3000).with("--seconds", seconds);
        let loads = ["idempotent", "acks-1", "acks-0"].map(load);
        let probe = |name, settings: &str| {
            let settings = format!("rate=400 warm=1 secs={seconds} {settings}");
            (name, Probe::start(cluster, story, name, at, &settings))
        };
        let probes = vec![
            probe("idempotent", IDEMPOTENT),
            probe("acknowledged", ACKNOWLEDGED_ONCE),
            probe("unacknowledged", UNACKNOWLEDGED),
        ];
        let mut all = Self { probes, clients: Vec::new() };
        all.probes.iter_mut().for_each(|(_, probe)| probe.wait_until_it_sends());
        all.clients.extend(loads.map(|load| load.start(at)));
        all
    }

    /// Lets them work undisturbed for a while. Some must still be at it then; on a slow machine some may be done.
    fn rest(&mut self) {
        let until = Instant::now() + PAUSE;
        wait_until("the pause is over", PAUSE * 2, || Instant::now() >= until);
        let probes = self.probes.iter_mut().any(|(_, probe)| probe.runs());
        assert!(probes && self.clients.iter_mut().any(Running::runs), "they have ended before the disturbance");
    }

    fn demand(self) {
        let mut flaws: Vec<_> = self.clients.into_iter().filter_map(|client| client.verdict().err()).collect();
        for (name, probe) in self.probes {
            let report = probe.report();
            say(&format!("{name}: {report:?}"));
            flaws.extend(report.flaws().into_iter().map(|flaw| format!("{name}: {flaw}")));
            if name == "idempotent" && report.disordered > 0 {
                flaws.push(format!("{name}: {} records are out of order", report.disordered));
            }
        }
        assert!(flaws.is_empty(), "{}", flaws.join("\n"));
    }
}

/// Consumer groups to whose topic nobody sends: each member has a long poll at each broker.
struct QuietGroups {
    members: Vec<Member>,
}

impl QuietGroups {
    const TOPIC: &str = "quiet";
    /// Three members, each at three brokers.
    const LONG_POLLS: u64 = 9;

    fn start(cluster: &Cluster<'_>, story: &str, at: &str) -> Self {
        let bootstrap = cluster.bootstrap(Listener::Plaintext);
        let create = format!("--bootstrap-server {bootstrap} --create --topic {} --partitions 6", Self::TOPIC);
        cluster.tool("topics", &create).demand("topics --create");
        let member = |name, group, settings| Member::start(cluster, story, name, at, Self::TOPIC, group, settings);
        let consumer_protocol = format!("{LONG_POLLS}group.protocol=consumer\n");
        let mut members = vec![
            member("classic-1", "classic", LONG_POLLS),
            member("classic-2", "classic", LONG_POLLS),
            member("kip848", "kip848", &consumer_protocol),
        ];
        wait_until("each member has partitions", LIMIT, || {
            members.iter_mut().all(|m| partitions(m).is_some_and(|n| n > 0))
        });
        Self { members }
    }

    /// Waits until each member has asked each broker for records.
    fn wait_until_parked(&self) {
        let parked = || {
            admin::get("/api/v1/status")
                .ok()
                .and_then(|answer| answer.json()["virtual_clusters"][0]["in_flight"].as_u64())
        };
        wait_until("long polls are parked", LIMIT, || parked().is_none_or(|n| n >= Self::LONG_POLLS));
    }

    /// Records that are sent now reach every group, and nobody has been told of a failure.
    fn demand_records(&mut self, cluster: &Cluster<'_>) {
        let bootstrap = cluster.bootstrap(Listener::Plaintext);
        // Enough for a poll of any partition to have its bytes.
        let load = format!(
            "--bootstrap-server {bootstrap} --topic {} --num-records 12000 --record-size 1024 --throughput -1",
            Self::TOPIC
        );
        cluster.tool("producer-perf-test", &load).demand("producer-perf-test");
        let read = |members: &mut [Member]| {
            let offset = |e: &Value| Some((e["partition"].as_u64()?, e["offset"].as_u64()?));
            let all = members.iter_mut().flat_map(|m| m.events("record_data"));
            all.filter_map(|e| offset(&e)).collect::<BTreeSet<_>>().len()
        };
        wait_until("every group has read everything", LIMIT, || {
            read(&mut self.members[..2]) == 12_000 && read(&mut self.members[2..]) == 12_000
        });
        for member in &mut self.members {
            let commits = member.events("offsets_committed");
            let refused: Vec<_> = commits.iter().filter(|commit| commit["success"] == false).collect();
            assert!(refused.is_empty(), "{refused:?}");
        }
    }
}

/// How many partitions a member has at present.
fn partitions(member: &mut Member) -> Option<usize> {
    Some(member.events("partitions_assigned").last()?["partitions"].as_array()?.len())
}

#[test]
fn a_change_that_fails_after_its_drain_is_undone_and_the_other_clusters_notice_nothing() {
    let story = "rollback";
    let Some(turn) = asked_for(story) else { return };
    if turn.mode == Mode::Direct {
        return; // without kroxy there is nothing to be changed
    }
    let cluster = Cluster::start(&turn, 1, &["-c", "num.partitions=3"]);
    let good = Configuration::new(&["first", "second", "third"], &cluster.bootstrap(Listener::Plaintext));
    let proxy = Proxy::serve(story, &good);
    // With retries=0 every disturbance is an error.
    let probe = |name, settings: &str, k: usize| {
        let settings = format!("rate=300 warm=1 secs=22 {settings}");
        Probe::start(&cluster, story, name, &good.clusters[k].bootstrap(), &settings)
    };
    let mut probes =
        [probe("first", "retries=0", 0), probe("second", ACKNOWLEDGED_ONCE, 1), probe("third", "retries=0", 2)];
    probes.iter_mut().for_each(Probe::wait_until_it_sends);
    let before = others();

    // All addresses cannot be had while somebody has one of them. That shows only once the drained cluster has let go of its own.
    let mut bad = good.clone();
    bad.clusters[1].bind = "0.0.0.0";
    let intruder = TcpListener::bind(("127.0.0.9", bad.clusters[1].bootstrap_port)).expect("nobody has that address");
    for attempt in 1..=2 {
        let report = proxy.reload(&bad).json();
        assert_eq!(
            outcomes(&report),
            [("first", "unchanged"), ("second", "rolled_back"), ("third", "unchanged")],
            "{report}"
        );
        assert_eq!(report["outcome"], "failed", "{report}");
        let cause = report["virtual_clusters"][1]["cause"].to_string();
        assert!(cause.contains(&format!("cannot listen on 0.0.0.0:{}", bad.clusters[1].bootstrap_port)), "{cause}");
        assert_eq!(report["generation"], 1, "{report}");
        assert_eq!(states(), [("first", "serving"), ("second", "serving"), ("third", "serving")].map(pair));
        let count = |from, to| {
            let labels = [("virtual_cluster", "second"), ("from", from), ("to", to)];
            admin::metric("kroxy_virtual_cluster_transitions_total", &labels)
        };
        let attempts = f64::from(attempt);
        assert_eq!(count("draining", "initializing"), attempts, "each time it was drained");
        assert_eq!(count("initializing", "failed"), attempts, "each time it failed");
        assert_eq!(count("initializing", "serving"), attempts + 1.0, "each time it came back");
        assert_eq!(admin::metric("kroxy_reload_total", &[("outcome", "failed")]), attempts);
    }
    drop(intruder);
    let report = proxy.reload(&bad).json();
    assert_eq!(outcomes(&report), [("first", "unchanged"), ("second", "applied"), ("third", "unchanged")], "{report}");
    assert_eq!(report["outcome"], "applied", "{report}");
    assert_eq!(others(), before, "clients of the others were disconnected, or have connected again");
    assert!(probes.iter_mut().all(Probe::runs), "a probe has ended before the last reload");
    for probe in probes {
        let report = probe.report();
        assert!(report.flaws().is_empty(), "{:?}", report.flaws());
    }
}

/// How often clients of the clusters that are not changed have connected and been disconnected.
fn others() -> [f64; 2] {
    let of = |name, cluster| admin::metric(name, &[("virtual_cluster", cluster)]);
    ["kroxy_connections_accepted_total", "kroxy_disconnects_total"].map(|name| of(name, "first") + of(name, "third"))
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    let clusters = report["virtual_clusters"].as_array().expect("a list");
    clusters
        .iter()
        .map(|c| (c["name"].as_str().unwrap_or_default(), c["outcome"].as_str().unwrap_or_default()))
        .collect()
}

fn states() -> Vec<(String, String)> {
    let status = admin::status();
    let clusters = status["virtual_clusters"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    clusters.iter().map(|c| (text(&c["name"]), text(&c["state"]))).collect()
}

fn pair((name, state): (&str, &str)) -> (String, String) {
    (name.to_owned(), state.to_owned())
}

#[test]
fn a_restart_under_fifteen_thousand_records_a_second_is_no_error() {
    let story = "restart_under_load";
    let Some(turn) = asked_for(story) else { return };
    let cluster = Cluster::start(&turn, 1, &["-c", "num.partitions=3"]);
    let mut proxy = Proxy::start(&cluster, Listener::Plaintext);
    for (name, settings) in
        [("default", ""), ("no-retries", "retries=0"), ("not-idempotent", "enable.idempotence=false")]
    {
        let settings = format!("rate=15000 warm=3 secs=4 {settings}");
        let mut probe = Probe::start(&cluster, story, name, proxy.bootstrap(), &settings);
        probe.wait_until_it_sends();
        let until = Instant::now() + PAUSE;
        wait_until("the load has warmed up", PAUSE * 2, || Instant::now() >= until);
        let took = proxy.restart();
        assert!(probe.runs(), "the probe has ended before the restart");
        let mut report = probe.report();
        say(&format!(
            "{story}: {name}: the old process was gone after {took:?}; longest gap {:.0} ms, {} of {} failed",
            report.max_gap_ms,
            report.errors.values().sum::<u64>(),
            report.sent
        ));
        if name == "no-retries" {
            report.errors.clear(); // it has asked for errors; what counts is that they are true
        }
        assert!(report.flaws().is_empty(), "{name}: {:?}", report.flaws());
    }
}
