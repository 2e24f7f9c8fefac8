//! Somebody who issues tokens: a small HTTP server with a key, which clients, kroxy and Kafka ask on loopback.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What its tokens say of who issued them.
pub const ISSUER: &str = "tests";

/// Who may ask it for a token, and by which secret.
const ACCOUNTS: [(&str, &str); 2] = [("alice", "alice-secret"), ("kroxy", "kroxy-secret")];

/// How long somebody who asks may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// An issuer that answers until the process ends.
#[derive(Debug)]
pub struct Issuer {
    at: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pair: EcdsaKeyPair,
    /// Seconds for which a token holds.
    life: u64,
    /// To whom tokens were given, and for which audience.
    given: Mutex<Vec<(&'static str, String)>>,
}

impl Issuer {
    /// One whose tokens hold for so many seconds.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn new(life: u64) -> Self {
        let rng = SystemRandom::new();
        let (algorithm, expectation) = (&ECDSA_P256_SHA256_FIXED_SIGNING, "a key");
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).expect(expectation);
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &rng).expect(expectation);
        let shared = Arc::new(Shared { pair, life, given: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // Whoever goes away before it is answered has not asked.
                thread::spawn(move || serving.serve(stream).ok());
            }
        });
        Self { at, shared }
    }

    /// Where its public keys are (a JSON web key set).
    pub fn keys(&self) -> String {
        format!("http://{}/keys", self.at)
    }

    /// Where `alice` and `kroxy` get tokens for an audience, by client credentials.
    pub fn endpoint(&self, audience: &str) -> String {
        format!("http://{}/token/{audience}", self.at)
    }

    /// How many tokens it has given to somebody for an audience.
    ///
    /// # Panics
    /// Never: nothing panics while it gives one.
    pub fn given(&self, whom: &str, audience: &str) -> usize {
        let given = self.shared.given.lock().expect("nobody panics with it");
        given.iter().filter(|(to, meant_for)| *to == whom && meant_for == audience).count()
    }
}

impl Shared {
    /// Answers one question.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut head, mut length) = (Vec::new(), 0);
        let mut reader = BufReader::new(&stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_owned();
            if let Some((_, value)) =
                line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.parse().map_err(io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let mut form = String::new();
        reader.take(length).read_to_string(&mut form)?;
        let (status, body) = match self.answer(&head, &form) {
            Some(body) => ("200 OK", body),
            None => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes())
    }

    fn answer(&self, head: &[String], form: &str) -> Option<String> {
        let question = head.first()?.strip_suffix(" HTTP/1.1")?;
        if question == "GET /keys" {
            return Some(self.keys());
        }
        let audience = question.strip_prefix("POST /token/")?;
        let who = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": Basic ")?;
            name.eq_ignore_ascii_case("authorization").then_some(value)
        })?;
        let account = |(name, secret): &(_, _)| who == STANDARD.encode(format!("{name}:{secret}"));
        let (name, _) = ACCOUNTS.into_iter().find(account)?;
        let asks = form.split('&').any(|field| field == "grant_type=client_credentials");
        asks.then(|| {
            self.given.lock().expect("nobody panics with it").push((name, audience.to_owned()));
            let token = self.token(name, audience);
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{}}}"#, self.life)
        })
    }

    fn keys(&self) -> String {
        // A point that is not compressed: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"k1","x":"{x}","y":"{y}"}}]}}"#)
    }

    fn token(&self, name: &str, audience: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
        // Never less than what `expires_in` says, although a part of this second is over.
        let expires = now + self.life + 1;
        let claims = format!(r#"{{"iss":"{ISSUER}","aud":"{audience}","sub":"{name}","iat":{now},"exp":{expires}}}"#);
        let signed = [r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, &claims].map(|part| BASE64.encode(part)).join(".");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("the system has randomness");
        format!("{signed}.{}", BASE64.encode(signature))
    }
}
