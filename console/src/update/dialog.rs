//! What keys do in a dialog.
#![expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has many keys that mean nothing here")]

use kroxy_core::status::Severity;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use crate::model::{Action, Effect, Model, Outcome, Overlay, ReloadStage};
use crate::view;

/// The word that a shutdown wants typed.
pub(crate) const SHUTDOWN_WORD: &str = "shutdown";

/// Takes a key while a dialog is open.
pub(super) fn key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(overlay) = model.overlay.take() else { return Vec::new() };
    match overlay {
        Overlay::Help { scroll } => {
            let last = view::help::scroll_max(model);
            if !matches!(key.code, KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') | KeyCode::F(1)) {
                model.overlay = Some(Overlay::Help { scroll: scrolled(scroll, last, key, model.size.1) });
            }
            Vec::new()
        }
        Overlay::Confirm { action } => confirm(model, action, key),
        Overlay::ConfirmShutdown { typed } => confirm_shutdown(model, typed, key),
        Overlay::Reload { stage, scroll } => reload(model, stage, scroll, key),
    }
}

fn confirm(model: &mut Model, action: Action, key: KeyEvent) -> Vec<Effect> {
    match key.code {
        KeyCode::Char('y' | 'Y') => {
            model.say(Severity::Info, format!("{}: asked, waiting for the answer", action.words()));
            vec![Effect::Act { proxy: model.current, action }]
        }
        KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => Vec::new(),
        _ => {
            model.overlay = Some(Overlay::Confirm { action });
            Vec::new()
        }
    }
}

fn confirm_shutdown(model: &mut Model, mut typed: String, key: KeyEvent) -> Vec<Effect> {
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter if typed == SHUTDOWN_WORD => {
            model.say(Severity::Info, "shutdown: asked, waiting for the answer");
            return vec![Effect::Act { proxy: model.current, action: Action::Shutdown }];
        }
        KeyCode::Backspace => {
            typed.pop();
        }
        KeyCode::Char(c) if typed.len() < SHUTDOWN_WORD.len() => typed.push(c),
        _ => {}
    }
    model.overlay = Some(Overlay::ConfirmShutdown { typed });
    Vec::new()
}

fn reload(model: &mut Model, stage: ReloadStage, scroll: usize, key: KeyEvent) -> Vec<Effect> {
    let may_go_on = match &stage {
        ReloadStage::Planned(outcome) => may_reload(outcome),
        ReloadStage::Planning | ReloadStage::Running | ReloadStage::Ended(_) => false,
    };
    match key.code {
        KeyCode::Char('y' | 'Y') if may_go_on => {
            model.overlay = Some(Overlay::Reload { stage: ReloadStage::Running, scroll: 0 });
            return vec![Effect::Act { proxy: model.current, action: Action::Reload }];
        }
        KeyCode::Esc | KeyCode::Char('n' | 'N' | 'q') => return Vec::new(),
        KeyCode::Enter if matches!(stage, ReloadStage::Ended(_)) => return Vec::new(),
        _ => {}
    }
    let height = model.size.1;
    let last = view::dialogs::reload_scroll_max(model, &stage);
    model.overlay = Some(Overlay::Reload { stage, scroll: scrolled(scroll, last, key, height) });
    Vec::new()
}

/// A reload makes sense after a plan that does something, and where there is no plan to be had. After a refusal, or with
/// settings that need a restart, it would be refused too.
pub(crate) fn may_reload(plan: &Outcome) -> bool {
    match plan {
        Outcome::Planned(plan) => plan.refused.is_empty() && !plan.is_unchanged(),
        Outcome::Done { .. } | Outcome::NotOffered => true,
        Outcome::Refused { .. } | Outcome::NoAnswer(_) => false,
    }
}

fn scrolled(scroll: usize, last: usize, key: KeyEvent, height: u16) -> usize {
    let page = usize::from(height / 2).max(1);
    let scroll = scroll.min(last);
    let to = match key.code {
        KeyCode::Up | KeyCode::Char('k') => scroll.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => scroll + 1,
        KeyCode::PageUp => scroll.saturating_sub(page),
        KeyCode::PageDown | KeyCode::Char(' ') => scroll + page,
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => scroll,
    };
    to.min(last)
}
