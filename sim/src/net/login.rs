//! SASL at both ends that are not the proxy's: how clients log in to it, and how brokers have it log in to them.
//!
//! Both happen beneath what clients and brokers themselves say, as TLS does: whoever looks over their shoulders sees no login.

use super::{ear::head_of_request, eye::Wrong};
use crate::{
    clients::kafka,
    findings::Checker,
    limits,
    logins::{MECHANISM, OWN_USER, password_of, token},
};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// The version of both requests that is spoken.
const VERSION: i16 = 1;
/// The client id of a login: none of a client that is waited for.
const CLIENT_ID: &str = "login";
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;
/// What a broker says to credentials that it does not know.
const SASL_AUTHENTICATION_FAILED: i16 = 58;
/// What a broker says to a token without a handshake.
const ILLEGAL_SASL_STATE: i16 = 34;

/// Logs a client in.
pub(super) async fn log_in(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), user: &str) -> io::Result<()> {
    kafka::send(stream, &handshake(1)?).await?;
    let answer = kafka::answer::<SaslHandshakeRequest>(stream, VERSION).await?;
    refused_by(answer.error_code)?;
    kafka::send(stream, &credentials(2, user, password_of(user))?).await?;
    let answer = kafka::answer::<SaslAuthenticateRequest>(stream, VERSION).await?;
    refused_by(answer.error_code)
}

fn refused_by(error: i16) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("error {error}"))) }
}

/// The request that begins a login.
pub(crate) fn handshake(correlation: i32) -> io::Result<Bytes> {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(MECHANISM));
    kafka::frame(CLIENT_ID, VERSION, correlation, &request)
}

/// The request that says who somebody is.
pub(crate) fn credentials(correlation: i32, user: &str, password: &str) -> io::Result<Bytes> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(token(user, password));
    kafka::frame(CLIENT_ID, VERSION, correlation, &request)
}

/// Stands before a broker that demands a login: takes the logins out of what it is asked, and answers them.
#[derive(Debug)]
pub(super) struct Gate {
    standing: Standing,
    /// How long a login is good for.
    session: Option<Duration>,
    /// What has come and cannot be told yet: less than a head, or a part of a login.
    held: Vec<u8>,
    /// Bytes of a request that are still to come, and are the broker's.
    rest: usize,
    /// For the broker.
    passed: Vec<u8>,
    /// For the proxy.
    pub(super) answers: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    Stranger,
    /// A handshake was answered.
    Greeted,
    /// Until then, where that has an end.
    In(Option<Duration>),
    /// Nothing more is listened to.
    Refused,
}

impl Gate {
    pub(super) const fn new(session: Option<Duration>) -> Self {
        Self {
            standing: Standing::Stranger,
            session,
            held: Vec::new(),
            rest: 0,
            passed: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// What the broker is to hear now, so much of it at most.
    pub(super) fn pass(&mut self, most: usize) -> impl Iterator<Item = u8> + '_ {
        let now = self.passed.len().min(most);
        self.passed.drain(..now)
    }

    pub(super) const fn has_passed(&self) -> bool {
        !self.passed.is_empty()
    }

    pub(super) const fn is_refused(&self) -> bool {
        matches!(self.standing, Standing::Refused)
    }

    /// Takes what has come; says what is wrong with it.
    pub(super) fn take(&mut self, bytes: &[u8], now: Duration) -> Option<Wrong> {
        let mut wrong = None;
        self.held.extend_from_slice(bytes);
        while !self.is_refused() {
            if self.rest > 0 {
                let part = self.rest.min(self.held.len());
                self.passed.extend(self.held.drain(..part));
                self.rest -= part;
                if self.rest > 0 {
                    break;
                }
            }
            let Some(head) = self.held.first_chunk::<12>() else { break };
            let (api, _, _) = head_of_request(head);
            let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let total = 4 + usize::try_from(length).unwrap_or_default();
            if !matches!(api, SASL_HANDSHAKE | SASL_AUTHENTICATE) {
                wrong = wrong.or(self.ask(api, now));
                self.rest = total;
            } else if self.held.len() >= total {
                let frame: Bytes = self.held.drain(..total).collect();
                if let Err(e) = self.log_in(api, frame, now) {
                    wrong = wrong.or_else(|| Some((Checker::Logins, format!("a broker cannot read a login: {e}"))));
                    self.standing = Standing::Refused;
                }
            } else {
                break;
            }
        }
        wrong
    }

    /// Whether a broker may be asked this now. A stranger may ask what it speaks; anybody else is closed.
    fn ask(&mut self, api: i16, now: Duration) -> Option<Wrong> {
        let what = match self.standing {
            Standing::In(None) => return None,
            Standing::In(Some(until)) if now <= until + limits::SESSION_OVERRUN => return None,
            Standing::Stranger if api == API_VERSIONS => return None,
            Standing::In(Some(_)) => {
                format!("a broker was asked API {api} long after the proxy's login there had ended")
            }
            Standing::Stranger | Standing::Greeted | Standing::Refused => {
                format!("a broker was asked API {api} before the proxy had logged in")
            }
        };
        self.standing = Standing::Refused;
        Some((Checker::Logins, what))
    }

    fn log_in(&mut self, api: i16, mut frame: Bytes, now: Duration) -> anyhow::Result<()> {
        frame.advance(4);
        if api == SASL_HANDSHAKE {
            let header = RequestHeader::decode(&mut frame, SaslHandshakeRequest::header_version(VERSION))?;
            let asked = SaslHandshakeRequest::decode(&mut frame, VERSION)?;
            anyhow::ensure!(asked.mechanism.as_str() == MECHANISM, "nobody has {:?}", asked.mechanism);
            self.standing = Standing::Greeted;
            let answer = SaslHandshakeResponse::default().with_mechanisms(vec![StrBytes::from_static_str(MECHANISM)]);
            return self.answer::<SaslHandshakeRequest>(header.correlation_id, &answer);
        }
        let header = RequestHeader::decode(&mut frame, SaslAuthenticateRequest::header_version(VERSION))?;
        let shown = SaslAuthenticateRequest::decode(&mut frame, VERSION)?;
        let answer = SaslAuthenticateResponse::default();
        let answer = match self.standing {
            Standing::Greeted if shown.auth_bytes == token(OWN_USER, password_of(OWN_USER)) => {
                self.standing = Standing::In(self.session.map(|session| now + session));
                let lasts = self.session.map_or(0, |session| i64::try_from(session.as_millis()).unwrap_or(i64::MAX));
                answer.with_session_lifetime_ms(lasts)
            }
            Standing::Greeted => {
                self.standing = Standing::Refused;
                answer.with_error_code(SASL_AUTHENTICATION_FAILED)
            }
            Standing::Stranger | Standing::In(_) | Standing::Refused => {
                self.standing = Standing::Refused;
                answer.with_error_code(ILLEGAL_SASL_STATE)
            }
        };
        self.answer::<SaslAuthenticateRequest>(header.correlation_id, &answer)
    }

    fn answer<R: Request>(&mut self, correlation: i32, answer: &R::Response) -> anyhow::Result<()> {
        let mut frame = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(correlation);
        header.encode(&mut frame, R::Response::header_version(VERSION))?;
        answer.encode(&mut frame, VERSION)?;
        let length = u32::try_from(frame.len()).expect("a short answer");
        self.answers.extend(length.to_be_bytes().into_iter().chain(frame));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a gate makes of these requests in pieces of so many bytes: what the broker hears, and what is wrong.
    fn hears(gate: &mut Gate, requests: &[Bytes], piece: usize) -> (Vec<u8>, Option<Wrong>) {
        let (mut heard, mut wrong) = (Vec::new(), None);
        for piece in requests.concat().chunks(piece) {
            wrong = wrong.or(gate.take(piece, Duration::ZERO));
            heard.extend(gate.pass(3));
            heard.extend(gate.pass(usize::MAX));
        }
        (heard, wrong)
    }

    fn question() -> Bytes {
        kafka::frame("me", kafka::METADATA, 3, &kafka::metadata("orders")).expect("a request")
    }

    #[test]
    fn a_broker_hears_what_comes_behind_a_login_and_nothing_of_the_login() {
        let login = [handshake(1).expect("a request"), credentials(2, OWN_USER, password_of(OWN_USER)).expect("one")];
        let all: Vec<Bytes> = login.into_iter().chain([question(), question()]).collect();
        let mut answers = None;
        for piece in 1..120 {
            let mut gate = Gate::new(None);
            let (heard, wrong) = hears(&mut gate, &all, piece);
            assert_eq!((heard, wrong), ([question(), question()].concat(), None), "in pieces of {piece}");
            assert_eq!(gate.answers, *answers.get_or_insert_with(|| gate.answers.clone()));
        }
    }

    #[test]
    fn a_broker_hears_nothing_of_whoever_has_not_logged_in_and_the_proxy_is_accused() {
        let mut gate = Gate::new(None);
        let (heard, wrong) = hears(&mut gate, &[question()], 7);
        assert_eq!((heard, wrong.map(|(checker, _)| checker)), (Vec::new(), Some(Checker::Logins)));
        let mut gate = Gate::new(None);
        let wrong_password = [handshake(1).expect("one"), credentials(2, OWN_USER, "guess").expect("one"), question()];
        let (heard, wrong) = hears(&mut gate, &wrong_password, 500);
        assert_eq!((heard, wrong), (Vec::new(), None), "it was told in time for nothing of that");
        assert!(gate.is_refused());
    }

    #[test]
    fn a_login_is_good_for_its_session() {
        let mut gate = Gate::new(Some(Duration::from_secs(1)));
        let login = [handshake(1).expect("one"), credentials(2, OWN_USER, password_of(OWN_USER)).expect("one")];
        assert_eq!(hears(&mut gate, &login, 50), (Vec::new(), None));
        let late = Duration::from_secs(1) + limits::SESSION_OVERRUN;
        assert_eq!(gate.take(&question(), late), None);
        let wrong = gate.take(&question(), late + Duration::from_millis(1));
        assert_eq!(wrong.map(|(checker, _)| checker), Some(Checker::Logins));
    }
}
