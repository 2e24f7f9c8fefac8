//! The relay: a client, an upstream, and what happens to both, in any order and in any pieces.

mod connection;
mod draw;
mod text;

use self::connection::{Connection, index};
use crate::{
    case::hex,
    dice::Dice,
    expected::{FIRST_PORT, HOST, NODES},
};
use kroxy_core::{
    address::HostPort,
    gateway::{Gateway, NodeRange, PortPerBroker},
    relay::{Authentication, Leg, Spec},
    sasl::{
        Mechanism,
        directory::Directory,
        scram::{Credential, Iterations, Scram},
    },
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Bytes: the largest request of all stories.
const REQUEST_MAX: u32 = 1 << 20;

/// Something that happens to a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Bytes(Leg, Vec<u8>),
    /// Where upstream is becomes known.
    Resolved,
    /// Nobody knows where upstream is.
    Unresolved,
    Connected,
    Refused,
    /// What it takes to judge a client's tokens is there.
    Examined,
    /// It cannot be had.
    NotExamined,
    /// What it takes to log in to upstream is there.
    Secrets,
    /// It cannot be had.
    NoSecrets,
    Eof(Leg),
    Broke(Leg),
    Drain,
    /// So many milliseconds pass.
    Later(u64),
    /// All that has reached a leg so far has to be this.
    Expect(Leg, Vec<u8>),
}

impl Step {
    /// The bytes in it, and whose they are.
    const fn bytes(&self) -> Option<(Leg, &Vec<u8>)> {
        match self {
            Self::Bytes(leg, bytes) | Self::Expect(leg, bytes) => Some((*leg, bytes)),
            Self::Resolved
            | Self::Unresolved
            | Self::Connected
            | Self::Refused
            | Self::Examined
            | Self::NotExamined
            | Self::Secrets
            | Self::NoSecrets
            | Self::Eof(_)
            | Self::Broke(_)
            | Self::Drain
            | Self::Later(_) => None,
        }
    }
}

/// What happens to one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Story {
    /// Sizes of the pieces in which bytes come, over and over.
    pieces: Vec<usize>,
    /// The proxy judges the clients' tokens itself.
    admits: bool,
    /// The proxy logs in to upstream.
    logs_in: bool,
    steps: Vec<Step>,
}

impl Story {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let sizes = *dice.one_of(&[2, 7, 100, 5_000]);
        let pieces = (0..=dice.below(4)).map(|_| 1 + dice.below(sizes)).collect();
        if dice.percent(40) {
            return Self { pieces, admits: false, logs_in: false, steps: draw::honest(dice) };
        }
        let (admits, logs_in) = (dice.percent(25), dice.percent(15));
        Self { pieces, admits, logs_in, steps: draw::hostile(admits, logs_in, dice) }
    }

    pub(crate) fn size(&self) -> usize {
        self.steps.iter().filter_map(Step::bytes).map(|(_, bytes)| bytes.len()).sum()
    }

    pub(crate) fn check(&self) {
        let whole = Connection::through(self, &[usize::MAX], false);
        let pieces = Connection::through(self, &self.pieces, false);
        let unseen = Connection::through(self, &self.pieces, true);
        if self.depends_on_the_moment() {
            return;
        }
        for (how, pieces) in [("in pieces", pieces), ("in pieces that pass unseen", unseen)] {
            let is_over = whole.closed.is_some();
            let of = |c: &Connection| c.closed.as_ref().map(|cause| format!("{cause:?}"));
            assert_eq!(whole.closed.is_some(), pieces.closed.is_some(), "{:?} and {:?}", of(&whole), of(&pieces));
            for leg in [Leg::Client, Leg::Upstream] {
                let (mut whole, mut pieces) = (&whole.reached[index(leg)][..], &pieces.reached[index(leg)][..]);
                if is_over {
                    // Where both sides have done wrong, who is caught first depends on the moment, and so does what flows before.
                    let both = whole.len().min(pieces.len());
                    (whole, pieces) = (&whole[..both], &pieces[..both]);
                }
                assert_eq!(hex(whole), hex(pieces), "what reaches {leg:?}, {how}");
            }
            assert!(is_over || whole.learned == pieces.learned, "{:?} and {:?}", whole.learned, pieces.learned);
        }
    }

    /// In a drain, and when the client has left, the end comes as soon as nothing is in flight. While tokens without heads are exchanged
    /// (`SaslHandshake` version 0), upstream may say something that it was not asked, before or behind what the client says. Where the
    /// proxy takes part in SASL, an answer of ours may come before or behind what the client has not been asked yet.
    fn depends_on_the_moment(&self) -> bool {
        self.admits
            || self.logs_in
            || self.steps.iter().any(|step| {
                let is_end = matches!(step, Step::Drain | Step::Eof(Leg::Client));
                let of_client = step.bytes().filter(|(leg, _)| *leg == Leg::Client);
                is_end || of_client.is_some_and(|(_, bytes)| bytes.windows(4).any(|head| head == [0, 17, 0, 0]))
            })
    }

    pub(crate) fn smaller(&self) -> Vec<Self> {
        let without = |at| {
            let mut steps = self.steps.clone();
            steps.remove(at);
            Self { steps, pieces: self.pieces.clone(), ..*self }
        };
        (0..self.steps.len()).map(without).collect()
    }
}

pub(crate) fn gateway() -> Gateway {
    let ids = 0..=i32::from(NODES - 1);
    let bind = "127.0.0.1".parse().expect("an address");
    let nodes = vec![NodeRange { ids, first_port: FIRST_PORT }];
    let ports = PortPerBroker::new(bind, HOST, 9092, nodes).expect("a valid gateway");
    Gateway::port_per_broker("default", ports).expect("a valid gateway")
}

/// Who may come in where the proxy judges that itself.
const USER: &str = "alice";
const PASSWORD: &str = "pencil";

/// Knows one user, with either hash.
fn directory() -> Arc<Directory> {
    static DIRECTORY: OnceLock<Arc<Directory>> = OnceLock::new();
    let made = DIRECTORY.get_or_init(|| {
        let mut directory = Directory::new([7; 32]);
        for scram in [Scram::Sha256, Scram::Sha512] {
            let iterations = Iterations::new(4_096).expect("the fewest");
            let credential = Credential::of_password(scram, PASSWORD.as_bytes(), b"salt".to_vec(), iterations);
            directory.insert(USER, scram, credential).expect("once");
        }
        Arc::new(directory)
    });
    made.clone()
}

fn spec(admits: bool, logs_in: bool) -> Spec {
    let authentication = Authentication {
        mechanisms: Mechanism::ALL.to_vec(),
        session_max: Some(Duration::from_secs(5)),
        failure_delay: Duration::from_millis(100),
        timeout: Duration::from_secs(30),
    };
    Spec {
        gateway: Arc::new(gateway()),
        request_frame_max: REQUEST_MAX,
        first_request_timeout: Duration::from_secs(60),
        unfinished_request_timeout: Duration::from_secs(60),
        unread_response_timeout: Duration::from_secs(300),
        resolve_timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Some(Duration::from_secs(600)),
        authentication: admits.then_some(authentication),
        logs_in,
        login_timeout: Duration::from_secs(5),
    }
}

fn servers() -> Vec<HostPort> {
    vec![HostPort::new("kafka-1.internal", 9_001), HostPort::new("kafka-2.internal", 9_002)]
}
