//! Stories of one virtual cluster; the [`walk`] takes it everywhere else.

mod walk;

use super::*;

fn build(attempt: u64) -> BuildId {
    BuildId { entity: 0, attempt }
}

const RETRY: RetryPolicy =
    RetryPolicy { max_retries: Some(2), initial: Duration::from_secs(1), cap: Duration::from_secs(8) };

fn spec(generation: u64) -> Spec {
    Spec { generation, drain_timeout: Duration::from_secs(10) }
}

/// A cluster, the time, and what it said last.
struct Story {
    cluster: Cluster,
    now: Instant,
    out: Vec<Output>,
}

impl Story {
    fn begin() -> Self {
        let mut out = Vec::new();
        let cluster = Cluster::new(0, spec(1), RETRY, 7, Instant::ZERO, &mut out);
        Self { cluster, now: Instant::ZERO, out }
    }

    /// Serving build 1 of generation 1.
    fn serving() -> Self {
        let mut s = Self::begin();
        s.build(1);
        assert_eq!(s.cluster.state(), ClusterState::Serving);
        s
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Instant::from_millis(millis);
        self
    }

    fn observe(&mut self, input: Input) -> &mut Self {
        self.out.clear();
        self.cluster.handle(input, self.now, &mut self.out);
        self
    }

    fn ask(&mut self, command: Command) -> &mut Self {
        self.out.clear();
        self.cluster.command(command, self.now, &mut self.out).expect("not refused");
        self
    }

    fn refuse(&mut self, command: Command) -> Refused {
        self.out.clear();
        let refused = self.cluster.command(command, self.now, &mut self.out).expect_err("refused");
        assert_eq!(self.out, [], "a refused command changes nothing");
        refused
    }

    fn reload(&mut self, generation: u64, change: Change) -> &mut Self {
        self.ask(Command::Reload { spec: spec(generation), change })
    }

    fn prepared(&mut self, build: u64) -> &mut Self {
        self.observe(Input::Prepared { build: super::tests::build(build) })
    }

    fn bound(&mut self, build: u64) -> &mut Self {
        self.observe(Input::Bound { build: super::tests::build(build) })
    }

    fn build(&mut self, build: u64) -> &mut Self {
        self.prepared(build).bound(build)
    }

    fn not_prepared(&mut self, build: u64, why: &str) -> &mut Self {
        self.observe(Input::PreparationFailed { build: super::tests::build(build), reason: Reason::new(why) })
    }

    fn not_bound(&mut self, build: u64, why: &str) -> &mut Self {
        self.observe(Input::BindFailed { build: super::tests::build(build), reason: Reason::new(why) })
    }

    fn left(&mut self, build: u64, connections: u64, in_flight: u64) -> &mut Self {
        self.observe(Input::ConnectionsLeft { build: super::tests::build(build), connections, in_flight })
    }

    /// What was said last, in short.
    fn said(&self) -> Vec<String> {
        self.out.iter().map(short).collect()
    }
}

fn short(output: &Output) -> String {
    match output {
        Output::Prepare { build, generation } => format!("prepare {} of generation {generation}", build.attempt),
        Output::Bind { build } => format!("bind {}", build.attempt),
        Output::Serve { build } => format!("serve {}", build.attempt),
        Output::Swap { from, to } => format!("swap {} for {}", from.attempt, to.attempt),
        Output::Drain { build, deadline } => format!("drain {} by {}", build.attempt, deadline.as_micros() / 1_000),
        Output::Cut { build } => format!("cut {}", build.attempt),
        Output::Release { build } => format!("release {}", build.attempt),
        Output::Drained(d) => {
            format!("drained in {}, {} of {} cut", d.lasted.as_millis(), d.cut_connections, d.connections)
        }
        Output::Transitioned(t) => format!("{} because {}", t.to, t.cause),
        Output::Reloaded { outcome, cause: Some(cause) } => format!("reload {outcome}: {cause}"),
        Output::Reloaded { outcome, cause: None } => format!("reload {outcome}"),
        Output::GaveUp { reason } => format!("gave up: {reason}"),
    }
}

#[test]
fn a_cluster_is_prepared_then_bound_then_serves() {
    let mut s = Story::begin();
    assert_eq!(s.said(), ["initializing because it is in the configuration", "prepare 1 of generation 1"]);
    assert_eq!(s.prepared(1).said(), ["bind 1"]);
    assert_eq!(s.bound(1).said(), ["serve 1", "serving because built from generation 1"]);
    assert_eq!(s.cluster.deadline(), None);
}

#[test]
fn a_failed_cluster_lets_go_says_why_and_is_retried_until_the_retries_run_out() {
    let mut s = Story::begin();
    assert_eq!(s.not_prepared(1, "no such file").said(), ["release 1", "failed because no such file"]);
    let first = s.cluster.deadline().expect("a retry is due");
    assert!(first >= Instant::from_millis(500) && first <= Instant::from_millis(1_000), "{first:?}");

    s.now = first;
    assert_eq!(s.observe(Input::Tick).said(), ["initializing because retry 1", "prepare 2 of generation 1"]);
    s.prepared(2).not_bound(2, "address in use");
    assert_eq!(s.said(), ["release 2", "failed because address in use"]);

    s.now = s.cluster.deadline().expect("the second retry is due");
    s.observe(Input::Tick);
    assert_eq!(s.not_prepared(3, "still not").said(), ["release 3", "failed because still not", "gave up: still not"]);
    assert_eq!((s.cluster.deadline(), s.cluster.gave_up()), (None, true));

    let said = s.ask(Command::Retry).said();
    assert_eq!(said, ["initializing because an operator wants it back", "prepare 4 of generation 1"]);
    assert_eq!(s.build(4).cluster.state(), ClusterState::Serving);
}

#[test]
fn a_held_cluster_is_prepared_and_binds_when_told() {
    let mut s = Story::begin();
    s.cluster.hold();
    assert_eq!(s.prepared(1).said(), [""; 0]);
    assert_eq!(s.cluster.deadline(), None, "somebody else's drain ends in time");
    s.at(50_000).out.clear();
    s.cluster.proceed(s.now, &mut s.out);
    assert_eq!((s.said(), s.cluster.deadline()), (vec!["bind 1".to_owned()], Some(Instant::from_millis(80_000))));
}

#[test]
fn a_build_that_hangs_is_a_failed_one() {
    let mut s = Story::begin();
    s.prepared(1).at(30_000).observe(Input::Tick);
    assert_eq!(s.said(), ["release 1", "failed because binding listeners took longer than 30s"]);
    assert_eq!(s.bound(1).said(), [""; 0], "late news");
}

#[test]
fn a_live_change_is_prepared_and_swapped_in() {
    let mut s = Story::serving();
    assert_eq!(s.reload(2, Change::Live).said(), ["prepare 2 of generation 2"]);
    assert_eq!(s.cluster.generation(), 1, "not in force yet");
    assert_eq!(s.prepared(2).said(), ["swap 1 for 2", "reload applied"]);
    assert_eq!((s.cluster.state(), s.cluster.generation()), (ClusterState::Serving, 2));
}

#[test]
fn what_cannot_be_prepared_disturbs_nothing() {
    for change in [Change::Live, Change::Drain] {
        let mut s = Story::serving();
        s.reload(2, change);
        assert_eq!(s.not_prepared(2, "bad key").said(), ["release 2", "reload not_prepared: bad key"]);
        assert_eq!((s.cluster.state(), s.cluster.generation()), (ClusterState::Serving, 1));
        assert_eq!(s.reload(3, change).said(), ["prepare 3 of generation 3"], "the next one is tried");
    }
}

#[test]
fn a_change_that_needs_a_drain_goes_by_way_of_initializing() {
    let mut s = Story::serving();
    s.at(100).reload(2, Change::Drain);
    let said = s.at(200).prepared(2).said();
    assert_eq!(said, ["draining because generation 2 is ready", "drain 1 by 10200"]);
    assert_eq!(s.left(1, 3, 1).said(), [""; 0]);
    assert_eq!(
        s.at(250).left(1, 0, 0).said(),
        [
            "release 1",
            "drained in 50, 0 of 3 cut",
            "initializing because drained in 50 ms, 0 connections cut",
            "bind 2"
        ]
    );
    assert_eq!(s.bound(2).said(), ["serve 2", "serving because built from generation 2", "reload applied"]);
}

#[test]
fn what_fails_after_the_drain_is_rolled_back() {
    let mut s = Story::serving();
    s.reload(2, Change::Drain).prepared(2).left(1, 0, 0);
    assert_eq!(
        s.not_bound(2, "address in use").said(),
        [
            "release 2",
            "failed because address in use",
            "initializing because rolling back to generation 1: address in use",
            "prepare 3 of generation 1"
        ]
    );
    let said = s.build(3).said();
    assert_eq!(said, ["serve 3", "serving because built from generation 1", "reload rolled_back: address in use"]);
    assert_eq!(s.cluster.generation(), 1);
}

#[test]
fn a_failed_way_back_ends_the_reload_and_leaves_the_last_good_generation_to_the_retries() {
    let mut s = Story::serving();
    s.reload(2, Change::Drain).prepared(2).left(1, 0, 0).not_bound(2, "new").prepared(3);
    assert_eq!(
        s.not_bound(3, "old").said(),
        [
            "release 3",
            "failed because the way back failed as well: old: new",
            "reload failed: the way back failed as well: old: new"
        ]
    );
    s.now = s.cluster.deadline().expect("a retry is due");
    assert_eq!(s.observe(Input::Tick).said(), ["initializing because retry 1", "prepare 4 of generation 1"]);
}

#[test]
fn a_cluster_that_never_served_has_nothing_to_roll_back_to() {
    let mut s = Story::begin();
    s.not_prepared(1, "bad").reload(2, Change::Drain);
    assert_eq!(s.said(), ["initializing because generation 2 changes it", "prepare 2 of generation 2"]);
    assert_eq!(s.not_prepared(2, "worse").said(), ["release 2", "failed because worse", "reload failed: worse"]);
    assert_eq!(s.cluster.generation(), 2);
}

#[test]
fn the_backstop_cuts_what_is_left() {
    let mut s = Story::serving();
    assert_eq!(s.at(5).ask(Command::Shutdown).said(), ["draining because the proxy stops", "drain 1 by 10005"]);
    s.left(1, 4, 2).at(10_004).observe(Input::Tick);
    assert_eq!(s.said(), [""; 0], "not yet");
    assert_eq!(
        s.at(10_005).observe(Input::Tick).said(),
        [
            "cut 1",
            "release 1",
            "drained in 10000, 4 of 4 cut",
            "stopped because drained in 10000 ms, 4 connections cut"
        ]
    );
}

#[test]
fn an_operators_drain_stays_drained_until_somebody_wants_it_back() {
    let mut s = Story::serving();
    s.ask(Command::Drain);
    assert_eq!(s.at(9).left(1, 0, 0).said(), ["release 1", "drained in 9, 0 of 0 cut"]);
    assert_eq!((s.cluster.state(), s.cluster.deadline()), (ClusterState::Draining, None));
    let drain = s.cluster.snapshot(s.now, WallClock { origin_unix_ms: 0 }).drain.expect("draining");
    assert_eq!((drain.why, drain.deadline_in_ms, drain.connections_left), (DrainReason::Operator, None, 0));

    assert_eq!(s.ask(Command::Drain).said(), [""; 0], "it is drained already");
    let said = s.ask(Command::Retry).said();
    assert_eq!(said, ["initializing because an operator wants it back", "prepare 2 of generation 1"]);
}

#[test]
fn a_shutdown_overtakes_a_reload_and_an_operators_drain() {
    let mut s = Story::serving();
    s.reload(2, Change::Drain).ask(Command::Shutdown);
    assert_eq!(
        s.said(),
        ["release 2", "reload overtaken: the proxy stops", "draining because the proxy stops", "drain 1 by 10000"]
    );
    let mut s = Story::serving();
    s.ask(Command::Drain).left(1, 2, 0);
    assert_eq!(s.ask(Command::Shutdown).said(), [""; 0], "it drains on, for something else");
    assert_eq!(s.refuse(Command::Retry), Refused::Leaving);
    s.left(1, 0, 0);
    assert_eq!(s.cluster.state(), ClusterState::Stopped);
}

#[test]
fn what_leaves_before_it_was_ready_goes_by_way_of_failed() {
    let mut s = Story::begin();
    assert_eq!(
        s.ask(Command::Remove).said(),
        [
            "release 1",
            "failed because it was not ready yet: it is no longer in the configuration",
            "stopped because it is no longer in the configuration"
        ]
    );
}

#[test]
fn halting_waits_for_nothing() {
    let mut s = Story::serving();
    s.ask(Command::Halt);
    assert_eq!(
        s.said(),
        [
            "draining because the proxy stops at once",
            "drain 1 by 10000",
            "cut 1",
            "release 1",
            "drained in 0, 0 of 0 cut",
            "stopped because drained in 0 ms, 0 connections cut"
        ]
    );
}

#[test]
fn a_command_that_makes_no_sense_is_refused_with_a_reason() {
    let mut s = Story::begin();
    assert_eq!(s.refuse(Command::Drain), Refused::NotServing(ClusterState::Initializing));
    s.build(1);
    assert_eq!(s.refuse(Command::Retry), Refused::NothingToRetry(ClusterState::Serving));
    s.reload(2, Change::Live);
    assert_eq!(s.refuse(Command::Drain), Refused::ReloadRunning);
    s.ask(Command::Halt);
    assert_eq!(s.refuse(Command::Retry), Refused::Gone);
}
