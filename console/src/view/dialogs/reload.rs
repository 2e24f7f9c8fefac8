//! From the plan to the result of a reload.

use kroxy_core::reload::Plan;
use kroxy_core::status::{ClusterOutcome, ReloadAction, ReloadOutcome, ReloadReport};
use ratatui::text::{Line, Span};

use crate::format;
use crate::model::{Model, Outcome, ReloadStage};
use crate::theme::Tone;
use crate::update::may_reload;
use crate::view::text::{fit, left, wrap};

/// Title, keys and meaning of the dialog.
pub(super) fn frame(stage: &ReloadStage) -> (&'static str, &'static str, Tone) {
    match stage {
        ReloadStage::Planning => ("reload: plan", "Esc: leave it", Tone::Busy),
        ReloadStage::Planned(plan) if may_reload(plan) => ("reload: plan", "y: reload   n: leave it", Tone::Warn),
        ReloadStage::Planned(Outcome::Planned(plan)) if plan.is_unchanged() => {
            ("reload: plan", "Esc: close", Tone::Good)
        }
        ReloadStage::Planned(_) => ("reload: plan", "Esc: close", Tone::Bad),
        ReloadStage::Running => ("reload: running", "Esc: close, it goes on", Tone::Busy),
        ReloadStage::Ended(Outcome::Done { .. }) => ("reload: result", "Esc: close", Tone::Accent),
        ReloadStage::Ended(_) => ("reload: result", "Esc: close", Tone::Bad),
    }
}

/// Its text.
pub(super) fn lines(model: &Model, stage: &ReloadStage, columns: usize) -> Vec<Line<'static>> {
    let say = |tone, text: &str| wrapped(model, tone, "", text, columns);
    match stage {
        ReloadStage::Planning => say(Tone::Busy, "◌ The proxy works out what a reload would do …"),
        ReloadStage::Running => {
            say(Tone::Busy, "◌ The reload is running; it ends when the last drain has ended, or at its deadline.")
        }
        ReloadStage::Planned(Outcome::NotOffered) => {
            let mut lines =
                say(Tone::Warn, "▲ This proxy does not offer a plan: what a reload does is not known beforehand.");
            lines.extend(say(Tone::Plain, "Reload all the same?"));
            lines
        }
        ReloadStage::Planned(Outcome::Planned(plan)) => plan_lines(model, plan, columns),
        ReloadStage::Planned(outcome) | ReloadStage::Ended(outcome) => match outcome.report() {
            Some(report) => report_lines(model, report, columns),
            None if matches!(outcome, Outcome::Done { .. }) => say(Tone::Plain, &outcome.words()),
            None => say(Tone::Bad, &format!("✗ {}", outcome.words())),
        },
    }
}

fn wrapped(model: &Model, tone: Tone, indent: &str, text: &str, columns: usize) -> Vec<Line<'static>> {
    wrap(text, columns.saturating_sub(indent.len()))
        .into_iter()
        .map(|part| Line::styled(format!("{indent}{part}"), model.theme.style(tone)))
        .collect()
}

/// What a reload would do: what stops it first, then cluster by cluster with the fields that make it so.
fn plan_lines(model: &Model, plan: &Plan, columns: usize) -> Vec<Line<'static>> {
    let say = |tone, indent: &str, text: &str| wrapped(model, tone, indent, text, columns);
    let mut lines = Vec::new();
    if plan.is_unchanged() {
        lines.extend(say(Tone::Good, "", "● Nothing would change."));
    }
    for change in &plan.refused {
        lines.extend(say(Tone::Bad, "", &format!("✗ needs a restart, so nothing can be done: {change}")));
    }
    for warning in &plan.warnings {
        lines.extend(say(Tone::Warn, "", &format!("▲ {warning}")));
    }
    for change in &plan.settings {
        lines.extend(say(Tone::Plain, "", &format!("~ at once: {change}")));
    }
    if !lines.is_empty() && !plan.virtual_clusters.is_empty() {
        lines.push(Line::default());
    }
    for cluster in &plan.virtual_clusters {
        lines.push(cluster_line(model, &cluster.name.to_string(), cluster.action, columns));
        for change in &cluster.fields {
            lines.extend(say(Tone::Faint, "  ", &change.to_string()));
        }
        if !cluster.after.is_empty() {
            let others: Vec<_> = cluster.after.iter().map(ToString::to_string).collect();
            lines.extend(say(Tone::Faint, "  ", &format!("waits for addresses of {}", others.join(", "))));
        }
    }
    lines
}

/// What a reload did, or why it did nothing.
fn report_lines(model: &Model, report: &ReloadReport, columns: usize) -> Vec<Line<'static>> {
    let say = |tone, indent: &str, text: &str| wrapped(model, tone, indent, text, columns);
    let (symbol, tone, words) = outcome_words(report.outcome);
    let took = format::latency(report.duration_ms.saturating_mul(1_000));
    let generation = report.generation;
    let mut lines = say(tone, "", &format!("{symbol} {words}; generation {generation} in force, after {took}"));
    for error in &report.errors {
        lines.extend(say(Tone::Bad, "", &format!("✗ {error}")));
    }
    for warning in &report.warnings {
        lines.extend(say(Tone::Warn, "", &format!("▲ {warning}")));
    }
    if !report.virtual_clusters.is_empty() {
        lines.push(Line::default());
    }
    for cluster in &report.virtual_clusters {
        let mut line = cluster_line(model, &cluster.name, cluster.action, columns);
        let (outcome, tone) = cluster_words(cluster.outcome);
        line.push_span(Span::styled(format!("{outcome} "), model.theme.style(tone)));
        let fields = fit(&cluster.fields.join(", "), columns.saturating_sub(line.width()));
        line.push_span(Span::styled(fields, model.theme.style(Tone::Faint)));
        lines.push(line);
        if !cluster.cause.is_empty() {
            lines.extend(say(Tone::Bad, "  ", &format::chain(&cluster.cause)));
        }
    }
    lines
}

fn cluster_line(model: &Model, name: &str, action: ReloadAction, columns: usize) -> Line<'static> {
    let (word, tone) = action_words(action);
    Line::from(vec![
        Span::styled(left(name, columns.saturating_sub(32).clamp(8, 28)), model.theme.style(Tone::Plain)),
        Span::raw(" "),
        Span::styled(left(word, 10), model.theme.style(tone)),
    ])
}

fn outcome_words(outcome: ReloadOutcome) -> (&'static str, Tone, &'static str) {
    match outcome {
        ReloadOutcome::Unchanged => ("●", Tone::Good, "there was nothing to change"),
        ReloadOutcome::Applied => ("●", Tone::Good, "everything is in force"),
        ReloadOutcome::Partial => ("✗", Tone::Bad, "some virtual clusters run with it, some do not"),
        ReloadOutcome::Failed => ("✗", Tone::Bad, "nothing of it is in force"),
        ReloadOutcome::Rejected => ("✗", Tone::Bad, "the configuration was not accepted; nothing was touched"),
        ReloadOutcome::Busy => ("▲", Tone::Warn, "another reload is running; nothing was touched"),
        ReloadOutcome::Unknown => ("?", Tone::Warn, "an outcome that this console does not know"),
    }
}

fn action_words(action: ReloadAction) -> (&'static str, Tone) {
    match action {
        ReloadAction::Unchanged => ("· same", Tone::Faint),
        ReloadAction::Live => ("~ live", Tone::Good),
        ReloadAction::Drain => ("◐ drain", Tone::Warn),
        ReloadAction::Add => ("+ add", Tone::Busy),
        ReloadAction::Remove => ("- remove", Tone::Bad),
        ReloadAction::Unknown => ("? unknown", Tone::Warn),
    }
}

fn cluster_words(outcome: ClusterOutcome) -> (&'static str, Tone) {
    match outcome {
        ClusterOutcome::Unchanged => ("● unchanged", Tone::Faint),
        ClusterOutcome::Applied => ("● applied", Tone::Good),
        ClusterOutcome::NotPrepared => ("▲ not prepared, old one serves", Tone::Warn),
        ClusterOutcome::RolledBack => ("▲ rolled back, old one serves", Tone::Warn),
        ClusterOutcome::Failed => ("✗ failed", Tone::Bad),
        ClusterOutcome::Overtaken => ("▲ overtaken", Tone::Warn),
        ClusterOutcome::Unknown => ("? unknown", Tone::Warn),
    }
}
