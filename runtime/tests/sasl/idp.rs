//! Somebody who issues tokens: keys at one address, tokens at another.

use crate::certificates::Made;
use ::ring::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Since 1970-01-01.
pub(crate) fn today() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later")
}

/// A key of the issuer.
pub(crate) struct Key {
    pub(crate) id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    pub(crate) fn new(id: &'static str, seed: u8) -> Self {
        Self { id, pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes") }
    }

    /// A set of keys with this one alone.
    pub(crate) fn set(&self) -> String {
        let x = BASE64.encode(self.pair.public_key());
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"{}","x":"{x}"}}]}}"#, self.id)
    }

    /// A token for so many seconds.
    pub(crate) fn token(&self, user: &str, seconds: u64) -> String {
        let expires = today().as_secs() + seconds;
        let header = BASE64.encode(format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, self.id));
        let claims = format!(r#"{{"iss":"idp","aud":"kafka","sub":"{user}","exp":{expires}}}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims));
        let signature = BASE64.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// The server.
pub(crate) struct Idp {
    pub(crate) at: SocketAddr,
    books: Arc<Mutex<Books>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Books {
    /// What is answered, by path; `None`: with an error.
    answers: BTreeMap<String, Option<String>>,
    /// What was asked, head and body.
    asked: Vec<String>,
}

impl Idp {
    pub(crate) async fn new() -> Self {
        Self::serving(None).await
    }

    /// One that is asked with TLS, and shows this certificate.
    pub(crate) async fn with_tls(made: &Made) -> Self {
        let chain = CertificateDer::pem_slice_iter(made.chain.as_bytes()).collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("supported")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        Self::serving(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serving(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let books = Arc::new(Mutex::new(Books::default()));
        let shared = books.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (books, tls) = (shared.clone(), tls.clone());
                clients.spawn(async move {
                    match tls {
                        None => serve(stream, &books).await,
                        Some(tls) => serve(tls.accept(stream).await?, &books).await,
                    }
                });
            }
        });
        Self { at, books, _tasks: tasks }
    }

    /// Answers this from now on; `None`: with an error.
    pub(crate) fn answer(&self, path: &str, body: Option<&str>) {
        self.books.lock().expect("whole").answers.insert(path.to_owned(), body.map(str::to_owned));
    }

    /// What was asked since this was last asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.books.lock().expect("whole").asked)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, books: &Mutex<Books>) -> io::Result<()> {
    let mut asked = String::new();
    let mut buf = [0; 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        asked += &String::from_utf8_lossy(&buf[..n]);
        let Some((head, body)) = asked.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if n == 0 || body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    let path = asked.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut books = books.lock().expect("whole");
        books.asked.push(asked);
        books.answers.get(&path).cloned().flatten()
    };
    let (status, body) = match answer {
        Some(body) => ("200 OK", body),
        None => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}
