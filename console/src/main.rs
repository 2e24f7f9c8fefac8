//! `kroxy-console`: what serves, what has failed and why, and what moves, live in a terminal.
//!
//! The model is changed by `update` and drawn by `view`, both pure; everything that touches the world is here, in
//! `app`, `terminal` and `source`.

mod app;
mod args;
mod export;
mod format;
mod keys;
mod limits;
mod model;
mod snapshot;
mod source;
mod terminal;
mod theme;
mod update;
mod view;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser as _;
use kroxy_core::status::Severity;

use app::{App, Feed, Player, fast_forward, wall_clock_ms};
use args::{Args, SnapshotScreen};
use limits::MESSAGES_MAX;
use model::{Model, Msg, Screen};
use source::http::{Access, Source};
use source::player::{DEMO, Recording};
use source::recorder::Recorder;

/// How long a snapshot waits for the second answer of every proxy, without which there are no rates.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(6);

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kroxy-console: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let recording = match (&args.play, args.demo) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(Recording::parse(&text).with_context(|| format!("{} is not a recording", path.display()))?)
        }
        (None, true) => Some(Recording::parse(DEMO).context("the demo")?),
        (None, false) => None,
    };
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !terminal && !args.snapshot {
        bail!("this is not a terminal; --snapshot prints one screen as text");
    }
    let (to, messages) = sync_channel(MESSAGES_MAX);
    match recording {
        Some(recording) => {
            let mut model = model(args, &recording.proxies, recording.begun_unix_ms);
            model.playing = true;
            if args.snapshot {
                fast_forward(&mut model, &recording, args.at.saturating_mul(1_000));
                return print(args, model);
            }
            live(App::new(model, Feed::Recording(Player::new(recording))), to, &messages)
        }
        None => {
            let proxies = args.proxies()?;
            let identity = args.cert.as_deref().zip(args.key.as_deref());
            let access = Access::new(args.token_file.as_deref(), args.ca.as_deref(), identity)?;
            let now = wall_clock_ms();
            let mut model = model(args, &proxies, now);
            if let Some((_, url)) = proxies.iter().find(|(_, url)| access.exposes_token_to(url)) {
                model.say(Severity::Warn, format!("the token goes to {url} in clear text: https would hide it"));
            }
            let recorder = args.record.as_deref().map(|path| Recorder::create(path, &proxies, now)).transpose()?;
            let mut sources = Vec::new();
            for (index, (_, url)) in proxies.into_iter().enumerate() {
                sources.push(Source::start(access.clone(), url, index, to.clone())?);
            }
            let app = App::new(model, Feed::Proxies { sources, recorder });
            if args.snapshot { wait_and_print(args, app, &messages) } else { live(app, to, &messages) }
        }
    }
}

fn model(args: &Args, proxies: &[(String, String)], now_unix_ms: u64) -> Model {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let size = ratatui::crossterm::terminal::size().unwrap_or((80, 24));
    let mut model = Model::new(proxies, args.theme(env("NO_COLOR").is_some()), size, now_unix_ms);
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env(name)).unwrap_or_default().to_lowercase();
    let utf8 = locale.contains("utf-8") || locale.contains("utf8");
    // A snapshot goes to a file or a report, whatever this terminal can show.
    model.ascii = args.ascii || (!utf8 && !args.snapshot);
    model.read_only = args.read_only;
    model.table.selected.clone_from(&args.cluster);
    model
}

fn live(mut app: App, to: SyncSender<Msg>, messages: &Receiver<Msg>) -> anyhow::Result<ExitCode> {
    terminal::watch_signals(to.clone())?;
    let mut screen = terminal::Screen::open()?;
    terminal::read_keys(to)?;
    app.run(&mut screen, messages)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until every proxy has answered twice or refused to, or for as long as is reasonable.
fn wait_and_print(args: &Args, mut app: App, messages: &Receiver<Msg>) -> anyhow::Result<ExitCode> {
    let deadline = Instant::now() + SNAPSHOT_PATIENCE;
    while let Some(left) = deadline.checked_duration_since(Instant::now())
        && !app.model.proxies().iter().all(|p| p.total.now().is_some() || matches!(p.feed, model::Feed::Silent { .. }))
    {
        if let Ok(msg) = messages.recv_timeout(left) {
            app.take(msg)?;
        }
    }
    print(args, app.model)
}

fn print(args: &Args, mut model: Model) -> anyhow::Result<ExitCode> {
    model.size = match (args.width, args.height, std::io::stdout().is_terminal()) {
        (None, None, true) => model.size,
        (width, height, _) => (width.unwrap_or(80), height.unwrap_or(24)),
    };
    model.screen = match (args.screen, model.subject()) {
        (SnapshotScreen::Detail, Some(cluster)) => Screen::Detail { cluster, scroll: 0 },
        (SnapshotScreen::Events, _) => Screen::Events,
        (SnapshotScreen::Overview, _) | (SnapshotScreen::Detail, None) => Screen::Overview,
    };
    std::io::stdout().write_all(snapshot::text(&model).as_bytes()).context("cannot print")?;
    let answered =
        (0..model.proxies().len()).all(|n| model.stale_since(n).is_none() && model.proxies()[n].status.is_some());
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
