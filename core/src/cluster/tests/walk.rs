//! Arbitrary inputs and commands in arbitrary order, watched by a model of what the driver holds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    TickAtDeadline,
    /// Answers the oldest open request of the machine.
    Answer {
        good: bool,
    },
    ConnectionsLeft(u64),
    /// News of some build, due or not.
    Stray(u64, u8),
    Ask(Command),
}

fn step() -> impl Strategy<Value = Step> {
    let reload = (2_u64..6, any::<bool>()).prop_map(|(generation, live)| {
        let change = if live { Change::Live } else { Change::Drain };
        Step::Ask(Command::Reload { spec: spec(generation), change })
    });
    prop_oneof![
        3 => (0_u64..20_000).prop_map(Step::Advance),
        4 => Just(Step::TickAtDeadline),
        12 => prop::bool::weighted(0.75).prop_map(|good| Step::Answer { good }),
        4 => (0_u64..3).prop_map(Step::ConnectionsLeft),
        3 => (0_u64..12, any::<u8>()).prop_map(|(build, kind)| Step::Stray(build, kind)),
        4 => reload,
        2 => Just(Step::Ask(Command::Drain)),
        2 => Just(Step::Ask(Command::Retry)),
        1 => prop_oneof![Just(Command::Remove), Just(Command::Shutdown), Just(Command::Halt)].prop_map(Step::Ask),
    ]
}

/// How far the driver is with one build.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Held {
    Preparing,
    Prepared,
    Binding,
    Bound,
    Serving,
    Draining,
}

/// The driver: what it holds, what it was asked, and what the machine has said.
struct Driver {
    story: Story,
    held: BTreeMap<BuildId, Held>,
    state: ClusterState,
    gone: BTreeSet<(Option<ClusterState>, ClusterState)>,
    last_build: u64,
    reloads_open: u32,
    retries: u32,
}

impl Driver {
    fn new() -> Self {
        let mut d = Self {
            story: Story::begin(),
            held: BTreeMap::new(),
            state: ClusterState::Initializing,
            gone: [(None, ClusterState::Initializing)].into(),
            last_build: 0,
            reloads_open: 0,
            retries: 0,
        };
        let (birth, rest) = d.story.out.split_first().expect("it begins at once");
        assert!(matches!(birth, Output::Transitioned(Transition { from: None, to: ClusterState::Initializing, .. })));
        d.story.out = rest.to_vec();
        d.carry_out();
        d
    }

    fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Advance(millis) => {
                self.story.now = self.story.now + Duration::from_millis(millis);
                self.tick();
            }
            Step::TickAtDeadline => {
                if let Some(deadline) = self.story.cluster.deadline() {
                    self.story.now = self.story.now.max(deadline);
                    let began_draining = self.state == ClusterState::Draining;
                    self.tick();
                    let next = self.story.cluster.deadline();
                    assert!(next.is_none_or(|d| d > deadline), "the deadline stayed at {deadline:?}");
                    assert!(
                        !began_draining || next.is_none() || self.state != ClusterState::Draining,
                        "a drain goes on"
                    );
                }
            }
            Step::Answer { good } => {
                let reason = Reason::new("as the test wants it");
                let open = self.held.iter().find(|(_, h)| matches!(h, Held::Preparing | Held::Binding));
                let Some((&build, &held)) = open else { return };
                self.story.observe(match (held == Held::Preparing, good) {
                    (true, true) => Input::Prepared { build },
                    (true, false) => Input::PreparationFailed { build, reason },
                    (false, true) => Input::Bound { build },
                    (false, false) => Input::BindFailed { build, reason },
                });
                if good {
                    let done = if held == Held::Preparing { Held::Prepared } else { Held::Bound };
                    self.held.insert(build, done);
                }
                self.carry_out();
            }
            Step::ConnectionsLeft(connections) => {
                let draining = self.held.iter().find(|(_, h)| **h == Held::Draining).map(|(build, _)| *build);
                if let Some(build) = draining {
                    self.story.observe(Input::ConnectionsLeft { build, connections, in_flight: connections });
                    self.carry_out();
                }
            }
            Step::Stray(build, kind) => {
                let build = super::build(build);
                if self.held.contains_key(&build) {
                    return;
                }
                let reason = Reason::new("stray");
                self.story.observe(match kind % 5 {
                    0 => Input::Prepared { build },
                    1 => Input::PreparationFailed { build, reason },
                    2 => Input::Bound { build },
                    3 => Input::BindFailed { build, reason },
                    _ => Input::ConnectionsLeft { build, connections: 0, in_flight: 0 },
                });
                assert_eq!(self.story.out, [], "news of a build that is not there is ignored");
            }
            Step::Ask(command) => self.ask(command),
        }
    }

    fn tick(&mut self) {
        self.story.observe(Input::Tick);
        if self.story.out.iter().any(|o| matches!(o, Output::Prepare { .. })) && self.state == ClusterState::Failed {
            self.retries += 1;
        }
        self.carry_out();
    }

    fn ask(&mut self, command: Command) {
        let before = (self.story.cluster.state(), self.story.cluster.deadline());
        self.story.out.clear();
        let is_reload = matches!(command, Command::Reload { .. });
        match self.story.cluster.command(command, self.story.now, &mut self.story.out) {
            Ok(()) => {
                self.reloads_open += u32::from(is_reload);
                self.retries = 0;
                self.carry_out();
            }
            Err(refused) => {
                assert_eq!(self.story.out, [], "{refused}: nothing changes");
                assert_eq!((self.story.cluster.state(), self.story.cluster.deadline()), before);
            }
        }
    }

    fn carry_out(&mut self) {
        let out = core::mem::take(&mut self.story.out);
        assert!(out.len() <= 10, "outputs of one step are bounded: {out:?}");
        let was_stopped = self.state == ClusterState::Stopped;
        assert!(!was_stopped || out.is_empty(), "stopped is final: {out:?}");
        for output in &out {
            self.carry_out_one(output);
        }
        self.check();
    }

    fn carry_out_one(&mut self, output: &Output) {
        match output {
            Output::Prepare { build, generation } => {
                assert!(build.attempt > self.last_build, "a build id is used twice");
                self.last_build = build.attempt;
                assert!(self.story.cluster.generations().any(|g| g == *generation), "the driver may have dropped it");
                self.held.insert(*build, Held::Preparing);
            }
            Output::Bind { build } => self.moves(*build, Held::Prepared, Held::Binding),
            Output::Serve { build } => {
                self.moves(*build, Held::Bound, Held::Serving);
                self.retries = 0;
            }
            Output::Swap { from, to } => {
                assert_eq!(self.held.remove(from), Some(Held::Serving));
                self.moves(*to, Held::Prepared, Held::Serving);
            }
            Output::Drain { build, deadline } => {
                assert!(*deadline > self.story.now);
                self.moves(*build, Held::Serving, Held::Draining);
            }
            Output::Cut { build } => assert_eq!(self.held.get(build), Some(&Held::Draining)),
            Output::Release { build } => assert!(self.held.remove(build).is_some(), "{build} is not held"),
            Output::Drained(d) => assert!(d.cut_connections == 0 || d.connections > 0),
            Output::Transitioned(t) => {
                assert!(has_edge(t.from, t.to), "{t:?}");
                assert_eq!(t.from, Some(self.state), "{t:?}");
                assert_eq!(t.why.is_some(), t.to == ClusterState::Draining);
                assert!(t.to != ClusterState::Failed || self.held.is_empty(), "released on entry: {:?}", self.held);
                self.gone.insert((t.from, t.to));
                self.state = t.to;
            }
            Output::Reloaded { outcome, cause } => {
                assert_eq!(self.reloads_open, 1, "a report nobody waits for");
                self.reloads_open = 0;
                assert_eq!(cause.is_none(), *outcome == ClusterOutcome::Applied);
            }
            Output::GaveUp { .. } => assert!(self.story.cluster.gave_up()),
        }
    }

    fn moves(&mut self, build: BuildId, from: Held, to: Held) {
        assert_eq!(self.held.insert(build, to), Some(from), "{build} is to become {to:?}");
    }

    fn check(&self) {
        let cluster = &self.story.cluster;
        assert_eq!(cluster.state(), self.state);
        let shown = cluster.snapshot(self.story.now, WallClock { origin_unix_ms: 0 });
        assert_eq!(shown.reason.is_some_and(|r| !r.is_empty()), self.state == ClusterState::Failed);
        assert_eq!(shown.drain.is_some(), self.state == ClusterState::Draining);
        assert!(shown.last_transitions.len() <= crate::limits::TRANSITIONS_KEPT);
        assert!(self.retries <= RETRY.max_retries.expect("counted"), "more retries than allowed");
        assert!(self.reloads_open == 0 || self.state != ClusterState::Failed, "a failed cluster owes no report");
        let serving = self.held.values().filter(|h| matches!(h, Held::Serving | Held::Draining)).count();
        assert!(shown.retry.is_none() || self.state != ClusterState::Serving, "what serves is not being retried");
        match self.state {
            ClusterState::Initializing => assert_eq!((self.held.len(), serving), (1, 0)),
            ClusterState::Serving => assert!(serving == 1 && self.held.len() <= 2),
            ClusterState::Draining if cluster.deadline().is_some() => assert!(serving == 1 && self.held.len() <= 2),
            ClusterState::Draining | ClusterState::Failed => assert!(self.held.is_empty()),
            ClusterState::Stopped => {
                assert!(self.held.is_empty() && cluster.deadline().is_none() && self.reloads_open == 0);
            }
            ClusterState::Unknown => panic!("a machine always knows its state"),
        }
    }

    /// The world is well from now on: everything asked for works. It must come to rest, and soon.
    fn heal(&mut self) {
        for _ in 0..12 {
            self.take(&Step::Answer { good: true });
            self.take(&Step::ConnectionsLeft(0));
            if !self.story.cluster.gave_up() {
                self.take(&Step::TickAtDeadline);
            }
        }
        let resting = match self.state {
            ClusterState::Serving | ClusterState::Stopped => true,
            ClusterState::Draining => self.story.cluster.deadline().is_none(),
            ClusterState::Failed => self.story.cluster.gave_up(),
            ClusterState::Initializing | ClusterState::Unknown => false,
        };
        assert!(resting && self.reloads_open == 0, "still {} with {} reloads open", self.state, self.reloads_open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_walk_leaves_the_table_or_leaks(steps in prop::collection::vec(step(), 1..80)) {
        let mut driver = Driver::new();
        for step in &steps {
            driver.take(step);
        }
        driver.heal();
    }
}

/// The walk would show nothing if it did not get anywhere.
#[test]
fn the_walk_goes_over_every_edge() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut gone = BTreeSet::new();
    for _ in 0..300 {
        let steps = prop::collection::vec(step(), 1..80).new_tree(&mut runner).expect("generates").current();
        let mut driver = Driver::new();
        steps.iter().for_each(|step| driver.take(step));
        gone.append(&mut driver.gone);
    }
    assert_eq!(gone, EDGES.iter().map(|e| (e.from, e.to)).collect());
}
