//! The shape of the JSON, and that other versions of it can still be read.

use super::*;
use serde_json::{Value, from_value, json, to_value};

fn draining() -> Status {
    Status {
        api_version: API_VERSION,
        version: "0.1.0".into(),
        at_unix_ms: 1_800_000_000_000,
        virtual_clusters: vec![ClusterStatus {
            name: "orders".into(),
            state: ClusterState::Draining,
            drain: Some(DrainStatus {
                why: DrainReason::Reload,
                started_unix_ms: 1_799_999_999_000,
                deadline_in_ms: Some(9_000),
                connections_at_start: 12,
                connections_left: 3,
                in_flight: 1,
            }),
            upstream: UpstreamStatus {
                bootstrap_servers: vec![HostPort::new("kafka-1.example", 9092)],
                ..UpstreamStatus::default()
            },
            disconnects: [("client_closed".to_owned(), 9)].into(),
            ..ClusterStatus::default()
        }],
        ..Status::default()
    }
}

#[test]
fn a_status_reads_back_as_it_was_written() {
    let written = to_value(draining()).expect("serializable");
    assert_eq!(from_value::<Status>(written).expect("readable"), draining());
}

#[test]
fn states_are_lower_case_and_a_drain_says_what_for() {
    let written = to_value(draining()).expect("serializable");
    let cluster = &written["virtual_clusters"][0];
    assert_eq!(cluster["state"], json!("draining"));
    assert_eq!(cluster["drain"]["why"], json!("reload"));
    assert_eq!(cluster["upstream"]["bootstrap_servers"], json!(["kafka-1.example:9092"]));
    assert_eq!(cluster["reason"], Value::Null);
}

#[test]
fn a_newer_proxy_is_read_by_an_older_console() {
    let newer = json!({
        "api_version": 2, "moon_phase": "full",
        "proxy": {"state": "hibernating"},
        "virtual_clusters": [{"name": "orders", "state": "rehearsing", "mood": 3, "drain": {"why": "holiday"}}],
    });
    let read: Status = from_value(newer).expect("unknown things are skipped");
    assert_eq!(read.proxy.state, ProxyState::Unknown);
    assert_eq!(read.virtual_clusters[0].name, "orders");
    assert_eq!(read.virtual_clusters[0].state, ClusterState::Unknown);
    assert_eq!(read.virtual_clusters[0].drain.as_ref().map(|d| d.why), Some(DrainReason::Unknown));
}

#[test]
fn an_event_is_flat_and_names_its_kind() {
    let transition = ClusterTransition {
        from: Some(ClusterState::Initializing),
        to: ClusterState::Failed,
        why: None,
        at_unix_ms: 5,
        cause: vec!["cannot bind 127.0.0.1:9192".into(), "address in use".into()],
    };
    let event = Event {
        seq: 7,
        at_unix_ms: 5,
        kind: EventKind::ClusterTransition { virtual_cluster: "orders".into(), transition },
    };
    let written = to_value(&event).expect("serializable");
    assert_eq!(
        written,
        json!({
            "seq": 7, "at_unix_ms": 5, "event": "cluster_transition", "virtual_cluster": "orders",
            "transition": {"from": "initializing", "to": "failed", "at_unix_ms": 5,
                           "cause": ["cannot bind 127.0.0.1:9192", "address in use"]},
        })
    );
    assert_eq!(from_value::<Event>(written).expect("readable"), event);
    assert_eq!((event.severity(), event.virtual_cluster()), (Severity::Error, Some("orders")));
}

#[test]
fn an_event_of_an_unknown_kind_keeps_its_place_in_the_sequence() {
    let newer = json!({"seq": 9, "at_unix_ms": 6, "event": "eclipse", "totality_s": 120});
    let read: Event = from_value(newer).expect("unknown kinds are read");
    assert_eq!((read.seq, read.kind), (9, EventKind::Unknown));
}

#[test]
fn names_are_those_of_the_json() {
    let all = [ClusterState::Initializing, ClusterState::Serving, ClusterState::Draining, ClusterState::Failed];
    for state in all {
        assert_eq!(to_value(state).expect("serializable"), json!(state.name()));
    }
    for outcome in [ClusterOutcome::NotPrepared, ClusterOutcome::RolledBack, ClusterOutcome::Overtaken] {
        assert_eq!(to_value(outcome).expect("serializable"), json!(outcome.name()));
    }
    for state in [ProxyState::New, ProxyState::Starting, ProxyState::Started, ProxyState::Stopping] {
        assert_eq!(to_value(state).expect("serializable"), json!(state.name()));
    }
}
