//! What a plan asks of whom: what happened all the same, nobody asked for.

use crate::{
    plan::{Change, Fault, Plan, Rude},
    topology,
};

/// Bytes for each ms that a connection has to carry so that no drain ends by its deadline: an answer of a megabyte takes a
/// second.
const FAST: u64 = 1_000;

impl Plan {
    /// Whether nothing but the proxy itself ends connections, on purpose and with time to do it well.
    pub(crate) fn is_gentle(&self) -> bool {
        let fast = u64::from(self.weather.window) / self.weather.latency_ms.1.max(1) >= FAST;
        fast && self.faults.iter().all(|timed| is_gentle(&timed.fault))
    }

    /// Whether an operator of this proxy drains this virtual cluster.
    pub(crate) fn has_drain_of(&self, proxy: u8, name: &str) -> bool {
        let is = |cluster: u8| topology::cluster_name(cluster) == name;
        self.faults_of(proxy).any(|fault| matches!(fault, Fault::Drain { cluster, .. } if is(*cluster)))
    }

    /// Whether a cluster can always be built again as it was: nobody takes its port, and no certificate expires.
    pub(crate) fn can_go_back(&self) -> bool {
        self.faults.iter().all(|timed| !matches!(timed.fault, Fault::PortTaken { .. } | Fault::ClockJump { .. }))
    }

    fn faults_of(&self, proxy: u8) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |timed| timed.proxy == proxy).map(|timed| &timed.fault)
    }

    /// Whether a new configuration of this proxy concerns this virtual cluster.
    pub(crate) fn has_reload_of(&self, proxy: u8, name: &str) -> bool {
        let is = |cluster: u8| topology::cluster_name(cluster) == name;
        let concerns = |change: Change| match change {
            Change::Limits | Change::Upstream | Change::Grow | Change::TakenAddress => is(0),
            Change::HalfBad => is(0) || is(self.clusters - 1),
            // A file that is spoiled concerns the first one, as does putting it right again.
            Change::Broken | Change::Expired | Change::ForeignCa | Change::WrongPassword | Change::NoUsers => is(0),
            Change::Unreadable | Change::Renewed => false,
        };
        self.faults_of(proxy).any(
            |fault| matches!(fault, Fault::Reload { change } | Fault::ReloadOverHttp { change } if concerns(*change)),
        )
    }
}

const fn is_gentle(fault: &Fault) -> bool {
    match fault {
        // It takes a while to take so many in, drain or not.
        Fault::Client { rude: Rude::Storm, .. } => false,
        Fault::CoordinatorMove { .. }
        | Fault::Client { .. }
        | Fault::ProxyRestart { .. }
        | Fault::Drain { .. }
        | Fault::ShutdownOverHttp { .. }
        | Fault::PortTaken { .. } => true,
        Fault::Reload { change } | Fault::ReloadOverHttp { change } => match change {
            Change::Limits
            | Change::Upstream
            | Change::Grow
            | Change::Unreadable
            | Change::TakenAddress
            | Change::HalfBad
            | Change::Renewed => true,
            // With a spoiled certificate or password nobody gets in or out.
            Change::Broken | Change::Expired | Change::ForeignCa | Change::WrongPassword | Change::NoUsers => false,
        },
        // Where the leader moves, records with acks=0 are lost by Kafka's own rules.
        Fault::LeaderMove { .. }
        | Fault::BrokerBounce { .. }
        | Fault::BrokerHangs { .. }
        | Fault::BrokerMoves { .. }
        | Fault::WrongAnswer { .. }
        | Fault::Partition { .. }
        | Fault::OneWayPartition { .. }
        | Fault::BlackHole { .. }
        | Fault::Hold { .. }
        | Fault::Latency { .. }
        | Fault::ProxyCrash { .. }
        | Fault::PowerLoss { .. }
        | Fault::ClockJump { .. } => false,
    }
}
