//! What the two ends of a connection have in common, and what the world does to connections.

use super::{exchanges::Exchanges, holdings::Holdings};
use crate::{
    dice::Dice,
    findings::{Checker, Findings},
    journal::Journal,
    lock,
    plan::{Plan, Sasl, Weather, Wrong},
    tls::Vault,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, Weak},
    task::Waker,
    time::Duration,
};

/// How long after a connection was accepted its other end must have been seen: turmoil tells it within a step or two.
const ORPHAN: Duration = Duration::from_millis(100);

/// All connections of a world. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Wires {
    pub(crate) journal: Journal,
    pub(crate) weather: Weather,
    pub(crate) exchanges: Exchanges,
    pub(super) holdings: Holdings,
    pub(crate) vault: Vault,
    sasl: Arc<[Sasl]>,
    findings: Findings,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    dice: Dice,
    names: BTreeMap<String, String>,
    /// By the client's address and the server's.
    wires: BTreeMap<(SocketAddr, SocketAddr), Weak<Mutex<Wire>>>,
    hanging: BTreeSet<(String, u16)>,
    tamper: BTreeMap<String, Wrong>,
    listening: BTreeMap<String, BTreeSet<u16>>,
    open: BTreeMap<String, u64>,
    opened: u64,
    /// Editions of gateways' certificates that clients were shown.
    editions: BTreeSet<u32>,
}

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }

    const fn other(self) -> usize {
        1 - self.index()
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    hosts: (String, String),
    server_port: u16,
    broken: Option<io::ErrorKind>,
    born: Duration,
    /// The process at the server's end takes no part in anything.
    hangs: bool,
    ends: [EndState; 2],
}

#[derive(Debug, Default)]
struct EndState {
    /// Bytes that this end has sent and the other has not read.
    unread: usize,
    there: bool,
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn wake_all(&mut self) {
        for end in &mut self.ends {
            end.reader.take().into_iter().chain(end.writer.take()).for_each(Waker::wake);
        }
    }

    /// Whether this end can do anything now; if not, its waker is kept.
    pub(super) fn may_read(&mut self, side: Side, waker: &Waker) -> io::Result<bool> {
        self.ends[side.index()].reader = Some(waker.clone());
        self.is_usable(side)
    }

    /// How many bytes this end may send now; where it is none, its waker is kept.
    pub(super) fn may_write(&mut self, side: Side, window: usize, waker: &Waker) -> io::Result<usize> {
        self.ends[side.index()].writer = Some(waker.clone());
        if !self.is_usable(side)? {
            return Ok(0);
        }
        // To a peer that is gone everything can be sent once more, and is answered with a reset.
        let gone = self.ends[side.other()].gone;
        Ok(if gone { window } else { window.saturating_sub(self.ends[side.index()].unread) })
    }

    fn is_usable(&self, side: Side) -> io::Result<bool> {
        match self.broken {
            Some(kind) => Err(kind.into()),
            None => Ok(!(self.hangs && side == Side::Server)),
        }
    }

    pub(super) const fn sent(&mut self, side: Side, bytes: usize) {
        self.ends[side.index()].unread += bytes;
    }

    pub(super) fn received(&mut self, side: Side, bytes: usize) {
        let sender = &mut self.ends[side.other()];
        sender.unread = sender.unread.saturating_sub(bytes);
        sender.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl Wires {
    pub(crate) fn new(plan: &Plan, journal: Journal, findings: Findings) -> Self {
        let shared = Shared {
            dice: Dice::new(plan.seed),
            names: BTreeMap::new(),
            wires: BTreeMap::new(),
            hanging: BTreeSet::new(),
            tamper: BTreeMap::new(),
            listening: BTreeMap::new(),
            open: BTreeMap::new(),
            opened: 0,
            editions: BTreeSet::new(),
        };
        Self {
            journal,
            weather: plan.weather,
            exchanges: Exchanges::default(),
            holdings: Holdings::new(!plan.tls.is_empty()),
            vault: Vault::new(plan),
            sasl: plan.sasl.clone().into(),
            findings,
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Who has to log in at a virtual cluster.
    pub(super) fn sasl_of(&self, cluster: u8) -> Sasl {
        self.sasl.get(usize::from(cluster)).copied().unwrap_or_default()
    }

    /// Gives a host one more name.
    pub(crate) fn name(&self, name: &str, host: &str) {
        lock(&self.shared).names.insert(name.to_owned(), host.to_owned());
    }

    /// Takes a name away from a host and gives it another.
    pub(crate) fn rename(&self, old: &str, new: &str, host: &str) {
        lock(&self.shared).names.remove(old);
        self.name(new, host);
    }

    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        lock(&self.shared).names.get(name).cloned()
    }

    /// The connection between these two, whichever end comes first.
    pub(super) fn wire(
        &self,
        at: (SocketAddr, SocketAddr),
        side: Side,
        client: &str,
        server: &str,
    ) -> Arc<Mutex<Wire>> {
        let mut shared = lock(&self.shared);
        let known = shared.wires.get(&at).and_then(Weak::upgrade);
        if let Some(wire) = known.filter(|wire| !lock(wire).ends[side.index()].there) {
            lock(&wire).ends[side.index()].there = true;
            return wire;
        }
        let hangs = shared.hanging.contains(&(server.to_owned(), at.1.port()));
        let hosts = (client.to_owned(), server.to_owned());
        let mut wire =
            Wire { hosts, server_port: at.1.port(), broken: None, born: now(), hangs, ends: Default::default() };
        wire.ends[side.index()].there = true;
        let wire = Arc::new(Mutex::new(wire));
        shared.wires.retain(|_, wire| wire.strong_count() > 0);
        shared.wires.insert(at, Arc::downgrade(&wire));
        wire
    }

    /// A stream has come into being at a host: its number and its seed.
    pub(super) fn opened(&self, host: &str) -> (u64, u64) {
        let mut shared = lock(&self.shared);
        *shared.open.entry(host.to_owned()).or_default() += 1;
        shared.opened += 1;
        (shared.opened, shared.dice.seed())
    }

    /// An end is gone: nobody reads any more what the other one sends.
    pub(super) fn closed(&self, host: &str, wire: &Mutex<Wire>, side: Side) {
        let mut wire = lock(wire);
        wire.ends[side.index()].gone = true;
        wire.ends[side.other()].writer.take().into_iter().for_each(Waker::wake);
        if let Some(open) = lock(&self.shared).open.get_mut(host) {
            *open -= 1;
        }
    }

    /// All connections between two hosts are lost, as after a partition that outlasted every retransmission.
    pub(crate) fn lose(&self, a: &str, b: &str) {
        for wire in self.live() {
            let mut wire = lock(&wire);
            let (client, server) = &wire.hosts;
            if (client == a && server == b) || (client == b && server == a) {
                wire.broken = Some(io::ErrorKind::TimedOut);
                wire.wake_all();
            }
        }
    }

    /// Resets what was accepted from somebody who was gone by then: turmoil tells the server nothing of it.
    pub(crate) fn reset_orphans(&self, now: Duration) {
        for wire in self.live() {
            let mut wire = lock(&wire);
            if !wire.ends[Side::Client.index()].there && now.saturating_sub(wire.born) >= ORPHAN {
                wire.broken = Some(io::ErrorKind::ConnectionReset);
                wire.wake_all();
            }
        }
    }

    /// The process behind a port hangs, or goes on.
    pub(crate) fn hang(&self, host: &str, port: u16, hangs: bool) {
        let key = (host.to_owned(), port);
        if hangs {
            lock(&self.shared).hanging.insert(key);
        } else {
            lock(&self.shared).hanging.remove(&key);
        }
        for wire in self.live() {
            let mut wire = lock(&wire);
            if wire.hosts.1 == host && wire.server_port == port {
                wire.hangs = hangs;
                wire.wake_all();
            }
        }
    }

    fn live(&self) -> Vec<Arc<Mutex<Wire>>> {
        lock(&self.shared).wires.values().filter_map(Weak::upgrade).collect()
    }

    /// The next answer that this host's brokers begin is tampered with.
    pub(crate) fn tamper(&self, host: &str, how: Wrong) {
        lock(&self.shared).tamper.insert(host.to_owned(), how);
    }

    pub(super) fn take_tamper(&self, host: &str) -> Option<Wrong> {
        lock(&self.shared).tamper.remove(host)
    }

    /// Nobody's answers are tampered with any more.
    pub(crate) fn stop_tampering(&self) {
        lock(&self.shared).tamper.clear();
    }

    /// Something that must never be seen on a stream was seen.
    pub(super) fn accuse(&self, host: &str, (checker, what): (Checker, String)) {
        self.journal.note(host, format_args!("VIOLATION {checker}: {what}"));
        self.findings.note(checker, what);
    }

    /// Streams that are open at a host, and the ports on which it listens.
    pub(crate) fn left(&self, host: &str) -> (u64, Vec<u16>) {
        let shared = lock(&self.shared);
        let listening = shared.listening.get(host).into_iter().flatten().copied().collect();
        (shared.open.get(host).copied().unwrap_or_default(), listening)
    }

    /// A seed for somebody who draws on his own.
    pub(super) fn seed(&self) -> u64 {
        lock(&self.shared).dice.seed()
    }

    /// A client was shown this edition of a gateway's certificate.
    pub(super) fn saw_edition(&self, edition: u32) {
        lock(&self.shared).editions.insert(edition);
    }

    /// Editions of gateways' certificates that clients were shown.
    pub(crate) fn editions(&self) -> BTreeSet<u32> {
        lock(&self.shared).editions.clone()
    }

    /// How many streams there were.
    pub(crate) fn streams(&self) -> u64 {
        lock(&self.shared).opened
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Keeps a port in the books for as long as somebody listens there.
#[derive(Debug)]
pub(super) struct Listening {
    wires: Wires,
    host: String,
    port: u16,
    counts: bool,
}

impl Listening {
    pub(super) fn new(wires: &Wires, host: &str, port: u16) -> Self {
        let counts = lock(&wires.shared).listening.entry(host.to_owned()).or_default().insert(port);
        Self { wires: wires.clone(), host: host.to_owned(), port, counts }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        if let Some(ports) = lock(&self.wires.shared).listening.get_mut(&self.host) {
            ports.remove(&self.port);
        }
    }
}
