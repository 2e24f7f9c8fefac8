//! The page of metrics, and the figures of a virtual cluster.

use super::*;
use crate::tls;
use kroxy_core::{
    admission::Limit,
    api::ApiKey,
    cluster::Reason,
    relay::{AnsweredBy, Asked, Exchange},
    reload::Digest,
    status::{ClusterStatus, DrainReason, Latency, ProxyStatus, Quantiles, ReloadOutcome},
    time::Instant,
};
use std::{fmt::Write, path::Path, thread, time::Duration};

const fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A request that was handed to upstream in 1 ms, and took upstream `ms`.
fn exchange(key: ApiKey, done: u64, ms: u64) -> Exchange {
    let by = AnsweredBy::Upstream(Duration::from_millis(ms));
    let asked =
        Asked { key, version: 12, correlation_id: 1, request_bytes: 9, since: at(0), complete: at(0), sent: at(1) };
    Exchange { asked, response_bytes: 5, done: at(done), by }
}

/// Metrics of which every family has been used once.
fn used() -> (Metrics, Status) {
    let metrics = Metrics::new();
    let cluster = metrics.cluster("orders");
    let own = Exchange { by: AnsweredBy::Proxy, ..exchange(ApiKey::FETCH, 0, 0) };
    cluster.settle(&[exchange(ApiKey::FETCH, 0, 0), own], Duration::ZERO);
    cluster.disconnected("client_closed", 0);
    cluster.reached(Limit::Connections);
    metrics.sni_refused("no_name");
    metrics.accept_failed("descriptors");
    cluster.handshake_failed(tls::Leg::Client, &tls::Failure::timed_out(Duration::ZERO));
    let (from, to, lasted, at) = (ProxyState::Starting, ProxyState::Started, Duration::ZERO, Instant::ZERO);
    metrics.proxy_transition(&proxy::Transition { from, to, cause: Reason::new("test"), at, lasted });
    metrics.cluster_transition(
        "orders",
        &cluster::Transition {
            from: Some(ClusterState::Initializing),
            to: ClusterState::Serving,
            why: None,
            cause: Reason::new("test"),
            at,
            lasted,
        },
    );
    let (why, connections) = (DrainReason::Operator, 2);
    let drained = cluster::Drained { why, lasted, connections, cut_connections: 1, cut_in_flight: 1 };
    cluster.authentication(None, false);
    cluster.login(true);
    metrics.drained("orders", &drained);
    metrics.reloaded(&proxy::Reloaded {
        trigger: proxy::Trigger::Api,
        at,
        lasted,
        outcome: ReloadOutcome::Applied,
        generation: 2,
        digest: Digest::default(),
        errors: Vec::new(),
        warnings: Vec::new(),
        virtual_clusters: Vec::new(),
    });
    let certificates = vec![CertificateStatus::default()];
    let shown = ClusterStatus { name: "orders".to_owned(), certificates, ..ClusterStatus::default() };
    let proxy = ProxyStatus { state: ProxyState::Started, ..ProxyStatus::default() };
    (metrics, Status { proxy, virtual_clusters: vec![shown], ..Status::default() })
}

#[test]
fn the_page_of_metrics_is_the_list_of_metrics() {
    let (metrics, status) = used();
    metrics.text(&status);
    let mut page = String::from(
        "# Metrics\n\n`GET /metrics` on the admin API, in Prometheus' text format. A label's values are bounded: virtual \
         clusters and APIs\nare known beforehand, causes and states are listed in the code. Clients are no label.\n\n\
         | metric | type | labels | what |\n|---|---|---|---|\n",
    );
    for family in metrics.registry.gather() {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let labels: Vec<_> = family.get_metric()[0].get_label().iter().map(|l| format!("`{}`", l.name())).collect();
        let (name, labels) = (family.name(), labels.join(", "));
        writeln!(page, "| `{name}` | {kind} | {labels} | {} |", family.help()).expect("writing to a string");
    }
    page.push_str(
        "\nWhat the proxy adds is measured around each read of a socket: reading what ends a request or a response, deciding, \
         writing.\nBytes that wait in the operating system because every worker is busy are not seen, nor are those that a \
         peer does not\ntake: the first shows as CPU, the second is the peer's. Answers of the proxy's own are in neither \
         histogram. The percentiles\nof a status are of the last minute, and those of upstream leave the long polls out.\n",
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/metrics.md is stale: UPDATE_DOCS=1 cargo test -p runtime metrics");
}

#[test]
fn a_long_poll_does_not_spoil_the_figures_of_a_cluster() {
    let cluster = Metrics::new().cluster("orders");
    let took = Duration::from_millis(2);
    cluster.settle(&[exchange(ApiKey::PRODUCE, 5_000, 10), exchange(ApiKey::FETCH, 5_000, 30_000)], took);
    let latency = cluster.latency(at(6_000));
    assert_eq!(latency.upstream.map(|q| q.p99_us / 1_000), Some(10), "{latency:?}");
    assert_eq!(latency.proxy.map(|q| q.p99_us / 1_000), Some(3), "1 ms there and 2 ms back: {latency:?}");
    assert_eq!(cluster.latency(at(100_000)), Latency::default(), "nothing was asked for more than a minute");
}

#[test]
fn each_state_of_a_cluster_has_a_line_and_one_of_them_is_1() {
    let (metrics, status) = used();
    let text = metrics.text(&status);
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("kroxy_virtual_cluster_state{")).collect();
    assert_eq!(lines.len(), CLUSTER_STATES.len(), "{lines:?}");
    let ones: Vec<_> = lines.iter().filter(|l| l.ends_with(" 1")).collect();
    assert!(ones.len() == 1 && ones[0].contains("serving"), "{ones:?}");
}

#[test]
fn each_state_of_the_proxy_has_a_line_and_a_cluster_that_is_gone_has_none() {
    let (metrics, status) = used();
    let (from, at, lasted) = (Some(ClusterState::Draining), Instant::ZERO, Duration::ZERO);
    metrics.cluster_transition(
        "orders",
        &cluster::Transition { from, to: ClusterState::Stopped, why: None, cause: Reason::new("test"), at, lasted },
    );
    let text = metrics.text(&Status { virtual_clusters: Vec::new(), ..status });
    let states: Vec<_> = text.lines().filter(|l| l.starts_with("kroxy_proxy_state{")).collect();
    assert_eq!(states.len(), PROXY_STATES.len(), "{states:?}");
    assert!(states.contains(&r#"kroxy_proxy_state{state="started"} 1"#), "{states:?}");
    assert!(!text.contains("kroxy_virtual_cluster_state{"), "{text}");
}

/// Demands that the page has each of these lines.
fn demand_lines(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|there| there == *line), "no {line} in {page}");
    }
}

#[test]
fn what_every_worker_has_counted_is_summed_when_it_is_scraped() {
    const WORKERS: u64 = 20;
    const TIMES: u64 = 500;
    let metrics = Metrics::new();
    let cluster = metrics.cluster("orders");
    let own = Exchange { by: AnsweredBy::Proxy, ..exchange(ApiKey::PRODUCE, 0, 0) };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    cluster.read(3);
                    cluster
                        .settle(&[exchange(ApiKey::PRODUCE, 0, 2), exchange(ApiKey::FETCH, 0, 4), own], Duration::ZERO);
                    cluster.wrote(7);
                }
            });
        }
    });
    demand_lines(
        &metrics.text(&Status::default()),
        &[
            r#"kroxy_client_bytes_read_total{virtual_cluster="orders"} 30000"#,
            r#"kroxy_client_bytes_written_total{virtual_cluster="orders"} 70000"#,
            r#"kroxy_requests_total{api="Produce",virtual_cluster="orders"} 20000"#,
            r#"kroxy_requests_total{api="Fetch",virtual_cluster="orders"} 10000"#,
            r#"kroxy_own_answers_total{api="Produce",virtual_cluster="orders"} 10000"#,
            r#"kroxy_own_answers_total{api="Fetch",virtual_cluster="orders"} 0"#,
            r#"kroxy_request_bytes_total{api="Produce",virtual_cluster="orders"} 180000"#,
            r#"kroxy_response_bytes_total{api="Fetch",virtual_cluster="orders"} 50000"#,
            r#"kroxy_request_upstream_seconds_bucket{api="Fetch",virtual_cluster="orders",le="0.001024"} 0"#,
            r#"kroxy_request_upstream_seconds_bucket{api="Fetch",virtual_cluster="orders",le="0.004096"} 10000"#,
            r#"kroxy_request_upstream_seconds_sum{api="Produce",virtual_cluster="orders"} 20"#,
            r#"kroxy_request_added_seconds_count{api="Produce",virtual_cluster="orders"} 10000"#,
            r#"kroxy_request_added_seconds_sum{api="Produce",virtual_cluster="orders"} 10"#,
        ],
    );
    let requests: Vec<_> = cluster.requests_by_api().iter().map(|(api, requests)| (api.name, *requests)).collect();
    assert_eq!(requests, [("Produce", 20_000), ("Fetch", 10_000)]);
    assert_eq!(cluster.bytes(), (30_000, 70_000));
    let p99_ms = |quantiles: Option<Quantiles>| quantiles.map(|q| q.p99_us / 1_000);
    let latency = cluster.latency(at(1));
    assert_eq!(
        (p99_ms(latency.proxy), p99_ms(latency.upstream)),
        (Some(1), Some(2)),
        "Fetch is a long poll: {latency:?}"
    );
}

#[test]
fn a_virtual_cluster_that_comes_back_goes_on_counting() {
    let metrics = Metrics::new();
    for _ in 0..2 {
        let cluster = metrics.cluster("orders");
        cluster.read(3);
        cluster.settle(&[exchange(ApiKey::FETCH, 0, 1)], Duration::ZERO);
    }
    metrics.cluster("payments");
    let page = metrics.text(&Status::default());
    demand_lines(
        &page,
        &[
            r#"kroxy_client_bytes_read_total{virtual_cluster="orders"} 6"#,
            r#"kroxy_requests_total{api="Fetch",virtual_cluster="orders"} 2"#,
            r#"kroxy_request_upstream_seconds_count{api="Fetch",virtual_cluster="orders"} 2"#,
            r#"kroxy_client_bytes_read_total{virtual_cluster="payments"} 0"#,
        ],
    );
    assert!(!page.contains(r#"api="Produce""#), "nobody has used it: {page}");
    assert!(!page.contains(r#"api="Fetch",virtual_cluster="payments""#), "likewise: {page}");
}
