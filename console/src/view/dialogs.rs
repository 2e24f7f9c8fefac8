//! What lies over the screen: the help, questions before an action, plan and result of a reload.

use kroxy_core::status::{ClusterOutcome, ReloadAction, ReloadOutcome, ReloadReport};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use super::text::{fit, left, wrap};
use super::{help, put_all};
use crate::format;
use crate::model::{Action, Model, Outcome, Overlay, ReloadStage};
use crate::theme::Tone;
use crate::update::{SHUTDOWN_WORD, may_reload};

/// Columns of a question or a report, border and padding included.
const DIALOG_COLUMNS: u16 = 76;

/// Draws what is open, over everything.
pub(crate) fn draw(model: &Model, area: Rect, body: Rect, buf: &mut Buffer) {
    match &model.overlay {
        None => {}
        Some(Overlay::Help { scroll }) => {
            let (columns, rows) = help_room((area.width, area.height));
            let lines = help::lines(model, columns);
            window(model, Tone::Accent, "help", "↑↓ scroll, Esc closes", &lines, (*scroll, rows), area, buf);
        }
        Some(Overlay::Confirm { action }) => {
            let (title, tone, text) = question(model, action);
            let lines = sentences(model, &text, body);
            window(model, tone, &title, "y: do it   n: leave it", &lines, (0, lines.len()), body, buf);
        }
        Some(Overlay::ConfirmShutdown { typed }) => {
            let mut lines = sentences(model, &shutdown_question(model), body);
            lines.push(Line::default());
            lines.push(Line::from(vec![
                Span::raw(format!("Type {SHUTDOWN_WORD}, then Enter: ")),
                Span::styled(super::text::clean(typed), model.theme.style(Tone::Accent)),
                Span::styled("▏", model.theme.style(Tone::Accent)),
            ]));
            window(model, Tone::Bad, "shut the proxy down?", "Esc: leave it", &lines, (0, lines.len()), body, buf);
        }
        Some(Overlay::Reload { stage, scroll }) => {
            let (columns, rows) = room((body.width, body.height));
            let lines = reload_lines(model, stage, columns);
            let (title, keys, tone) = reload_frame(stage);
            let shown = rows.min(lines.len());
            window(model, tone, title, keys, &lines, (*scroll, shown), body, buf);
        }
    }
}

/// Columns and rows for the text of a dialog on a screen of `size`.
fn room(size: (u16, u16)) -> (usize, usize) {
    let columns = size.0.min(DIALOG_COLUMNS).saturating_sub(4);
    (usize::from(columns), usize::from(size.1.saturating_sub(2)))
}

/// Columns and rows for the text of the help.
pub(crate) fn help_room(size: (u16, u16)) -> (usize, usize) {
    (usize::from(size.0.min(100).saturating_sub(4)), usize::from(size.1.saturating_sub(2)))
}

/// How far the reload dialog can be scrolled.
pub(crate) fn reload_scroll_max(model: &Model, stage: &ReloadStage) -> usize {
    let body = super::body(model, Rect::new(0, 0, model.size.0, model.size.1));
    let (columns, rows) = room((body.width, body.height));
    reload_lines(model, stage, columns).len().saturating_sub(rows)
}

/// A frame in the middle of `area` with `rows` of `lines`, from `scroll` on.
#[expect(clippy::too_many_arguments, reason = "a window has that many sides; a struct would name them twice")]
fn window(
    model: &Model,
    tone: Tone,
    title: &str,
    keys: &str,
    lines: &[Line<'static>],
    (scroll, rows): (usize, usize),
    area: Rect,
    buf: &mut Buffer,
) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len()).max(keys.len()) + 4;
    let width = u16::try_from(widest).unwrap_or(u16::MAX).max(DIALOG_COLUMNS.min(area.width)).min(area.width);
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let at = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    let scroll = scroll.min(lines.len().saturating_sub(rows));
    let more = if lines.len() > rows {
        format!(" {}-{} of {} ", scroll + 1, scroll + rows, lines.len())
    } else {
        String::new()
    };
    Clear.render(at, buf);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(model.theme.style(tone))
        .title(Span::styled(format!(" {title} "), model.theme.style(Tone::Heading)))
        .title_bottom(Span::styled(format!(" {keys} "), model.theme.style(Tone::Accent)))
        .title_bottom(Line::from(more).right_aligned())
        .padding(Padding::horizontal(1));
    let inner = block.inner(at);
    block.render(at, buf);
    put_all(buf, inner, lines.iter().skip(scroll));
}

fn sentences(model: &Model, text: &[String], area: Rect) -> Vec<Line<'static>> {
    let (columns, _) = room((area.width, area.height));
    text.iter()
        .flat_map(|sentence| wrap(sentence, columns))
        .map(|part| Line::styled(part, model.theme.style(Tone::Plain)))
        .collect()
}

fn question(model: &Model, action: &Action) -> (String, Tone, Vec<String>) {
    match action {
        Action::Drain(name) => {
            let cluster = model.cluster(name);
            let connections = cluster.map_or(0, |cluster| cluster.connections);
            let in_flight = cluster.map_or(0, |cluster| cluster.in_flight);
            let now = format!(
                "{} and {} in flight are there now.",
                format::things(connections, "connection"),
                format::things(in_flight, "request")
            );
            let text = vec![
                "New connections are refused, what is in flight is finished, then clients are asked to go elsewhere."
                    .into(),
                now,
                "It stays drained until it is retried (r), reloaded or removed.".into(),
            ];
            (format!("drain {name}?"), Tone::Warn, text)
        }
        Action::Retry(name) => {
            let text = vec![
                "It is built anew from its configuration, now, without waiting for its retry timer.".to_owned(),
                "Where it serves already the proxy declines, and nothing happens.".to_owned(),
            ];
            (format!("retry {name}?"), Tone::Busy, text)
        }
        Action::Plan | Action::Reload | Action::Shutdown => (format!("{}?", action.words()), Tone::Warn, Vec::new()),
    }
}

fn shutdown_question(model: &Model) -> Vec<String> {
    let proxy = model.proxy();
    let clusters = proxy.status.as_ref().map_or(0, |status| status.virtual_clusters.len()) as u64;
    let each = proxy.status.iter().flat_map(|s| &s.virtual_clusters).map(|c| c.connections);
    let connections = each.fold(0, u64::saturating_add);
    vec![
        format!("The proxy at {} drains everything and ends.", proxy.url),
        format!(
            "{} with {} stop being served, and this console cannot start it again.",
            format::things(clusters, "virtual cluster"),
            format::things(connections, "connection")
        ),
    ]
}

fn reload_frame(stage: &ReloadStage) -> (&'static str, &'static str, Tone) {
    match stage {
        ReloadStage::Planning => ("reload: plan", "Esc: leave it", Tone::Busy),
        ReloadStage::Planned(plan) if may_reload(plan) => ("reload: plan", "y: reload   n: leave it", Tone::Warn),
        ReloadStage::Planned(_) => ("reload: plan", "Esc: close", Tone::Bad),
        ReloadStage::Running => ("reload: running", "Esc: close, it goes on", Tone::Busy),
        ReloadStage::Ended(Outcome::Done { .. }) => ("reload: result", "Esc: close", Tone::Accent),
        ReloadStage::Ended(_) => ("reload: result", "Esc: close", Tone::Bad),
    }
}

fn reload_lines(model: &Model, stage: &ReloadStage, columns: usize) -> Vec<Line<'static>> {
    let say = |tone, text: &str| {
        wrap(text, columns).into_iter().map(move |part| Line::styled(part, model.theme.style(tone))).collect::<Vec<_>>()
    };
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
        ReloadStage::Planned(outcome) | ReloadStage::Ended(outcome) => {
            let planned = matches!(stage, ReloadStage::Planned(_));
            match outcome.report() {
                Some(report) => report_lines(model, report, planned, columns),
                None if matches!(outcome, Outcome::Done { .. }) => say(Tone::Plain, &outcome.words()),
                None => say(Tone::Bad, &format!("✗ {}", outcome.words())),
            }
        }
    }
}

fn report_lines(model: &Model, report: &ReloadReport, planned: bool, columns: usize) -> Vec<Line<'static>> {
    let style = |tone| model.theme.style(tone);
    let (symbol, tone, words) = outcome_words(report.outcome);
    let mut lines = Vec::new();
    if !planned {
        let took = format::latency(report.duration_ms.saturating_mul(1_000));
        let text = format!("{symbol} {words}; generation {} in force, after {took}", report.generation);
        lines.extend(wrap(&text, columns).into_iter().map(|part| Line::styled(part, style(tone))));
    } else if report.virtual_clusters.iter().all(|c| c.action == ReloadAction::Unchanged) && report.errors.is_empty() {
        lines.push(Line::styled("● Nothing would change.", style(Tone::Good)));
    }
    for (text, symbol, tone) in
        report.errors.iter().map(|e| (e, "✗", Tone::Bad)).chain(report.warnings.iter().map(|w| (w, "▲", Tone::Warn)))
    {
        lines
            .extend(wrap(&format!("{symbol} {text}"), columns).into_iter().map(|part| Line::styled(part, style(tone))));
    }
    if !lines.is_empty() && !report.virtual_clusters.is_empty() {
        lines.push(Line::default());
    }
    for cluster in &report.virtual_clusters {
        let (action, tone) = action_words(cluster.action);
        let name = columns.saturating_sub(32).clamp(8, 28);
        let mut line = Line::from(vec![
            Span::styled(left(&cluster.name, name), style(Tone::Plain)),
            Span::raw(" "),
            Span::styled(left(action, 10), style(tone)),
        ]);
        if !planned {
            let (outcome, tone) = cluster_words(cluster.outcome);
            line.push_span(Span::styled(format!("{outcome} "), style(tone)));
        }
        let fields = fit(&cluster.fields.join(", "), columns.saturating_sub(line.width()));
        line.push_span(Span::styled(fields, style(Tone::Faint)));
        lines.push(line);
        if !cluster.cause.is_empty() {
            let cause = wrap(&format::chain(&cluster.cause), columns.saturating_sub(2));
            lines.extend(cause.into_iter().map(|part| Line::styled(format!("  {part}"), style(Tone::Bad))));
        }
    }
    lines
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
