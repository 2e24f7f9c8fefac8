//! The brokers of one cluster: the embedded cluster of `kroxy demo` behind a simulated network.

use super::Surroundings;
use crate::{
    lock,
    mailbox::Mailbox,
    net::{Role, SimNet},
    topology,
};
use fixture_broker::{ClusterSpec, CommittedView, NodeSpec, RecordView};
use runtime::demo::host::{Host, HostHandle};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{sync::watch, task::JoinSet};

/// What the world asks of a cluster's brokers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Stop(u8),
    Start(u8),
    MoveLeader {
        partition: i32,
        to: u8,
    },
    MoveCoordinator {
        to: u8,
    },
    /// Another name for a broker, which is started again with it.
    Rename {
        node: u8,
        name: String,
    },
    /// Write down the truth.
    Tell,
}

/// What is in the logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Grows with every telling.
    pub(crate) told: u64,
    pub(crate) records: BTreeMap<(String, i32), Vec<RecordView>>,
    pub(crate) committed: Vec<CommittedView>,
    /// What transactional producers have committed, by their group.
    pub(crate) payouts: BTreeMap<String, i64>,
    pub(crate) connections: usize,
}

/// The brokers of a cluster, as the world sees them.
#[derive(Clone, Debug)]
pub(crate) struct Brokers {
    pub(crate) cluster: u8,
    pub(crate) nodes: u8,
    pub(crate) partitions: u8,
    /// The transactional ids of clients.
    pub(crate) transactional: Vec<String>,
    pub(crate) orders: Mailbox<Order>,
    pub(crate) truth: Arc<Mutex<Truth>>,
    pub(crate) around: Surroundings,
}

impl Brokers {
    /// The host's software.
    pub(crate) async fn run(self) -> turmoil::Result {
        let host = topology::brokers(self.cluster);
        let net = SimNet::new(&host, Role::Broker, &self.around.wires);
        let any = |node| (i32::from(node), SocketAddr::from((Ipv4Addr::UNSPECIFIED, topology::broker_port(node))));
        let binds: Vec<_> = (0..self.nodes).map(any).collect();
        let (brokers, handle) = Host::bind(net, self.around.clock(), self.spec(), &binds, self.around.seed).await?;
        let (_serve, until) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(brokers.run(until));
        loop {
            let order = self.orders.next().await;
            self.around.journal.note(&host, format_args!("{order:?}"));
            self.obey(&handle, order).await?;
        }
    }

    fn spec(&self) -> ClusterSpec {
        let node = |node| NodeSpec {
            id: i32::from(node),
            host: topology::broker_name(self.cluster, node, 0),
            port: topology::broker_port(node),
            rack: None,
        };
        ClusterSpec {
            cluster_id: format!("cluster-{}", self.cluster),
            nodes: (0..self.nodes).map(node).collect(),
            auto_create_topics: Some(i32::from(self.partitions)),
            default_replication_factor: i16::from(self.nodes.min(3)),
            ..ClusterSpec::default()
        }
    }

    async fn obey(&self, handle: &HostHandle, order: Order) -> turmoil::Result {
        match order {
            Order::Stop(node) => handle.with(move |c, now, out| c.stop_node(i32::from(node), now, out)).await?,
            Order::Start(node) => handle.with(move |c, now, out| c.start_node(i32::from(node), now, out)).await?,
            Order::MoveLeader { partition, to } => {
                let act = move |c: &mut fixture_broker::Cluster, now, out: &mut Vec<_>| {
                    for topic in [topology::ORDERS, topology::READINGS, topology::PAYMENTS] {
                        c.move_leader(topic, partition, i32::from(to), now, out);
                    }
                };
                handle.with(act).await?;
            }
            Order::MoveCoordinator { to } => {
                let transactional = self.transactional.clone();
                let act = move |c: &mut fixture_broker::Cluster, now, out: &mut Vec<_>| {
                    c.move_coordinator(topology::GROUP, i32::from(to), now, out);
                    transactional.iter().for_each(|id| c.move_transaction_coordinator(id, i32::from(to)));
                };
                handle.with(act).await?;
            }
            Order::Rename { node, name } => {
                let (id, port) = (i32::from(node), topology::broker_port(node));
                handle.with(move |c, now, out| c.stop_node(id, now, out)).await?;
                handle.with(move |c, _, _| c.set_address(id, &name, port)).await?;
                handle.with(move |c, now, out| c.start_node(id, now, out)).await?;
            }
            Order::Tell => {
                let mut truth = handle.with(|c, _, _| look(c)).await?;
                let mut known = lock(&self.truth);
                truth.told = known.told + 1;
                *known = truth;
            }
        }
        Ok(())
    }
}

fn look(cluster: &fixture_broker::Cluster) -> Truth {
    let mut records = BTreeMap::new();
    for topic in cluster.topics() {
        for partition in (0..).take(topic.partitions.len()) {
            records.insert((topic.name.clone(), partition), cluster.records(&topic.name, partition));
        }
    }
    let groups = cluster.groups().into_iter().map(|group| group.id).filter(|id| id != topology::GROUP);
    let payouts = groups.filter_map(|id| Some((id.clone(), cluster.committed(&id).first()?.offset))).collect();
    let committed = cluster.committed(topology::GROUP);
    Truth { told: 0, records, committed, payouts, connections: cluster.connections() }
}
