//! The clients' host: producers, consumers, and clients that misbehave, all as tasks.

pub(crate) mod admin;
mod committed;
mod consumer;
mod idempotent;
mod kafka;
mod lines;
mod operator;
mod plain;
mod rude;
mod transactional;

use crate::{
    dice::Dice,
    history::{History, Place},
    hosts::Surroundings,
    mailbox::Mailbox,
    net::{Role, SimNet},
    plan::{Load, Rude},
    topology,
};
use kroxy_core::address::HostPort;
use tokio::{sync::watch, task::JoinSet};

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
    pub(crate) rude: Mailbox<(u8, Rude)>,
    pub(crate) demands: Mailbox<admin::Demand>,
    pub(crate) history: History,
    pub(crate) around: Surroundings,
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Unique in the world; its records begin with it.
    name: String,
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
        let mut operator = |kind: &str| {
            let mut client = self.client(0, format!("admin-consumer-{kind}"), &mut dice);
            client.net = SimNet::new(topology::CLIENTS, Role::Operator, &self.around.wires);
            client
        };
        tasks.spawn(admin::watch(operator("watch")));
        tasks.spawn(admin::listen(operator("events")));
        tasks.spawn(admin::steer(operator("steer"), self.demands.clone()));
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
                (cluster, how) = self.rude.next() => {
                    self.around.journal.note(topology::CLIENTS, format_args!("rude: {how:?}"));
                    rude.spawn(rude::run(how, net.clone(), bootstrap(cluster), dice.seed()));
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
        self.history.busy(&name, true);
        Client {
            net: SimNet::new(topology::CLIENTS, Role::Client, &self.around.wires).of(&name),
            name,
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

fn bootstrap(cluster: u8) -> HostPort {
    HostPort::new(topology::ADVERTISED, topology::bootstrap_port(cluster))
}

impl Client {
    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.around.journal.note(topology::CLIENTS, format_args!("{}: {what}", self.name));
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
