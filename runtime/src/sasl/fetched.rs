//! Keys of an issuer and tokens of the proxy, which are fetched when somebody needs them and kept for the others.
//!
//! Whoever finds them too old fetches them; the others wait for that. There is no task beside the connections: a proxy that
//! nobody uses asks nobody.

use super::http::{Question, Server, encoded};
use crate::{clock::Clock, limits, net::Net};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kroxy_core::{
    config::sasl::TokenSource,
    reload::Secret,
    sasl::jwt::{Demands, Issuer, Keys},
    time::Instant,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tracing::warn;

/// What was fetched, and how it went lately.
#[derive(Debug)]
struct Held<T> {
    /// What there is, and since when.
    value: Option<(T, Instant)>,
    /// When it was last tried, and why that failed if it did.
    tried: Option<(Instant, Option<String>)>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { value: None, tried: None }
    }
}

impl<T: Clone> Held<T> {
    /// Whether somebody has tried so lately that it is not tried again.
    fn rests(&self, now: Instant, pause: Duration) -> bool {
        self.tried.as_ref().is_some_and(|(at, _)| now.since(*at) < pause)
    }

    /// The same, but only for whoever failed: what was brought says itself when it is to be fetched again.
    fn failed(&self, now: Instant, pause: Duration) -> bool {
        self.rests(now, pause) && self.tried.as_ref().is_some_and(|(_, why)| why.is_some())
    }

    fn tried(&mut self, now: Instant, ended: Result<T, String>) {
        self.tried = Some((now, ended.as_ref().err().cloned()));
        if let Ok(value) = ended {
            self.value = Some((value, now));
        }
    }

    fn why(&self) -> String {
        let why = self.tried.as_ref().and_then(|(_, why)| why.clone());
        why.unwrap_or_else(|| "nothing was fetched yet".to_owned())
    }
}

/// The keys of an issuer at an address.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    server: Server,
    demands: Demands,
    refresh: Duration,
    held: Mutex<Held<Arc<Issuer>>>,
}

impl FetchedKeys {
    pub(super) fn new(server: Server, demands: Demands, refresh: Duration) -> Self {
        Self { server, demands, refresh, held: Mutex::default() }
    }

    /// The issuer with keys that are new enough, and among which there is that of the token if it has one.
    pub(super) async fn issuer<N: Net>(&self, net: &N, clock: Clock, token: &[u8]) -> Result<Arc<Issuer>, String> {
        let mut held = self.held.lock().await;
        let now = clock.now();
        let wanted = match &held.value {
            None => !held.rests(now, limits::FETCH_PAUSE_WITHOUT),
            Some((issuer, since)) => {
                let is_needed = now.since(*since) >= self.refresh || issuer.keys.lack_key_of(token);
                is_needed && !held.rests(now, limits::FETCH_PAUSE)
            }
        };
        if wanted {
            let fetched = self.fetch(net).await;
            if let Err(why) = &fetched {
                warn!("the keys of {} cannot be fetched: {why}", self.demands.issuer);
            }
            held.tried(clock.now(), fetched);
        }
        match &held.value {
            Some((issuer, _)) => Ok(issuer.clone()),
            None => Err(held.why()),
        }
    }

    async fn fetch<N: Net>(&self, net: &N) -> Result<Arc<Issuer>, String> {
        let json = self.server.ask(net, Question::Get).await.map_err(|e| e.to_string())?;
        let keys = Keys::read(&json).map_err(|e| format!("{}: {e}", self.server.url))?;
        Ok(Arc::new(Issuer { keys, demands: self.demands.clone() }))
    }
}

/// A token of the proxy.
#[derive(Clone, Debug)]
struct Token {
    token: Secret,
    /// From when on a new one is wanted.
    renew: Instant,
    expires: Instant,
}

impl Token {
    fn new(token: Secret, now: Instant, life: Duration) -> Self {
        Self { token, renew: now + life * limits::TOKEN_RENEW_PERCENT / 100, expires: now + life }
    }
}

impl Held<Token> {
    /// Whether a new token is to be fetched now.
    fn is_wanted(&self, now: Instant) -> bool {
        match &self.value {
            Some((token, _)) if now < token.renew => false,
            Some((token, _)) if now < token.expires => !self.failed(now, limits::FETCH_PAUSE),
            Some(_) | None => !self.rests(now, limits::FETCH_PAUSE_WITHOUT),
        }
    }

    /// Upstream has not let the proxy in. A token that was just fetched cannot be the reason, or another one would be no better.
    fn refused(&mut self, now: Instant) {
        if !self.rests(now, limits::FETCH_PAUSE_WITHOUT)
            && let Some((token, _)) = &mut self.value
        {
            token.renew = token.renew.min(now);
        }
    }
}

/// The proxy's tokens from an endpoint.
#[derive(Debug)]
pub(super) struct FetchedTokens {
    server: Server,
    source: TokenSource,
    secret: Secret,
    held: Mutex<Held<Token>>,
}

impl FetchedTokens {
    pub(super) fn new(server: Server, source: TokenSource, secret: Secret) -> Self {
        Self { server, source, secret, held: Mutex::default() }
    }

    /// A token that holds for a while.
    pub(super) async fn token<N: Net>(&self, net: &N, clock: Clock) -> Result<Secret, String> {
        let mut held = self.held.lock().await;
        let now = clock.now();
        if held.is_wanted(now) {
            let fetched = self.fetch(net, now).await;
            if let Err(why) = &fetched {
                warn!("no token for {}: {why}", self.source.client_id);
            }
            held.tried(clock.now(), fetched);
        }
        match &held.value {
            Some((token, _)) if clock.now() < token.expires => Ok(token.token.clone()),
            Some(_) | None => Err(held.why()),
        }
    }

    /// Upstream has not let the proxy in: the token may have been withdrawn, or the issuer have other keys now, so that the next login
    /// wants a new one. The old one is kept for where there is none.
    pub(super) fn refused(&self, now: Instant) {
        // Whoever holds it fetches one just now.
        if let Ok(mut held) = self.held.try_lock() {
            held.refused(now);
        }
    }

    async fn fetch<N: Net>(&self, net: &N, now: Instant) -> Result<Token, String> {
        #[derive(serde::Deserialize)]
        struct Granted {
            access_token: String,
            #[serde(default = "shortly")]
            expires_in: u64,
        }
        const fn shortly() -> u64 {
            limits::TOKEN_LIFE.as_secs()
        }
        let id = encoded(self.source.client_id.as_bytes());
        let who = BASE64.encode(format!("{id}:{}", encoded(&self.secret.0)));
        let scope =
            self.source.scope.as_ref().map_or_else(String::new, |s| format!("&scope={}", encoded(s.as_bytes())));
        let fields = format!("grant_type=client_credentials{scope}");
        let question = Question::Form { authorization: format!("Basic {who}"), fields };
        let json = self.server.ask(net, question).await.map_err(|e| e.to_string())?;
        // What serde says may quote the answer, which has a token in it.
        let granted: Granted =
            serde_json::from_slice(&json).map_err(|_| format!("{} does not answer with a token", self.server.url))?;
        let life = Duration::from_secs(granted.expires_in.min(limits::TOKEN_LIFE_MAX.as_secs()));
        Ok(Token::new(Secret(granted.access_token.into()), now, life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_in_its_time_however_short_that_is() {
        let at = Instant::from_millis;
        let mut held = Held::default();
        assert!(held.is_wanted(at(0)));
        held.tried(at(0), Ok(Token::new(Secret("t".into()), at(0), Duration::from_secs(5))));
        assert!(!held.is_wanted(at(3_999)));
        assert!(held.is_wanted(at(4_000)), "that one was brought lately does not matter");
        held.tried(at(4_000), Err("away".to_owned()));
        assert!(!held.is_wanted(at(4_001)), "there is something to go on with");
        assert!(held.is_wanted(at(5_000)), "and now there is nothing");
        held.tried(at(5_000), Err("away".to_owned()));
        assert!(!held.is_wanted(at(5_999)));
        assert!(held.is_wanted(at(6_000)));
    }

    #[test]
    fn a_token_that_is_refused_is_renewed_before_its_time_and_not_again_at_once() {
        let at = Instant::from_millis;
        let mut held = Held::default();
        let token = |now| Token::new(Secret("t".into()), now, Duration::from_secs(600));
        held.tried(at(0), Ok(token(at(0))));
        held.refused(at(999));
        assert!(!held.is_wanted(at(999)), "it is new");
        held.refused(at(1_000));
        assert!(held.is_wanted(at(1_000)));
        held.tried(at(1_000), Err("away".to_owned()));
        held.refused(at(2_000));
        assert!(!held.is_wanted(at(2_000)), "the old one is all there is for a while");
        held.tried(at(11_000), Ok(token(at(11_000))));
        assert!(!held.is_wanted(at(11_001)));
    }
}
