//! What every message does to the model. Pure: what is to happen outside comes back as effects.

mod dialog;
mod navigate;

pub(crate) use dialog::{SHUTDOWN_WORD, may_reload};
pub(crate) use navigate::place;

use kroxy_core::status::{EventKind, Severity, Status, Totals};

use crate::export;
use crate::format;
use crate::model::{
    Action, Effect, EventsFeed, Feed, InputPurpose, Model, Msg, News, Outcome, Overlay, Proxy, ReloadStage,
};

/// Takes `msg`, which came at `now_unix_ms`.
pub(crate) fn update(model: &mut Model, msg: Msg, now_unix_ms: u64) -> Vec<Effect> {
    model.now_unix_ms = now_unix_ms;
    if model.notice.as_ref().is_some_and(|notice| notice.until_unix_ms <= now_unix_ms) {
        model.notice = None;
    }
    match msg {
        Msg::Key(key) => navigate::key(model, key),
        Msg::Resized(width, height) => {
            model.size = (width, height);
            Vec::new()
        }
        Msg::Tick => Vec::new(),
        Msg::News { proxy, news } => take_news(model, proxy, news),
        Msg::Acted { proxy, action, outcome } => acted(model, proxy, action, outcome),
        Msg::Exported(Ok(what)) => {
            model.say(Severity::Info, what);
            Vec::new()
        }
        Msg::Exported(Err(why)) => {
            model.say(Severity::Error, why);
            Vec::new()
        }
        Msg::Terminate => vec![Effect::Quit],
    }
}

fn take_news(model: &mut Model, index: usize, news: News) -> Vec<Effect> {
    let now = model.now_unix_ms;
    let Some(proxy) = model.live_mut(index) else { return Vec::new() };
    match news {
        News::Status(status) => {
            if let Feed::Silent { since_unix_ms, .. } = &proxy.feed
                && proxy.status.is_some()
            {
                let gone = format::duration(now.saturating_sub(*since_unix_ms));
                proxy.journal.note(status.at_unix_ms, Severity::Info, format!("answers again after {gone}"));
            }
            proxy.feed = Feed::Answering { at_unix_ms: now };
            take_status(proxy, *status);
        }
        News::Silent(why) => {
            let since_unix_ms = match &proxy.feed {
                Feed::Silent { since_unix_ms, .. } => *since_unix_ms,
                Feed::Connecting { since_unix_ms: at } | Feed::Answering { at_unix_ms: at } => {
                    let (at, text) = (*at, format!("no answer: {why}"));
                    proxy.journal.note(now, Severity::Error, text);
                    at
                }
            };
            proxy.feed = Feed::Silent { since_unix_ms, why };
        }
        News::Events(feed) => proxy.events = feed,
        News::Event(event) => {
            proxy.events = EventsFeed::Live;
            let changes = matches!(
                event.kind,
                EventKind::ClusterTransition { .. } | EventKind::ProxyTransition { .. } | EventKind::Reload { .. }
            );
            // The event says that something has changed, the status says what all of it looks like now.
            if proxy.journal.event(*event) && changes {
                return vec![Effect::Refresh { proxy: index }];
            }
        }
    }
    Vec::new()
}

fn take_status(proxy: &mut Proxy, status: Status) {
    if let Some(before) = &proxy.status
        && before.proxy.process_id != status.proxy.process_id
    {
        let text = format!("the proxy has restarted as process {}", status.proxy.process_id);
        proxy.journal.note(status.at_unix_ms, Severity::Warn, text);
        proxy.total.restart();
        proxy.histories.values_mut().for_each(|history| history.restart());
    }
    proxy.journal.status(&status);
    let mut sum = Totals::default();
    for cluster in &status.virtual_clusters {
        if !proxy.histories.contains_key(&cluster.name) {
            proxy.histories.insert(cluster.name.clone(), Default::default());
        }
        let history = proxy.histories.get_mut(&cluster.name).expect("just inserted");
        history.read(status.at_unix_ms, &cluster.totals, &cluster.apis);
        sum.requests = sum.requests.saturating_add(cluster.totals.requests);
        sum.errors = sum.errors.saturating_add(cluster.totals.errors);
        sum.bytes_in = sum.bytes_in.saturating_add(cluster.totals.bytes_in);
        sum.bytes_out = sum.bytes_out.saturating_add(cluster.totals.bytes_out);
    }
    let clusters = &status.virtual_clusters;
    if proxy.histories.len() > clusters.len() {
        proxy.histories.retain(|name, _| clusters.iter().any(|cluster| cluster.name == *name));
    }
    proxy.total.read(status.at_unix_ms, &sum, &[]);
    proxy.status = Some(status);
}

fn acted(model: &mut Model, index: usize, action: Action, outcome: Outcome) -> Vec<Effect> {
    let severity = match &outcome {
        Outcome::Done { .. } | Outcome::Planned(_) => Severity::Info,
        Outcome::NotOffered => Severity::Warn,
        Outcome::Refused { .. } | Outcome::NoAnswer(_) => Severity::Error,
    };
    let text = format!("{}: {}", action.words(), outcome.words());
    if action != Action::Plan {
        let now = model.now_unix_ms;
        if let Some(proxy) = model.live_mut(index) {
            proxy.journal.note(now, severity, text.clone());
        }
    }
    match (&mut model.overlay, &action) {
        (Some(Overlay::Reload { stage: stage @ ReloadStage::Planning, .. }), Action::Plan) => {
            *stage = ReloadStage::Planned(outcome);
        }
        (Some(Overlay::Reload { stage: stage @ ReloadStage::Running, scroll }), Action::Reload) => {
            *stage = ReloadStage::Ended(outcome);
            *scroll = 0;
        }
        // The dialog was closed before its plan came.
        (_, Action::Plan) => return Vec::new(),
        (_, Action::Drain(_) | Action::Retry(_) | Action::Reload | Action::Shutdown) => model.say(severity, text),
    }
    vec![Effect::Refresh { proxy: index }]
}

/// The journal as it is shown, for a file.
fn export(model: &mut Model, path: String) -> Vec<Effect> {
    if path.is_empty() {
        return Vec::new();
    }
    let entries = crate::view::events::shown(model);
    let text = export::text(&path, model.proxy(), &entries);
    model.say(Severity::Info, format!("writing {path}"));
    vec![Effect::Export { path, text }]
}

/// What has been typed so far takes effect.
fn typed(model: &mut Model, purpose: InputPurpose, text: &str) {
    match purpose {
        InputPurpose::FilterClusters => model.table.filter = text.to_owned(),
        InputPurpose::FilterEvents => {
            model.events.filter = text.to_owned();
            model.events.selected = None;
        }
        InputPurpose::ExportPath => {}
    }
}

#[cfg(test)]
#[path = "update/tests.rs"]
mod tests;
