//! A proxy in this process, between a broker that wants to know who asks and clients that say who they are.

use crate::{
    broker::Broker,
    folder::Folder,
    frames::{HEARTBEAT, HEARTBEAT_OK, framed},
    ports::free_port,
};
use kroxy_core::{
    proxy::Trigger,
    reload::Secret,
    sasl::{
        client::Exchange,
        login::{Login, LoginError, Progress},
        scram::{Credential, Iterations, Nonce, Scram},
    },
    status::{ClusterState, ClusterStatus, ReloadAction, ReloadOutcome},
};
use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Lifetime, Proxy, Source},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Long enough for a machine under load, short enough to notice what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The password file of the proxy.
pub(crate) const fn password() -> &'static str {
    "open-sesame\n"
}

pub(crate) fn plain(user: &str, password: &str) -> Exchange {
    Exchange::plain(user, &Secret(password.to_owned().into()))
}

pub(crate) fn scram(user: &str, password: &str) -> Exchange {
    Exchange::scram(Scram::Sha512, user, Secret(password.to_owned().into()), Nonce::of([5; 18]))
}

pub(crate) struct World {
    pub(crate) broker: Broker,
    folder: Folder,
    proxy: Proxy<OsNet>,
    lifetime: Lifetime<OsNet>,
    clients_at: SocketAddr,
    node_at: SocketAddr,
}

impl World {
    /// A virtual cluster with further fields, and further ones of its upstream; `USERS` and `PASSWORD` in them are files.
    pub(crate) async fn new(more: &str, upstream: &str) -> Self {
        Self::with_file(more, upstream, "unused", "").await
    }

    /// The same with a further file.
    pub(crate) async fn with_file(more: &str, upstream: &str, name: &str, contents: &str) -> Self {
        let broker = Broker::new(!upstream.is_empty(), password().trim_end()).await;
        let folder = Folder::new();
        let (bootstrap, node) = (free_port(), free_port());
        let text = format!(
            r#"(admin: (bind: "127.0.0.1:0"), virtual_clusters: [(name: "c",
            upstream: (bootstrap_servers: ["{}"], {upstream}), {more}
            gateways: [(name: "g", port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1",
            bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})]))])])"#,
            broker.at
        );
        let text = text.replace("USERS", "users.ron").replace("PASSWORD", "kroxy.password");
        let file = folder.write("kroxy.ron", &text);
        folder.write(name, contents);
        folder.write("kroxy.password", password());
        folder.write("users.ron", &users(&[("alice", "pencil")]));
        let config = config::load(&file).unwrap_or_else(|e| panic!("{e}"));
        let proxy = Proxy::new(load::loaded(config), Source::file(file), OsNet, Clock::system(), 1);
        let lifetime = proxy.startup().expect("a new proxy can be started");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let world = Self { broker, folder, proxy, lifetime, clients_at: at(bootstrap), node_at: at(node) };
        timeout(PATIENCE, async {
            while world.status().state != ClusterState::Serving {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the cluster comes to serve");
        world
    }

    pub(crate) fn write_users(&self, all: &[(&str, &str)]) {
        self.folder.write("users.ron", &users(all));
    }

    pub(crate) fn write_password(&self, text: &str) {
        self.folder.write("kroxy.password", text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.folder.write(name, text);
    }

    /// Puts the files in force, and says how that went.
    pub(crate) async fn reload(&self) -> (ReloadOutcome, ReloadAction) {
        let reloading = self.proxy.reload_source(Trigger::Api);
        let report = timeout(PATIENCE, reloading).await.expect("in time").expect("it runs");
        (report.outcome, report.virtual_clusters[0].action)
    }

    /// Forgets what was fetched: a reload begins anew.
    pub(crate) async fn reload_touched(&self) {
        let text = std::fs::read_to_string(self.folder.file("kroxy.ron")).expect("written");
        let other = if text.contains("drain_timeout") {
            text.replace("drain_timeout: \"9s\",", "")
        } else {
            text.replacen("name: \"c\",", "name: \"c\", drain_timeout: \"9s\",", 1)
        };
        self.folder.write("kroxy.ron", &other);
        assert_eq!(self.reload().await, crate::LIVE);
    }

    /// Waits until a client is let in.
    pub(crate) async fn until_lets_in(&self, exchange: impl Fn() -> Exchange) {
        timeout(PATIENCE, async {
            loop {
                let mut client = self.client().await;
                client.say_who(exchange()).await;
                if client.is_let_in().await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .expect("in time");
    }

    /// Has one client after the other ask something until one is answered.
    pub(crate) async fn until_answers(&self) {
        timeout(PATIENCE, async {
            loop {
                let mut client = self.client().await;
                client.say_only().await;
                if client.answer().await.is_some() {
                    return;
                }
            }
        })
        .await
        .expect("in time");
    }

    pub(crate) fn status(&self) -> ClusterStatus {
        self.proxy.status().virtual_clusters[0].clone()
    }

    pub(crate) fn proxy(&self) -> &Proxy<OsNet> {
        &self.proxy
    }

    pub(crate) fn metrics(&self) -> String {
        self.proxy.metrics().text(&self.proxy.status())
    }

    /// The value of a metric of the cluster with these labels; 0 where it has no line.
    pub(crate) fn counted(&self, name: &str, labels: &str) -> u64 {
        let wanted: Vec<_> = labels.split(',').collect();
        let text = self.metrics();
        let line = text.lines().find(|line| line.starts_with(name) && wanted.iter().all(|label| line.contains(label)));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    /// Waits until connections have ended for this cause that often: the proxy counts one when it is done with it.
    pub(crate) async fn ended_by(&self, cause: &str, times: u64) {
        let label = format!("cause=\"{cause}\"");
        timeout(PATIENCE, async {
            while self.counted("kroxy_disconnects_total", &label) < times {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("in time");
        assert_eq!(self.counted("kroxy_disconnects_total", &label), times, "{cause}");
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.clients_at).await.expect("the gateway listens"))
    }

    pub(crate) async fn client_of_node(&self) -> Client {
        Client(TcpStream::connect(self.node_at).await.expect("the gateway listens"))
    }

    pub(crate) async fn stop(self) {
        self.proxy.shutdown("the story is over");
        timeout(PATIENCE, self.lifetime).await.expect("in time").expect("a clean end");
    }
}

fn users(all: &[(&str, &str)]) -> String {
    let entry = |(user, password): &(&str, &str)| {
        let iterations = Iterations::new(4_096).expect("the fewest");
        let made = Credential::of_password(Scram::Sha512, password.as_bytes(), b"salt".to_vec(), iterations);
        let (salt, stored, server) = (made.salt_text(), made.stored_key_text(), made.server_key_text());
        format!(
            r#"(user: "{user}", mechanism: "SCRAM-SHA-512", iterations: 4096, salt: "{salt}",
                stored_key: "{stored}", server_key: "{server}"),"#
        )
    };
    format!("[{}]", all.iter().map(entry).collect::<String>())
}

/// A connection to the proxy.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Says who it is.
    pub(crate) async fn log_in(&mut self, exchange: Exchange) -> Result<(), LoginError> {
        let (mut login, first) = Login::start(exchange);
        let mut next = first;
        loop {
            self.0.write_all(&next.0).await.expect("the proxy reads");
            let mut answer = vec![0; 4];
            timeout(PATIENCE, self.0.read_exact(&mut answer)).await.expect("in time").expect("an answer");
            let size = u32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
            answer.resize(4 + size, 0);
            self.0.read_exact(&mut answer[4..]).await.expect("all of it");
            match login.response(&answer)? {
                Progress::Send(token) => next = token,
                Progress::Derive(derivation) => {
                    let Progress::Send(token) = login.derived(&derivation.keys())? else { panic!("no proof") };
                    next = token;
                }
                Progress::Done { .. } => return Ok(()),
            }
        }
    }

    /// Sends handshake and first token at once, as no client does that waits for answers.
    pub(crate) async fn say_who(&mut self, mut exchange: Exchange) {
        let name = exchange.mechanism().name().as_bytes();
        let name_len = u16::try_from(name.len()).expect("short").to_be_bytes();
        let handshake = framed(&[&[0, 17, 0, 1, 0, 0, 0, 1, 0, 0], &name_len, name]);
        let token = framed(&[&exchange.first().expect("the first").0]);
        let authenticate = framed(&[&[0, 36, 0, 1, 0, 0, 0, 2, 0, 0], &token]);
        for frame in [handshake, authenticate] {
            self.0.write_all(&frame).await.expect("the proxy reads");
        }
    }

    async fn answer(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        timeout(PATIENCE, self.0.read_exact(&mut size)).await.expect("in time").ok()?;
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        self.0.read_exact(&mut answer).await.ok()?;
        Some(answer)
    }

    /// Whether what it said was believed.
    pub(crate) async fn is_let_in(&mut self) -> bool {
        self.answer().await.is_some() && self.answer().await.is_some_and(|answer| answer[4..6] == [0, 0])
    }

    /// Whether the handshake is answered and nothing else.
    pub(crate) async fn is_closed_after_handshake(&mut self) -> bool {
        self.answer().await.is_some() && self.is_closed().await
    }

    /// Asks something, and is answered.
    pub(crate) async fn ask(&mut self) {
        self.say_only().await;
        let mut answer = vec![0; HEARTBEAT_OK.len()];
        timeout(PATIENCE, self.0.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(answer, HEARTBEAT_OK);
    }

    /// Asks something.
    pub(crate) async fn say_only(&mut self) {
        self.0.write_all(HEARTBEAT).await.expect("the proxy reads");
    }

    /// Whether the proxy ends the connection without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut more = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut more)).await.expect("in time"); // a reset closes as well
        more.is_empty()
    }
}
