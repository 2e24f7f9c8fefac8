//! The relay: a client, an upstream, and what happens to both, in any order and in any pieces.

use crate::{
    bend::{bent, bent_frame},
    case::{NotACase, hex, unhex},
    dice::Dice,
    expected::{self, FIRST_PORT, HOST, NODES},
    invent::{self, Way},
};
use kroxy_core::{
    address::HostPort,
    api::{ApiKey, RequestTreatment, ResponseTreatment},
    gateway::{Gateway, NodeRange, PortPerBroker},
    limits,
    relay::{Action, Authentication, Cause, Event, Leg, Plan, Relay, Segment, Spec},
    reload::Secret,
    sasl::{
        Mechanism, client,
        directory::Directory,
        scram::{Credential, Iterations, Nonce, Scram},
        server,
    },
    time::Instant,
};
use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
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
            return Self { pieces, admits: false, logs_in: false, steps: honest(dice) };
        }
        let (admits, logs_in) = (dice.percent(25), dice.percent(15));
        Self { pieces, admits, logs_in, steps: hostile(admits, logs_in, dice) }
    }

    pub(crate) fn size(&self) -> usize {
        let bytes = |step: &Step| match step {
            Step::Bytes(_, bytes) | Step::Expect(_, bytes) => bytes.len(),
            Step::Resolved
            | Step::Unresolved
            | Step::Connected
            | Step::Refused
            | Step::Examined
            | Step::NotExamined
            | Step::Secrets
            | Step::NoSecrets
            | Step::Eof(_)
            | Step::Broke(_)
            | Step::Drain
            | Step::Later(_) => 0,
        };
        self.steps.iter().map(bytes).sum()
    }

    pub(crate) fn check(&self) {
        let whole = Connection::through(self, &[usize::MAX]);
        let pieces = Connection::through(self, &self.pieces);
        if !self.depends_on_the_moment() {
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
                assert_eq!(hex(whole), hex(pieces), "what reaches {leg:?}, in pieces");
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
            || self.steps.iter().any(|step| match step {
                Step::Drain | Step::Eof(Leg::Client) => true,
                Step::Bytes(Leg::Client, bytes) => bytes.windows(4).any(|head| head == [0, 17, 0, 0]),
                Step::Bytes(Leg::Upstream, _)
                | Step::Resolved
                | Step::Unresolved
                | Step::Connected
                | Step::Refused
                | Step::Examined
                | Step::NotExamined
                | Step::Secrets
                | Step::NoSecrets
                | Step::Eof(Leg::Upstream)
                | Step::Broke(_)
                | Step::Later(_)
                | Step::Expect(..) => false,
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

fn request(key: ApiKey, version: i16, id: i32, dice: &mut Dice) -> Option<(Vec<u8>, Vec<u8>)> {
    let body = invent::body(key, version, Way::Request, dice)?;
    Some((invent::frame(key, version, Way::Request, id, &body, dice), body))
}

/// A conversation in which nobody does anything wrong, and what each side has to receive.
fn honest(dice: &mut Dice) -> Vec<Step> {
    let (mut steps, mut owed) = (Vec::new(), VecDeque::new());
    let (mut to_upstream, mut to_client) = (Vec::new(), Vec::new());
    for id in 0..=i32::try_from(dice.below(8)).expect("small") {
        let (api, version) = invent::api(dice);
        // After a handshake of version 0 come tokens; the answer to ApiVersions is not the other codec's to know.
        let is_special = api.key == ApiKey::SASL_HANDSHAKE && version == 0
            || api.request == RequestTreatment::Refuse
            || api.response_treatment(version) == ResponseTreatment::ApiVersions;
        if is_special {
            continue;
        }
        let Some((frame, body)) = request(api.key, version, id, dice) else { continue };
        let answered = expected::is_answered_by_upstream(api.key, version, &body).expect("it was encoded");
        if !answered && api.key != ApiKey::PRODUCE {
            continue; // the proxy answers it
        }
        if answered {
            let Some(body) = invent::body(api.key, version, Way::Response, dice) else { continue };
            let client_gets = expected::rewritten(api.key, version, &body).expect("it was encoded");
            let mut same_head = dice.clone();
            owed.push_back((
                invent::frame(api.key, version, Way::Response, id, &body, dice),
                invent::frame(api.key, version, Way::Response, id, &client_gets, &mut same_head),
            ));
        }
        to_upstream.extend_from_slice(&frame);
        steps.push(Step::Bytes(Leg::Client, frame));
        if steps.len() == 1 {
            steps.extend([Step::Resolved, Step::Connected]);
        }
        while dice.percent(50) {
            answer(&mut owed, &mut steps, &mut to_client);
        }
    }
    while !owed.is_empty() {
        answer(&mut owed, &mut steps, &mut to_client);
    }
    steps.extend([Step::Expect(Leg::Upstream, to_upstream), Step::Expect(Leg::Client, to_client)]);
    steps
}

fn answer(owed: &mut VecDeque<(Vec<u8>, Vec<u8>)>, steps: &mut Vec<Step>, to_client: &mut Vec<u8>) {
    if let Some((frame, client_gets)) = owed.pop_front() {
        steps.push(Step::Bytes(Leg::Upstream, frame));
        to_client.extend_from_slice(&client_gets);
    }
}

/// Frames of a client that wants to be let in, as it should or not.
fn logging_in(steps: &mut Vec<Step>, dice: &mut Dice) {
    let mechanism = *dice.one_of(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"]);
    let length = i16::try_from(mechanism.len()).expect("short").to_be_bytes();
    let version = i16::from(dice.percent(80));
    let handshake = [&length[..], mechanism.as_bytes()].concat();
    let token = match dice.below(5) {
        0 | 1 => format!("\0{USER}\0{PASSWORD}").into_bytes(),
        2 => format!("n,,n={USER},r=fuzz").into_bytes(),
        3 => format!("n,a={USER},\u{1}auth=Bearer e30.e30.e30\u{1}\u{1}").into_bytes(),
        _ => {
            let count = dice.below(60);
            dice.bytes(count)
        }
    };
    let token = if dice.percent(30) { bent(token, 0, dice) } else { token };
    let sized = [&u32::try_from(token.len()).expect("short").to_be_bytes()[..], &token].concat();
    for (key, body) in [(ApiKey::SASL_HANDSHAKE, handshake), (ApiKey::SASL_AUTHENTICATE, sized.clone())] {
        let id = i32::from(key.0);
        let frame = if version == 0 && key == ApiKey::SASL_AUTHENTICATE {
            sized.clone() // a token without a head
        } else {
            invent::frame(key, 1, Way::Request, id, &body, dice)
        };
        let mut frame = if dice.percent(10) { bent_frame(frame, dice) } else { frame };
        if key == ApiKey::SASL_HANDSHAKE && frame.len() > 7 {
            frame[7] = u8::from(version == 1);
        }
        steps.push(Step::Bytes(Leg::Client, frame));
    }
    steps.push(if dice.percent(90) { Step::Examined } else { Step::NotExamined });
}

/// Whatever may happen: good frames, bent ones, no frames, and events.
fn hostile(admits: bool, logs_in: bool, dice: &mut Dice) -> Vec<Step> {
    let (mut steps, mut asked) = (Vec::new(), VecDeque::new());
    if admits && dice.percent(90) {
        logging_in(&mut steps, dice);
    }
    for id in 0..=i32::try_from(dice.below(14)).expect("small") {
        let step = match dice.below(100) {
            0..40 => {
                let (api, version) = match dice.below(10) {
                    0 => sasl(dice),
                    _ => invent::api(dice),
                };
                asked.push_back((api.key, version, id));
                let frame = request(api.key, version, id, dice).map_or_else(|| dice.bytes(40), |(frame, _)| frame);
                Step::Bytes(Leg::Client, if dice.percent(30) { bent_frame(frame, dice) } else { frame })
            }
            40..75 => {
                let (key, version, id) = asked.pop_front().unwrap_or((ApiKey::METADATA, 9, id));
                let body = invent::body(key, version, Way::Response, dice);
                let body = body.unwrap_or_else(|| dice.bytes(30));
                let frame = invent::frame(key, version, Way::Response, id, &body, dice);
                Step::Bytes(Leg::Upstream, if dice.percent(50) { bent_frame(frame, dice) } else { frame })
            }
            75..79 => {
                let count = dice.below(200);
                Step::Bytes(*dice.one_of(&[Leg::Client, Leg::Upstream]), dice.bytes(count))
            }
            79..82 => Step::Unresolved,
            82..85 => Step::Refused,
            85..86 => Step::Drain,
            86 if admits => {
                logging_in(&mut steps, dice);
                Step::Later(100)
            }
            86..88 if logs_in => Step::Secrets,
            86..88 => dice.one_of(&[Step::Drain, Step::NoSecrets, Step::NotExamined]).clone(),
            88..90 => Step::Eof(*dice.one_of(&[Leg::Client, Leg::Upstream])),
            90..92 => Step::Broke(*dice.one_of(&[Leg::Client, Leg::Upstream])),
            _ => Step::Later(*dice.one_of(&[1, 700, 6_000, 40_000])),
        };
        steps.push(step);
        if id == 0 && dice.percent(90) {
            steps.extend([Step::Resolved, Step::Connected]);
            steps.extend(logs_in.then_some(Step::Secrets));
        }
    }
    steps
}

fn sasl(dice: &mut Dice) -> (&'static kroxy_core::api::Api, i16) {
    let key = *dice.one_of(&[ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE]);
    let api = kroxy_core::api::Api::find(key).expect("it is known");
    (api, *dice.one_of(&[0, 1]))
}

const fn index(leg: Leg) -> usize {
    match leg {
        Leg::Client => 0,
        Leg::Upstream => 1,
    }
}

/// A relay, and what the driver keeps for it.
struct Connection<'a> {
    relay: Relay,
    now: Instant,
    pieces: &'a [usize],
    inbox: [Vec<u8>; 2],
    want: [usize; 2],
    blocked: [bool; 2],
    reached: [Vec<u8>; 2],
    asked: Vec<Action>,
    is_connected: bool,
    /// Nobody has been let in yet, and only by the proxy anybody can be.
    is_shut: bool,
    logs_in: bool,
    learned: Vec<(i32, HostPort)>,
    closed: Option<Cause>,
}

impl<'a> Connection<'a> {
    fn through(story: &Story, pieces: &'a [usize]) -> Self {
        let Story { admits, logs_in, ref steps, .. } = *story;
        let mut connection = Self {
            relay: Relay::new(Arc::new(spec(admits, logs_in)), Instant::ZERO),
            now: Instant::ZERO,
            pieces,
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

    fn carry_out(&mut self, input: &[u8], plan: &Plan) {
        assert!(plan.consumed <= input.len(), "no more is settled than there is");
        assert!(self.is_connected || plan.to_upstream.is_empty(), "upstream is not there yet");
        for leg in [Leg::Client, Leg::Upstream] {
            for segment in plan.to(leg) {
                let bytes = match segment {
                    Segment::Input(range) => &input[range.clone()],
                    Segment::Own(bytes) => bytes,
                };
                self.reached[index(leg)].extend_from_slice(bytes);
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

const fn name(leg: Leg) -> &'static str {
    match leg {
        Leg::Client => "client",
        Leg::Upstream => "upstream",
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pieces {}", self.pieces.iter().map(usize::to_string).collect::<Vec<_>>().join(" "))?;
        for (is_so, word) in [(self.admits, "admits"), (self.logs_in, "logs-in")] {
            if is_so {
                writeln!(f, "{word}")?;
            }
        }
        for step in &self.steps {
            match step {
                Step::Examined => writeln!(f, "examined")?,
                Step::NotExamined => writeln!(f, "not-examined")?,
                Step::Secrets => writeln!(f, "secrets")?,
                Step::NoSecrets => writeln!(f, "no-secrets")?,
                Step::Bytes(leg, bytes) => writeln!(f, "{} {}", name(*leg), hex(bytes))?,
                Step::Resolved => writeln!(f, "resolved")?,
                Step::Unresolved => writeln!(f, "unresolved")?,
                Step::Connected => writeln!(f, "connected")?,
                Step::Refused => writeln!(f, "refused")?,
                Step::Eof(leg) => writeln!(f, "eof {}", name(*leg))?,
                Step::Broke(leg) => writeln!(f, "broke {}", name(*leg))?,
                Step::Drain => writeln!(f, "drain")?,
                Step::Later(ms) => writeln!(f, "later {ms}")?,
                Step::Expect(leg, bytes) => writeln!(f, "expect-{} {}", name(*leg), hex(bytes))?,
            }
        }
        Ok(())
    }
}

impl FromStr for Story {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let mut story = Self { pieces: Vec::new(), admits: false, logs_in: false, steps: Vec::new() };
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let leg = || match rest {
                "client" => Ok(Leg::Client),
                "upstream" => Ok(Leg::Upstream),
                _ => Err(NotACase::line(line)),
            };
            let step = match word {
                "pieces" => {
                    let sizes = rest.split(' ').map(str::parse).collect::<Result<_, _>>();
                    story.pieces = sizes.map_err(|_| NotACase::line(line))?;
                    continue;
                }
                "admits" => {
                    story.admits = true;
                    continue;
                }
                "logs-in" => {
                    story.logs_in = true;
                    continue;
                }
                "examined" => Step::Examined,
                "not-examined" => Step::NotExamined,
                "secrets" => Step::Secrets,
                "no-secrets" => Step::NoSecrets,
                "client" => Step::Bytes(Leg::Client, unhex(rest)?),
                "upstream" => Step::Bytes(Leg::Upstream, unhex(rest)?),
                "resolved" => Step::Resolved,
                "unresolved" => Step::Unresolved,
                "connected" => Step::Connected,
                "refused" => Step::Refused,
                "eof" => Step::Eof(leg()?),
                "broke" => Step::Broke(leg()?),
                "drain" => Step::Drain,
                "later" => Step::Later(rest.parse().map_err(|_| NotACase::line(line))?),
                "expect-client" => Step::Expect(Leg::Client, unhex(rest)?),
                "expect-upstream" => Step::Expect(Leg::Upstream, unhex(rest)?),
                _ => return Err(NotACase::line(line)),
            };
            story.steps.push(step);
        }
        Ok(story)
    }
}
