//! Colours, by meaning. No meaning is ever told by colour alone: a symbol and a word stand beside it.

use kroxy_core::status::{ClusterState, ProxyState, Severity};
use ratatui::style::{Color, Modifier, Style};

use crate::model::rows::Condition;

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Theme {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// Only strong colours, bold text and reversed selections.
    HighContrast,
    /// No colour at all: bold, dim and reversed text. What `NO_COLOR` asks for.
    Mono,
}

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Ordinary text.
    Plain,
    /// What may be overlooked: rules, units, what is absent.
    Faint,
    /// A heading.
    Heading,
    /// What stands out without being good or bad: a name, a key.
    Accent,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Somebody may want to look.
    Warn,
    /// Something does not work.
    Bad,
    /// Traffic from clients.
    In,
    /// Traffic to clients.
    Out,
}

impl Theme {
    /// The next one, for a key that goes round.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::HighContrast,
            Self::HighContrast => Self::Mono,
            Self::Mono => Self::Dark,
        }
    }

    /// As the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::HighContrast => "high-contrast",
            Self::Mono => "mono",
        }
    }

    /// How a text of that meaning looks.
    pub(crate) fn style(self, tone: Tone) -> Style {
        let bold = |style: Style| style.add_modifier(Modifier::BOLD);
        match self {
            Self::Dark => {
                let style = Style::new().fg(Color::Indexed(dark(tone)));
                if tone == Tone::Heading { bold(style) } else { style }
            }
            Self::Light => {
                let style = Style::new().fg(Color::Indexed(light(tone)));
                if tone == Tone::Heading { bold(style) } else { style }
            }
            Self::HighContrast => match tone {
                Tone::Plain | Tone::Faint => Style::new(),
                Tone::Heading => bold(Style::new()),
                Tone::Accent => bold(Style::new().fg(Color::LightCyan)),
                Tone::Good => bold(Style::new().fg(Color::LightGreen)),
                Tone::Busy | Tone::In => bold(Style::new().fg(Color::LightBlue)),
                Tone::Warn => bold(Style::new().fg(Color::LightYellow)),
                Tone::Bad => bold(Style::new().fg(Color::LightRed)),
                Tone::Out => bold(Style::new().fg(Color::LightMagenta)),
            },
            Self::Mono => match tone {
                Tone::Plain | Tone::Good | Tone::In | Tone::Out => Style::new(),
                Tone::Faint => Style::new().add_modifier(Modifier::DIM),
                Tone::Heading | Tone::Accent | Tone::Busy | Tone::Warn | Tone::Bad => bold(Style::new()),
            },
        }
    }

    /// What the selected row has over its own style.
    pub(crate) fn selection(self) -> Style {
        match self {
            Self::Dark => Style::new().bg(Color::Indexed(237)),
            Self::Light => Style::new().bg(Color::Indexed(253)),
            Self::HighContrast | Self::Mono => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// A bar across the screen that must not be overlooked.
    pub(crate) fn banner(self, tone: Tone) -> Style {
        self.style(tone).add_modifier(Modifier::REVERSED)
    }
}

/// Colours of the 256 that every terminal of the last twenty years shows alike.
fn dark(tone: Tone) -> u8 {
    match tone {
        Tone::Plain => 252,
        Tone::Faint => 243,
        Tone::Heading => 255,
        Tone::Accent => 81,
        Tone::Good => 78,
        Tone::Busy => 75,
        Tone::Warn => 221,
        Tone::Bad => 203,
        Tone::In => 80,
        Tone::Out => 141,
    }
}

fn light(tone: Tone) -> u8 {
    match tone {
        Tone::Plain => 236,
        Tone::Faint => 244,
        Tone::Heading => 232,
        Tone::Accent => 25,
        Tone::Good => 28,
        Tone::Busy => 26,
        Tone::Warn => 130,
        Tone::Bad => 160,
        Tone::In => 30,
        Tone::Out => 91,
    }
}

/// Symbol and meaning of a virtual cluster's condition.
pub(crate) fn condition(condition: Condition) -> (&'static str, Tone) {
    match condition {
        Condition::Failed => ("✗", Tone::Bad),
        Condition::Unreachable { .. } | Condition::Erring => ("▲", Tone::Warn),
        Condition::Draining => ("◐", Tone::Warn),
        Condition::Initializing => ("◌", Tone::Busy),
        Condition::Unknown => ("?", Tone::Warn),
        Condition::Serving => ("●", Tone::Good),
        Condition::Stopped => ("○", Tone::Faint),
    }
}

/// Symbol and meaning of a virtual cluster's state.
pub(crate) fn cluster(state: ClusterState) -> (&'static str, Tone) {
    condition(match state {
        ClusterState::Initializing => Condition::Initializing,
        ClusterState::Serving => Condition::Serving,
        ClusterState::Draining => Condition::Draining,
        ClusterState::Failed => Condition::Failed,
        ClusterState::Stopped => Condition::Stopped,
        ClusterState::Unknown => Condition::Unknown,
    })
}

/// Symbol and meaning of a proxy's state.
pub(crate) fn proxy(state: ProxyState) -> (&'static str, Tone) {
    match state {
        ProxyState::New | ProxyState::Starting => ("◌", Tone::Busy),
        ProxyState::Started => ("●", Tone::Good),
        ProxyState::Stopping => ("◐", Tone::Warn),
        ProxyState::Stopped => ("○", Tone::Faint),
        ProxyState::Unknown => ("?", Tone::Warn),
    }
}

/// Symbol, word and meaning of a severity.
pub(crate) fn severity(severity: Severity) -> (&'static str, &'static str, Tone) {
    match severity {
        Severity::Debug => ("·", "debug", Tone::Faint),
        Severity::Info => ("●", "info", Tone::Plain),
        Severity::Warn => ("▲", "warn", Tone::Warn),
        Severity::Error => ("✗", "error", Tone::Bad),
    }
}
