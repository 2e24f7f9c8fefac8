//! Stories of one proxy with three virtual clusters; the [`walk`] takes it everywhere else.

mod walk;
mod world;

use self::world::{World, cluster_name, remaining};
use super::*;
use crate::{
    config::{OnVirtualClusterFailure, VirtualCluster},
    reload::tests::{cluster, loaded_with, servers},
    status::{ClusterOutcome, ClusterState},
};

fn three() -> Vec<VirtualCluster> {
    vec![cluster("a", 9192), cluster("b", 9292), cluster("c", 9392)]
}

fn loaded(clusters: Vec<VirtualCluster>) -> Loaded {
    loaded_with(OnVirtualClusterFailure::default(), clusters)
}

/// The same, and one failed cluster does not take the others with it.
fn forgiving(clusters: Vec<VirtualCluster>) -> Loaded {
    loaded_with(remaining(), clusters)
}

/// A change that needs a drain.
fn moved(mut cluster: VirtualCluster) -> VirtualCluster {
    cluster.upstream.bootstrap_servers = servers(&["elsewhere"]);
    cluster
}

fn started(loaded: Loaded) -> World {
    let mut w = World::new(loaded);
    w.ask(Command::Startup).expect("it is new");
    w.settle();
    assert_eq!(w.proxy.state(), ProxyState::Started);
    w.heard.clear();
    w
}

fn shutdown() -> Command {
    Command::Shutdown { cause: Reason::new("SIGTERM") }
}

fn reload(loaded: Loaded) -> Command {
    Command::Reload { trigger: Trigger::Api, loaded: Box::new(loaded) }
}

fn outcomes(reloaded: &Reloaded) -> Vec<(&str, ClusterOutcome)> {
    reloaded.virtual_clusters.iter().map(|c| (c.name.as_str(), c.outcome)).collect()
}

#[test]
fn a_proxy_starts_all_its_clusters_and_stops_them_all() {
    let mut w = World::new(loaded(three()));
    w.ask(Command::Startup).expect("it is new");
    assert_eq!(w.proxy.state(), ProxyState::Starting);
    w.settle();
    assert_eq!(w.proxy.state(), ProxyState::Started);
    assert_eq!(w.states(), [("a", ClusterState::Serving), ("b", ClusterState::Serving), ("c", ClusterState::Serving)]);
    w.ask(shutdown()).expect("never refused");
    assert_eq!(w.proxy.state(), ProxyState::Stopping);
    w.settle();
    assert_eq!((w.proxy.state(), w.ended.clone()), (ProxyState::Stopped, Some(Ok(()))));
}

#[test]
fn startup_and_shutdown_may_be_asked_for_again_and_a_proxy_is_used_once() {
    let mut w = started(loaded(three()));
    w.ask(Command::Startup).expect("it is idempotent");
    assert!(w.heard.is_empty());
    w.ask(shutdown()).expect("never refused");
    w.settle();
    w.heard.clear();
    w.ask(shutdown()).expect("never refused");
    assert!(w.heard.is_empty());
    assert_eq!(w.ask(Command::Startup), Err(Refused::Over(ProxyState::Stopped)));
}

#[test]
fn a_shutdown_of_a_proxy_that_never_started_is_its_end() {
    let mut w = World::new(loaded(three()));
    w.ask(shutdown()).expect("never refused");
    assert_eq!((w.proxy.state(), w.ended.clone()), (ProxyState::Stopped, Some(Ok(()))));
}

#[test]
fn one_cluster_that_cannot_be_served_stops_the_proxy_which_says_why() {
    let mut w = World::new(loaded(three()));
    w.cannot_bind("b", 1);
    w.ask(Command::Startup).expect("it is new");
    w.settle();
    let failure = w.ended.clone().expect("ended").expect_err("not well");
    assert_eq!(failure.to_string(), "start-up failed: virtual cluster b cannot be served: cannot bind: address in use");
    assert_eq!(failure.exit_code(), 1);
    assert!(w.held.is_empty());
}

#[test]
fn the_remaining_clusters_are_served_and_the_failed_one_is_retried() {
    let mut w = World::new(forgiving(three()));
    w.cannot_bind("b", 1);
    w.ask(Command::Startup).expect("it is new");
    w.settle();
    assert_eq!(w.states(), [("a", ClusterState::Serving), ("b", ClusterState::Failed), ("c", ClusterState::Serving)]);
    assert_eq!(w.proxy.state(), ProxyState::Started);
    w.repair();
    w.tick_at_deadline();
    w.settle();
    assert_eq!(w.states()[1], ("b", ClusterState::Serving));
}

#[test]
fn a_proxy_is_not_up_before_every_cluster_has_been_tried() {
    let mut w = World::new(forgiving(three()));
    w.ask(Command::Startup).expect("it is new");
    for _ in 0..5 {
        w.answer(true);
    }
    assert_eq!(
        w.states(),
        [("a", ClusterState::Serving), ("b", ClusterState::Serving), ("c", ClusterState::Initializing)]
    );
    assert_eq!(w.proxy.state(), ProxyState::Starting);
    w.answer(false);
    assert_eq!((w.states()[2].1, w.proxy.state()), (ClusterState::Failed, ProxyState::Started));
}

#[test]
fn a_proxy_that_serves_nothing_is_not_up_and_gives_up_only_with_the_last_retry() {
    let mut failure = remaining();
    failure.retry.max_retries = Some(1);
    let mut w = World::new(loaded_with(failure, three()));
    for name in ["a", "b", "c"] {
        w.cannot_bind(name, 1);
    }
    w.ask(Command::Startup).expect("it is new");
    w.settle();
    assert_eq!(w.proxy.state(), ProxyState::Starting, "there are retries left");
    while w.ended.is_none() {
        w.tick_at_deadline();
        w.settle();
    }
    let failure = w.ended.clone().expect("ended").expect_err("not well");
    assert!(failure.to_string().starts_with("start-up failed: no virtual cluster is left to serve: "), "{failure}");
}

#[test]
fn a_reload_touches_only_what_it_changes() {
    let mut w = started(loaded(three()));
    let mut live = cluster("c", 9392);
    live.limits.max_connections = 7;
    let new = loaded(vec![cluster("a", 9192), moved(cluster("b", 9292)), live]);
    let digest = new.digest();
    w.ask(reload(new)).expect("nothing else runs");
    w.settle();
    assert!(!w.heard.iter().any(|(name, _)| *name == cluster_name("a")), "{:?}", w.heard);
    assert_eq!(w.said_of("c"), ["prepare of generation 2", "swap", "reload applied"]);
    let done = w.reloaded.pop().expect("reported");
    assert_eq!(done.outcome, ReloadOutcome::Applied);
    let unchanged = ClusterOutcome::Unchanged;
    assert_eq!(outcomes(&done), [("a", unchanged), ("b", ClusterOutcome::Applied), ("c", ClusterOutcome::Applied)]);
    assert_eq!((done.generation, done.digest, w.proxy.digest()), (2, digest, digest));
}

#[test]
fn a_cluster_that_fails_after_its_drain_is_rolled_back_and_its_neighbours_notice_nothing() {
    let mut w = started(loaded(three()));
    let (before, bad) =
        (w.proxy.digest(), loaded(vec![cluster("a", 9192), moved(cluster("b", 9292)), cluster("c", 9392)]));
    w.cannot_bind("b", 2);
    w.ask(reload(bad.clone())).expect("nothing else runs");
    w.settle();
    assert!(w.heard.iter().all(|(name, _)| *name == cluster_name("b")), "{:?}", w.heard);
    let done = w.reloaded.pop().expect("reported");
    assert_eq!((done.outcome, done.generation, done.digest), (ReloadOutcome::Failed, 1, before));
    assert_eq!(done.virtual_clusters[1].outcome, ClusterOutcome::RolledBack);
    assert_eq!(done.virtual_clusters[1].cause, ["cannot bind", "address in use"]);
    assert_eq!((w.proxy.state(), w.states()[1]), (ProxyState::Started, ("b", ClusterState::Serving)));

    w.cannot_bind("b", 3);
    w.ask(reload(bad.clone())).expect("nothing else runs");
    w.settle();
    assert_eq!(w.reloaded.pop().expect("reported").outcome, ReloadOutcome::Failed, "the same again is tried again");
    w.repair();
    w.ask(reload(bad)).expect("nothing else runs");
    w.settle();
    assert_eq!(w.reloaded.pop().expect("reported").outcome, ReloadOutcome::Applied);
}

#[test]
fn a_failed_way_back_is_what_the_failure_policy_is_for() {
    for (policy, ends) in [(OnVirtualClusterFailure::default(), true), (remaining(), false)] {
        let mut w = started(loaded_with(policy, three()));
        w.cannot_bind("b", 1);
        w.cannot_bind("b", 2);
        w.ask(reload(loaded_with(policy, vec![cluster("a", 9192), moved(cluster("b", 9292)), cluster("c", 9392)])))
            .expect("nothing else runs");
        w.settle();
        let done = w.reloaded.pop().expect("reported");
        assert_eq!(done.virtual_clusters[1].outcome, ClusterOutcome::Failed);
        let code = w.ended.as_ref().map(|e| e.as_ref().expect_err("not well").exit_code());
        assert_eq!(code, ends.then_some(3));
    }
}

#[test]
fn two_reloads_at_once_are_one_and_a_clear_refusal() {
    let mut w = started(loaded(three()));
    let new = loaded(vec![cluster("a", 9192), moved(cluster("b", 9292)), cluster("c", 9392)]);
    w.ask(reload(new.clone())).expect("nothing else runs");
    assert_eq!(w.ask(reload(new)), Err(Refused::Busy));
    w.settle();
    assert_eq!(w.reloaded.len(), 1);
}

#[test]
fn a_reload_that_is_not_begun_is_the_last_one_until_the_next_and_touches_none_that_runs() {
    let mut w = started(loaded(three()));
    let shown = |w: &World| {
        let last = w.proxy.snapshot(w.now, WallClock { origin_unix_ms: 0 }).configuration.last_reload;
        last.map(|l| (l.outcome, l.generation, l.errors))
    };
    let not_begun = |outcome, why: &str| {
        let errors = vec![why.to_owned()];
        Input::ReloadNotBegun { trigger: Trigger::Signal, outcome, errors }
    };
    w.observe(not_begun(ReloadOutcome::Rejected, "proxy.ron:1:1: no"));
    assert_eq!(shown(&w), Some((ReloadOutcome::Rejected, 1, vec!["proxy.ron:1:1: no".to_owned()])));
    w.ask(reload(loaded(vec![cluster("a", 9192), moved(cluster("b", 9292)), cluster("c", 9392)]))).expect("idle");
    w.observe(not_begun(ReloadOutcome::Busy, "busy"));
    assert_eq!(shown(&w), Some((ReloadOutcome::Busy, 1, vec!["busy".to_owned()])));
    w.settle();
    assert_eq!(shown(&w), Some((ReloadOutcome::Applied, 2, vec![])));
    assert_eq!(w.not_begun, [ReloadOutcome::Rejected, ReloadOutcome::Busy]);
    w.ask(shutdown()).expect("never refused");
    w.observe(not_begun(ReloadOutcome::Busy, "busy"));
    assert_eq!(w.not_begun.len(), 2, "who stops tells of no reload");
}

#[test]
fn a_reload_that_changes_nothing_says_so_and_one_that_takes_a_restart_is_refused() {
    let mut w = started(loaded(three()));
    w.ask(reload(loaded(three()))).expect("nothing else runs");
    let done = w.reloaded.pop().expect("reported at once");
    assert_eq!((done.outcome, done.generation), (ReloadOutcome::Unchanged, 1));

    w.ask(reload(loaded(vec![cluster("a", 9192), moved(cluster("b", 9292)), cluster("c", 9392)]))).expect("idle");
    w.settle();
    let done = w.reloaded.pop().expect("reported");
    assert_eq!(
        (done.outcome, done.generation),
        (ReloadOutcome::Applied, 2),
        "one more for each that changes something"
    );

    let admin = crate::config::Admin { bind: "127.0.0.1:9999".parse().expect("an address"), ..Default::default() };
    let clusters = crate::config::NonEmpty::new(three()).expect("three");
    let other = crate::config::Config::new(admin, OnVirtualClusterFailure::default(), clusters).expect("no conflict");
    let other = Loaded::new(other, Digest::default(), |_| crate::reload::Material::default());
    assert_eq!(
        w.ask(reload(other)).expect_err("refused").to_string(),
        "this takes a restart: admin.bind: 127.0.0.1:9190 → 127.0.0.1:9999"
    );
}

#[test]
fn what_only_removes_is_a_generation_of_its_own() {
    let mut w = started(loaded(three()));
    let two = loaded(three().split_off(1));
    let digest = two.digest();
    w.ask(reload(two)).expect("nothing else runs");
    w.settle();
    let done = w.reloaded.pop().expect("it is over");
    assert_eq!((done.outcome, done.generation, done.digest), (ReloadOutcome::Applied, 2, digest));
    assert_eq!((w.proxy.generation(), w.proxy.digest()), (2, digest));
}

#[test]
fn a_rename_that_keeps_its_ports_waits_until_the_old_cluster_has_let_go() {
    let mut w = started(loaded(three()));
    let mut renamed = cluster("c", 9392);
    renamed.name = cluster_name("d");
    w.ask(reload(loaded(vec![cluster("a", 9192), cluster("b", 9292), renamed]))).expect("nothing else runs");
    w.answer_all();
    assert_eq!(w.said_of("d"), ["initializing", "prepare of generation 2"], "it does not bind yet");
    w.settle();
    assert_eq!(w.states()[2], ("d", ClusterState::Serving));
    let done = w.reloaded.pop().expect("reported");
    assert_eq!(done.outcome, ReloadOutcome::Applied);
    assert!(done.warnings[0].contains("d looks like c"), "{:?}", done.warnings);
}

#[test]
fn ports_can_be_swapped_between_two_clusters() {
    let mut w = started(loaded(three()));
    let new = loaded(vec![cluster("a", 9292), cluster("b", 9192), cluster("c", 9392)]);
    w.ask(reload(new)).expect("nothing else runs");
    w.settle();
    assert_eq!(w.reloaded.pop().expect("reported").outcome, ReloadOutcome::Applied);
}

#[test]
fn changed_settings_come_into_force_at_once() {
    let mut w = started(loaded(three()));
    w.ask(reload(forgiving(three()))).expect("nothing else runs");
    assert_eq!(w.applied_settings, [2]);
    let done = w.reloaded.pop().expect("reported at once");
    assert_eq!((done.outcome, done.generation, done.digest), (ReloadOutcome::Applied, 2, forgiving(three()).digest()));
    assert!(w.heard.is_empty(), "no cluster is touched: {:?}", w.heard);

    w.cannot_bind("b", 2);
    w.cannot_bind("b", 1);
    w.ask(Command::Drain(cluster_name("b"))).expect("it serves");
    w.leave();
    w.ask(Command::Retry(cluster_name("b"))).expect("it is drained");
    w.settle();
    assert_eq!((w.states()[1].1, w.proxy.state()), (ClusterState::Failed, ProxyState::Started));
    assert!(w.proxy.deadline().is_some(), "it is retried, as the settings of now say");
}

/// Found by the walk: a way back and the end of the proxy in one step, and the generation was forgotten too soon.
#[test]
fn what_a_step_names_can_be_looked_up_even_if_it_goes_in_the_same_step() {
    let mut w = started(loaded(vec![cluster("c", 9392)]));
    let mut failure = OnVirtualClusterFailure::default();
    failure.retry.cap *= 2;
    let new = loaded_with(failure, vec![moved(cluster("c", 9392)), cluster("d", 9492)]);
    w.ask(reload(new)).expect("nothing else runs");
    w.answer(true);
    w.leave();
    w.tick_at_deadline();
    assert_eq!(w.said_of("c").last(), Some(&"stopped"));
    assert!(w.said_of("c").contains(&"prepare of generation 1"), "it was on its way back: {:?}", w.said_of("c"));
    assert!(w.ended.is_some(), "d could not be served, and none is to be served then");
}

#[test]
fn a_shutdown_overtakes_a_reload_which_is_reported_all_the_same() {
    let mut w = started(loaded(three()));
    let mut renamed = cluster("c", 9392);
    renamed.name = cluster_name("d");
    w.ask(reload(loaded(vec![cluster("a", 9192), moved(cluster("b", 9292)), renamed]))).expect("nothing else runs");
    w.ask(shutdown()).expect("never refused");
    w.settle();
    let done = w.reloaded.pop().expect("reported");
    let overtaken = ClusterOutcome::Overtaken;
    let expected = [("a", ClusterOutcome::Unchanged), ("b", overtaken), ("c", overtaken), ("d", overtaken)];
    assert_eq!((done.outcome, outcomes(&done)), (ReloadOutcome::Failed, expected.to_vec()));
    assert_eq!(w.ended, Some(Ok(())));
}

#[test]
fn a_second_signal_stops_at_once_and_not_well() {
    let mut w = started(loaded(three()));
    w.ask(shutdown()).expect("never refused");
    w.ask(Command::Halt { cause: Reason::new("a second SIGTERM") }).expect("never refused");
    let failure = w.ended.clone().expect("ended at once").expect_err("not well");
    assert_eq!(failure.to_string(), "shutdown failed: it was told to stop at once: a second SIGTERM");
    assert_eq!((failure.exit_code(), w.held.len()), (3, 0));
}

#[test]
fn a_fault_of_the_proxy_itself_ends_it_gracefully_and_not_well() {
    let mut w = started(loaded(three()));
    w.observe(Input::Fault(Reason::new("the admin listener died")));
    assert_eq!(w.proxy.state(), ProxyState::Stopping);
    w.settle();
    let failure = w.ended.clone().expect("ended").expect_err("not well");
    assert_eq!(failure.to_string(), "the proxy failed: the admin listener died");
}

#[test]
fn an_operator_drains_and_brings_back_one_cluster() {
    let mut w = started(loaded(three()));
    assert_eq!(w.ask(Command::Drain(cluster_name("x"))), Err(Refused::NoSuchCluster(cluster_name("x"))));
    w.ask(Command::Drain(cluster_name("B"))).expect("names have no case");
    w.settle();
    assert_eq!(w.states()[1], ("b", ClusterState::Draining));
    w.ask(reload(loaded(three()))).expect("nothing else runs");
    assert_eq!(w.states()[1], ("b", ClusterState::Draining), "a reload that does not change it leaves it drained");
    w.ask(Command::Retry(cluster_name("b"))).expect("it is drained");
    w.settle();
    assert_eq!(w.states()[1], ("b", ClusterState::Serving));
}

#[test]
fn what_is_shown_names_the_reason_and_the_last_reload() {
    let mut w = World::new(forgiving(three()));
    w.cannot_bind("b", 1);
    w.ask(Command::Startup).expect("it is new");
    w.settle();
    let mut spelled = cluster("A", 9192);
    spelled.limits.max_connections = 1;
    w.ask(reload(forgiving(vec![spelled, cluster("b", 9292), cluster("c", 9392)]))).expect("nothing else runs");
    w.cannot_bind("b", 2);
    w.settle();
    let shown = w.proxy.snapshot(w.now, WallClock { origin_unix_ms: 1_000_000 });
    assert_eq!(shown.proxy.state, ProxyState::Started);
    assert_eq!(shown.virtual_clusters[0].name, "A", "as it is spelled now");
    assert_eq!(
        shown.virtual_clusters[1].reason.as_deref(),
        Some(&["cannot bind".to_owned(), "address in use".into()][..])
    );
    let last = shown.configuration.last_reload.expect("there was one");
    assert_eq!((last.trigger.as_str(), last.outcome), ("api", ReloadOutcome::Partial));
    assert_eq!(last.virtual_clusters[1].fields, ["it has failed and is tried again"]);
    assert_eq!(shown.configuration.generation, 2);
}
