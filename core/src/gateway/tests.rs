use super::*;
use proptest::prelude::*;

const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn range(ids: RangeInclusive<i32>, first_port: u16) -> NodeRange {
    NodeRange { ids, first_port }
}

fn gateway(bootstrap_port: u16, nodes: Vec<NodeRange>) -> Result<PortPerBroker, GatewayError> {
    PortPerBroker::new(ANY, "kroxy.example", bootstrap_port, nodes)
}

#[test]
fn a_node_has_its_own_address_and_a_node_outside_the_ranges_one_where_nobody_listens() {
    let ports = gateway(9192, vec![range(0..=2, 9200), range(10..=11, 9300)]).expect("valid");
    let g = Gateway::port_per_broker("default", ports).expect("valid");
    assert_eq!(g.virtual_address(NodeId(2)), ("kroxy.example".into(), 9202));
    assert_eq!(g.virtual_address(NodeId(11)), ("kroxy.example".into(), 9301));
    for outside in [-1, 3, 9, 12, i32::MIN, i32::MAX] {
        assert_eq!(g.virtual_address(NodeId(outside)), ("kroxy.example".into(), limits::UNMAPPED_NODE_PORT));
        assert!(!g.is_mapped(NodeId(outside)));
    }
}

#[test]
fn the_bootstrap_port_comes_first_and_then_the_nodes_as_they_were_given() {
    let ports = gateway(9192, vec![range(10..=11, 9300), range(0..=0, 9200)]).expect("valid");
    let node = |id| Route::Node(NodeId(id));
    let all: Vec<_> = ports.ports().collect();
    assert_eq!(all, [(9192, Route::Bootstrap), (9300, node(10)), (9301, node(11)), (9200, node(0))]);
}

#[test]
fn a_bootstrap_port_may_stand_between_two_ranges() {
    let ports = gateway(9200, vec![range(0..=0, 9199), range(1..=1, 9201)]).expect("valid");
    assert_eq!(ports.ports().count(), 3);
}

#[test]
fn the_last_port_is_usable() {
    let ports = gateway(9192, vec![range(i32::MAX..=i32::MAX, u16::MAX)]).expect("valid");
    assert_eq!(ports.route_at(u16::MAX), Some(Route::Node(NodeId(i32::MAX))));
    assert_eq!(ports.port_of(NodeId(i32::MAX)), Some(u16::MAX));
    assert_eq!(ports.ports().count(), 2);
}

#[test]
fn what_makes_no_gateway_is_refused_for_the_right_reason() {
    use GatewayError::{EmptyRange, IdsOverlap, NegativeId, NoNodes, PortZero, PortsOverlap, PortsRunOut};
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is to be refused")]
    let backwards = range(5..=3, 9200);
    let cases = [
        (0, vec![range(0..=2, 9200)], PortZero { at: PortUse::Bootstrap }),
        (9192, vec![], NoNodes),
        (9192, vec![backwards], EmptyRange { range: 0, first: 5, last: 3 }),
        (9192, vec![range(-1..=3, 9200)], NegativeId { range: 0, id: -1 }),
        (9192, vec![range(0..=2, 0)], PortZero { at: PortUse::Range(0) }),
        (9192, vec![range(0..=2, 65_534)], PortsRunOut { range: 0, nodes: 3, first_port: 65_534 }),
        (9192, vec![range(0..=i32::MAX, 9200)], PortsRunOut { range: 0, nodes: 1 << 31, first_port: 9200 }),
        (9192, vec![range(4..=9, 9200), range(0..=4, 9300)], IdsOverlap { earlier: 0, later: 1, id: 4 }),
        (
            9192,
            vec![range(0..=9, 9200), range(20..=29, 9209)],
            PortsOverlap { earlier: PortUse::Range(0), later: PortUse::Range(1), port: 9209 },
        ),
        (
            9205,
            vec![range(0..=9, 9200)],
            PortsOverlap { earlier: PortUse::Bootstrap, later: PortUse::Range(0), port: 9205 },
        ),
    ];
    for (bootstrap_port, nodes, why) in cases {
        assert_eq!(gateway(bootstrap_port, nodes.clone()), Err(why), "{bootstrap_port} {nodes:?}");
    }
}

#[test]
fn a_host_is_given_as_clients_are_told_it() {
    let named = |host: &str| PortPerBroker::new(ANY, host, 9192, vec![range(0..=0, 9200)]);
    for host in ["localhost", "127.0.0.1", "::1", "kroxy.example", "kafka_1", &"a".repeat(253)] {
        assert_eq!(named(host).expect("valid").advertised_host(), host);
    }
    let hostile = ["", "kroxy.example:9092", "[::1]", "a b", "a/b", "0.0.0.0", "::", "b\u{fc}ro", &"a".repeat(254)];
    for host in hostile {
        assert!(matches!(named(host), Err(GatewayError::NotAHost { .. })), "{host:?}");
    }
}

/// Ranges that neither overlap in ids nor in ports nor hold port 1024, in any order.
fn ranges() -> impl Strategy<Value = Vec<NodeRange>> {
    let gaps = prop::collection::vec((0_i32..50, 1_i32..40, 0_u16..50), 1..8);
    gaps.prop_map(|gaps| {
        let (mut id, mut port) = (0, 1025);
        gaps.into_iter()
            .map(|(id_gap, len, port_gap)| {
                let (first, first_port) = (id + id_gap, port + port_gap);
                id = first + len;
                port = first_port + u16::try_from(len).expect("small");
                range(first..=id - 1, first_port)
            })
            .collect()
    })
    .prop_shuffle()
}

proptest! {
    #[test]
    fn nodes_and_ports_are_a_bijection(nodes in ranges(), probe: u16, stray: i32) {
        let g = gateway(1024, nodes.clone()).expect("disjoint");
        let mut seen = BTreeMap::new();
        for (port, route) in g.ports() {
            prop_assert_eq!(g.route_at(port), Some(route));
            prop_assert_eq!(seen.insert(port, route), None, "a port with two meanings");
            if let Route::Node(node) = route {
                prop_assert_eq!(g.port_of(node), Some(port));
            }
        }
        let ids: usize = nodes.iter().map(|range| range.ids.clone().count()).sum();
        prop_assert_eq!(seen.len(), ids + 1, "every node has a port, and so has bootstrapping");
        prop_assert_eq!(g.route_at(probe), seen.get(&probe).copied());
        let has = nodes.iter().any(|range| range.ids.contains(&stray));
        prop_assert_eq!(g.port_of(NodeId(stray)).is_some(), has);
    }

    #[test]
    fn another_range_moves_no_port(nodes in ranges()) {
        let with = gateway(1024, nodes.clone()).expect("disjoint");
        let (added, rest) = nodes.split_last().expect("at least one");
        prop_assume!(!rest.is_empty());
        let without = gateway(1024, rest.to_vec()).expect("disjoint");
        for (port, route) in without.ports() {
            prop_assert_eq!(with.route_at(port), Some(route));
        }
        prop_assert_eq!(without.port_of(NodeId(*added.ids.start())), None);
    }

    #[test]
    fn any_ranges_are_taken_or_refused(
        bootstrap_port: u16,
        nodes in prop::collection::vec((any::<i32>(), any::<i32>(), any::<u16>()), 0..4),
    ) {
        let nodes = nodes.into_iter().map(|(first, last, port)| range(first..=last, port)).collect();
        if let Ok(g) = gateway(bootstrap_port, nodes) {
            prop_assert!(g.ports().count() <= 1 << 16);
        }
    }
}
