//! Builds a world from a plan, plays the faults, heals everything, and has the end judged.
//!
//! ```text
//! clients ⇄ proxy ⇄ brokers-0, brokers-1, …      one turmoil host each: many hosts are slow
//! ```
//! Two phases: until `heal_at_ms` things go wrong and only safety is demanded; then all is well again, and within bounded
//! time everybody has to have done their work, and the proxy has to have let go of everything.

use crate::{
    NotDeterministic, check,
    clients::{self, Clients, Phase, admin::Demand},
    findings::{Checker, Finding, Findings},
    history::History,
    hosts::{
        self, Surroundings,
        brokers::{self, Brokers, Truth},
        proxy::{self, Disk, ProxyHost, Seen},
    },
    journal::Journal,
    limits, lock,
    mailbox::Mailbox,
    net::{Place, Wires},
    plan::{Link, Plan, Rude, Way},
    report::Report,
    timeline::{self, Action},
    topology,
};
use kroxy_core::status::ClusterState;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// How often what can be seen of everybody is compared with what is waited for.
const LOOK_MS: u64 = 20;

/// The world while it runs.
struct World<'a> {
    plan: &'a Plan,
    sim: turmoil::Sim<'a>,
    brokers: Vec<Brokers>,
    proxies: Vec<(ProxyHost, Mailbox<Demand>)>,
    rude: Mailbox<(u8, u8, Rude)>,
    phase: watch::Sender<Phase>,
    history: History,
    around: Surroundings,
    /// How often each broker was given another name.
    moves: BTreeMap<(u8, u8), u32>,
}

/// Plays a plan and judges what came of it.
///
/// # Errors
/// Where this build cannot repeat a run.
pub fn run(plan: &Plan, journal: &Journal) -> Result<Report, NotDeterministic> {
    crate::may_run()?;
    let seen: Vec<Arc<Mutex<Seen>>> = (0..plan.proxies).map(|_| Arc::default()).collect();
    let findings = Findings::default();
    let history = History::new(findings.clone());
    let around = Surroundings {
        wires: Wires::new(plan, journal.clone(), findings.clone()),
        journal: journal.clone(),
        findings: findings.clone(),
        seed: plan.seed,
    };
    hosts::put_clock_right();
    let mut elapsed = Duration::ZERO;
    // A panic anywhere on a simulated host ends the world, and is a finding like any other.
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan, &seen, &history, &around);
        let ended = world.play();
        elapsed = world.sim.elapsed();
        let truths: Vec<Truth> = world.brokers.iter().map(|brokers| lock(&brokers.truth).clone()).collect();
        (ended, truths)
    }));
    let mut violations = findings.all();
    match played {
        Ok((Ok(()), truths)) => {
            violations.extend(check::judge(plan, &truths, &history));
            let drained = |place: Place, from, to| {
                let seen = seen.get(usize::from(place.proxy));
                seen.is_some_and(|seen| lock(seen).has_drained(place.cluster, from, to))
            };
            violations.extend(around.wires.exchanges.judge(drained, plan.is_gentle()));
        }
        Ok((Err(found), _)) => violations.push(found),
        Err(panic) => violations.push(Finding::new(Checker::Panics, panic_text(panic.as_ref()))),
    }
    let seen = seen.iter().map(|seen| lock(seen).clone()).collect();
    Ok(Report::new(plan, violations, elapsed, seen, &history, &around.wires, journal))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of an unknown kind".to_owned())
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, seen: &[Arc<Mutex<Seen>>], history: &History, around: &Surroundings) -> Self {
        let ms = Duration::from_millis;
        let mut sim = turmoil::Builder::new()
            .epoch(SystemTime::UNIX_EPOCH + limits::EPOCH)
            .rng_seed(plan.seed)
            .tick_duration(limits::TICK)
            .simulation_duration(Duration::from_secs(86_400))
            .min_message_latency(ms(plan.weather.latency_ms.0))
            .max_message_latency(ms(plan.weather.latency_ms.1))
            .tcp_capacity(limits::TCP_CAPACITY)
            .enable_random_order()
            .build();
        let mut all = Vec::new();
        for cluster in 0..plan.clusters {
            let brokers = Brokers {
                cluster,
                nodes: plan.nodes,
                partitions: plan.partitions,
                transactional: clients::transactional_ids(cluster, plan.load),
                orders: Mailbox::default(),
                truth: Arc::default(),
                around: around.clone(),
            };
            let host = topology::brokers(cluster);
            for node in 0..plan.nodes {
                around.wires.name(&topology::broker_name(cluster, node, 0), &host);
                around.wires.name(&topology::bootstrap_name(cluster, node), &host);
            }
            let software = brokers.clone();
            sim.host(host, move || software.clone().run());
            all.push(brokers);
        }
        let mut proxies = Vec::new();
        for (number, seen) in (0..).zip(seen) {
            let proxy = ProxyHost {
                number,
                host: topology::proxy(number),
                plan: plan.clone(),
                orders: Mailbox::default(),
                seen: seen.clone(),
                disk: Arc::new(Mutex::new(Disk::new(plan, number))),
                around: around.clone(),
            };
            around.wires.name(&topology::advertised(number), &proxy.host);
            let software = proxy.clone();
            sim.host(proxy.host.clone(), move || software.clone().run());
            proxies.push((proxy, Mailbox::default()));
        }
        around.wires.name(topology::LOOPBACK, topology::LOOPBACK);
        let (phase, phases) = watch::channel(Phase::Faults);
        let rude = Mailbox::default();
        let clients = Clients {
            clusters: plan.clusters,
            partitions: plan.partitions,
            load: plan.load,
            phase: phases,
            rude: rude.clone(),
            proxies: proxies.clone(),
            history: history.clone(),
            around: around.clone(),
        };
        sim.client(topology::CLIENTS, clients.run());
        Self {
            plan,
            sim,
            brokers: all,
            proxies,
            rude,
            phase,
            history: history.clone(),
            around: around.clone(),
            moves: BTreeMap::new(),
        }
    }

    fn play(&mut self) -> Result<(), Finding> {
        let mut timeline = timeline::of(self.plan);
        while self.now_ms() < self.plan.heal_at_ms {
            while let Some(next) = timeline.first_entry()
                && next.key().0 <= self.now_ms()
            {
                let (proxy, action) = next.remove();
                self.act(proxy, &action);
            }
            self.step()?;
        }
        for (proxy, action) in timeline.into_values() {
            self.act(proxy, &action);
        }
        self.heal();
        self.progress()?;
        self.quiet()?;
        self.stop()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn step(&mut self) -> Result<bool, Finding> {
        let now = self.sim.elapsed();
        self.around.journal.set_now(now);
        if now.as_millis().is_multiple_of(u128::from(LOOK_MS)) {
            self.around.wires.reset_orphans(now);
        }
        self.sim.step().map_err(|e| Finding::new(Checker::Panics, format!("a host has failed: {e}")))
    }

    /// Steps until something holds, looking now and then, or until that is too late.
    fn until(
        &mut self,
        within: Duration,
        checker: Checker,
        mut holds: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), Finding> {
        let give_up = self.sim.elapsed() + within;
        loop {
            let Err(missing) = holds(self) else { return Ok(()) };
            if self.sim.elapsed() >= give_up {
                return Err(Finding::new(checker, format!("not within {within:?}: {missing}")));
            }
            for _ in 0..LOOK_MS {
                self.step()?;
            }
        }
    }

    fn act(&mut self, proxy: u8, action: &Action) {
        self.around.journal.note("world", format_args!("{action:?}"));
        let proxy = proxy.min(self.plan.proxies - 1);
        let at = usize::from(proxy);
        match action {
            Action::Brokers(cluster, order) => self.brokers[usize::from(*cluster)].orders.send(order.clone()),
            Action::Hang { cluster, node, on } => {
                self.around.wires.hang(&topology::brokers(*cluster), topology::broker_port(*node), *on);
            }
            Action::Move { cluster, node } => self.rename(*cluster, *node),
            Action::Spoil(cluster, how) => self.around.wires.tamper(&topology::brokers(*cluster), *how),
            Action::Partition(link, true) => {
                let (a, b) = ends(proxy, *link);
                self.sim.partition(a, b);
            }
            Action::Partition(link, false) => {
                let (a, b) = ends(proxy, *link);
                self.sim.repair(a.clone(), b.clone());
                self.around.wires.lose(&a, &b);
            }
            Action::PartitionOneWay(link, way, on) => {
                let (client, server) = ends(proxy, *link);
                let (from, to) = match way {
                    Way::Requests => (client, server),
                    Way::Answers => (server, client),
                };
                if *on {
                    self.sim.partition_oneway(from, to);
                } else {
                    self.sim.repair_oneway(from.clone(), to.clone());
                    self.around.wires.lose(&from, &to);
                }
            }
            Action::Lose(link) => {
                let (a, b) = ends(proxy, *link);
                self.around.wires.lose(&a, &b);
            }
            Action::Hold(link, true) => {
                let (a, b) = ends(proxy, *link);
                self.sim.hold(a, b);
            }
            Action::Hold(link, false) => {
                let (a, b) = ends(proxy, *link);
                self.sim.release(a, b);
            }
            Action::Latency(link, ms) => {
                let (a, b) = ends(proxy, *link);
                let ms = ms.unwrap_or(self.plan.weather.latency_ms.0);
                self.sim.set_link_latency(a, b, Duration::from_millis(ms));
            }
            Action::Rude(cluster, how) => self.rude.send((proxy, *cluster, *how)),
            Action::Demand(demand) => self.proxies[at].1.send(demand.clone()),
            Action::Proxy(order) => self.proxies[at].0.orders.send(order.clone()),
            Action::Crash => self.crash(at),
            Action::Revive => self.revive(at),
            Action::Power(on) => self.power(proxy, *on),
            Action::ClockJump(by_ms) => hosts::jump(*by_ms),
        }
    }

    /// Gives a broker a name that nobody knows yet, in place of the one that everybody does.
    fn rename(&mut self, cluster: u8, node: u8) {
        let moves = self.moves.entry((cluster, node)).or_default();
        let old = topology::broker_name(cluster, node, *moves);
        *moves += 1;
        let name = topology::broker_name(cluster, node, *moves);
        self.around.wires.rename(&old, &name, &topology::brokers(cluster));
        self.brokers[usize::from(cluster)].orders.send(brokers::Order::Rename { node, name });
    }

    /// Takes the power from a proxy's machine, or gives it back. Behind a partition the ends of its connections learn
    /// nothing of it until it is there again, and knows nothing of them.
    fn power(&mut self, proxy: u8, on: bool) {
        let links = std::iter::once(Link::Clients).chain((0..self.plan.clusters).map(Link::Upstream));
        for (a, b) in links.map(|link| ends(proxy, link)) {
            if on {
                self.sim.repair(a.clone(), b.clone());
                self.around.wires.lose(&a, &b);
            } else {
                self.sim.partition(a, b);
            }
        }
        if on {
            self.revive(usize::from(proxy));
        } else {
            self.crash(usize::from(proxy));
        }
    }

    fn crash(&mut self, at: usize) {
        let (proxy, _) = &self.proxies[at];
        self.sim.crash(proxy.host.as_str());
        lock(&proxy.seen).running = false;
    }

    fn revive(&mut self, at: usize) {
        let (proxy, _) = &self.proxies[at];
        if !self.sim.is_host_running(proxy.host.as_str()) {
            self.sim.bounce(proxy.host.as_str());
        }
    }

    /// All is well from now on.
    fn heal(&mut self) {
        self.around.journal.note("world", format_args!("everything is healed"));
        self.around.wires.stop_tampering();
        hosts::put_clock_right();
        for at in 0..self.proxies.len() {
            self.revive(at);
            self.proxies[at].0.orders.send(proxy::Order::Start);
            self.proxies[at].0.orders.send(proxy::Order::PutRight);
        }
        self.bring_back();
        self.phase.send_replace(Phase::Finish);
    }

    /// What an operator has drained stays so until he wants it back, and a proxy that he has stopped until he starts it again:
    /// either may have reached it only now. What has failed comes back by itself.
    fn bring_back(&self) {
        for (proxy, _) in &self.proxies {
            let seen = lock(&proxy.seen);
            if !seen.running {
                proxy.orders.send(proxy::Order::Start);
            }
            for cluster in 0..self.plan.clusters {
                let state = seen.clusters.get(&topology::cluster_name(cluster)).map(|(state, ..)| *state);
                if state == Some(ClusterState::Draining) {
                    proxy.orders.send(proxy::Order::Retry(cluster));
                }
            }
        }
    }

    /// Steps until something holds, with an operator who looks after the proxies.
    fn until_done(&mut self, mut holds: impl FnMut(&Self) -> Result<(), String>) -> Result<(), Finding> {
        let mut next_time = self.sim.elapsed() + limits::DRAIN * 2;
        self.until(limits::PROGRESS, Checker::Progress, |world| {
            if world.sim.elapsed() >= next_time {
                world.bring_back();
                next_time += limits::DRAIN * 2;
            }
            holds(world)
        })
    }

    /// Producers finish, consumers catch up, everybody leaves.
    fn progress(&mut self) -> Result<(), Finding> {
        self.until_done(|world| {
            let busy: Vec<String> =
                world.history.who_is_busy().into_iter().filter(|who| !who.contains("consumer")).collect();
            if busy.is_empty() { Ok(()) } else { Err(format!("still at work: {}", busy.join(", "))) }
        })?;
        self.tell_the_truth()?;
        while self.plan.load.consumers > 0 && self.unread() > 0 {
            // In some weather it takes minutes to read all; that more is read can be demanded in any.
            let before = self.unread();
            self.until_done(|world| {
                let unread = world.unread();
                if unread < before { Ok(()) } else { Err(format!("{unread} records were handed to no consumer")) }
            })?;
        }
        self.phase.send_replace(Phase::Leave);
        self.until_done(|world| {
            let busy = world.history.who_is_busy();
            if busy.is_empty() { Ok(()) } else { Err(format!("does not leave: {}", busy.join(", "))) }
        })
    }

    /// Records in logs that no consumer was handed.
    fn unread(&self) -> i64 {
        self.ends().into_iter().map(|(place, end)| self.history.unread(place, end)).sum()
    }

    fn ends(&self) -> Vec<(crate::history::Place, i64)> {
        let places = self.brokers.iter().flat_map(|brokers| {
            let truth = lock(&brokers.truth);
            let orders = truth.records.iter().filter(|((topic, _), _)| topic == topology::ORDERS);
            let end = |records: &Vec<fixture_broker::RecordView>| records.last().map_or(0, |last| last.offset + 1);
            orders
                .map(|((_, partition), records)| ((brokers.cluster, topology::ORDERS, *partition), end(records)))
                .collect::<Vec<_>>()
        });
        places.collect()
    }

    fn tell_the_truth(&mut self) -> Result<(), Finding> {
        let before: Vec<u64> = self.brokers.iter().map(|brokers| lock(&brokers.truth).told).collect();
        self.brokers.iter().for_each(|brokers| brokers.orders.send(brokers::Order::Tell));
        self.until(limits::QUIET, Checker::Progress, |world| {
            let told = world.brokers.iter().zip(&before).all(|(brokers, before)| lock(&brokers.truth).told > *before);
            if told { Ok(()) } else { Err("the brokers do not tell what they have".to_owned()) }
        })
    }

    /// The proxy holds nothing for clients that are gone.
    fn quiet(&mut self) -> Result<(), Finding> {
        self.until(limits::QUIET, Checker::Leaks, |world| {
            let left: Vec<String> = world.proxies.iter().flat_map(|(proxy, _)| left_at(proxy)).collect();
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
    }

    /// The proxies stop, and leave nothing open.
    fn stop(&mut self) -> Result<(), Finding> {
        self.proxies.iter().for_each(|(proxy, _)| proxy.orders.send(proxy::Order::Shutdown));
        self.until(limits::DRAIN + limits::STOP, Checker::Ending, |world| {
            let running = world.proxies.iter().find(|(proxy, _)| lock(&proxy.seen).running);
            let Some((proxy, _)) = running else { return Ok(()) };
            Err(format!("{} is {}", proxy.host, lock(&proxy.seen).state))
        })?;
        for (proxy, _) in &self.proxies {
            if let Some(Err(why)) = lock(&proxy.seen).lives.last() {
                return Err(Finding::new(Checker::Ending, format!("{} ended with: {why}", proxy.host)));
            }
            let (streams, ports) = self.around.wires.left(&proxy.host);
            if streams > 0 || !ports.is_empty() {
                let what = format!("{} has left {streams} streams open and listens on {ports:?}", proxy.host);
                return Err(Finding::new(Checker::Leaks, what));
            }
        }
        self.until(limits::QUIET, Checker::Leaks, |world| {
            world.brokers.iter().for_each(|brokers| brokers.orders.send(brokers::Order::Tell));
            let left: usize = world.brokers.iter().map(|brokers| lock(&brokers.truth).connections).sum();
            if left == 0 { Ok(()) } else { Err(format!("the brokers still have {left} connections of it")) }
        })?;
        self.tell_the_truth()
    }
}

/// What a proxy holds that it has no use for.
fn left_at(proxy: &ProxyHost) -> Vec<String> {
    let seen = lock(&proxy.seen);
    let left = seen.clusters.iter().filter(|(_, (state, connections, in_flight))| {
        *state != ClusterState::Serving || *connections > 0 || *in_flight > 0
    });
    let left = left.map(|(name, (state, connections, in_flight))| {
        format!("{name} is {state} with {connections} connections and {in_flight} in flight at {}", proxy.host)
    });
    let reloading = (seen.reloading > 0).then(|| "a reload is not over".to_owned());
    left.chain(reloading).collect()
}

fn ends(proxy: u8, link: Link) -> (String, String) {
    match link {
        Link::Clients => (topology::CLIENTS.to_owned(), topology::proxy(proxy)),
        Link::Upstream(cluster) => (topology::proxy(proxy), topology::brokers(cluster)),
    }
}
