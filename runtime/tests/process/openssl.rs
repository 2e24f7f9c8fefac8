//! TLS as another implementation sees it: what OpenSSL's client is granted, and with which alert it is refused.

use crate::{
    certificates::{Authority, Made, keep},
    folder::Folder,
    frames::{HEARTBEAT, HEARTBEAT_OK},
    kroxy::{Clusters, Kroxy, PATIENCE},
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

/// A broker that answers heartbeats, for as long as the test lasts.
fn broker() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.expect("accepts");
            thread::spawn(move || {
                let mut request = vec![0; HEARTBEAT.len()];
                while stream.read_exact(&mut request).is_ok() && stream.write_all(HEARTBEAT_OK).is_ok() {}
            });
        }
    });
    at
}

struct World {
    folder: Folder,
    clusters: Clusters,
    clients: Authority,
    kroxy: Kroxy,
}

impl World {
    /// With further fields of the gateway's TLS, in which `{}` is the folder.
    fn new(tls: &str) -> Self {
        let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        keep(&folder, "kroxy", &servers.sign(&["kroxy.example"]));
        folder.write("servers.pem", &servers.pem);
        folder.write("clients.pem", &clients.pem);
        let tls = format!(r#"certificates: [(chain: "{{}}kroxy.pem", key: "{{}}kroxy.key")], {tls}"#);
        let tls = format!(r#"(name: "g", tls: ({}),"#, tls.replace("{}", &folder.path("")));
        let text = clusters.with(&broker(), "").replace(r#"(name: "g","#, &tls);
        let kroxy = Kroxy::serve(&folder.write("kroxy.ron", &text));
        Self { folder, clusters, clients, kroxy }
    }

    /// What OpenSSL's client says of a connection with these arguments, on which it asks one thing.
    fn client(&self, arguments: &[&str]) -> Said {
        let (at, ca) = (self.clusters.bootstrap(0), self.folder.path("servers.pem"));
        let mut all = vec!["s_client", "-connect", &at, "-CAfile", &ca, "-servername", "kroxy.example"];
        all.extend(["-verify_hostname", "kroxy.example", "-verify_return_error"]);
        all.extend(arguments);
        let mut child = OpenSsl::start(&all);
        child.say(HEARTBEAT);
        let was_served = child.hears(HEARTBEAT_OK);
        Said { was_served, text: child.end() }
    }

    /// The same with a certificate of the client's.
    fn client_with(&self, made: &Made, arguments: &[&str]) -> Said {
        keep(&self.folder, "client", made);
        let (chain, key) = (self.folder.path("client.pem"), self.folder.path("client.key"));
        self.client(&[&["-cert", &chain, "-key", &key][..], arguments].concat())
    }
}

#[derive(Debug)]
struct Said {
    was_served: bool,
    text: String,
}

impl Said {
    #[track_caller]
    fn is_served(&self, with: &str) {
        assert!(self.was_served && self.text.contains(with), "{with:?} is not in\n{}", self.text);
    }

    #[track_caller]
    fn is_refused(&self, with: &str) {
        assert!(!self.was_served && self.text.contains(with), "{with:?} is not in\n{}", self.text);
    }
}

/// A running `openssl`, whose output is kept.
struct OpenSsl {
    child: Child,
    output: Receiver<Vec<u8>>,
    heard: Vec<u8>,
}

impl OpenSsl {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl is installed");
        let (tell, output) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        for mut stream in streams {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    if tell.send(buffer[..n].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, output, heard: Vec::new() }
    }

    fn say(&mut self, bytes: &[u8]) {
        let input = self.child.stdin.as_mut().expect("piped");
        let _ = input.write_all(bytes).and_then(|()| input.flush()); // it may have given up already
    }

    /// Waits until it has said this; `false`: it has ended without.
    fn hears(&mut self, bytes: &[u8]) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.heard.windows(bytes.len()).any(|part| part == bytes) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(more) => self.heard.extend(more),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("openssl neither ends nor goes on:\n{}", String::from_utf8_lossy(&self.heard))
                }
            }
        }
        true
    }

    /// Takes its input away, and says all that it has said.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        while let Ok(more) = self.output.recv_timeout(PATIENCE) {
            self.heard.extend(more);
        }
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, as a rule
        let _ = self.child.wait(); // likewise
    }
}

/// What no server should accept, offered by a client that would take anything.
const WEAK: [&str; 6] = [
    "AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA384",
    "aNULL",
    "eNULL",
    "DHE-RSA-AES128-GCM-SHA256",
];

#[test]
fn by_default_tls_1_2_and_1_3_are_spoken_with_forward_secrecy_and_nothing_older_or_weaker() {
    let world = World::new("");
    world.client(&["-tls1_3"]).is_served("Cipher is TLS_AES_256_GCM_SHA384");
    let tls12 = world.client(&["-tls1_2"]);
    tls12.is_served("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384");
    for promise in
        ["Secure Renegotiation IS supported", "Compression: NONE", "Extended master secret: yes", "Verification: OK"]
    {
        tls12.is_served(promise);
    }
    for version in ["-tls1", "-tls1_1"] {
        world.client(&[version, "-cipher", "ALL:@SECLEVEL=0"]).is_refused("alert handshake failure");
    }
    for suite in WEAK {
        world.client(&["-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0")]).is_refused("alert handshake failure");
    }
    let name = world.client(&["-verify_hostname", "other.example"]);
    name.is_refused("hostname mismatch"); // by the client
}

#[test]
fn the_versions_and_suites_of_the_configuration_hold() {
    let world = World::new("versions: [Tls13], cipher_suites: [\"TLS_CHACHA20_POLY1305_SHA256\"],");
    world.client(&[]).is_served("Cipher is TLS_CHACHA20_POLY1305_SHA256");
    world.client(&["-tls1_2"]).is_refused("alert protocol version");
    world.client(&["-ciphersuites", "TLS_AES_128_GCM_SHA256"]).is_refused("alert handshake failure");

    let world = World::new("versions: [Tls12], cipher_suites: [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"],");
    world.client(&[]).is_served("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256");
    world.client(&["-tls1_3"]).is_refused("alert protocol version");
    world.client(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"]).is_refused("alert handshake failure");
}

fn signed_by_itself() -> Made {
    let made = rcgen::generate_simple_self_signed(vec!["trent".to_owned()]).expect("signed");
    Made { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

#[test]
fn each_bad_client_certificate_is_refused_with_the_alert_that_says_why() {
    let world = World::new(r#"client_auth: Required(ca: "{}clients.pem"),"#);
    let strangers = Authority::new("strangers");
    let good = world.clients.sign(&["alice"]);
    let (expired, early) =
        (world.clients.sign_for_years(&["bob"], 2020, 2021), world.clients.sign_for_years(&["carol"], 2080, 2081));
    for version in ["-tls1_2", "-tls1_3"] {
        world.client_with(&good, &[version]).is_served("Verification: OK");
        world.client_with(&expired, &[version]).is_refused("alert certificate expired");
        world.client_with(&early, &[version]).is_refused("alert certificate expired");
        world.client_with(&strangers.sign(&["mallory"]), &[version]).is_refused("alert unknown ca");
        world.client_with(&signed_by_itself(), &[version]).is_refused("alert unknown ca");
        world.client_with(&strangers.itself(), &[version]).is_refused("alert certificate unknown"); // an authority's own
    }
    for version in ["-tls1_2", "-tls1_3"] {
        world.client(&[version]).is_refused("alert certificate required");
    }

    // Whose authority is removed is refused from the reload on; who is connected stays.
    let mut connected = {
        keep(&world.folder, "client", &good);
        let (at, chain, key) =
            (world.clusters.bootstrap(0), world.folder.path("client.pem"), world.folder.path("client.key"));
        OpenSsl::start(&["s_client", "-connect", &at, "-cert", &chain, "-key", &key])
    };
    connected.say(HEARTBEAT);
    assert!(connected.hears(HEARTBEAT_OK), "{}", connected.end());
    world.folder.write("clients.pem", &strangers.pem);
    let reloaded = world.kroxy.ask(&["reload"]);
    assert_eq!(reloaded.code, 0, "{reloaded:?}");
    world.client_with(&good, &[]).is_refused("alert unknown ca");
    world.client_with(&strangers.sign(&["mallory"]), &[]).is_served("Verification: OK");
    connected.heard.clear();
    connected.say(HEARTBEAT);
    assert!(connected.hears(HEARTBEAT_OK), "it was connected before: {}", connected.end());
}

#[test]
fn renegotiation_is_not_done() {
    let world = World::new("versions: [Tls12],");
    let (at, ca) = (world.clusters.bootstrap(0), world.folder.path("servers.pem"));
    let mut client = OpenSsl::start(&["s_client", "-connect", &at, "-CAfile", &ca]);
    assert!(client.hears(b"Verify return code"), "shaken hands");
    client.say(b"R\n"); // s_client's command for it
    assert!(client.hears(b"no renegotiation"), "{}", client.end());
    world.client(&[]).is_served("Verification: OK");
}

#[test]
fn a_broker_whose_certificate_is_not_good_is_told_so() {
    let brokers = Authority::new("brokers");
    for (made, alert) in [
        (brokers.sign(&["other.example"]), "alert bad certificate"),
        (brokers.sign_for_years(&["localhost"], 2020, 2021), "alert certificate expired"),
        (Authority::new("strangers").sign(&["localhost"]), "alert unknown ca"),
    ] {
        let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
        keep(&folder, "broker", &made);
        folder.write("brokers.pem", &brokers.pem);
        let port = crate::ports::free_port().to_string();
        let (chain, key) = (folder.path("broker.pem"), folder.path("broker.key"));
        let mut server = OpenSsl::start(&["s_server", "-accept", &port, "-cert", &chain, "-key", &key]);
        assert!(server.hears(b"ACCEPT"), "it listens");
        let tls = format!(r#"tls: (ca: File("{}")), bootstrap_servers:"#, folder.path("brokers.pem"));
        let text = clusters.with(&format!("localhost:{port}"), "").replace("bootstrap_servers:", &tls);
        let _kroxy = Kroxy::serve(&folder.write("kroxy.ron", &text));
        let mut client = TcpStream::connect(clusters.bootstrap(0)).expect("it listens");
        client.write_all(HEARTBEAT).expect("read");
        assert!(server.hears(alert.as_bytes()), "{}", server.end());
        let mut rest = Vec::new();
        client.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let _ = client.read_to_end(&mut rest); // a reset closes as well
        assert!(rest.is_empty(), "nothing of upstream passes");
    }
}
