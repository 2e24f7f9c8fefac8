//! What reaches the model, what it wants done, and what comes of that.

use kroxy_core::reload::Plan;
use kroxy_core::status::{Event, ReloadReport, Status};
use ratatui::crossterm::event::KeyEvent;

use super::EventsFeed;

/// What can be asked of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Let the clients of a virtual cluster leave.
    Drain(String),
    /// Try a failed or drained virtual cluster again.
    Retry(String),
    /// Say what a reload would do.
    Plan,
    /// Take the configuration file as it is now.
    Reload,
    /// Drain everything and end.
    Shutdown,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was done, or is under way.
    Done {
        /// What a reload did.
        report: Option<ReloadReport>,
        /// What else the proxy said.
        text: String,
    },
    /// Nothing was done: this is what a reload would do.
    Planned(Box<Plan>),
    /// This proxy cannot do that.
    NotOffered,
    /// The proxy declined.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What a reload did not do, and why.
        report: Option<ReloadReport>,
        /// What the proxy said.
        text: String,
    },
    /// No answer: it may have been done or not.
    NoAnswer(String),
}

/// What reaches the model.
#[derive(Debug)]
pub(crate) enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized(u16, u16),
    /// Time has passed.
    Tick,
    /// Something came from a proxy.
    News {
        /// Which one.
        proxy: usize,
        /// What.
        news: News,
    },
    /// An action ended.
    Acted {
        /// At which proxy.
        proxy: usize,
        /// What was asked.
        action: Action,
        /// What came of it.
        outcome: Outcome,
    },
    /// The journal was written to a file, or not.
    Exported(Result<String, String>),
    /// Somebody asked the process to end.
    Terminate,
}

/// What comes from a proxy.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// An answer to the status question.
    Status(Box<Status>),
    /// No answer, and why.
    Silent(String),
    /// One event of the stream.
    Event(Box<Event>),
    /// The stream began or ended.
    Events(EventsFeed),
}

/// What the model wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// End.
    Quit,
    /// Ask something of a proxy.
    Act {
        /// Which one.
        proxy: usize,
        /// What.
        action: Action,
    },
    /// Ask for the status now rather than at the next turn.
    Refresh {
        /// Of which proxy.
        proxy: usize,
    },
    /// Write a file that does not exist yet.
    Export {
        /// Where.
        path: String,
        /// What.
        text: String,
    },
}

impl Action {
    /// In words, as the answer to "what was asked".
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Drain(cluster) => format!("drain {cluster}"),
            Self::Retry(cluster) => format!("retry {cluster}"),
            Self::Plan => "plan a reload".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Shutdown => "shutdown".to_owned(),
        }
    }
}

impl Outcome {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Done { report: Some(report), .. } => report.outcome.to_string(),
            Self::Done { text, .. } if text.is_empty() => "accepted".to_owned(),
            Self::Done { text, .. } => text.clone(),
            Self::Planned(_) => "planned".to_owned(),
            Self::NotOffered => "this proxy does not offer it".to_owned(),
            Self::Refused { status, text, .. } if text.is_empty() => format!("refused (HTTP {status})"),
            Self::Refused { status, text, .. } => format!("refused (HTTP {status}): {text}"),
            Self::NoAnswer(why) => format!("no answer, it may have been done or not: {why}"),
        }
    }

    /// The report that came with it.
    pub(crate) fn report(&self) -> Option<&ReloadReport> {
        match self {
            Self::Done { report, .. } | Self::Refused { report, .. } => report.as_ref(),
            Self::Planned(_) | Self::NotOffered | Self::NoAnswer(_) => None,
        }
    }
}
