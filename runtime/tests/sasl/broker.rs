//! A broker that wants to know who asks, and answers a heartbeat, versions and metadata.

use crate::frames::{HEARTBEAT_OK, framed, metadata_ok};
use kroxy_core::{
    reload::Secret,
    sasl::{
        directory::Directory,
        jwt::{Demands, Issuer, Keys},
        scram::{Credential, Iterations, Nonce, Scram},
        server::{Exchange, Verdict},
    },
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The broker.
pub(crate) struct Broker {
    pub(crate) at: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    wants_login: bool,
    users: Mutex<Vec<String>>,
    connections: AtomicUsize,
    session_ms: AtomicU64,
    issuer: Mutex<Option<Arc<Issuer>>>,
    port: AtomicUsize,
}

impl Broker {
    /// One that knows `kroxy`, by its password or the tokens of an issuer, or that lets anybody in.
    pub(crate) async fn new(wants_login: bool, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let seen = Arc::new(Seen { wants_login, port: AtomicUsize::new(at.port().into()), ..Seen::default() });
        let mut directory = Directory::new([0; 32]);
        for scram in [Scram::Sha256, Scram::Sha512] {
            let iterations = Iterations::new(4_096).expect("the fewest");
            let credential = Credential::of_password(scram, password.as_bytes(), b"salt".to_vec(), iterations);
            directory.insert("kroxy", scram, credential).expect("once");
        }
        let (books, directory) = (seen.clone(), Arc::new(directory));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                books.connections.fetch_add(1, SeqCst);
                let (books, directory) = (books.clone(), directory.clone());
                clients.spawn(async move { serve(stream, &books, &directory).await });
            }
        });
        Self { at, seen, _tasks: tasks }
    }

    /// Whom it has let in since this was last asked.
    pub(crate) fn logged_in(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.users.lock().expect("whole"))
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Takes nobody for who it was for longer (`connections.max.reauth.ms`).
    pub(crate) fn limit_sessions_ms(&self, ms: u64) {
        self.seen.session_ms.store(ms, SeqCst);
    }

    /// Believes these tokens from now on.
    pub(crate) fn believe(&self, jwks: &str, issuer: &str) {
        let demands = Demands {
            issuer: issuer.to_owned(),
            audiences: vec!["kafka".to_owned()],
            principal_claim: "sub".to_owned(),
        };
        let keys = Keys::read(jwks.as_bytes()).expect("keys");
        *self.seen.issuer.lock().expect("whole") = Some(Arc::new(Issuer { keys, demands }));
    }
}

/// Until when a connection may ask.
enum Login {
    Needed,
    Exchanging(Exchange),
    Until(Option<Instant>),
}

async fn serve(mut stream: TcpStream, seen: &Seen, directory: &Arc<Directory>) -> io::Result<()> {
    let mut login = if seen.wants_login { Login::Needed } else { Login::Until(None) };
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size).await?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut frame).await?;
        let (key, id) = (i16::from_be_bytes([frame[0], frame[1]]), &frame[4..8]);
        let client_id = i16::from_be_bytes([frame[8], frame[9]]);
        let body = &frame[10 + usize::try_from(client_id).unwrap_or(0)..];
        let answer = match (key, &mut login) {
            (18, _) => [id, &[0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 1][..]].concat(),
            (17, _) => {
                let mechanism = String::from_utf8_lossy(&body[2..]).into_owned();
                login = Login::Exchanging(exchange(&mechanism, seen, directory));
                [id, &[0, 0, 0, 0, 0, 0][..]].concat()
            }
            (36, Login::Exchanging(exchange)) => {
                let verdict = match exchange.step(&body[4..]) {
                    Verdict::Derive(derivation) => exchange.derived(&derivation.keys()),
                    verdict @ (Verdict::Challenge(_) | Verdict::Accepted { .. } | Verdict::Refused(_)) => verdict,
                };
                let (error, token, lasts) = match verdict {
                    Verdict::Derive(_) => panic!("once is enough"),
                    Verdict::Challenge(token) => (0, token, 0),
                    Verdict::Accepted { token, user, .. } => {
                        seen.users.lock().expect("whole").push(user.into());
                        let lasts = seen.session_ms.load(SeqCst);
                        let until = (lasts > 0).then(|| Instant::now() + Duration::from_millis(lasts));
                        login = Login::Until(until);
                        (0, token, lasts)
                    }
                    Verdict::Refused(_) => (58, Secret(bytes::Bytes::new()), 0),
                };
                [id, &[0, error, 0xff, 0xff], &framed(&[&token.0]), &lasts.to_be_bytes()].concat()
            }
            (_, Login::Until(until)) if until.is_none_or(|until| Instant::now() < until) => match key {
                12 => HEARTBEAT_OK[4..].to_vec(),
                _ => {
                    let port = u16::try_from(seen.port.load(SeqCst)).expect("a port");
                    let mut metadata = metadata_ok("127.0.0.1", port)[4..].to_vec();
                    metadata[..4].copy_from_slice(id);
                    metadata
                }
            },
            (_, Login::Needed | Login::Exchanging(_) | Login::Until(_)) => return Ok(()),
        };
        stream.write_all(&framed(&[&answer])).await?;
    }
}

fn exchange(mechanism: &str, seen: &Seen, directory: &Arc<Directory>) -> Exchange {
    let nonce = Nonce::of([3; 18]);
    match mechanism {
        "PLAIN" => Exchange::plain(directory.clone()),
        "SCRAM-SHA-256" => Exchange::scram(Scram::Sha256, directory.clone(), nonce),
        "SCRAM-SHA-512" => Exchange::scram(Scram::Sha512, directory.clone(), nonce),
        "OAUTHBEARER" => {
            let issuer = seen.issuer.lock().expect("whole").clone().expect("told whom to believe");
            Exchange::bearer(issuer, crate::idp::today())
        }
        other => panic!("{other} is asked for"),
    }
}
