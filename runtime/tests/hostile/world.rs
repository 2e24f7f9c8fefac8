//! The program between a broker of ours, clients that mean harm, and one that behaves.

use crate::{
    apart::{on_our_side, take_sides},
    certificates::{Authority, keep},
    figures::{Process, say},
    folder::Folder,
    kroxy::{Kroxy, PATIENCE},
    peace::{Peace, Way},
    ports::free_port,
    upstream::Upstream,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    sync::{Mutex, MutexGuard},
    time::{sleep, timeout},
};
use tokio_rustls::client::TlsStream;

/// One story at a time: they share file descriptors and ports, and figures of two at once are of neither.
static TURN: Mutex<()> = Mutex::const_new(());

/// How long a broker takes for a request: between the half of those of a real one on this machine, which take 0.25 ms, and the slowest
/// hundredth, which takes 3.
const BROKER_TAKES: Duration = Duration::from_millis(1);

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

/// A running proxy in front of an [`Upstream`].
pub(crate) struct World {
    story: &'static str,
    pub(crate) kroxy: Kroxy,
    pub(crate) process: Process,
    /// Where attackers get to: the bootstrap server.
    pub(crate) upstream: Upstream,
    pub(crate) way: Way,
    /// Where the client that behaves gets to: the cluster's only broker.
    _broker: Upstream,
    to_broker: Way,
    peace: Peace,
    _folder: Folder,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    /// Plain Kafka, with further fields of the virtual cluster.
    pub(crate) async fn new(story: &'static str, more: &str) -> Self {
        Self::with(story, "", more, None).await
    }

    /// The same with further fields of the whole file.
    pub(crate) async fn configured(story: &'static str, top: &str, more: &str) -> Self {
        Self::with(story, top, more, None).await
    }

    /// TLS, with further fields of its settings.
    pub(crate) async fn with_tls(story: &'static str, tls: &str) -> Self {
        Self::with(story, "", "", Some(tls)).await
    }

    async fn with(story: &'static str, top: &str, more: &str, tls: Option<&str>) -> Self {
        let turn = TURN.lock().await;
        let folder = Folder::new();
        let peace = Peace::new();
        let (broker_at, broker) = peace.has(Upstream::new(None, BROKER_TAKES)).await;
        let (upstream_at, upstream) = Upstream::new(Some(broker_at), Duration::ZERO).await;
        let authority = Authority::new("servers");
        keep(&folder, "kroxy", &authority.sign(&["kroxy.example"]));
        let (chain, key) = (folder.path("kroxy.pem"), folder.path("kroxy.key"));
        let gateway = tls.map_or_else(String::new, |tls| {
            format!(r#"tls: (certificates: [(chain: "{chain}", key: "{key}")], {tls}),"#)
        });
        let (bootstrap, node) = (free_port(), free_port());
        let text = format!(
            r#"(admin: (bind: "127.0.0.1:0"), {top} virtual_clusters: [(name: "c", upstream: (bootstrap_servers: ["{upstream_at}"]), {more}
            gateways: [(name: "g", {gateway} port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1",
            bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})]))])])"#
        );
        let file = folder.write("kroxy.ron", &text);
        let kroxy = on_our_side(|| Kroxy::serve(&file));
        let tls = tls.map(|_| Arc::new(trusting(&authority)));
        let way = |port| Way { at: SocketAddr::from(([127, 0, 0, 1], port)), tls: tls.clone() };
        let (way, to_broker) = (way(bootstrap), way(node));
        way.has_the_proxy_meet_the_broker().await;
        Self {
            story,
            process: Process(kroxy.process_id()),
            kroxy,
            upstream,
            way,
            _broker: broker,
            to_broker,
            peace,
            _folder: folder,
            _turn: turn,
        }
    }

    pub(crate) async fn client(&self) -> TcpStream {
        self.way.client().await
    }

    /// A client that has shaken hands.
    pub(crate) async fn tls_client(&self) -> io::Result<TlsStream<TcpStream>> {
        self.way.tls_client().await
    }

    /// What the program knows of its only virtual cluster.
    pub(crate) fn status(&self) -> Value {
        self.kroxy.status()["virtual_clusters"][0].clone()
    }

    /// What it tells a scraper.
    pub(crate) fn metrics(&self) -> String {
        let text = ureq::get(format!("http://{}/metrics", self.kroxy.admin())).call().expect("served");
        text.into_body().read_to_string().expect("text")
    }

    /// Waits until no client is connected any more, and says how they ended, by cause.
    pub(crate) async fn all_gone(&self) -> BTreeMap<String, u64> {
        self.has_connected(0).await;
        // Ends are counted before connections are gone, and a status looks at them first: the next one has them all.
        serde_json::from_value(self.status()["disconnects"].clone()).expect("counts")
    }

    /// Waits until so many clients are connected: those that have just closed may still be in the books.
    pub(crate) async fn has_connected(&self, count: usize) {
        let is_so = async {
            while self.status()["connections"] != count {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, is_so).await.expect("there are as many");
    }

    /// Carries out an attack while a client that behaves goes on asking, and prints what both saw.
    ///
    /// # Panics
    /// When that client, or one that is new, is not answered.
    pub(crate) async fn attacked<T>(&self, attack: impl Future<Output = T>) -> Attacked<T> {
        take_sides();
        let peace = self.peace.has(self.to_broker.clone().in_peace()).await;
        let (before, cpu, began) = (self.process.memory(), self.process.cpu(), Instant::now());
        self.process.forget_peak();
        let over = Arc::new(AtomicBool::new(false));
        let attack = async {
            let result = attack.await;
            over.store(true, Relaxed);
            result
        };
        let (result, war) = tokio::join!(attack, self.peace.has(self.to_broker.clone().at_war(over.clone())));
        let (took, cpu) = (began.elapsed(), self.process.cpu().saturating_sub(cpu));
        let grown = self.process.peak().saturating_sub(before);
        let ratio = war.p99().as_secs_f64() / peace.p99().as_secs_f64();
        say(&format!(
            "hostile: {}: {} KiB more memory than {} KiB, {cpu:.2?} of CPU in {took:.2?}; p99 of another client's {} requests \
             {:.2?}, before {:.2?}: times {ratio:.1}",
            self.story,
            grown / KIB,
            before / KIB,
            war.count(),
            war.p99(),
            peace.p99(),
        ));
        Attacked { result, grown }
    }
}

/// How an attack ended.
pub(crate) struct Attacked<T> {
    pub(crate) result: T,
    /// Bytes that the program had at the most beyond what it had before.
    pub(crate) grown: usize,
}

/// Reads until the proxy closes the connection, however it does so; says how many bytes came.
pub(crate) async fn closed(stream: &mut TcpStream) -> usize {
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("closed in time"); // a reset closes as well
    read.len()
}

fn trusting(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions().expect("safe").with_root_certificates(roots).with_no_client_auth()
}
