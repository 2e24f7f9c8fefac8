//! Those who do no harm: a client that goes on asking, and the broker that answers it.
//!
//! They have a runtime of their own: attackers are somewhere else, and nobody has to wait for a turn in theirs.

use crate::{
    apart::PEACE,
    figures::Latencies,
    frames::{HEARTBEAT, HEARTBEAT_OK, METADATA, metadata_ok},
    kroxy::PATIENCE,
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What the client asks at the least, however short an attack is.
const ROUNDS: usize = 200;

/// The same in peace: its 99th percentile is compared with others.
const ROUNDS_IN_PEACE: usize = 1_000;

/// How long it rests between its questions.
const PACE: Duration = Duration::from_millis(2);

/// Where they live.
pub(crate) struct Peace(Option<Runtime>);

impl Peace {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(PEACE).enable_all().build();
        Self(Some(runtime.expect("a runtime")))
    }

    /// Does something there.
    pub(crate) async fn has<T: Send + 'static>(&self, done: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = self.0.as_ref().expect("it lives until it is dropped");
        runtime.spawn(done).await.unwrap_or_else(|e| panic::resume_unwind(e.into_panic()))
    }
}

impl Drop for Peace {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// How to get to the proxy.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) at: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Way {
    pub(crate) async fn client(&self) -> TcpStream {
        timeout(PATIENCE, TcpStream::connect(self.at)).await.expect("in time").expect("the gateway listens")
    }

    /// A client that has shaken hands.
    pub(crate) async fn tls_client(&self) -> io::Result<TlsStream<TcpStream>> {
        let config = self.tls.clone().expect("the gateway has TLS");
        let name = ServerName::try_from("kroxy.example").expect("a name");
        timeout(PATIENCE, TlsConnector::from(config).connect(name, self.client().await)).await.expect("in time")
    }

    /// Asks for the brokers, so that the proxy knows where they are.
    pub(crate) async fn has_the_proxy_meet_the_broker(&self) {
        let mut client = self.asking().await;
        client.write_all(METADATA).await.expect("read");
        client.flush().await.expect("sent");
        let mut answer = vec![0; metadata_ok("127.0.0.1", 0).len()];
        timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time").expect("answered");
    }

    async fn asking(&self) -> Box<dyn Duplex> {
        if self.tls.is_some() {
            Box::new(self.tls_client().await.expect("who behaves is let in"))
        } else {
            Box::new(self.client().await)
        }
    }

    /// How long a client that behaves waits where nobody means harm.
    pub(crate) async fn in_peace(self) -> Latencies {
        self.behave(|done| done < ROUNDS_IN_PEACE).await
    }

    /// The same until it is `over`.
    pub(crate) async fn at_war(self, over: Arc<AtomicBool>) -> Latencies {
        self.behave(|done| done < ROUNDS || !over.load(Relaxed)).await
    }

    /// Asks again and again on one connection, and at last on a new one.
    async fn behave(&self, goes_on: impl Fn(usize) -> bool) -> Latencies {
        let mut latencies = Latencies::default();
        let mut client = self.asking().await;
        while goes_on(latencies.count()) {
            let asked = Instant::now();
            ask(&mut client).await.expect("who behaves is served");
            latencies.note(asked);
            sleep(PACE).await;
        }
        ask(&mut self.asking().await).await.expect("who comes and behaves is served");
        latencies
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Asks one thing, and takes the answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(client: &mut S) -> io::Result<()> {
    client.write_all(HEARTBEAT).await?;
    client.flush().await?;
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("answered in time")?;
    assert_eq!(answer, HEARTBEAT_OK);
    Ok(())
}
