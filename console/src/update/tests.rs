//! What keys and news do, told key by key.

use kroxy_core::reload::{FieldChange, Plan};
use kroxy_core::status::{
    ClusterState, ClusterStatus, ClusterTransition, Event, EventKind, ProxyStatus, Severity, Status, Totals,
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::model::{
    Action, Effect, EventsFeed, InputPurpose, Model, Msg, News, Outcome, Overlay, ReloadStage, Screen, rows,
};
use crate::theme::Theme;
use crate::update::update;

/// A console and its clock.
struct Desk {
    model: Model,
    now_unix_ms: u64,
}

impl Desk {
    /// Two proxies, the first with `orders` (failed), `payments` and `web`.
    fn new() -> Self {
        let proxies = ["a", "b"].map(|name| (name.to_owned(), format!("http://{name}:9190")));
        let mut desk = Self { model: Model::new(&proxies, Theme::Dark, (80, 24), 0), now_unix_ms: 0 };
        desk.status(status(1, 0));
        desk
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now_unix_ms = ms;
        self
    }

    fn msg(&mut self, msg: Msg) -> Vec<Effect> {
        update(&mut self.model, msg, self.now_unix_ms)
    }

    fn news(&mut self, news: News) -> Vec<Effect> {
        self.msg(Msg::News { proxy: 0, news })
    }

    fn status(&mut self, status: Status) {
        assert_eq!(self.news(News::Status(Box::new(status))), []);
    }

    fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.msg(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    /// Types characters that must have no effect outside the model.
    fn keys(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            assert_eq!(self.key(KeyCode::Char(c)), [], "{c}");
        }
        self
    }

    fn acted(&mut self, action: Action, outcome: Outcome) {
        self.msg(Msg::Acted { proxy: 0, action, outcome });
    }

    fn names(&self) -> Vec<String> {
        rows::rows(&self.model).iter().map(|row| row.cluster.name.clone()).collect()
    }

    fn selected(&self) -> String {
        rows::selected(&self.model).map(|row| row.cluster.name.clone()).unwrap_or_default()
    }

    fn notice(&self) -> &str {
        self.model.notice.as_ref().map_or("", |notice| &notice.text)
    }

    fn journal(&self) -> Vec<&str> {
        self.model.proxy().journal.entries().map(|entry| entry.text.as_str()).collect()
    }
}

fn status(process_id: u32, second: u64) -> Status {
    let cluster = |name: &str, state, requests: u64| ClusterStatus {
        name: name.into(),
        state,
        totals: Totals { requests: requests * second, ..Totals::default() },
        ..ClusterStatus::default()
    };
    let mut orders = cluster("orders", ClusterState::Failed, 0);
    orders.reason = Some(vec!["cannot bind".into(), "address in use".into()]);
    Status {
        at_unix_ms: second * 1_000,
        proxy: ProxyStatus { process_id, ..ProxyStatus::default() },
        virtual_clusters: vec![
            orders,
            cluster("payments", ClusterState::Serving, 10),
            cluster("web", ClusterState::Serving, 500),
        ],
        ..Status::default()
    }
}

fn act(action: Action) -> Vec<Effect> {
    vec![Effect::Act { proxy: 0, action }]
}

fn done() -> Outcome {
    Outcome::Done { report: None, text: String::new() }
}

#[test]
fn a_drain_is_asked_for_only_after_yes() {
    let mut desk = Desk::new();
    desk.keys("jd");
    assert!(
        matches!(&desk.model.overlay, Some(Overlay::Confirm { action: Action::Drain(name) }) if name == "payments")
    );
    desk.keys("x");
    assert_eq!(desk.key(KeyCode::Enter), [], "Enter is pressed too easily to mean yes");
    desk.keys("n");
    assert!(desk.model.overlay.is_none());
    desk.keys("d");
    assert_eq!(desk.key(KeyCode::Char('y')), act(Action::Drain("payments".into())));
    desk.acted(Action::Drain("payments".into()), done());
    assert_eq!(desk.notice(), "drain payments: accepted");
    assert!(desk.journal().contains(&"console: drain payments: accepted"), "the journal keeps what was done");
}

#[test]
fn what_a_proxy_does_not_offer_is_said_so() {
    let mut desk = Desk::new();
    desk.keys("r");
    assert_eq!(desk.key(KeyCode::Char('y')), act(Action::Retry("orders".into())));
    desk.acted(Action::Retry("orders".into()), Outcome::NotOffered);
    assert_eq!(desk.notice(), "retry orders: this proxy does not offer it");
}

#[test]
fn a_read_only_console_asks_for_nothing() {
    let mut desk = Desk::new();
    desk.model.read_only = true;
    for key in "drRX".chars() {
        desk.keys(&key.to_string());
        assert!(desk.model.overlay.is_none(), "{key}");
        assert!(desk.notice().starts_with("read-only"), "{key}");
        desk.model.notice = None;
    }
}

#[test]
fn a_reload_shows_its_plan_first() {
    let mut desk = Desk::new();
    assert_eq!(desk.key(KeyCode::Char('R')), act(Action::Plan));
    assert_eq!(desk.key(KeyCode::Char('y')), [], "there is nothing to say yes to yet");
    desk.acted(Action::Plan, planned("limits", &[]));
    assert_eq!(desk.key(KeyCode::Char('y')), act(Action::Reload));
    assert!(matches!(desk.model.overlay, Some(Overlay::Reload { stage: ReloadStage::Running, .. })));
    desk.acted(Action::Reload, done());
    assert!(matches!(desk.model.overlay, Some(Overlay::Reload { stage: ReloadStage::Ended(_), .. })));
    desk.key(KeyCode::Enter);
    assert!(desk.model.overlay.is_none());
}

/// A plan that changes a setting, and would change others that need a restart.
fn planned(setting: &str, refused: &[&str]) -> Outcome {
    let change = |field: &str| FieldChange { field: field.into(), from: None, to: Some("1".into()) };
    Outcome::Planned(Box::new(Plan {
        settings: vec![change(setting)],
        refused: refused.iter().map(|field| change(field)).collect(),
        ..Plan::default()
    }))
}

#[test]
fn a_plan_that_changes_nothing_or_needs_a_restart_leads_nowhere() {
    for plan in [Outcome::Planned(Box::default()), planned("limits", &["admin.listen"])] {
        let mut desk = Desk::new();
        desk.key(KeyCode::Char('R'));
        desk.acted(Action::Plan, plan);
        assert_eq!(desk.key(KeyCode::Char('y')), []);
    }
}

#[test]
fn a_rejected_configuration_cannot_be_reloaded() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Char('R'));
    desk.acted(Action::Plan, Outcome::Refused { status: 422, report: None, text: "line 3: no such field".into() });
    assert_eq!(desk.key(KeyCode::Char('y')), []);
}

#[test]
fn a_reload_without_a_plan_is_still_asked_about() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Char('R'));
    desk.acted(Action::Plan, Outcome::NotOffered);
    assert_eq!(desk.key(KeyCode::Char('y')), act(Action::Reload));
}

#[test]
fn a_plan_that_comes_too_late_opens_nothing_and_a_result_is_told_all_the_same() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Char('R'));
    desk.key(KeyCode::Esc);
    desk.acted(Action::Plan, done());
    assert!(desk.model.overlay.is_none() && desk.notice().is_empty());
    desk.acted(Action::Reload, done());
    assert_eq!(desk.notice(), "reload: accepted");
}

#[test]
fn a_shutdown_wants_the_word() {
    let mut desk = Desk::new();
    desk.keys("Xshutdow");
    assert_eq!(desk.key(KeyCode::Enter), []);
    desk.keys("n");
    assert_eq!(desk.key(KeyCode::Enter), act(Action::Shutdown));
}

#[test]
fn the_selection_stays_with_its_cluster_when_the_order_changes() {
    let mut desk = Desk::new();
    desk.at(1_000).status(status(1, 1));
    assert_eq!(desk.names(), ["orders", "payments", "web"]);
    desk.keys("j");
    assert_eq!(desk.selected(), "payments");
    desk.keys("sssss");
    assert_eq!(desk.names(), ["web", "payments", "orders"], "by requests a second");
    assert_eq!(desk.selected(), "payments");
    desk.keys("S");
    assert_eq!(desk.names(), ["orders", "payments", "web"], "the other way round");
}

#[test]
fn a_filter_looks_at_names_states_and_reasons() {
    let mut desk = Desk::new();
    desk.keys("/ADDRESS");
    assert_eq!(desk.names(), ["orders"]);
    desk.key(KeyCode::Enter);
    assert!(desk.model.input.is_none());
    assert_eq!(desk.names(), ["orders"]);
    desk.key(KeyCode::Esc);
    assert_eq!(desk.names().len(), 3);
    desk.keys("/zzz");
    desk.key(KeyCode::Esc);
    assert_eq!(desk.names().len(), 3, "Esc while typing drops it");
}

#[test]
fn a_frozen_picture_stays_while_the_world_goes_on() {
    let mut desk = Desk::new();
    desk.keys(" ");
    let mut later = status(1, 1);
    later.virtual_clusters.remove(0);
    desk.at(1_000).status(later);
    assert_eq!(desk.names().len(), 3);
    desk.keys(" ");
    assert_eq!(desk.names(), ["payments", "web"]);
}

#[test]
fn silence_is_dated_from_the_last_answer() {
    let mut desk = Desk::new();
    desk.at(5_000).status(status(1, 5));
    desk.at(6_000).news(News::Silent("connection refused".into()));
    desk.at(9_000).news(News::Silent("connection refused".into()));
    assert_eq!(desk.model.stale_since(0), Some(5_000));
    assert_eq!(desk.journal().len(), 1, "one silence is told once");
    desk.at(17_000).status(status(1, 17));
    assert_eq!(desk.model.stale_since(0), None);
    assert_eq!(desk.journal()[1], "console: answers again after 12s");
}

#[test]
fn an_answer_that_does_not_come_makes_the_picture_stale_as_well() {
    let mut desk = Desk::new();
    desk.at(3_000).msg(Msg::Tick);
    assert_eq!(desk.model.stale_since(0), None);
    desk.at(4_000).msg(Msg::Tick);
    assert_eq!(desk.model.stale_since(0), Some(0));
}

#[test]
fn a_restarted_proxy_makes_no_negative_rates() {
    let mut desk = Desk::new();
    desk.at(10_000).status(status(1, 10));
    desk.at(11_000).status(status(2, 1));
    let rates = |desk: &Desk| rows::rows(&desk.model)[2].rates.map(|rates| rates.requests);
    assert_eq!(rates(&desk), Some(0.0));
    desk.at(12_000).status(status(2, 2));
    assert_eq!(rates(&desk), Some(500.0));
    assert!(desk.journal().iter().any(|text| text.contains("restarted as process 2")));
}

#[test]
fn an_event_that_changes_something_asks_for_the_status() {
    let mut desk = Desk::new();
    let transition = ClusterTransition { to: ClusterState::Serving, at_unix_ms: 5, ..ClusterTransition::default() };
    let kind = EventKind::ClusterTransition { virtual_cluster: "orders".into(), transition };
    let event = News::Event(Box::new(Event { seq: 1, at_unix_ms: 5, kind }));
    assert_eq!(desk.news(event.clone()), [Effect::Refresh { proxy: 0 }]);
    assert_eq!(desk.news(event), [], "the same one again changes nothing");
    let log =
        EventKind::Log { severity: Severity::Info, target: "t".into(), virtual_cluster: None, message: "m".into() };
    assert_eq!(desk.news(News::Event(Box::new(Event { seq: 2, at_unix_ms: 6, kind: log }))), []);
    assert_eq!(desk.model.proxy().events, EventsFeed::Live);
}

#[test]
fn the_journal_is_written_as_it_is_shown() {
    let mut desk = Desk::new();
    desk.model.screen = Screen::Overview;
    desk.at(6_000).news(News::Silent("connection refused".into()));
    desk.keys("ex");
    assert_eq!(desk.model.input.as_ref().map(|input| input.purpose), Some(InputPurpose::ExportPath));
    let effects = desk.key(KeyCode::Enter);
    let [Effect::Export { path, text }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(path, "kroxy-events.txt");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.ends_with("1970-01-01T00:00:06Z error - console: no answer: connection refused\n"), "{text}");
}

#[test]
fn the_journal_can_be_written_as_json_lines() {
    let mut desk = Desk::new();
    desk.at(6_000).news(News::Silent("connection refused".into()));
    desk.keys("ex");
    desk.msg(Msg::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL)));
    desk.keys("out.jsonl");
    let effects = desk.key(KeyCode::Enter);
    let [Effect::Export { text, .. }] = &effects[..] else { panic!("{effects:?}") };
    let event: Event = serde_json::from_str(text.trim()).expect("one event");
    assert_eq!(event.severity(), Severity::Error);
}

#[test]
fn the_detail_leads_to_the_events_of_its_cluster_and_back() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Enter);
    assert_eq!(desk.model.screen, Screen::Detail { cluster: "orders".into(), scroll: 0 });
    desk.keys("e");
    assert_eq!(desk.model.events.cluster.as_deref(), Some("orders"));
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.screen, Screen::Detail { cluster: "orders".into(), scroll: 0 });
    desk.key(KeyCode::Esc);
    assert_eq!(desk.model.screen, Screen::Overview);
}

#[test]
fn scrolling_past_the_end_needs_no_scrolling_back() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Enter);
    for _ in 0..500 {
        desk.keys("j");
    }
    let Screen::Detail { scroll: end, .. } = desk.model.screen else { panic!("still the detail") };
    desk.keys("k");
    assert_eq!(desk.model.screen, Screen::Detail { cluster: "orders".into(), scroll: end - 1 });
}

#[test]
fn proxies_are_gone_through_in_a_circle() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Tab);
    assert_eq!((desk.model.current, desk.names().len()), (1, 0));
    desk.key(KeyCode::Tab);
    assert_eq!(desk.model.current, 0);
    desk.key(KeyCode::BackTab);
    assert_eq!(desk.model.current, 1);
}

#[test]
fn leaving_is_possible_from_everywhere() {
    let ctrl_c = || Msg::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    for way in ["", "/abc", "d", "X", "?", "ex"] {
        let mut desk = Desk::new();
        desk.keys(way);
        assert_eq!(desk.msg(ctrl_c()), [Effect::Quit], "{way}");
        assert_eq!(desk.msg(Msg::Terminate), [Effect::Quit], "{way}");
    }
    assert_eq!(Desk::new().key(KeyCode::Char('q')), [Effect::Quit]);
}
