//! The clients' host: producers, consumers, and clients that misbehave, all as tasks.

pub(crate) mod admin;
mod committed;
mod consumer;
mod idempotent;
pub(crate) mod kafka;
mod lines;
mod operator;
mod plain;
mod rude;
mod transactional;

use crate::{
    dice::Dice,
    history::{History, Place},
    hosts::{Surroundings, proxy::ProxyHost},
    mailbox::Mailbox,
    net::{Role, SimNet},
    plan::{Load, Rude},
    topology,
};
use kroxy_core::address::HostPort;
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};
use tokio::{sync::watch, task::JoinSet};

/// In the names of producers with acks=0.
pub(crate) const WITHOUT_ACKS: &str = "-none-";

/// In the names of producers of transactions.
const TRANSACTIONAL: &str = "transactional";

/// The transactional ids that are used in a cluster: the names of those clients.
pub(crate) fn transactional_ids(cluster: u8, load: Load) -> Vec<String> {
    (0..load.transactional).map(|number| format!("c{cluster}-{TRANSACTIONAL}-{number}")).collect()
}

/// How far the world has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    /// Things go wrong, and clients do their work.
    Faults,
    /// Everything is healed: producers send what they have and end.
    Finish,
    /// All was read: consumers commit and leave.
    Leave,
}

/// All clients, as the world sees them.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) clusters: u8,
    pub(crate) partitions: u8,
    pub(crate) load: Load,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whoever is rude to which proxy and cluster.
    pub(crate) rude: Mailbox<(u8, u8, Rude)>,
    /// The proxies, and what is to be asked of their operators.
    pub(crate) proxies: Vec<(ProxyHost, Mailbox<admin::Demand>)>,
    pub(crate) history: History,
    pub(crate) around: Surroundings,
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Unique in the world; its records begin with it.
    name: String,
    /// How many proxies it may begin at, and which one's turn it is.
    proxies: u8,
    turn: Arc<AtomicU8>,
    cluster: u8,
    partitions: u8,
    load: Load,
    net: SimNet,
    dice: Dice,
    phase: watch::Receiver<Phase>,
    history: History,
    around: Surroundings,
}

impl Clients {
    /// The host's software: ends when all clients have.
    pub(crate) async fn run(self) -> turmoil::Result {
        let mut dice = Dice::new(self.around.seed);
        let mut tasks = JoinSet::new();
        for (proxy, demands) in &self.proxies {
            let mut operator = |kind: &str| {
                let number = proxy.number;
                let mut client = self.client(0, format!("admin-consumer-{kind}-{number}"), &mut dice);
                client.net = SimNet::new(topology::CLIENTS, Role::Operator, &self.around.wires);
                client.turn.store(number, Relaxed);
                client
            };
            tasks.spawn(admin::watch(operator("watch")));
            tasks.spawn(admin::listen(operator("events")));
            tasks.spawn(admin::steer(operator("steer"), proxy.clone(), demands.clone()));
        }
        for cluster in 0..self.clusters {
            let mut client =
                |kind: &str, number: u8| self.client(cluster, format!("c{cluster}-{kind}-{number}"), &mut dice);
            for number in 0..self.load.idempotent {
                tasks.spawn(idempotent::run(client("idempotent", number)));
            }
            for number in 0..self.load.acks_one {
                tasks.spawn(plain::run(client("one", number), plain::Acks::Leader));
            }
            for number in 0..self.load.acks_none {
                tasks.spawn(plain::run(client("none", number), plain::Acks::None));
            }
            for number in 0..self.load.acks_all {
                tasks.spawn(plain::run(client("all", number), plain::Acks::All));
            }
            for number in 0..self.load.transactional {
                tasks.spawn(transactional::run(client(TRANSACTIONAL, number)));
            }
            if self.load.transactional > 0 {
                tasks.spawn(committed::run(client("committed-consumer", 0)));
            }
            for number in 0..self.load.operators {
                tasks.spawn(operator::run(client("operator", number)));
            }
            for number in 0..self.load.consumers {
                tasks.spawn(consumer::run(client("consumer", number)));
            }
        }
        let mut rude = JoinSet::new();
        let net = SimNet::new(topology::CLIENTS, Role::Rude, &self.around.wires);
        loop {
            tokio::select! {
                biased;
                ended = tasks.join_next() => match ended {
                    Some(ended) => ended?,
                    None => break,
                },
                (proxy, cluster, how) = self.rude.next() => {
                    self.around.journal.note(topology::CLIENTS, format_args!("rude: {how:?}"));
                    rude.spawn(rude::run(how, net.clone(), bootstrap(proxy, cluster), dice.seed()));
                }
                Some(ended) = rude.join_next() => ended?,
            }
        }
        while let Some(ended) = rude.join_next().await {
            ended?;
        }
        Ok(())
    }

    fn client(&self, cluster: u8, name: String, dice: &mut Dice) -> Client {
        let turn = name.bytes().last().unwrap_or_default(); // their numbers stand there: they do not all begin at the same one
        self.history.busy(&name, true);
        Client {
            net: SimNet::new(topology::CLIENTS, Role::Client, &self.around.wires).of(&name),
            name,
            proxies: u8::try_from(self.proxies.len()).expect("a few proxies"),
            turn: Arc::new(AtomicU8::new(turn)),
            cluster,
            partitions: self.partitions,
            load: self.load,
            dice: Dice::new(dice.seed()),
            phase: self.phase.clone(),
            history: self.history.clone(),
            around: self.around.clone(),
        }
    }
}

fn bootstrap(proxy: u8, cluster: u8) -> HostPort {
    HostPort::new(topology::advertised(proxy), topology::bootstrap_port(cluster))
}

impl Client {
    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.around.journal.note(topology::CLIENTS, format_args!("{}: {what}", self.name));
    }

    /// The proxy that it begins at.
    fn proxy(&self) -> u8 {
        self.turn.load(Relaxed) % self.proxies
    }

    /// Where it begins.
    fn bootstrap(&self) -> HostPort {
        bootstrap(self.proxy(), self.cluster)
    }

    /// Where it may begin, the one whose turn it is first.
    fn bootstraps(&self) -> Vec<HostPort> {
        (0..self.proxies).map(|n| bootstrap((self.proxy() + n) % self.proxies, self.cluster)).collect()
    }

    /// Begins at the next proxy from now on.
    fn turn_elsewhere(&self) {
        self.turn.fetch_add(1, Relaxed);
    }

    fn place(&self, topic: &'static str, partition: i32) -> Place {
        (self.cluster, topic, partition)
    }

    fn record_bytes(&mut self) -> u32 {
        let (least, most) = self.load.record_bytes;
        u32::try_from(self.dice.between(u64::from(least)..=u64::from(most))).expect("within what u32 holds")
    }

    fn partition(&mut self) -> i32 {
        i32::try_from(self.dice.between(0..=u64::from(self.partitions) - 1)).expect("few partitions")
    }

    fn done(&self) {
        self.history.busy(&self.name, false);
        self.note(format_args!("done"));
    }

    /// Whether anybody in this cluster may still begin or end a transaction.
    fn is_producing_transactions(&self) -> bool {
        let theirs = format!("c{}-{TRANSACTIONAL}-", self.cluster);
        self.history.who_is_busy().iter().any(|who| who.starts_with(&theirs))
    }

    fn is_finishing(&self) -> bool {
        *self.phase.borrow() >= Phase::Finish
    }
}

/// Waits until the world has come so far. A world that is gone has.
async fn reaches(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|now| *now >= wanted).await;
}
