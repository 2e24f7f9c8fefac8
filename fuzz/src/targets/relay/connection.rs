//! One connection, driven through a story.

use super::{PASSWORD, Step, Story, USER, directory, servers, spec};
use crate::case::hex;
use kroxy_core::{
    address::HostPort,
    api::ApiKey,
    limits,
    relay::{Action, Cause, Event, Leg, Plan, Relay},
    reload::Secret,
    sasl::{
        Mechanism, client,
        scram::{Nonce, Scram},
        server,
    },
    time::Instant,
};
use std::{sync::Arc, time::Duration};

pub(super) const fn index(leg: Leg) -> usize {
    match leg {
        Leg::Client => 0,
        Leg::Upstream => 1,
    }
}

/// A relay, and what the driver keeps for it.
pub(super) struct Connection<'a> {
    relay: Relay,
    now: Instant,
    pieces: &'a [usize],
    /// Bytes that need not be seen are moved without being shown.
    passes: bool,
    inbox: [Vec<u8>; 2],
    want: [usize; 2],
    blocked: [bool; 2],
    pub(super) reached: [Vec<u8>; 2],
    asked: Vec<Action>,
    is_connected: bool,
    /// Nobody has been let in yet, and only by the proxy anybody can be.
    is_shut: bool,
    logs_in: bool,
    pub(super) learned: Vec<(i32, HostPort)>,
    pub(super) closed: Option<Cause>,
}

impl<'a> Connection<'a> {
    pub(super) fn through(story: &Story, pieces: &'a [usize], passes: bool) -> Self {
        let Story { admits, logs_in, ref steps, .. } = *story;
        let mut connection = Self {
            relay: Relay::new(Arc::new(spec(admits, logs_in)), Instant::ZERO),
            now: Instant::ZERO,
            pieces,
            passes,
            inbox: [Vec::new(), Vec::new()],
            want: [0; 2],
            blocked: [false; 2],
            reached: [Vec::new(), Vec::new()],
            asked: Vec::new(),
            is_connected: false,
            is_shut: admits,
            logs_in,
            learned: Vec::new(),
            closed: None,
        };
        for step in steps {
            connection.takes(step);
            let in_flight = connection.relay.in_flight();
            assert!(in_flight <= limits::IN_FLIGHT_MAX + 1, "{in_flight} requests are in flight");
        }
        connection
    }

    fn takes(&mut self, step: &Step) {
        if let Step::Expect(leg, bytes) = step {
            assert!(self.closed.is_none(), "who does nothing wrong is served: {:?}", self.closed);
            assert_eq!(hex(&self.reached[index(*leg)]), hex(bytes), "what reaches {leg:?}");
            return;
        }
        if self.closed.is_some() {
            return;
        }
        match step {
            Step::Bytes(Leg::Upstream, _) | Step::Eof(Leg::Upstream) | Step::Broke(Leg::Upstream)
                if !self.is_connected => {}
            Step::Bytes(leg, bytes) => {
                let (mut rest, mut sizes) = (&bytes[..], self.pieces.iter().cycle());
                while !rest.is_empty() {
                    let size = sizes.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
                    let (piece, left) = rest.split_at(size);
                    self.inbox[index(*leg)].extend_from_slice(piece);
                    self.show(*leg);
                    rest = left;
                }
                // Asking before there is as much as was wanted is harmless, and both ways of cutting have shown the same then.
                self.want[index(*leg)] = 0;
                self.show(*leg);
            }
            Step::Resolved => self.answer(|a| matches!(a, Action::Resolve), Event::Resolved(servers())),
            Step::Unresolved => self.answer(|a| matches!(a, Action::Resolve), Event::Resolved(Vec::new())),
            Step::Connected => self.answer(|a| matches!(a, Action::Connect(_)), Event::Connected),
            Step::Refused => {
                self.answer(|a| matches!(a, Action::Connect(_)), Event::ConnectFailed("refused".to_owned()));
            }
            Step::Examined => self.examined(),
            Step::NotExamined => {
                self.answer(|a| matches!(a, Action::Examine { .. }), Event::Examiner(Err("no keys".to_owned())));
            }
            Step::Secrets => {
                let login = client::Exchange::plain(USER, &Secret(PASSWORD.as_bytes().into()));
                self.answer(|a| matches!(a, Action::LogIn), Event::Secrets(Ok(Box::new(login))));
            }
            Step::NoSecrets => self.answer(|a| matches!(a, Action::LogIn), Event::Secrets(Err("no file".to_owned()))),
            Step::Eof(leg) => {
                let left = self.inbox[index(*leg)].len();
                self.happens(Event::Eof { leg: *leg, left });
            }
            Step::Broke(leg) => self.happens(Event::Broke(*leg, "reset".to_owned())),
            Step::Drain => self.happens(Event::Drain),
            Step::Later(ms) => {
                self.now = self.now + Duration::from_millis(*ms);
                let due = self.relay.deadline();
                self.happens(Event::Tick);
                if let Some(due) = due.filter(|due| *due <= self.now) {
                    assert_ne!(self.relay.deadline(), Some(due), "a tick at a deadline moves it");
                }
            }
            Step::Expect(..) => unreachable!("looked at above"),
        }
        self.derive();
    }

    /// Says what the driver was asked for, if it was.
    fn answer(&mut self, is_asked: impl Fn(&Action) -> bool, event: Event) {
        if let Some(at) = self.asked.iter().position(is_asked) {
            self.asked.remove(at);
            self.is_connected |= matches!(event, Event::Connected);
            self.happens(event);
        }
    }

    /// Brings what it takes to judge the tokens of the mechanism that was agreed on.
    fn examined(&mut self) {
        let agreed = self
            .asked
            .iter()
            .find_map(|action| if let Action::Examine { mechanism, .. } = action { Some(*mechanism) } else { None });
        let Some(mechanism) = agreed else { return };
        let nonce = Nonce::of([1; 18]);
        let brought = match mechanism {
            Mechanism::Plain => Ok(server::Exchange::plain(directory())),
            Mechanism::ScramSha256 => Ok(server::Exchange::scram(Scram::Sha256, directory(), nonce)),
            Mechanism::ScramSha512 => Ok(server::Exchange::scram(Scram::Sha512, directory(), nonce)),
            Mechanism::OAuthBearer => Err("the keys cannot be fetched".to_owned()),
        };
        self.answer(|a| matches!(a, Action::Examine { .. }), Event::Examiner(brought.map(Box::new)));
    }

    /// Whatever has reached upstream before anybody was let in is a question for versions, or the proxy's own login.
    fn check_shut(&self) {
        let mut rest = &self.reached[index(Leg::Upstream)][..];
        while let Some(([a, b, c, d, key @ ..], _)) = rest.split_first_chunk::<6>() {
            let key = ApiKey(i16::from_be_bytes(*key));
            let is_login = self.logs_in && [ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE].contains(&key);
            assert!(key == ApiKey::API_VERSIONS || is_login, "{key} of a stranger has reached upstream");
            rest = rest.get(4 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..).unwrap_or_default();
        }
    }

    /// Derives what is to be derived.
    fn derive(&mut self) {
        while let Some(at) = self.asked.iter().position(|action| matches!(action, Action::Derive(..))) {
            if let Action::Derive(leg, derivation) = self.asked.remove(at) {
                self.happens(Event::Derived(leg, Box::new(derivation.keys())));
            }
        }
    }

    fn happens(&mut self, event: Event) {
        let mut plan = Plan::default();
        let handled = self.relay.handle(event, self.now, &mut plan);
        self.carry_out(&[], &plan);
        self.ends(handled);
        self.unblock();
    }

    fn ends(&mut self, with: Result<(), Cause>) {
        if let Err(cause) = with {
            self.closed.get_or_insert(cause);
        }
    }

    fn unblock(&mut self) {
        if std::mem::take(&mut self.blocked[index(Leg::Client)]) {
            self.show(Leg::Client);
        }
    }

    fn show(&mut self, leg: Leg) {
        let i = index(leg);
        while self.closed.is_none() && !self.blocked[i] && self.inbox[i].len() >= self.want[i].max(1) {
            if self.passes && self.pass(leg) {
                continue;
            }
            let input = std::mem::take(&mut self.inbox[i]);
            let mut plan = Plan::default();
            let fed = self.relay.feed(leg, &input, self.now, &mut plan);
            self.carry_out(&input, &plan);
            self.relay.sent(self.now);
            (self.want[i], self.blocked[i]) = (plan.want, plan.blocked);
            self.inbox[i] = input[plan.consumed..].to_vec();
            self.ends(fed);
            if plan.consumed == 0 {
                break;
            }
            if leg == Leg::Upstream {
                self.unblock();
            }
        }
    }

    /// Moves what need not be seen; says whether there was anything.
    fn pass(&mut self, leg: Leg) -> bool {
        let inbox = &mut self.inbox[index(leg)];
        let unseen = usize::try_from(self.relay.unseen(leg)).unwrap_or(usize::MAX).min(inbox.len());
        if unseen == 0 {
            return false;
        }
        self.reached[index(leg.other())].extend(inbox.drain(..unseen));
        let mut plan = Plan::default();
        let passed = self.relay.passed(leg, unseen as u64, self.now, &mut plan);
        self.carry_out(&[], &plan);
        self.relay.sent(self.now);
        self.ends(passed);
        if leg == Leg::Upstream {
            self.unblock();
        }
        true
    }

    fn carry_out(&mut self, input: &[u8], plan: &Plan) {
        assert!(plan.consumed <= input.len(), "no more is settled than there is");
        assert!(self.is_connected || plan.to_upstream.is_empty(), "upstream is not there yet");
        for leg in [Leg::Client, Leg::Upstream] {
            for segment in plan.to(leg) {
                self.reached[index(leg)].extend_from_slice(segment.bytes(input));
            }
        }
        self.is_shut &= !plan.actions.iter().any(|action| matches!(action, Action::LetIn(_)));
        if self.is_shut {
            self.check_shut();
        }
        self.asked.extend(plan.actions.iter().cloned());
        self.learned.extend(plan.learned.iter().map(|(node, at)| (node.0, at.clone())));
    }
}
