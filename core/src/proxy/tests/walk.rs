//! Arbitrary inputs and commands in arbitrary order; then the world heals, and a last reload must come into force whole.

use proptest::prelude::*;

use super::*;
use crate::reload::tests::gateway;

#[derive(Clone, Debug)]
enum Step {
    Answer(bool),
    Leave,
    Advance(u64),
    TickAtDeadline,
    Reload(usize),
    Drain(usize),
    Retry(usize),
    Startup,
    Shutdown,
    Halt,
    Fault,
    NotBegun(bool),
    Stray(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => prop::bool::weighted(0.85).prop_map(Step::Answer),
        10 => Just(Step::Leave),
        3 => (0_u64..15_000).prop_map(Step::Advance),
        3 => Just(Step::TickAtDeadline),
        5 => (0..CONFIGURATIONS).prop_map(Step::Reload),
        2 => (0_usize..4).prop_map(Step::Drain),
        2 => (0_usize..4).prop_map(Step::Retry),
        3 => Just(Step::Startup),
        2 => (0_u64..9).prop_map(Step::Stray),
        2 => any::<bool>().prop_map(Step::NotBegun),
    ]
}

/// The rarer ones, which end it all.
fn last_step() -> impl Strategy<Value = Option<Step>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(Step::Shutdown)), 1 => Just(Some(Step::Halt)), 1 => Just(Some(Step::Fault))]
}

const CONFIGURATIONS: usize = 8;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Configurations that differ in every way, ports that change hands included.
fn configuration(index: usize) -> Loaded {
    let mut live = cluster("a", 9192);
    live.limits.max_connections = 5;
    let mut renamed = cluster("c", 9392);
    renamed.name = cluster_name("d");
    let mut greedy = cluster("a", 9192);
    let gateways = vec![greedy.gateways[0].clone(), gateway("more", 9292, "localhost", &[(0, 2, 9293)])];
    greedy.gateways = crate::config::NonEmpty::new(gateways).expect("two");
    match index {
        0 => forgiving(three()),
        1 => forgiving(vec![live, moved(cluster("b", 9292)), cluster("c", 9392)]),
        2 => forgiving(vec![cluster("a", 9292), cluster("b", 9192), cluster("c", 9392)]),
        3 => forgiving(vec![cluster("a", 9192), cluster("b", 9292), renamed]),
        4 => forgiving(vec![greedy, cluster("d", 9492)]),
        5 => forgiving(vec![cluster("b", 9192), cluster("c", 9292), cluster("a", 9392)]),
        6 => loaded(vec![moved(cluster("a", 9192)), cluster("b", 9292), cluster("c", 9392)]),
        _ => loaded(vec![cluster("c", 9192)]),
    }
}

fn take(w: &mut World, step: &Step) {
    match step {
        Step::Answer(good) => w.answer(*good),
        Step::Leave => w.leave(),
        Step::Advance(millis) => {
            w.now = w.now + Duration::from_millis(*millis);
            w.observe(Input::Tick);
        }
        Step::TickAtDeadline => w.tick_at_deadline(),
        Step::Reload(index) => {
            let busy = w.reloads_open == 1;
            let answer = w.ask(Command::Reload { trigger: Trigger::Watch, loaded: Box::new(configuration(*index)) });
            let expected = match w.proxy.state() {
                ProxyState::Starting | ProxyState::Started if busy => Err(Refused::Busy),
                ProxyState::Starting | ProxyState::Started => Ok(()),
                state @ (ProxyState::New | ProxyState::Stopping | ProxyState::Stopped | ProxyState::Unknown) => {
                    Err(Refused::NotRunning(state))
                }
            };
            assert!(answer == expected || answer == Ok(()) && w.proxy.state() == ProxyState::Stopping, "{answer:?}");
        }
        Step::Drain(i) => drop(w.ask(Command::Drain(cluster_name(NAMES[*i])))),
        Step::Retry(i) => drop(w.ask(Command::Retry(cluster_name(NAMES[*i])))),
        Step::Startup => {
            let over = matches!(w.proxy.state(), ProxyState::Stopping | ProxyState::Stopped);
            assert_eq!(w.ask(Command::Startup).is_err(), over);
        }
        Step::Shutdown => w.ask(shutdown()).expect("never refused"),
        Step::Halt => {
            w.ask(Command::Halt { cause: Reason::new("a second signal") }).expect("never refused");
            assert_eq!(w.proxy.state(), ProxyState::Stopped, "nothing is waited for");
        }
        Step::Fault => w.observe(Input::Fault(Reason::new("a task died"))),
        Step::NotBegun(busy) => {
            let outcome = if *busy { ReloadOutcome::Busy } else { ReloadOutcome::Rejected };
            let (heard, open) = (w.heard.len(), w.reloads_open);
            w.observe(Input::ReloadNotBegun { trigger: Trigger::Signal, outcome, errors: vec!["why".into()] });
            assert_eq!((w.heard.len(), w.reloads_open), (heard, open), "it disturbs nobody, and no reload that runs");
        }
        Step::Stray(attempt) => {
            let build = cluster::BuildId { entity: 0, attempt: *attempt };
            for name in NAMES {
                let before = w.heard.len();
                w.observe(Input::Cluster { name: cluster_name(name), input: cluster::Input::Bound { build } });
                assert_eq!(w.heard.len(), before, "news of a build that nobody made");
            }
        }
    }
}

/// From now on everything works. The proxy must come to rest, and take a last configuration whole.
fn heal(w: &mut World, last: usize) {
    for _ in 0..6 {
        w.settle();
        w.tick_at_deadline();
    }
    w.settle();
    assert_eq!(w.reloads_open, 0, "a reload never ends");
    match w.proxy.state() {
        ProxyState::New => w.ask(Command::Startup).expect("it is new"),
        ProxyState::Starting | ProxyState::Started => {}
        ProxyState::Stopping => panic!("it does not stop: {:?}", w.states()),
        ProxyState::Stopped | ProxyState::Unknown => return assert!(w.ended.is_some()),
    }
    w.settle();
    w.ask(reload(configuration(last))).expect("nothing else runs");
    w.settle();
    let done = w.reloaded.last().expect("reported");
    assert!(matches!(done.outcome, ReloadOutcome::Applied | ReloadOutcome::Unchanged), "{done:?}");
    assert_eq!(w.proxy.digest(), configuration(last).digest(), "what is in force is what was asked for");
    for name in NAMES {
        // Only an operator brings back what an operator drained.
        drop(w.ask(Command::Retry(cluster_name(name))));
    }
    w.settle();
    assert!(w.states().iter().all(|(_, s)| *s == ClusterState::Serving), "{:?}", w.states());
    assert_eq!(w.proxy.state(), ProxyState::Started);
    assert_eq!(w.held.len(), w.states().len());
}

proptest! {
    #[test]
    fn no_walk_leaves_the_table_disturbs_a_neighbour_or_gets_stuck(
        first in 0..CONFIGURATIONS,
        steps in prop::collection::vec(step(), 1..120),
        end in last_step(),
        last in 0..CONFIGURATIONS,
    ) {
        let mut w = World::new(configuration(first));
        take(&mut w, &Step::Startup);
        for step in steps.iter().chain(&end) {
            take(&mut w, step);
        }
        heal(&mut w, last);
    }
}
