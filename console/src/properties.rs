//! Whatever a proxy says, at whatever size of terminal: the console draws it, and a reason can be read.

use std::collections::BTreeMap;

use kroxy_core::address::NodeId;
use kroxy_core::status::{
    ApiCount, ClientStatus, ClusterState, ClusterStatus, ClusterTransition, ConfigurationStatus, DrainReason,
    DrainStatus, GatewayStatus, Latency, ListenerStatus, NodeStatus, ProxyState, ProxyStatus, Quantiles, ReloadReport,
    RetryStatus, Status, Totals, UpstreamStatus,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::model::{Action, Model, Msg, News, Outcome, Overlay, ReloadStage, Screen};
use crate::snapshot;
use crate::theme::Theme;
use crate::update::update;

const STATES: [ClusterState; 6] = [
    ClusterState::Initializing,
    ClusterState::Serving,
    ClusterState::Draining,
    ClusterState::Failed,
    ClusterState::Stopped,
    ClusterState::Unknown,
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9.-]{0,24}", 1 => ".{0,90}", 1 => "[\u{0}-\u{1f}\u{300}-\u{36f}一-龠🚀👩\u{200d}]{0,40}"]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_u64, any::<u64>()]
}

fn state() -> impl Strategy<Value = ClusterState> {
    few(STATES)
}

fn transition() -> impl Strategy<Value = ClusterTransition> {
    (option::of(state()), state(), number(), vec(text(), 0..3)).prop_map(|(from, to, at_unix_ms, cause)| {
        ClusterTransition { from, to, why: Some(DrainReason::Operator), at_unix_ms, cause }
    })
}

fn upstream() -> impl Strategy<Value = UpstreamStatus> {
    let node = (any::<i32>(), text(), number(), option::of(any::<bool>()), vec(text(), 0..3)).prop_map(
        |(id, address, connections, reachable, last_error)| NodeStatus {
            id: NodeId(id),
            address,
            connections,
            reachable,
            since_unix_ms: reachable.map(|_| connections),
            last_error,
        },
    );
    (any::<bool>(), vec(node, 0..4)).prop_map(|(tls, nodes)| UpstreamStatus { tls, nodes, ..UpstreamStatus::default() })
}

fn client() -> impl Strategy<Value = ClientStatus> {
    let said = (option::of(text()), option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (text(), text(), said, number(), number()).prop_map(
        |(
            client_id,
            address,
            (software_name, software_version, principal, sasl_mechanism, via),
            connections,
            bytes,
        )| ClientStatus {
            client_id,
            address,
            via,
            software_name,
            software_version,
            principal,
            sasl_mechanism,
            connections,
            in_flight: connections,
            bytes_in: bytes,
            bytes_out: bytes,
        },
    )
}

fn gateway() -> impl Strategy<Value = GatewayStatus> {
    (text(), text(), vec((text(), text()), 0..3)).prop_map(|(name, kind, listeners)| GatewayStatus {
        name,
        kind,
        bootstrap: None,
        tls: true,
        listeners: listeners.into_iter().map(|(address, route)| ListenerStatus { address, route }).collect(),
    })
}

fn drain() -> impl Strategy<Value = DrainStatus> {
    (number(), option::of(number()), number(), number()).prop_map(
        |(started_unix_ms, deadline_in_ms, connections_at_start, connections_left)| DrainStatus {
            why: DrainReason::Reload,
            started_unix_ms,
            deadline_in_ms,
            connections_at_start,
            connections_left,
            in_flight: connections_left,
        },
    )
}

fn cluster() -> impl Strategy<Value = ClusterStatus> {
    let life = (text(), state(), number(), option::of(vec(text(), 0..4)), vec(transition(), 0..5));
    let retry = (any::<u32>(), option::of(any::<u32>()), option::of(number()))
        .prop_map(|(attempt, max_retries, next_in_ms)| RetryStatus { attempt, max_retries, next_in_ms });
    let traffic = (number(), number(), number(), number(), option::of((number(), number())));
    let parts = (vec((text(), number()), 0..4), vec(gateway(), 0..3), upstream(), vec(client(), 0..4));
    (life, option::of(retry), option::of(drain()), traffic, parts).prop_map(|(life, retry, drain, traffic, parts)| {
        let (name, state, since_unix_ms, reason, last_transitions) = life;
        let (connections, requests, errors, bytes, quantiles) = traffic;
        let (apis, gateways, upstream, clients) = parts;
        let latency = quantiles.map(|(p50_us, p99_us)| Quantiles { p50_us, p99_us });
        ClusterStatus {
            name,
            state,
            since_unix_ms,
            reason,
            retry,
            drain,
            generation: connections,
            last_transitions,
            connections,
            in_flight: requests,
            totals: Totals { requests, errors, bytes_in: bytes, bytes_out: bytes, ..Totals::default() },
            latency: Latency { proxy: latency, upstream: latency },
            disconnects: apis.iter().cloned().collect::<BTreeMap<_, _>>(),
            apis: apis.into_iter().map(|(api, requests)| ApiCount { api, requests }).collect(),
            gateways,
            upstream,
            certificates: Vec::new(), // the console does not show them
            clients,
        }
    })
}

fn status() -> impl Strategy<Value = Status> {
    let proxy_states = few([ProxyState::New, ProxyState::Started, ProxyState::Stopping, ProxyState::Unknown]);
    let proxy = (proxy_states, number(), any::<u32>(), vec(text(), 0..3));
    (text(), number(), proxy, text(), any::<bool>(), vec(cluster(), 0..6)).prop_map(
        |(version, at_unix_ms, (state, uptime_ms, process_id, reason), digest, reloading, virtual_clusters)| Status {
            version,
            at_unix_ms,
            proxy: ProxyStatus { state, uptime_ms, process_id, reason, ..ProxyStatus::default() },
            configuration: ConfigurationStatus {
                digest,
                reloading,
                last_reload: reloading.then(ReloadReport::default),
                ..ConfigurationStatus::default()
            },
            virtual_clusters,
            ..Status::default()
        },
    )
}

/// One of a few values.
fn few<T: Clone + std::fmt::Debug + 'static, const N: usize>(values: [T; N]) -> proptest::sample::Select<T> {
    proptest::sample::select(values.to_vec())
}

fn key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        proptest::char::range(' ', '~').prop_map(KeyCode::Char),
        few([KeyCode::Enter, KeyCode::Esc, KeyCode::Up, KeyCode::Down, KeyCode::PageDown, KeyCode::End, KeyCode::Tab]),
    ]
}

fn console(size: (u16, u16)) -> Model {
    let proxies = [("a".to_owned(), "http://a:9190".to_owned()), ("b".to_owned(), "http://b:9190".to_owned())];
    Model::new(&proxies, Theme::Dark, size, 0)
}

fn overlays() -> Vec<Option<Overlay>> {
    let plan = Outcome::Done { report: Some(ReloadReport::default()), text: "x".repeat(500) };
    let refused = Outcome::Refused { status: 422, report: None, text: "y".repeat(900) };
    vec![
        None,
        Some(Overlay::Help { scroll: 7 }),
        Some(Overlay::Confirm { action: Action::Drain("z".repeat(90)) }),
        Some(Overlay::ConfirmShutdown { typed: "shut".into() }),
        Some(Overlay::Reload { stage: ReloadStage::Planned(plan), scroll: 3 }),
        Some(Overlay::Reload { stage: ReloadStage::Ended(refused), scroll: usize::MAX }),
    ]
}

proptest! {
    #[test]
    fn any_status_is_drawn_at_any_size(
        statuses in vec(status(), 1..4),
        size in prop_oneof![(1..12_u16, 1..12_u16), (1..260_u16, 1..80_u16)],
        scroll in any::<usize>(),
    ) {
        let mut model = console(size);
        for (second, status) in statuses.into_iter().enumerate() {
            update(&mut model, Msg::News { proxy: 0, news: News::Status(Box::new(status)) }, second as u64 * 1_000);
        }
        let cluster = model.subject().unwrap_or_default();
        for screen in [Screen::Overview, Screen::Events, Screen::Detail { cluster, scroll }] {
            model.screen = screen;
            for overlay in overlays() {
                model.overlay = overlay;
                let drawn = snapshot::text(&model);
                prop_assert_eq!(drawn.lines().count(), usize::from(size.1));
                prop_assert!(!drawn.contains('\u{1b}'), "an escape sequence reached the terminal");
            }
        }
    }

    #[test]
    fn any_keys_are_taken(
        statuses in vec(status(), 1..3),
        keys in vec(key(), 0..60),
        size in (1..130_u16, 1..50_u16),
    ) {
        let mut model = console(size);
        for (second, status) in statuses.into_iter().enumerate() {
            update(&mut model, Msg::News { proxy: 0, news: News::Status(Box::new(status)) }, second as u64 * 1_000);
        }
        for code in keys {
            update(&mut model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)), 5_000);
            snapshot::text(&model);
        }
    }

    #[test]
    fn every_reason_can_be_read_in_full(
        reason in vec("[a-z一-龠0-9 /:.]{1,160}", 1..6),
        others in vec(cluster(), 0..4),
        size in (24..230_u16, 8..60_u16),
    ) {
        let failed = ClusterStatus {
            name: "the-failed-one".into(),
            state: ClusterState::Failed,
            reason: Some(reason.clone()),
            ..ClusterStatus::default()
        };
        let virtual_clusters = others.into_iter().chain([failed]).collect();
        let mut model = console(size);
        let news = News::Status(Box::new(Status { virtual_clusters, ..Status::default() }));
        update(&mut model, Msg::News { proxy: 0, news }, 0);
        let mut press = |model: &mut Model, code| {
            update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)), 0);
        };
        for c in "/the-failed-one".chars() {
            press(&mut model, KeyCode::Char(c));
        }
        press(&mut model, KeyCode::Enter);
        press(&mut model, KeyCode::Enter);
        let read = read_detail(&mut model, &mut press);
        for cause in reason {
            let cause: String = cause.chars().filter(|c| !c.is_whitespace()).collect();
            prop_assert!(read.contains(&cause), "{} is not in {}", cause, read);
        }
    }
}

/// Scrolls through the detail line by line and collects what passes the top of the text, then the rest, without spaces.
fn read_detail(model: &mut Model, press: &mut impl FnMut(&mut Model, KeyCode)) -> String {
    let area = ratatui::layout::Rect::new(0, 0, model.size.0, model.size.1);
    let top = usize::from(crate::view::body(model, area).y) + 1;
    let mut read = String::new();
    loop {
        let screen = snapshot::text(model);
        let before = model.screen.clone();
        press(model, KeyCode::Down);
        let lines = screen.lines().skip(top);
        if model.screen == before {
            read.extend(lines.map(|line| first_column(line, model.size.0)));
            break;
        }
        read.extend(lines.take(1).map(|line| first_column(line, model.size.0)));
    }
    read.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Side by side, the reason stands in the first column.
fn first_column(line: &str, columns: u16) -> String {
    let wide = match usize::from(columns) {
        0..145 => return line.to_owned(),
        columns @ 145..219 => (columns - 3) / 2,
        columns => (columns - 6) / 3,
    };
    let mut used = 0;
    let fits = |c: &char| {
        used += crate::view::text::width(&c.to_string());
        used <= wide
    };
    line.chars().take_while(fits).collect()
}
