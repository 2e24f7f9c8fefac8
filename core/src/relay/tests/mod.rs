//! Stories of one connection, told by what goes in and what comes out; time is a column, in ms.

mod authentication;
mod drained;
mod draining;
mod frames;
mod hostile;
mod login;
mod patience;
mod properties;
mod sasl;
mod stories;
mod times;

use super::{Action, Cause, Event, Leg, Plan, Relay, Spec};
use crate::{
    address::{HostPort, NodeId},
    gateway::{Gateway, NodeRange, PortPerBroker},
    time::Instant,
};
use core::time::Duration;
use std::sync::Arc;

/// Node b is reached at kroxy.test:9100+b, for b from 0 to 99.
pub(super) fn gateway() -> Gateway {
    let nodes = vec![NodeRange { ids: 0..=99, first_port: 9100 }];
    let bind = "127.0.0.1".parse().expect("an address");
    let ports = PortPerBroker::new(bind, "kroxy.test", 9092, nodes).expect("a valid gateway");
    Gateway::port_per_broker("default", ports).expect("a valid gateway")
}

pub(super) fn spec() -> Spec {
    Spec {
        gateway: Arc::new(gateway()),
        request_frame_max: 1 << 20,
        first_request_timeout: Duration::from_secs(60),
        unfinished_request_timeout: Duration::from_secs(30),
        unread_response_timeout: Duration::from_secs(300),
        resolve_timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: None,
        authentication: None,
        logs_in: false,
        login_timeout: Duration::from_secs(5),
    }
}

pub(super) fn server(n: u16) -> HostPort {
    HostPort::new(format!("kafka-{n}.internal"), 9000 + n)
}

/// A relay between a client and an upstream that remember what reached them.
pub(super) struct Pair {
    pub(super) relay: Relay,
    now: Instant,
    inbox: [Vec<u8>; 2],
    want: [usize; 2],
    blocked: [bool; 2],
    reached: [Vec<u8>; 2],
    actions: Vec<Action>,
    pub(super) learned: Vec<(NodeId, HostPort)>,
    pub(super) attempts: Vec<(HostPort, Result<(), String>)>,
    pub(super) over: Vec<super::Exchange>,
    pub(super) closed: Option<Cause>,
    /// How long it takes to write what a plan says.
    pub(super) writing: Duration,
    /// Whether keys that are to be derived are derived at once.
    pub(super) derives: bool,
    /// Whether bytes that need not be seen are moved without being shown.
    pub(super) passes: bool,
    /// How many were.
    pub(super) passed: u64,
    /// The most bytes that were kept because the relay wanted more of them or took none.
    pub(super) most_kept: usize,
}

const fn index(leg: Leg) -> usize {
    match leg {
        Leg::Client => 0,
        Leg::Upstream => 1,
    }
}

impl Pair {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            relay: Relay::new(Arc::new(spec), Instant::ZERO),
            now: Instant::ZERO,
            inbox: [Vec::new(), Vec::new()],
            want: [0; 2],
            blocked: [false; 2],
            reached: [Vec::new(), Vec::new()],
            actions: Vec::new(),
            learned: Vec::new(),
            attempts: Vec::new(),
            over: Vec::new(),
            closed: None,
            writing: Duration::ZERO,
            derives: true,
            passes: false,
            passed: 0,
            most_kept: 0,
        }
    }

    /// A pair whose upstream is connected already: `first` has been asked and has reached upstream.
    pub(super) fn open(spec: Spec, first: &[u8]) -> Self {
        let mut p = Self::new(spec);
        p.client(first);
        p.expect_action(&Action::Resolve);
        p.happens(Event::Resolved(vec![server(1)]));
        p.expect_action(&Action::Connect(server(1)));
        p.happens(Event::Connected);
        p.expect_upstream(first);
        p
    }

    pub(super) fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Instant::from_millis(ms);
        self
    }

    pub(super) fn later(&mut self, ms: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(ms);
        self
    }

    pub(super) fn reach(&mut self, at: Instant) -> &mut Self {
        self.now = self.now.max(at);
        self
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.arrives(Leg::Client, bytes)
    }

    pub(super) fn upstream(&mut self, bytes: &[u8]) -> &mut Self {
        self.arrives(Leg::Upstream, bytes)
    }

    pub(super) fn arrives(&mut self, leg: Leg, bytes: &[u8]) -> &mut Self {
        self.inbox[index(leg)].extend_from_slice(bytes);
        self.show(leg);
        self.derive();
        self
    }

    pub(super) fn happens(&mut self, event: Event) -> &mut Self {
        let mut plan = Plan::default();
        let handled = self.relay.handle(event, self.now, &mut plan);
        self.carry_out(&[], &plan);
        if let Err(cause) = handled {
            self.closed.get_or_insert(cause);
        }
        self.unblock();
        self.derive();
        self
    }

    fn derive(&mut self) {
        while self.derives
            && let Some(at) = self.actions.iter().position(|action| matches!(action, Action::Derive(..)))
            && let Action::Derive(leg, derivation) = self.actions.remove(at)
        {
            self.happens(Event::Derived(leg, Box::new(derivation.keys())));
        }
    }

    pub(super) fn eof(&mut self, leg: Leg) -> &mut Self {
        let left = self.inbox[index(leg)].len();
        self.happens(Event::Eof { leg, left })
    }

    fn unblock(&mut self) {
        if core::mem::take(&mut self.blocked[index(Leg::Client)]) {
            self.show(Leg::Client);
        }
    }

    fn show(&mut self, leg: Leg) {
        let i = index(leg);
        while self.closed.is_none() && !self.blocked[i] && self.inbox[i].len() >= self.want[i].max(1) {
            if self.passes && self.pass(leg) {
                continue;
            }
            let input = core::mem::take(&mut self.inbox[i]);
            let mut plan = Plan::default();
            let fed = self.relay.feed(leg, &input, self.now, &mut plan);
            self.carry_out(&input, &plan);
            self.relay.sent(self.now + self.writing);
            self.want[i] = plan.want;
            self.blocked[i] = plan.blocked;
            self.inbox[i] = input[plan.consumed..].to_vec();
            self.most_kept = self.most_kept.max(self.inbox[i].len());
            if let Err(cause) = fed {
                self.closed.get_or_insert(cause);
            }
            if plan.consumed == 0 {
                assert!(plan.blocked || plan.want != 0 || self.closed.is_some() || !self.inbox[i].is_empty());
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
        self.passed += unseen as u64;
        let mut plan = Plan::default();
        let passed = self.relay.passed(leg, unseen as u64, self.now, &mut plan);
        self.carry_out(&[], &plan);
        self.relay.sent(self.now + self.writing);
        if let Err(cause) = passed {
            self.closed.get_or_insert(cause);
        }
        if leg == Leg::Upstream {
            self.unblock();
        }
        true
    }

    fn carry_out(&mut self, input: &[u8], plan: &Plan) {
        for leg in [Leg::Client, Leg::Upstream] {
            for segment in plan.to(leg) {
                self.reached[index(leg)].extend_from_slice(segment.bytes(input));
            }
        }
        self.actions.extend(plan.actions.iter().filter(|a| **a != Action::Introduced).cloned());
        self.learned.extend_from_slice(&plan.learned);
        self.attempts.extend_from_slice(&plan.attempts);
        self.over.extend_from_slice(&plan.exchanges);
    }

    #[track_caller]
    pub(super) fn expect_action(&mut self, action: &Action) -> &mut Self {
        assert_eq!(core::mem::take(&mut self.actions).as_slice(), core::slice::from_ref(action));
        self
    }

    /// Forgets what was asked of the driver.
    pub(super) fn take_actions(&mut self) {
        self.actions.clear();
    }

    /// Whether this was asked of the driver and not looked at yet.
    pub(super) fn took(&self, action: &Action) -> bool {
        self.actions.contains(action)
    }

    #[track_caller]
    pub(super) fn expect_upstream(&mut self, bytes: &[u8]) -> &mut Self {
        assert_eq!(hex(&core::mem::take(&mut self.reached[1])), hex(bytes), "what reached upstream");
        self
    }

    #[track_caller]
    pub(super) fn expect_client(&mut self, bytes: &[u8]) -> &mut Self {
        assert_eq!(hex(&core::mem::take(&mut self.reached[0])), hex(bytes), "what reached the client");
        self
    }

    #[track_caller]
    pub(super) fn expect_nothing(&mut self) -> &mut Self {
        assert_eq!(self.actions, []);
        self.expect_upstream(&[]).expect_client(&[]);
        assert_eq!(self.closed, None);
        self
    }

    #[track_caller]
    pub(super) fn expect_closed(&mut self, label: &str) -> &Cause {
        let cause = self.closed.as_ref().expect("the connection is over");
        assert_eq!(cause.label(), label, "{cause}");
        cause
    }

    pub(super) fn reached(&mut self, leg: Leg) -> Vec<u8> {
        core::mem::take(&mut self.reached[index(leg)])
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::new(), |mut s, b| {
        write!(s, "{b:02x}").expect("writing to a string does not fail");
        s
    })
}
