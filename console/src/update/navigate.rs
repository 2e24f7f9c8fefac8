//! What keys do where no dialog is open.

use kroxy_core::status::Severity;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{dialog, typed};
use crate::keys::{self, Command, Place};
use crate::limits::INPUT_CHARS_MAX;
use crate::model::{Action, Effect, Input, InputPurpose, Model, Overlay, ReloadStage, Screen, rows};
use crate::view;

/// Takes a key.
pub(super) fn key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return vec![Effect::Quit];
    }
    if model.input.is_some() {
        return input(model, key);
    }
    if model.overlay.is_some() {
        return dialog::key(model, key);
    }
    let place = place(&model.screen);
    keys::command(key, place).map_or_else(Vec::new, |command| run(model, command))
}

/// Where the keys of a screen are looked up.
pub(crate) fn place(screen: &Screen) -> Place {
    match screen {
        Screen::Overview => Place::Overview,
        Screen::Detail { .. } => Place::Detail,
        Screen::Events => Place::Events,
    }
}

fn run(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::Up => step(model, -1),
        Command::Down => step(model, 1),
        Command::PageUp => step(model, -page(model)),
        Command::PageDown => step(model, page(model)),
        Command::First => step(model, isize::MIN),
        Command::Last => step(model, isize::MAX),
        Command::Open => {
            if let Some(cluster) = model.subject() {
                model.table.selected = Some(cluster.clone());
                model.screen = Screen::Detail { cluster, scroll: 0 };
            }
        }
        Command::Back => back(model),
        Command::Events => {
            model.events.cluster = match &model.screen {
                Screen::Detail { cluster, .. } => Some(cluster.clone()),
                Screen::Overview | Screen::Events => None,
            };
            model.events.selected = None;
            model.screen = Screen::Events;
        }
        Command::Help => model.overlay = Some(Overlay::Help { scroll: 0 }),
        Command::Filter => {
            let (purpose, text) = match model.screen {
                Screen::Overview | Screen::Detail { .. } => (InputPurpose::FilterClusters, model.table.filter.clone()),
                Screen::Events => (InputPurpose::FilterEvents, model.events.filter.clone()),
            };
            model.input = Some(Input { purpose, text });
        }
        Command::Sort => {
            model.table.sort = model.table.sort.next();
            model.table.reversed = false;
        }
        Command::Reverse => model.table.reversed = !model.table.reversed,
        Command::Freeze => model.toggle_freeze(),
        Command::Severity => {
            model.events.least = match model.events.least {
                Severity::Debug => Severity::Info,
                Severity::Info => Severity::Warn,
                Severity::Warn => Severity::Error,
                Severity::Error => Severity::Debug,
            };
            model.events.selected = None;
        }
        Command::Export => {
            model.input = Some(Input { purpose: InputPurpose::ExportPath, text: "kroxy-events.txt".to_owned() });
        }
        Command::NextProxy => switch(model, 1),
        Command::PreviousProxy => switch(model, model.proxies().len() - 1),
        Command::Drain | Command::Retry | Command::Reload | Command::Shutdown => return ask(model, command),
        Command::Theme => {
            model.theme = model.theme.next();
            model.say(Severity::Info, format!("theme: {}", model.theme.name()));
        }
        Command::Quit => return vec![Effect::Quit],
    }
    Vec::new()
}

/// Half a screen.
fn page(model: &Model) -> isize {
    isize::try_from(model.size.1 / 2).unwrap_or(1).max(1)
}

/// Moves the selection or the text by so many lines.
fn step(model: &mut Model, by: isize) {
    match &model.screen {
        Screen::Overview => {
            let rows = rows::rows(model);
            let Some(last) = rows.len().checked_sub(1) else { return };
            let to = rows::selected_index(model, &rows).saturating_add_signed(by).min(last);
            model.table.selected = Some(rows[to].cluster.name.clone());
        }
        Screen::Detail { .. } => {
            let last = view::detail::scroll_max(model);
            if let Screen::Detail { scroll, .. } = &mut model.screen {
                *scroll = (*scroll).min(last).saturating_add_signed(by).min(last);
            }
        }
        Screen::Events => {
            let ids: Vec<_> = view::events::shown(model).iter().map(|entry| entry.id).collect();
            let Some(last) = ids.len().checked_sub(1) else { return };
            let at = model.events.selected.and_then(|id| ids.iter().position(|other| *other == id)).unwrap_or(last);
            let to = at.saturating_add_signed(by).min(last);
            // At the end the newest is followed.
            model.events.selected = (to < last).then(|| ids[to]);
        }
    }
}

fn back(model: &mut Model) {
    match &model.screen {
        Screen::Overview => model.table.filter.clear(),
        Screen::Detail { .. } => model.screen = Screen::Overview,
        Screen::Events if !model.events.filter.is_empty() => model.events.filter.clear(),
        Screen::Events => {
            model.screen = match model.events.cluster.take() {
                Some(cluster) => Screen::Detail { cluster, scroll: 0 },
                None => Screen::Overview,
            };
        }
    }
}

fn switch(model: &mut Model, by: usize) {
    let proxies = model.proxies().len();
    if proxies > 1 {
        model.current = (model.current + by) % proxies;
        model.events.selected = None;
        if let Screen::Detail { .. } = model.screen {
            model.screen = Screen::Overview;
        }
    }
}

/// Asks whether an action is meant.
fn ask(model: &mut Model, command: Command) -> Vec<Effect> {
    if model.read_only {
        model.say(Severity::Warn, "read-only: this console was started to look, not to act");
        return Vec::new();
    }
    if model.playing {
        model.say(Severity::Warn, "this is a recording: there is no proxy to act on");
        return Vec::new();
    }
    match command {
        Command::Drain | Command::Retry => {
            let Some(cluster) = model.subject() else {
                model.say(Severity::Warn, "no virtual cluster is selected");
                return Vec::new();
            };
            let action = if command == Command::Drain { Action::Drain(cluster) } else { Action::Retry(cluster) };
            model.overlay = Some(Overlay::Confirm { action });
        }
        Command::Reload => {
            model.overlay = Some(Overlay::Reload { stage: ReloadStage::Planning, scroll: 0 });
            return vec![Effect::Act { proxy: model.current, action: Action::Plan }];
        }
        Command::Shutdown => model.overlay = Some(Overlay::ConfirmShutdown { typed: String::new() }),
        Command::Up
        | Command::Down
        | Command::PageUp
        | Command::PageDown
        | Command::First
        | Command::Last
        | Command::Open
        | Command::Back
        | Command::Events
        | Command::Help
        | Command::Filter
        | Command::Sort
        | Command::Reverse
        | Command::Freeze
        | Command::Severity
        | Command::Export
        | Command::NextProxy
        | Command::PreviousProxy
        | Command::Theme
        | Command::Quit => {}
    }
    Vec::new()
}

/// A key while a line of text is typed.
#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has many keys that mean nothing here")]
fn input(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(mut input) = model.input.take() else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            if input.purpose == InputPurpose::ExportPath {
                return super::export(model, input.text);
            }
            return Vec::new();
        }
        KeyCode::Esc => {
            typed(model, input.purpose, "");
            return Vec::new();
        }
        KeyCode::Backspace => {
            input.text.pop();
        }
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => input.text.clear(),
        KeyCode::Char(c)
            if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
                && input.text.chars().count() < INPUT_CHARS_MAX =>
        {
            input.text.push(c);
        }
        _ => {}
    }
    typed(model, input.purpose, &input.text);
    model.input = Some(input);
    Vec::new()
}
