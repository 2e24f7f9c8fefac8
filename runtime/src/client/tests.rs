//! What answers look like on a terminal.

use super::*;
use kroxy_core::{
    address::HostPort,
    status::{
        ClusterOutcome, ClusterReload, ClusterState, ClusterStatus, ConfigurationStatus, GatewayStatus, ProxyState,
        ProxyStatus, ReloadAction, RetryStatus,
    },
};

#[test]
fn a_status_is_a_table_with_what_needs_an_eye_below_its_row() {
    let gateway = GatewayStatus { bootstrap: Some(HostPort::new("kroxy.example", 9292)), ..GatewayStatus::default() };
    let orders = ClusterStatus {
        name: "orders".into(),
        state: ClusterState::Serving,
        since_unix_ms: 1_000_000,
        connections: 12,
        in_flight: 3,
        gateways: vec![gateway],
        ..ClusterStatus::default()
    };
    let audit = ClusterStatus {
        name: "audit".into(),
        state: ClusterState::Failed,
        since_unix_ms: 4_592_000,
        reason: Some(vec!["gateway g cannot listen on 0.0.0.0:9392".into(), "Address in use".into()]),
        retry: Some(RetryStatus { attempt: 2, max_retries: Some(5), next_in_ms: Some(1_500) }),
        ..ClusterStatus::default()
    };
    let status = Status {
        version: "0.1.0".into(),
        at_unix_ms: 4_600_000,
        proxy: ProxyStatus { state: ProxyState::Started, since_unix_ms: 999_000, process_id: 7, ..Default::default() },
        configuration: ConfigurationStatus {
            generation: 3,
            digest: "0123456789abcdef".into(),
            source: Some("proxy.ron".into()),
            last_reload: Some(ReloadReport {
                trigger: "signal".into(),
                at_unix_ms: 4_000_000,
                outcome: ReloadOutcome::Rejected,
                errors: vec!["proxy.ron:1:2: what is this".into()],
                ..ReloadReport::default()
            }),
            ..ConfigurationStatus::default()
        },
        virtual_clusters: vec![audit, orders],
        ..Status::default()
    };
    let expected = "\
kroxy 0.1.0, process 7: started for 1 h 0 min
configuration of proxy.ron: generation 3, digest 0123456789ab
last reload: rejected 10 min 0 s ago (signal)
  error: proxy.ron:1:2: what is this

virtual cluster  state    for        connections  in flight  clients begin at
audit            failed   8.0 s      0            0
  because: gateway g cannot listen on 0.0.0.0:9392: Address in use
  retries: 2 of 5, the next one in 1.5 s
orders           serving  1 h 0 min  12           3          kroxy.example:9292
";
    assert_eq!(show::status(&status), expected);
}

#[test]
fn a_reload_says_of_each_cluster_what_was_done_and_what_came_of_it() {
    let orders = ClusterReload {
        name: "orders".into(),
        action: ReloadAction::Drain,
        fields: vec!["upstream.bootstrap_servers: a:1 → b:1".into()],
        outcome: ClusterOutcome::RolledBack,
        cause: vec!["cannot bind".into(), "address in use".into()],
    };
    let audit = ClusterReload {
        name: "audit".into(),
        action: ReloadAction::Live,
        fields: vec!["idle_timeout: none → 600s".into()],
        outcome: ClusterOutcome::Applied,
        cause: vec![],
    };
    let report = ReloadReport {
        duration_ms: 1_234,
        outcome: ReloadOutcome::Partial,
        generation: 4,
        virtual_clusters: vec![audit, orders],
        ..ReloadReport::default()
    };
    let expected = "\
partial: some virtual clusters run with it, and some do not; generation 4 in force, after 1.2 s
~ virtual cluster audit: changed while connections stay open: done
    idle_timeout: none → 600s
! virtual cluster orders: drained and built anew: rolled back, it serves with the configuration of before
    upstream.bootstrap_servers: a:1 → b:1
    because: cannot bind: address in use
";
    assert_eq!(show::reload(&report), expected);
}

#[test]
fn an_answer_that_is_not_ours_is_shown_as_it_came() {
    let answer = |body: &str| Answer { status: 502, body: body.into() };
    assert_eq!(show::words(&answer(r#"{"error":"busy"}"#)), "busy\n");
    assert_eq!(show::words(&answer("Bad Gateway\n")), "HTTP 502: Bad Gateway\n");
}

#[test]
fn a_file_name_survives_its_way_through_a_url() {
    assert_eq!(escaped(Path::new("/etc/kroxy/new_1-a.ron")), "/etc/kroxy/new_1-a.ron");
    assert_eq!(escaped(Path::new("a b&c=ü?.ron")), "a%20b%26c%3D%C3%BC%3F.ron");
}
