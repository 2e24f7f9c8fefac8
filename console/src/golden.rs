//! Golden screens: what the console looks like, as text, in `tests/golden/`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p console golden` writes them anew; look at the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use kroxy_core::status::{
    ClusterOutcome, ClusterReload, ClusterState, ClusterStatus, ProxyState, ProxyStatus, ReloadAction, ReloadOutcome,
    ReloadReport, Status, Totals,
};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use serde_json::json;

use crate::app::fast_forward;
use crate::model::{Action, Model, Msg, News, Outcome, Overlay, ReloadStage, Screen};
use crate::snapshot;
use crate::source::player::{DEMO, Recording, STORY};
use crate::theme::Theme;
use crate::update::update;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];
const LOW: [(u16, u16); 1] = [(80, 24)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Compares the model's screen with the file, at each of the sizes.
fn golden(name: &str, model: &mut Model, sizes: &[(u16, u16)]) {
    for (width, height) in sizes {
        model.size = (*width, *height);
        let screen = snapshot::text(model);
        let path = root().join(format!("tests/golden/{name}-{width}x{height}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &screen).expect("the folder can be written");
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            screen == expected,
            "{} differs; UPDATE_GOLDEN=1 writes it anew. Now:\n{screen}\nExpected:\n{expected}",
            path.display()
        );
    }
}

/// The story, which has everything, after so many seconds.
fn demo(seconds: u64) -> Model {
    after(STORY, seconds)
}

/// A recording after so many seconds.
fn after(recording: &str, seconds: u64) -> Model {
    let recording = Recording::parse(recording).expect("it is a recording");
    let mut model = Model::new(&recording.proxies, Theme::Dark, (80, 24), recording.begun_unix_ms);
    fast_forward(&mut model, &recording, seconds * 1_000);
    model
}

/// A console that has seen `statuses`, one a second.
fn seen(statuses: impl IntoIterator<Item = Status>) -> Model {
    let mut model = Model::new(&[("edge-1".into(), "http://127.0.0.1:9190".into())], Theme::Dark, (80, 24), 0);
    for (second, status) in statuses.into_iter().enumerate() {
        let news = News::Status(Box::new(status));
        update(&mut model, Msg::News { proxy: 0, news }, second as u64 * 1_000);
    }
    model
}

fn status_file(name: &str) -> Status {
    let path = root().join("../fixtures/console").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("the file is there")).expect("it is a status")
}

fn detail(mut model: Model, cluster: &str) -> Model {
    model.screen = Screen::Detail { cluster: cluster.to_owned(), scroll: 0 };
    model
}

#[test]
fn healthy() {
    golden("healthy", &mut demo(13), &SIZES);
    golden("healthy-detail", &mut detail(demo(13), "orders"), &SIZES);
}

#[test]
fn clients() {
    let mut model = demo(13);
    model.screen = Screen::Detail { cluster: "orders".to_owned(), scroll: usize::MAX };
    golden("clients", &mut model, &[(80, 24), (120, 40)]);
}

#[test]
fn one_failed() {
    golden("failed", &mut demo(30), &SIZES);
    let mut replayed = after(DEMO, 30);
    replayed.playing = true;
    golden("demo", &mut replayed, &LOW);
    golden("failed-detail", &mut detail(demo(30), "iot-telemetry"), &SIZES);
}

#[test]
fn draining() {
    golden("draining", &mut demo(17), &SIZES);
    golden("draining-detail", &mut detail(demo(46), "payments"), &SIZES);
    golden("stopping", &mut demo(82), &LOW);
}

#[test]
fn stale() {
    golden("stale", &mut demo(66), &SIZES);
}

#[test]
fn events() {
    let mut model = demo(58);
    model.screen = Screen::Events;
    golden("events", &mut model, &SIZES);
    model.events.cluster = Some("clickstream".into());
    golden("events-of-one", &mut model, &LOW);
}

#[test]
fn empty() {
    let status = Status {
        version: "0.1.0".into(),
        proxy: ProxyStatus { state: ProxyState::Started, uptime_ms: 5_000, ..ProxyStatus::default() },
        ..Status::default()
    };
    golden("empty", &mut seen([status]), &SIZES);
    golden("waiting", &mut seen([]), &LOW);
    let mut silent = seen([]);
    update(&mut silent, Msg::News { proxy: 0, news: News::Silent("connection refused".into()) }, 2_000);
    golden("silent", &mut silent, &LOW);
}

#[test]
fn long_names() {
    let mut model = seen([status_file("long-names.json")]);
    golden("long-names", &mut model, &SIZES);
    let first = status_file("long-names.json").virtual_clusters[1].name.clone();
    golden("long-names-detail", &mut detail(model, &first), &SIZES);
}

#[test]
fn unicode() {
    let mut model = seen([status_file("unicode.json")]);
    golden("unicode", &mut model, &SIZES);
    golden("unicode-detail", &mut detail(model, "zażółć-gęślą"), &SIZES);
}

#[test]
fn two_hundred_clusters() {
    let at = |second: u64| Status {
        version: "0.1.0".into(),
        at_unix_ms: 1_800_000_000_000 + second * 1_000,
        proxy: ProxyStatus { state: ProxyState::Started, uptime_ms: 86_400_000, ..ProxyStatus::default() },
        virtual_clusters: (0..200).map(|n| one_of_many(n, second)).collect(),
        ..Status::default()
    };
    let mut model = seen((0..30).map(at));
    golden("many", &mut model, &SIZES);
    model.table.selected = Some("tenant-117".into());
    golden("many-selected", &mut model, &LOW);
}

fn one_of_many(n: u64, second: u64) -> ClusterStatus {
    let requests = (n * 7 % 50) * second * (second + n) / 2;
    ClusterStatus {
        name: format!("tenant-{n:03}"),
        state: if n == 150 { ClusterState::Failed } else { ClusterState::Serving },
        since_unix_ms: 1_800_000_000_000 - n * 61_000,
        reason: (n == 150).then(|| vec!["cannot bind 0.0.0.0:9192".into(), "address in use".into()]),
        connections: n * 3 % 40,
        in_flight: n % 7,
        totals: Totals { requests, bytes_in: requests * 900, bytes_out: requests * 4_000, ..Totals::default() },
        ..ClusterStatus::default()
    }
}

#[test]
fn several_proxies() {
    let proxies = ["edge-1", "edge-2", "edge-3"].map(|name| (name.to_owned(), format!("http://{name}.example:9190")));
    let recording = Recording::parse(STORY).expect("the story is a recording");
    let mut model = Model::new(&proxies, Theme::Dark, (80, 24), recording.begun_unix_ms);
    fast_forward(&mut model, &recording, 30_000);
    let at = recording.begun_unix_ms + 30_000;
    let status = Box::new(status_file("unicode.json"));
    update(&mut model, Msg::News { proxy: 1, news: News::Status(status) }, at);
    update(&mut model, Msg::News { proxy: 2, news: News::Silent("no such host".into()) }, at);
    golden("proxies", &mut model, &SIZES);
}

#[test]
fn dialogs() {
    let mut model = demo(13);
    model.overlay = Some(Overlay::Confirm { action: Action::Drain("orders".into()) });
    golden("confirm-drain", &mut model, &LOW);
    model.overlay = Some(Overlay::ConfirmShutdown { typed: "shut".into() });
    golden("confirm-shutdown", &mut model, &LOW);
    model.overlay = Some(Overlay::Help { scroll: 0 });
    golden("help", &mut model, &[(80, 24), (120, 100)]);
    model.overlay = Some(Overlay::Reload { stage: ReloadStage::Planned(plan(&[])), scroll: 0 });
    golden("reload-plan", &mut model, &LOW);
    let refused = plan(&["admin.listen"]);
    model.overlay = Some(Overlay::Reload { stage: ReloadStage::Planned(refused), scroll: 0 });
    golden("reload-plan-refused", &mut model, &LOW);
    let ended = Outcome::Done { report: Some(report(ReloadOutcome::Partial)), text: String::new() };
    model.overlay = Some(Overlay::Reload { stage: ReloadStage::Ended(ended), scroll: 0 });
    golden("reload-result", &mut model, &LOW);
    model.overlay = Some(Overlay::Reload { stage: ReloadStage::Planned(Outcome::NotOffered), scroll: 0 });
    golden("reload-no-plan", &mut model, &LOW);
}

/// As the proxy answers `POST /api/v1/reload?dry_run=true`.
fn plan(refused: &[&str]) -> Outcome {
    let change = |field: &str| json!({"field": field, "from": "127.0.0.1:9190", "to": "127.0.0.1:9191"});
    let plan = json!({
        "virtual_clusters": [
            {"name": "billing", "action": "remove", "fields": [], "after": []},
            {"name": "clickstream", "action": "live", "after": [],
             "fields": [{"field": "limits.connections", "from": "500", "to": "800"}]},
            {"name": "invoices", "action": "add", "fields": [], "after": ["billing"]},
            {"name": "orders", "action": "drain", "after": [],
             "fields": [{"field": "upstream.tls.ca", "from": null, "to": null}]},
            {"name": "payments", "action": "unchanged", "fields": [], "after": []},
        ],
        "settings": [],
        "refused": refused.iter().map(|field| change(field)).collect::<Vec<_>>(),
        "warnings": ["billing goes and invoices comes: a rename stops the one and starts the other"],
    });
    Outcome::Planned(serde_json::from_value(plan).expect("the form of a plan"))
}

fn report(outcome: ReloadOutcome) -> ReloadReport {
    let cluster = |name: &str, action, fields: &[&str], outcome, cause: &[&str]| ClusterReload {
        name: name.to_owned(),
        action,
        fields: fields.iter().map(|&field| field.to_owned()).collect(),
        outcome,
        cause: cause.iter().map(|&part| part.to_owned()).collect(),
    };
    ReloadReport {
        trigger: "api".into(),
        duration_ms: 4_200,
        outcome,
        generation: 8,
        warnings: vec!["billing goes and invoices comes: a rename stops the one and starts the other".into()],
        virtual_clusters: vec![
            cluster("billing", ReloadAction::Remove, &[], ClusterOutcome::Applied, &[]),
            cluster("clickstream", ReloadAction::Live, &["limits", "log"], ClusterOutcome::Applied, &[]),
            cluster(
                "invoices",
                ReloadAction::Add,
                &[],
                ClusterOutcome::Failed,
                &["cannot bind 0.0.0.0:9292", "in use"],
            ),
            cluster("orders", ReloadAction::Drain, &["upstream.tls"], ClusterOutcome::RolledBack, &["no such file"]),
            cluster("payments", ReloadAction::Unchanged, &[], ClusterOutcome::Unchanged, &[]),
        ],
        ..ReloadReport::default()
    }
}

#[test]
fn small_terminals() {
    golden("small", &mut demo(30), &[(40, 12), (20, 6)]);
    golden("small-detail", &mut detail(demo(30), "iot-telemetry"), &[(40, 12)]);
}

#[test]
fn plain_ascii() {
    let mut model = detail(demo(46), "payments");
    model.ascii = true;
    golden("ascii", &mut model, &LOW);
    let screen = snapshot::text(&model);
    assert!(screen.is_ascii(), "{screen}");
}

#[test]
fn without_colours_there_are_none() {
    for screen in [Screen::Overview, Screen::Events, Screen::Detail { cluster: "payments".into(), scroll: 0 }] {
        let mut model = demo(46);
        model.theme = Theme::Mono;
        model.screen = screen;
        let area = Rect::new(0, 0, 120, 40);
        let mut buf = Buffer::empty(area);
        crate::view::draw(&model, area, &mut buf);
        assert!(buf.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    }
}

/// A page with each screen that it shows as it is in the golden file that its mark names.
fn with_screens(page: &str) -> String {
    let mut parts = page.split("<!-- screen: ");
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n```text\n").expect("a screen stands behind its mark");
        let (_, behind) = rest.split_once("\n```").expect("a screen ends");
        let path = root().join(format!("tests/golden/{name}.txt"));
        let screen = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        made += &format!("<!-- screen: {name} -->\n```text\n{}\n```{behind}", screen.trim_end());
    }
    made
}

#[test]
fn the_documentation_shows_the_screens_as_they_are() {
    for (name, screens) in [("README.md", 1), ("docs/console.md", 3)] {
        let path = root().join("..").join(name);
        let page = fs::read_to_string(&path).expect("the page is there");
        assert_eq!(page.matches("<!-- screen: ").count(), screens, "{name}");
        let made = with_screens(&page);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &made).expect("the page can be written");
        } else {
            assert!(page == made, "{name} shows an old screen; UPDATE_GOLDEN=1 writes it anew");
        }
    }
}

#[test]
fn every_abbreviation_stands_in_the_help() {
    let help: String = crate::view::help::lines(&demo(1), 200).iter().map(|line| line.to_string() + "\n").collect();
    for word in [
        "conns", "flight", "req/s", "in/s", "out/s", "p50", "p99", "err/s", "nodes", "for", "KiB", "MiB", "µs", "UTC",
        "API", "SNI",
    ] {
        assert!(help.contains(word), "{word}");
    }
}
