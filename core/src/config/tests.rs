use super::*;
use crate::gateway::{NodeRange, PortPerBroker};

fn gateway(name: &str, bind: &str, bootstrap_port: u16, nodes: core::ops::RangeInclusive<i32>) -> Gateway {
    let nodes = vec![NodeRange { ids: nodes, first_port: bootstrap_port + 1 }];
    let bind = bind.parse().expect("an address");
    let ports = PortPerBroker::new(bind, "kroxy.example", bootstrap_port, nodes).expect("valid");
    Gateway::port_per_broker(name, ports).expect("valid")
}

fn cluster(name: &str, gateways: Vec<Gateway>) -> VirtualCluster {
    VirtualCluster {
        name: name.parse().expect("valid"),
        upstream: Upstream {
            bootstrap_servers: NonEmpty::new(vec![HostPort::new("kafka.internal", 9092)]).expect("one"),
            connect_timeout: Upstream::CONNECT_TIMEOUT,
            tls: None,
            proxy_protocol: None,
            sasl: None,
        },
        gateways: NonEmpty::new(gateways).expect("at least one"),
        sasl: None,
        drain_timeout: VirtualCluster::DRAIN_TIMEOUT,
        idle_timeout: None,
        first_request_timeout: VirtualCluster::FIRST_REQUEST_TIMEOUT,
        unfinished_request_timeout: VirtualCluster::UNFINISHED_REQUEST_TIMEOUT,
        unread_response_timeout: VirtualCluster::UNREAD_RESPONSE_TIMEOUT,
        limits: Limits::default(),
    }
}

fn conflicts(clusters: Vec<VirtualCluster>) -> Vec<String> {
    let clusters = NonEmpty::new(clusters).expect("at least one");
    match Config::new(Admin::default(), OnVirtualClusterFailure::default(), clusters) {
        Ok(_) => vec![],
        Err(conflicts) => conflicts.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn clusters_and_gateways_side_by_side_have_no_conflict() {
    let clusters = vec![
        cluster("a", vec![gateway("in", "10.0.0.1", 9292, 0..=2), gateway("out", "10.0.0.2", 9292, 0..=2)]),
        cluster("b", vec![gateway("in", "10.0.0.1", 9392, 0..=2)]),
    ];
    assert_eq!(conflicts(clusters), [""; 0]);
}

#[test]
fn names_are_unique_whatever_their_case() {
    let clusters = vec![
        cluster("orders", vec![gateway("in", "10.0.0.1", 9292, 0..=2), gateway("IN", "10.0.0.2", 9292, 0..=2)]),
        cluster("Orders", vec![gateway("in", "10.0.0.3", 9292, 0..=2)]),
    ];
    assert_eq!(
        conflicts(clusters),
        [
            "virtual cluster Orders is there twice: names are compared without regard to case",
            "virtual cluster orders has two gateways called IN: names are compared without regard to case",
        ]
    );
}

#[test]
fn two_gateways_that_share_ports_are_one_conflict_and_the_admin_port_is_another() {
    let clusters = vec![
        cluster("a", vec![gateway("in", "0.0.0.0", 9290, 0..=9)]),
        cluster("b", vec![gateway("in", "10.0.0.1", 9295, 0..=9), gateway("out", "0.0.0.0", 9189, 0..=2)]),
    ];
    assert_eq!(
        conflicts(clusters),
        [
            "virtual cluster b (bootstrap) would listen on 10.0.0.1:9295, which virtual cluster a (node 4) has already",
            "virtual cluster b (node 0) would listen on 0.0.0.0:9190, which the admin API has already",
        ]
    );
}

#[test]
fn an_admin_port_of_the_operating_systems_choice_is_in_nobodys_way() {
    let admin = Admin { bind: "127.0.0.1:0".parse().expect("an address"), ..Admin::default() };
    let clusters = NonEmpty::new(vec![cluster("a", vec![gateway("in", "127.0.0.1", 9190, 0..=2)])]).expect("one");
    assert!(Config::new(admin, OnVirtualClusterFailure::default(), clusters).is_ok());
}

#[test]
fn an_address_that_stands_for_all_excludes_the_others_of_its_family() {
    let cases = [
        ("0.0.0.0", "10.0.0.1", true),
        ("0.0.0.0", "0.0.0.0", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("::", "::1", true),
        ("::", "10.0.0.1", true),
        ("::", "0.0.0.0", true),
        ("0.0.0.0", "::1", false),
        ("::1", "127.0.0.1", false),
        ("::ffff:10.0.0.1", "10.0.0.1", true),
    ];
    for (a, b, want) in cases {
        let (a, b) = (a.parse().expect("an address"), b.parse().expect("an address"));
        assert_eq!(exclude_each_other(a, b), want, "{a} {b}");
        assert_eq!(exclude_each_other(b, a), want, "{b} {a}");
    }
}
