//! The program between a broker of ours, clients that mean harm, and one that behaves.

use crate::{
    certificates::{Authority, keep},
    figures::{Latencies, Process, say},
    folder::Folder,
    frames::{HEARTBEAT, HEARTBEAT_OK},
    kroxy::{Kroxy, PATIENCE},
    ports::free_port,
    upstream::Upstream,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use std::{
    cell::Cell,
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, MutexGuard},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// One story at a time: they share file descriptors and ports, and figures of two at once are of neither.
static TURN: Mutex<()> = Mutex::const_new(());

/// What the client that behaves asks at the least, in peace and under attack.
const ROUNDS: usize = 200;

/// How long it rests between its questions.
const PACE: Duration = Duration::from_millis(2);

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

/// A running proxy in front of an [`Upstream`].
pub(crate) struct World {
    story: &'static str,
    pub(crate) kroxy: Kroxy,
    pub(crate) process: Process,
    pub(crate) upstream: Upstream,
    pub(crate) at: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let upstream_at = listener.local_addr().expect("bound");
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
        let kroxy = Kroxy::serve(&folder.write("kroxy.ron", &text));
        Self {
            story,
            process: Process(kroxy.process_id()),
            kroxy,
            upstream: Upstream::new(listener),
            at: SocketAddr::from(([127, 0, 0, 1], bootstrap)),
            tls: tls.map(|_| Arc::new(trusting(&authority))),
            _folder: folder,
            _turn: turn,
        }
    }

    pub(crate) async fn client(&self) -> TcpStream {
        timeout(PATIENCE, TcpStream::connect(self.at)).await.expect("in time").expect("the gateway listens")
    }

    /// A client that has shaken hands.
    pub(crate) async fn tls_client(&self) -> io::Result<TlsStream<TcpStream>> {
        let config = self.tls.clone().expect("the gateway has TLS");
        let name = ServerName::try_from("kroxy.example").expect("a name");
        timeout(PATIENCE, TlsConnector::from(config).connect(name, self.client().await)).await.expect("in time")
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
        let peace = self.behaves(|| false).await;
        let (before, cpu, began) = (self.process.memory(), self.process.cpu(), Instant::now());
        self.process.forget_peak();
        let over = Cell::new(false);
        let attack = async {
            let result = attack.await;
            over.set(true);
            result
        };
        let (result, war) = tokio::join!(attack, self.behaves(|| !over.get()));
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

    /// Asks again and again on one connection, and at last on a new one.
    async fn behaves(&self, goes_on: impl Fn() -> bool) -> Latencies {
        let mut latencies = Latencies::default();
        let mut client = self.asking().await;
        while goes_on() || latencies.count() < ROUNDS {
            let asked = Instant::now();
            ask(&mut client).await.expect("who behaves is served");
            latencies.note(asked);
            sleep(PACE).await;
        }
        ask(&mut self.asking().await).await.expect("who comes and behaves is served");
        latencies
    }

    async fn asking(&self) -> Box<dyn Duplex> {
        if self.tls.is_some() {
            Box::new(self.tls_client().await.expect("who behaves is let in"))
        } else {
            Box::new(self.client().await)
        }
    }
}

/// How an attack ended.
pub(crate) struct Attacked<T> {
    pub(crate) result: T,
    /// Bytes that the program had at the most beyond what it had before.
    pub(crate) grown: usize,
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// Asks one thing, and takes the answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(client: &mut S) -> io::Result<()> {
    client.write_all(HEARTBEAT).await?;
    client.flush().await?;
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("answered in time")?;
    assert_eq!(answer, HEARTBEAT_OK);
    Ok(())
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
