//! What each change of a configuration needs.

mod properties;

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    address::HostPort,
    config::{Admin, Limits, NonEmpty, OnVirtualClusterFailure, Serve, Upstream},
    gateway::{Gateway, NodeRange, PortPerBroker},
    proxy_protocol::{Networks, ProxyProtocol, Version},
};

/// A gateway on loopback with three nodes behind its bootstrap port.
pub(crate) fn gateway(name: &str, port: u16, host: &str, ranges: &[(i32, i32, u16)]) -> Gateway {
    let range = |(first, last, port): &(i32, i32, u16)| NodeRange { ids: *first..=*last, first_port: *port };
    let ports = PortPerBroker::new(IpAddr::V4(Ipv4Addr::LOCALHOST), host, port, ranges.iter().map(range).collect());
    Gateway::port_per_broker(name, ports.expect("a gateway")).expect("a name")
}

/// A virtual cluster with one gateway at `port` and the three ports above it.
pub(crate) fn cluster(name: &str, port: u16) -> VirtualCluster {
    VirtualCluster {
        name: name.parse().expect("a name"),
        upstream: Upstream {
            bootstrap_servers: servers(&[name]),
            connect_timeout: Upstream::CONNECT_TIMEOUT,
            tls: None,
            proxy_protocol: None,
            sasl: None,
        },
        gateways: gateways(vec![gateway("main", port, "localhost", &[(0, 2, port + 1)])]),
        sasl: None,
        drain_timeout: VirtualCluster::DRAIN_TIMEOUT,
        idle_timeout: None,
        first_request_timeout: VirtualCluster::FIRST_REQUEST_TIMEOUT,
        unfinished_request_timeout: VirtualCluster::UNFINISHED_REQUEST_TIMEOUT,
        unread_response_timeout: VirtualCluster::UNREAD_RESPONSE_TIMEOUT,
        limits: Limits::default(),
    }
}

pub(crate) fn servers(hosts: &[&str]) -> NonEmpty<HostPort> {
    NonEmpty::new(hosts.iter().map(|h| HostPort::new(*h, 9092)).collect()).expect("at least one")
}

fn gateways(all: Vec<Gateway>) -> NonEmpty<Gateway> {
    NonEmpty::new(all).expect("at least one")
}

pub(crate) fn loaded_with(failure: OnVirtualClusterFailure, clusters: Vec<VirtualCluster>) -> Loaded {
    let clusters = NonEmpty::new(clusters).expect("at least one");
    let config = Config::new(Admin::default(), failure, clusters).expect("no conflict");
    Loaded::new(config, digest(&format!("{failure:?}")), |c| Material {
        digest: digest(&format!("{c:?}")),
        files: BTreeMap::new(),
    })
}

fn loaded(clusters: Vec<VirtualCluster>) -> Loaded {
    loaded_with(OnVirtualClusterFailure::default(), clusters)
}

/// FNV-1a in every place: enough to tell test data apart.
fn digest(text: &str) -> Digest {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    Digest(core::array::from_fn(|_| {
        hash = text.bytes().fold(hash, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        hash.to_le_bytes()[7]
    }))
}

/// What a change of one cluster needs, and the names of the fields.
fn change(edit: impl FnOnce(&mut VirtualCluster)) -> (ReloadAction, Vec<String>) {
    let old = cluster("orders", 9192);
    let mut new = old.clone();
    edit(&mut new);
    let plan = plan(&InForce::all(&loaded(vec![old])), &loaded(vec![new]));
    let [one] = &plan.virtual_clusters[..] else { panic!("one cluster: {plan:?}") };
    (one.action, one.fields.iter().map(|f| f.field.clone()).collect())
}

fn actions(plan: &Plan) -> Vec<(&str, ReloadAction)> {
    plan.virtual_clusters.iter().map(|c| (c.name.as_str(), c.action)).collect()
}

#[test]
fn nothing_changed_is_no_change() {
    assert_eq!(change(|_| {}), (ReloadAction::Unchanged, vec![]));
    let same = loaded(vec![cluster("orders", 9192), cluster("audit", 9292)]);
    let plan = plan(&InForce::all(&same), &same);
    assert!(plan.is_unchanged());
    assert_eq!(plan.to_string(), "no change\n");
}

#[test]
fn timeouts_and_limits_are_changed_live() {
    let live = |field: &str| (ReloadAction::Live, vec![field.to_owned()]);
    let second = Duration::from_secs(1);
    assert_eq!(change(|c| c.drain_timeout = second), live("drain_timeout"));
    assert_eq!(change(|c| c.idle_timeout = Some(second)), live("idle_timeout"));
    assert_eq!(change(|c| c.first_request_timeout = second), live("first_request_timeout"));
    assert_eq!(change(|c| c.unfinished_request_timeout = second), live("unfinished_request_timeout"));
    assert_eq!(change(|c| c.unread_response_timeout = second), live("unread_response_timeout"));
    assert_eq!(change(|c| c.upstream.connect_timeout = second), live("upstream.connect_timeout"));
    assert_eq!(change(|c| c.limits.max_connections = 1), live("limits.max_connections"));
    assert_eq!(change(|c| c.limits.max_request_frame = 1), live("limits.max_request_frame"));
    assert_eq!(change(|c| c.name = "ORDERS".parse().expect("a name")), live("name"));
}

#[test]
fn another_upstream_needs_a_drain_and_one_such_field_is_enough() {
    let (action, fields) = change(|c| {
        c.limits.max_connections = 1;
        c.upstream.bootstrap_servers = servers(&["elsewhere"]);
    });
    assert_eq!(action, ReloadAction::Drain);
    assert_eq!(fields, ["upstream.bootstrap_servers", "limits.max_connections"]);
}

#[test]
fn listeners_are_added_live_and_anything_that_clients_were_told_is_taken_away_with_a_drain() {
    let main = |host, ranges: &[_]| gateway("main", 9192, host, ranges);
    let with = |all: Vec<Gateway>| change(move |c| c.gateways = gateways(all)).0;
    let three = [(0, 2, 9193)];
    let more = with(vec![main("localhost", &three), gateway("more", 9792, "localhost", &[(0, 2, 9793)])]);
    assert_eq!(more, ReloadAction::Live, "a gateway more");
    assert_eq!(with(vec![main("localhost", &[(0, 2, 9193), (7, 9, 9293)])]), ReloadAction::Live, "a range more");
    assert_eq!(with(vec![main("localhost", &[(0, 3, 9193)])]), ReloadAction::Live, "a node more");
    assert_eq!(with(vec![main("localhost", &[(0, 1, 9193)])]), ReloadAction::Drain, "a node less");
    assert_eq!(with(vec![main("localhost", &[(1, 3, 9193)])]), ReloadAction::Drain, "other nodes");
    assert_eq!(with(vec![main("kroxy.example", &three)]), ReloadAction::Drain, "another host");
    assert_eq!(
        with(vec![gateway("other", 9792, "localhost", &[(0, 2, 9793)])]),
        ReloadAction::Drain,
        "another gateway"
    );
}

#[test]
fn other_load_balancers_are_live_and_another_demand_is_not() {
    let networks = |text: &str| Networks::new(NonEmpty::new(vec![text.parse().expect("a network")]).expect("one"));
    let with = |proxy_protocol| {
        let mut one = cluster("orders", 9192);
        one.gateways = gateways(vec![Gateway { proxy_protocol, ..one.gateways[0].clone() }]);
        loaded(vec![one])
    };
    let needs = |old, new| {
        let plan = plan(&InForce::all(&with(old)), &with(new));
        (plan.virtual_clusters[0].action, plan.virtual_clusters[0].fields[0].to_string())
    };
    let (one, other) = (networks("10.0.0.0/8"), networks("192.0.2.1"));
    let field = "gateways.main.proxy_protocol: Required from 10.0.0.0/8 → Required from 192.0.2.1/32";
    let required = ProxyProtocol::Required;
    assert_eq!(needs(required(one.clone()), required(other)), (ReloadAction::Live, field.to_owned()));
    assert_eq!(needs(required(one.clone()), ProxyProtocol::Off).0, ReloadAction::Drain);
    assert_eq!(needs(ProxyProtocol::Allowed(one.clone()), required(one)).0, ReloadAction::Drain);
    let (action, fields) = change(|c| c.upstream.proxy_protocol = Some(Version::V2));
    assert_eq!((action, fields), (ReloadAction::Drain, vec!["upstream.proxy_protocol".to_owned()]));
}

#[test]
fn contents_of_files_count_by_what_the_files_are_for() {
    let base = loaded(vec![cluster("orders", 9192)]);
    let with = |purpose, contents: &'static str| {
        let mut l = base.clone();
        let contents = Ok(Secret(Bytes::from_static(contents.as_bytes())));
        let file = FileContents { purpose, contents };
        l.material.get_mut(&name("orders")).expect("there").files.insert("tls.key".into(), file);
        l
    };
    let action = |purpose| {
        let plan = plan(&InForce::all(&with(purpose, "old")), &with(purpose, "new"));
        assert_eq!(plan.virtual_clusters[0].fields[0].to_string(), "contents of tls.key");
        assert!(!format!("{plan:?}").contains("old"), "a key is shown nowhere");
        plan.virtual_clusters[0].action
    };
    assert_eq!(action(FilePurpose::TowardsClients), ReloadAction::Live);
    assert_eq!(action(FilePurpose::TowardsUpstream), ReloadAction::Drain);
    let appeared = plan(&InForce::all(&base), &with(FilePurpose::TowardsUpstream, "new"));
    assert_eq!(appeared.virtual_clusters[0].action, ReloadAction::Drain);
    let gone = plan(&InForce::all(&with(FilePurpose::TowardsUpstream, "old")), &base);
    assert_eq!(gone.virtual_clusters[0].action, ReloadAction::Drain);
}

fn name(text: &str) -> ClusterName {
    text.parse().expect("a name")
}

#[test]
fn a_failed_cluster_is_tried_again_even_where_its_configuration_is_the_same() {
    let same = loaded(vec![cluster("orders", 9192), cluster("audit", 9292)]);
    let mut old = InForce::settings(&same);
    old.add(&name("orders"), &same, true);
    old.add(&name("audit"), &same, false);
    let plan = plan(&old, &same);
    assert_eq!(actions(&plan), [("audit", ReloadAction::Unchanged), ("orders", ReloadAction::Drain)]);
    assert!(!plan.is_unchanged());
}

#[test]
fn a_rename_is_a_removal_and_an_addition_that_waits_for_the_ports_and_is_warned_about() {
    let mut renamed = cluster("orders", 9192);
    renamed.name = name("purchases");
    let old = loaded(vec![cluster("orders", 9192), cluster("audit", 9292)]);
    let plan = plan(&InForce::all(&old), &loaded(vec![renamed, cluster("audit", 9292)]));
    let expected =
        [("audit", ReloadAction::Unchanged), ("orders", ReloadAction::Remove), ("purchases", ReloadAction::Add)];
    assert_eq!(actions(&plan), expected);
    assert_eq!(plan.virtual_clusters[2].after, [name("orders")]);
    assert_eq!(plan.warnings.len(), 1);
    assert!(plan.warnings[0].starts_with("purchases looks like orders under another name"), "{}", plan.warnings[0]);
}

#[test]
fn ports_can_change_hands_within_one_reload() {
    let old = loaded(vec![cluster("a", 9192), cluster("b", 9292)]);
    let new = loaded(vec![cluster("a", 9292), cluster("b", 9192)]);
    let plan = plan(&InForce::all(&old), &new);
    assert_eq!(actions(&plan), [("a", ReloadAction::Drain), ("b", ReloadAction::Drain)]);
    assert_eq!(
        (&plan.virtual_clusters[0].after[..], &plan.virtual_clusters[1].after[..]),
        (&[name("b")][..], &[name("a")][..])
    );
}

#[test]
fn a_new_listener_on_a_port_that_another_cluster_still_has_needs_a_drain() {
    let mut b = cluster("b", 9292);
    b.gateways = gateways(vec![b.gateways[0].clone(), gateway("more", 9192, "localhost", &[(0, 2, 9193)])]);
    let old = loaded(vec![cluster("a", 9192), cluster("b", 9292)]);
    let plan = plan(&InForce::all(&old), &loaded(vec![cluster("a", 9392), b]));
    assert_eq!(actions(&plan), [("a", ReloadAction::Drain), ("b", ReloadAction::Drain)]);
    assert_eq!(plan.virtual_clusters[1].after, [name("a")]);
}

#[test]
fn settings_of_the_proxy_are_live_or_refused() {
    let old = loaded(vec![cluster("orders", 9192)]);
    let remaining = OnVirtualClusterFailure::unless_configured(Serve::Remaining);
    let new = loaded_with(remaining, vec![cluster("orders", 9192)]);
    let live = plan(&InForce::all(&old), &new);
    let shown: Vec<_> = live.settings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "on_virtual_cluster_failure.serve: None → Remaining",
            "on_virtual_cluster_failure.retry.max_retries: 0 → Forever"
        ]
    );
    assert!(!live.is_unchanged() && live.refused.is_empty());

    let admin = Admin { bind: "127.0.0.1:9999".parse().expect("an address"), ..Admin::default() };
    let clusters = NonEmpty::new(vec![cluster("orders", 9192)]).expect("one");
    let config = Config::new(admin, OnVirtualClusterFailure::default(), clusters).expect("no conflict");
    let refused = plan(&InForce::all(&old), &Loaded::new(config, Digest::default(), |_| Material::default()));
    assert_eq!(refused.refused[0].to_string(), "admin.bind: 127.0.0.1:9190 → 127.0.0.1:9999");
}

#[test]
fn a_plan_is_readable_and_reads_back_from_its_json() {
    let mut changed = cluster("orders", 9192);
    changed.upstream.bootstrap_servers = servers(&["kafka-1.example", "kafka-2.example"]);
    let mut live = cluster("audit", 9292);
    live.idle_timeout = Some(Duration::from_secs(600));
    let old = loaded(vec![cluster("orders", 9192), cluster("audit", 9292), cluster("old", 9392)]);
    let new = loaded(vec![changed, live, cluster("new", 9392), cluster("also-new", 9492)]);
    let plan = plan(&InForce::all(&old), &new);
    let expected = "\
+ virtual cluster also-new: added
~ virtual cluster audit: changed while connections stay open
    idle_timeout: none → 600s
+ virtual cluster new: added
    waits for addresses that old still has
- virtual cluster old: drained and removed
! virtual cluster orders: drained and built anew
    upstream.bootstrap_servers: orders:9092 → kafka-1.example:9092, kafka-2.example:9092
";
    assert_eq!(plan.to_string(), expected);
    let json = serde_json::to_value(&plan).expect("serializable");
    assert_eq!(json["virtual_clusters"][4]["fields"][0]["from"], "orders:9092");
    assert_eq!(serde_json::from_value::<Plan>(json).expect("readable"), plan);
}

#[test]
fn digests_do_not_depend_on_order_and_differ_with_any_part() {
    let (a, b) = (cluster("a", 9192), cluster("b", 9292));
    let both = loaded(vec![a.clone(), b.clone()]);
    assert_eq!(both.digest(), loaded(vec![b.clone(), a.clone()]).digest());
    assert_ne!(both.digest(), loaded(vec![a]).digest());
    assert_ne!(both.digest(), loaded(vec![cluster("a", 9392), b]).digest());
}

mod tls {
    use super::*;
    use crate::config::tls::{CertificateFiles, ClientAuth, ClientTls, Protocol, Trust, UpstreamTls, Version};

    fn files(name: &str) -> CertificateFiles {
        CertificateFiles::Pem { chain: format!("{name}.pem"), key: format!("{name}.key") }
    }

    fn client_tls() -> ClientTls {
        ClientTls {
            certificates: NonEmpty::new(vec![files("a")]).expect("one"),
            client_auth: ClientAuth::Required { ca: "ca.pem".to_owned() },
            principals: None,
            protocol: Protocol::default(),
            handshake_timeout: ClientTls::HANDSHAKE_TIMEOUT,
        }
    }

    fn upstream_tls() -> UpstreamTls {
        let (trust, client_certificate) = (Trust::File("ca.pem".to_owned()), Some(files("b")));
        UpstreamTls { trust, client_certificate, server_name: None, protocol: Protocol::default() }
    }

    fn of(clients: Option<ClientTls>, upstream: Option<UpstreamTls>) -> VirtualCluster {
        let mut one = cluster("orders", 9192);
        let mut way_in = one.gateways[0].clone();
        way_in.tls = clients;
        one.gateways = gateways(vec![way_in]);
        one.upstream.tls = upstream;
        one
    }

    fn needs(old: VirtualCluster, new: VirtualCluster) -> (ReloadAction, String) {
        let plan = plan(&InForce::all(&loaded(vec![old])), &loaded(vec![new]));
        let fields: Vec<_> = plan.virtual_clusters[0].fields.iter().map(ToString::to_string).collect();
        (plan.virtual_clusters[0].action, fields.join("; "))
    }

    #[test]
    fn towards_clients_it_is_for_new_handshakes_unless_they_have_to_show_more_or_less() {
        let change = |edit: fn(&mut ClientTls)| {
            let mut new = client_tls();
            edit(&mut new);
            needs(of(Some(client_tls()), None), of(Some(new), None))
        };
        let live = |field: &str| (ReloadAction::Live, format!("gateways.main.tls.{field}"));
        assert_eq!(
            change(|tls| tls.certificates = NonEmpty::new(vec![files("c")]).expect("one")),
            live("certificates: a.pem → c.pem")
        );
        assert_eq!(
            change(|tls| tls.client_auth = ClientAuth::Required { ca: "new.pem".to_owned() }),
            live("client_auth: Required by ca.pem → Required by new.pem")
        );
        assert_eq!(
            change(|tls| tls.protocol = Protocol::new(&[Version::Tls13], None).expect("valid")),
            live("protocol: TLS 1.2 and TLS 1.3 → TLS 1.3")
        );
        assert_eq!(change(|tls| tls.handshake_timeout = Duration::from_secs(3)), live("handshake_timeout: 10s → 3s"));
        let (action, _) = change(|tls| tls.client_auth = ClientAuth::None);
        assert_eq!(action, ReloadAction::Drain);
        let on = (ReloadAction::Drain, "gateways.main.tls: no TLS → TLS".to_owned());
        assert_eq!(needs(of(None, None), of(Some(client_tls()), None)), on);
    }

    #[test]
    fn towards_upstream_every_change_takes_new_connections() {
        let changes: [fn(&mut UpstreamTls); 4] = [
            |tls| tls.trust = Trust::System,
            |tls| tls.client_certificate = None,
            |tls| tls.server_name = Some("kafka".parse().expect("a name")),
            |tls| tls.protocol = Protocol::new(&[Version::Tls13], None).expect("valid"),
        ];
        for edit in changes {
            let mut new = upstream_tls();
            edit(&mut new);
            let (action, fields) = needs(of(None, Some(upstream_tls())), of(None, Some(new)));
            assert_eq!(action, ReloadAction::Drain, "{fields}");
        }
        assert_eq!(needs(of(None, Some(upstream_tls())), of(None, None)).0, ReloadAction::Drain);
        assert_eq!(needs(of(None, Some(upstream_tls())), of(None, Some(upstream_tls()))).0, ReloadAction::Unchanged);
    }
}
