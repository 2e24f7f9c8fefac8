//! TLS on both sides, client certificates on both sides, one port for all brokers, and SASL through all of it, passed on or swapped:
//! Java, librdkafka and franz-go in front of listeners with SSL and SASL_SSL.

use crate::{credentials, suite};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tests::cluster::{Cluster, Listener};
use tests::configuration::{Configuration, VirtualCluster};
use tests::library::{Library, Load, demand};
use tests::ports::{KROXY_DOORS, KROXY_PORTS_OF_DOOR};
use tests::process::{knowing, run};
use tests::proxy::Proxy;
use tests::{Mode, Turn, asked_for, scratch};

const TOOL_LIMIT: Duration = Duration::from_secs(120);

/// Those that can be told which authority to trust and which certificate to show.
const LIBRARIES: [Library; 2] = [Library::Librdkafka, Library::FranzGo];

/// A gateway with TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    /// Ports of its own; clients show nothing.
    Tls,
    /// The same, and clients have to show a certificate.
    Mutual,
    /// One port for every broker of all virtual clusters.
    Sni,
}

/// Virtual clusters by their places: without SASL, with SASL that passes, and with SASL that ends at kroxy, which logs in by itself.
const CLUSTERS: [&str; 3] = ["open", "sasl", "swapped"];

const OPEN: u16 = 0;
const PASSED: u16 = 1;
const SWAPPED: u16 = 2;

const DOORS: [(Door, &str); 3] = [(Door::Tls, "PLAIN"), (Door::Mutual, "SCRAM-SHA-256"), (Door::Sni, "SCRAM-SHA-512")];

/// Files that clients, kroxy and brokers show each other.
struct Files {
    folder: PathBuf,
}

impl Files {
    /// Authorities for servers and for clients, and certificates of theirs: for kroxy towards clients and towards brokers, and for a
    /// client.
    fn new(story: &str) -> Self {
        let files = Self { folder: scratch(story) };
        let servers = files.authority("servers");
        files.sign("door", &servers, &["localhost", "*.kroxy.localhost"], ExtendedKeyUsagePurpose::ServerAuth);
        let clients = files.authority("clients");
        for name in ["client", "kroxy"] {
            files.sign(name, &clients, &[name], ExtendedKeyUsagePurpose::ClientAuth);
        }
        let names = CLUSTERS.map(|cluster| {
            let nodes: String = (0..4).map(|node| format!(" b{node}-{cluster}.kroxy.localhost")).collect();
            format!("127.0.0.1 bootstrap-{cluster}.kroxy.localhost{nodes}\n")
        });
        files.write("hosts", &format!("127.0.0.1 localhost\n{}", names.concat()));
        files
    }

    /// Writes `NAME.pem`, whom to trust.
    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        self.write(&format!("{name}.pem"), &params.self_signed(&key).expect("signed").pem());
        Issuer::new(params, key)
    }

    /// Writes `NAME.crt`, `NAME.key`, and `NAME.pem` with both.
    fn sign(&self, name: &str, by: &Issuer<'_, KeyPair>, names: &[&str], purpose: ExtendedKeyUsagePurpose) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, by).expect("signed").pem();
        self.write(&format!("{name}.crt"), &chain);
        self.write(&format!("{name}.key"), &key.serialize_pem());
        self.write(&format!("{name}.pem"), &(chain + &key.serialize_pem()));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("cargo's output folder is writable");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Three brokers, kroxy, and what their clients need.
struct World<'turn> {
    files: Files,
    cluster: Cluster<'turn>,
    _proxy: Proxy,
}

impl<'turn> World<'turn> {
    /// Listeners with SSL want a certificate of kroxy. `None` where kroxy is not to take part: then there is nothing to be shown here.
    fn start(turn: &'turn Turn, story: &str) -> Option<Self> {
        if turn.mode == Mode::Direct {
            return None;
        }
        let files = Files::new(story);
        let wanted = ["client.auth=required".to_owned(), "truststore.type=PEM".to_owned()];
        let wanted = wanted.into_iter().chain([format!("truststore.location={}", files.text("clients.pem"))]);
        let settings: Vec<_> = wanted.map(|setting| format!("listener.name.tls.ssl.{setting}")).collect();
        let mut options = vec!["--sasl", "--tls"];
        options.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        let cluster = Cluster::start(turn, 3, &options);

        let mut configured = Configuration::new(&CLUSTERS, &cluster.bootstrap(Listener::Tls));
        let ca = cluster.tls_file("ca.crt").display().to_string();
        let [open, passed, swapped] = &mut configured.clusters[..] else { unreachable!("three were asked for") };
        let (chain, key) = (files.text("kroxy.crt"), files.text("kroxy.key"));
        open.upstream_more = format!("tls: (ca: File({ca:?}), client_certificate: (chain: {chain:?}, key: {key:?}))");
        for of in [&mut *passed, &mut *swapped] {
            of.upstream = cluster.bootstrap(Listener::SaslTls);
            of.upstream_more = format!("tls: (ca: File({ca:?})),");
        }
        credentials::swap(story, swapped, "SCRAM-SHA-512", "");
        for (place, of) in [(OPEN, open), (PASSED, passed), (SWAPPED, swapped)] {
            of.gateways = gateways(place, of, &files);
        }
        let proxy = Proxy::serve(story, &configured);
        Some(Self { files, cluster, _proxy: proxy })
    }

    /// A client of one of the virtual clusters through one of its gateways.
    fn load(&self, library: Library, door: Door) -> Load {
        let load = Load::new(library, "idempotent").with("--replication", 3).with("--records", 300);
        let load = load.with("--ca", self.files.text("servers.pem"));
        let load = if door == Door::Mutual { load.with("--cert", self.files.text("client.pem")) } else { load };
        load.knowing(&self.files.path("hosts"))
    }

    /// Settings of a Java client, in a file.
    fn properties(&self, door: Door, mechanism: Option<&str>) -> String {
        let (ca, own) = (self.files.text("servers.pem"), self.files.text("client.pem"));
        let protocol = if mechanism.is_some() { "SASL_SSL" } else { "SSL" };
        let mut text = format!("security.protocol={protocol}\nssl.truststore.type=PEM\nssl.truststore.location={ca}\n");
        if door == Door::Mutual {
            text += &format!("ssl.keystore.type=PEM\nssl.keystore.location={own}\n");
        }
        if let Some(mechanism) = mechanism {
            let module = if mechanism == "PLAIN" { "plain.Plain" } else { "scram.Scram" };
            text += &format!(
                "sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule required \
                 username=\"alice\" password=\"alice-secret\";\n"
            );
        }
        let name = format!("{door:?}-{}.properties", mechanism.unwrap_or("open"));
        self.files.write(&name, &text);
        self.files.text(&name)
    }

    /// Records there and back by Java.
    fn java(&self, bootstrap: &str, door: Door, mechanism: Option<&str>) {
        let settings = self.properties(door, mechanism);
        let mut tool = self.cluster.script("kafka");
        tool.args(["e2e-latency", "--bootstrap-server", bootstrap, "--topic", &format!("java-{door:?}")]);
        tool.args(["--num-records", "100", "--producer-acks", "all", "--record-size", "100"]);
        tool.args(["--command-config", &settings]);
        let said = self.run(&tool).demand(&format!("Java, {door:?}, {mechanism:?}"));
        assert!(said.contains("Percentiles"), "{said}");
    }

    fn run(&self, command: &Command) -> tests::process::Finished {
        run(TOOL_LIMIT, &knowing(&self.files.path("hosts"), command))
    }
}

/// Where a door of a virtual cluster begins.
fn bootstrap(place: u16, door: Door) -> String {
    match door {
        Door::Tls | Door::Mutual => format!("localhost:{}", first_port(place, door)),
        Door::Sni => {
            format!("bootstrap-{}.kroxy.localhost:{}", CLUSTERS[usize::from(place)], first_port(place, door))
        }
    }
}

const fn first_port(place: u16, door: Door) -> u16 {
    KROXY_DOORS
        + KROXY_PORTS_OF_DOOR
            * match door {
                Door::Tls => 2 * place,
                Door::Mutual => 2 * place + 1,
                Door::Sni => 6, // all virtual clusters share it
            }
}

fn gateways(place: u16, of: &VirtualCluster, files: &Files) -> String {
    let (chain, key) = (files.text("door.crt"), files.text("door.key"));
    let certificates = format!("certificates: [(chain: {chain:?}, key: {key:?})]");
    let ports = |name: &str, door, more: &str| {
        let first = first_port(place, door);
        format!(
            r#"(name: "{name}", tls: ({certificates}, {more}), port_per_broker: (bind: "127.0.0.1", advertised_host: "localhost",
            bootstrap_port: {first}, nodes: [(ids: (0, 9), first_port: {})])),"#,
            first + 1
        )
    };
    let mutual = format!("client_auth: Required(ca: {:?})", files.text("clients.pem"));
    let (name, port) = (of.name, first_port(place, Door::Sni));
    let sni = format!(
        r#"(name: "sni", tls: ({certificates}), sni: (bind: "127.0.0.1:{port}", bootstrap: "bootstrap-{name}.kroxy.localhost:{port}",
        advertised: "b{{node}}-{name}.kroxy.localhost:{port}"))"#
    );
    ports("tls", Door::Tls, "") + &ports("mutual", Door::Mutual, &mutual) + &sni
}

#[test]
fn java_librdkafka_and_franz_go_come_in_by_tls_mutual_tls_and_server_name_with_and_without_sasl() {
    let Some(turn) = asked_for("secured") else { return };
    let Some(world) = World::start(&turn, "secured") else { return };
    for place in [OPEN, PASSED, SWAPPED] {
        let with_sasl = place != OPEN;
        let clients = DOORS.iter().flat_map(|(door, mechanism)| {
            LIBRARIES.map(|library| {
                let load = world.load(library, *door);
                let load = if with_sasl { load.with("--sasl", mechanism) } else { load };
                load.start(&bootstrap(place, *door))
            })
        });
        demand(clients.collect());
        for (door, mechanism) in DOORS {
            world.java(&bootstrap(place, door), door, with_sasl.then_some(mechanism));
        }
    }
}

#[test]
fn behind_tls_and_sasl_a_broker_restarts_and_groups_rebalance() {
    let Some(turn) = asked_for("secured_restart") else { return };
    let Some(world) = World::start(&turn, "secured_restart") else { return };
    let at = bootstrap(PASSED, Door::Sni);
    let settings = world.properties(Door::Sni, Some("SCRAM-SHA-512"));
    let mut command = world.cluster.script("verifiable");
    command.arg(&at).arg("--out").arg(world.files.path("verifiable")).args(["--config", &settings]);
    // Members join, leave and are killed. The suite is told of a disturbance, so that it allows what one may cause.
    command.args(["--cases", "classic-group", "--n", "6000", "--during", ":", "--every", "4"]);
    let suite = suite::start(&knowing(&world.files.path("hosts"), &command));
    let loads = [PASSED, SWAPPED].into_iter().flat_map(|place| {
        let load = |library| world.load(library, Door::Sni).with("--sasl", "PLAIN").with("--seconds", 20);
        LIBRARIES.map(|library| load(library).start(&bootstrap(place, Door::Sni)))
    });
    let loads = loads.collect::<Vec<_>>();
    thread::sleep(Duration::from_secs(5)); // records flow by then; when exactly does not matter
    for broker in [2, 3] {
        world.cluster.signal_broker(broker, "TERM").start();
    }
    demand(loads);
    suite::demand(suite, "secured_restart");
}
