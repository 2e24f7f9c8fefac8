//! Everything that the screen is made of. `update` changes it, `view` draws it, and nothing else is known to either.

pub(crate) mod history;
pub(crate) mod journal;
mod message;
pub(crate) mod rows;

use std::collections::BTreeMap;

use kroxy_core::status::{ClusterStatus, Severity, Status};

use crate::limits::{NOTICE_MS, STALE_AFTER_MS};
use crate::theme::Theme;
use history::History;
use journal::Journal;
pub(crate) use message::{Action, Effect, Msg, News, Outcome};
use rows::SortBy;

/// The console at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The console's clock. Ages are never taken from it, only how old the picture is.
    pub(crate) now_unix_ms: u64,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// What is known of each proxy, in the order of the command line; never empty.
    live: Vec<Proxy>,
    /// The picture that the operator holds on to, and since when.
    frozen: Option<(u64, Vec<Proxy>)>,
    /// Which proxy is shown: an index into both.
    pub(crate) current: usize,
    /// What is on the screen.
    pub(crate) screen: Screen,
    /// What lies over it.
    pub(crate) overlay: Option<Overlay>,
    /// What is being typed.
    pub(crate) input: Option<Input>,
    /// How the overview is arranged.
    pub(crate) table: Table,
    /// What of the journal is shown.
    pub(crate) events: EventsView,
    /// What the last line says for a while.
    pub(crate) notice: Option<Notice>,
    /// Colours.
    pub(crate) theme: Theme,
    /// The terminal knows nothing but ASCII.
    pub(crate) ascii: bool,
    /// Nothing may be asked of a proxy but to be looked at.
    pub(crate) read_only: bool,
    /// What is shown is a recording, not a proxy.
    pub(crate) playing: bool,
}

/// One proxy, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    /// What the operator calls it.
    pub(crate) label: String,
    /// Where its admin API is.
    pub(crate) url: String,
    /// Whether it answers.
    pub(crate) feed: Feed,
    /// Whether it sends events.
    pub(crate) events: EventsFeed,
    /// The last answer; kept when it falls silent.
    pub(crate) status: Option<Status>,
    /// Rates of each virtual cluster, by name.
    pub(crate) histories: BTreeMap<String, History>,
    /// Rates of all of them together.
    pub(crate) total: History,
    /// What has happened.
    pub(crate) journal: Journal,
}

/// Whether a proxy answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Feed {
    /// Nothing has come yet.
    Connecting {
        /// Since when it has been tried.
        since_unix_ms: u64,
    },
    /// The last attempt was answered.
    Answering {
        /// When, by the console's clock.
        at_unix_ms: u64,
    },
    /// The last attempt was not answered.
    Silent {
        /// When the last answer came, or the first attempt was made.
        since_unix_ms: u64,
        /// What went wrong.
        why: String,
    },
}

/// Whether a proxy sends events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventsFeed {
    /// Not known yet.
    Connecting,
    /// The stream is open.
    Live,
    /// The proxy has no such stream; transitions come from the status.
    NotOffered,
    /// The stream broke and is being opened anew.
    Lost(String),
}

/// What is on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// All virtual clusters.
    Overview,
    /// One of them.
    Detail {
        /// Its name.
        cluster: String,
        /// Lines scrolled past.
        scroll: usize,
    },
    /// The journal.
    Events,
}

/// What lies over the screen and takes the keys.
#[derive(Clone, Debug)]
pub(crate) enum Overlay {
    /// Keys and words.
    Help {
        /// Lines scrolled past.
        scroll: usize,
    },
    /// Is it meant? Drain or retry.
    Confirm {
        /// What will be done.
        action: Action,
    },
    /// Is it meant? The word has to be typed.
    ConfirmShutdown {
        /// What has been typed.
        typed: String,
    },
    /// From the plan to the result of a reload.
    Reload {
        /// How far it is.
        stage: ReloadStage,
        /// Lines scrolled past.
        scroll: usize,
    },
}

/// How far a reload is.
#[derive(Clone, Debug)]
pub(crate) enum ReloadStage {
    /// The proxy works out what it would do.
    Planning,
    /// What it would do; it has not been asked to.
    Planned(Outcome),
    /// It does it.
    Running,
    /// How it went.
    Ended(Outcome),
}

/// A line of text that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// What for.
    pub(crate) purpose: InputPurpose,
    /// The text so far.
    pub(crate) text: String,
}

/// What a typed text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputPurpose {
    /// Which virtual clusters the overview shows.
    FilterClusters,
    /// Which events the journal shows.
    FilterEvents,
    /// The file to write the journal to.
    ExportPath,
}

/// How the overview is arranged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The selected virtual cluster, by name so that it stays selected when the order changes; the first where absent.
    pub(crate) selected: Option<String>,
    /// What the order goes by.
    pub(crate) sort: SortBy,
    /// The other way round.
    pub(crate) reversed: bool,
    /// Only those whose name, state or reason holds this.
    pub(crate) filter: String,
}

/// What of the journal is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsView {
    /// Only what matters at least this much.
    pub(crate) least: Severity,
    /// Only what is about this virtual cluster.
    pub(crate) cluster: Option<String>,
    /// Only what holds this.
    pub(crate) filter: String,
    /// The selected entry; absent while the newest is followed.
    pub(crate) selected: Option<u64>,
}

/// What the last line says for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// How much it matters.
    pub(crate) severity: Severity,
    /// The text.
    pub(crate) text: String,
    /// When it goes.
    pub(crate) until_unix_ms: u64,
}

impl Model {
    /// A console that has heard nothing yet. `proxies` are labels and addresses, at least one.
    pub(crate) fn new(proxies: &[(String, String)], theme: Theme, size: (u16, u16), now_unix_ms: u64) -> Self {
        let live: Vec<_> = proxies.iter().map(|(label, url)| Proxy::new(label, url, now_unix_ms)).collect();
        assert!(!live.is_empty(), "there is always a default proxy");
        Self {
            now_unix_ms,
            size,
            live,
            frozen: None,
            current: 0,
            screen: Screen::Overview,
            overlay: None,
            input: None,
            table: Table::default(),
            events: EventsView { least: Severity::Info, cluster: None, filter: String::new(), selected: None },
            notice: None,
            theme,
            ascii: false,
            read_only: false,
            playing: false,
        }
    }

    /// The proxies as they are shown.
    pub(crate) fn proxies(&self) -> &[Proxy] {
        self.frozen.as_ref().map_or(&self.live, |(_, frozen)| frozen)
    }

    /// The proxy that is shown.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxies()[self.current]
    }

    /// A proxy as it is, shown or not.
    pub(crate) fn live_mut(&mut self, proxy: usize) -> Option<&mut Proxy> {
        self.live.get_mut(proxy)
    }

    /// Since when the picture has been held, if it is.
    pub(crate) fn frozen_at(&self) -> Option<u64> {
        self.frozen.as_ref().map(|(at, _)| *at)
    }

    /// Holds the picture, or lets go of it.
    pub(crate) fn toggle_freeze(&mut self) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some((self.now_unix_ms, self.live.clone())),
        };
    }

    /// Forgets everything that has come, because it comes again.
    pub(crate) fn begin_anew(&mut self, proxies: &[(String, String)], now_unix_ms: u64) {
        self.now_unix_ms = now_unix_ms;
        self.live = proxies.iter().map(|(label, url)| Proxy::new(label, url, now_unix_ms)).collect();
        self.frozen = None;
        self.events.selected = None;
    }

    /// Says something in the last line for a while.
    pub(crate) fn say(&mut self, severity: Severity, text: impl Into<String>) {
        let until_unix_ms = self.now_unix_ms.saturating_add(NOTICE_MS);
        self.notice = Some(Notice { severity, text: text.into(), until_unix_ms });
    }

    /// Whatever on the screen changes by time alone: where this stays the same, a tick changes nothing.
    pub(crate) fn ages(&self) -> (Vec<Option<u64>>, Option<u64>, bool) {
        let seconds = |since: u64| self.now_unix_ms.saturating_sub(since) / 1_000;
        let stale = (0..self.live.len()).map(|proxy| self.stale_since(proxy).map(seconds)).collect();
        (stale, self.frozen_at().map(seconds), self.notice.is_some())
    }

    /// Since when the picture of `proxy` has been old, if it is.
    pub(crate) fn stale_since(&self, proxy: usize) -> Option<u64> {
        // A held picture is old on purpose; whether the proxy answers is asked of the living one.
        match &self.live.get(proxy)?.feed {
            Feed::Silent { since_unix_ms, .. } => Some(*since_unix_ms),
            Feed::Answering { at_unix_ms: at } | Feed::Connecting { since_unix_ms: at } => {
                (self.now_unix_ms.saturating_sub(*at) > STALE_AFTER_MS).then_some(*at)
            }
        }
    }

    /// Why `proxy` does not answer, where that is known.
    pub(crate) fn silent_because(&self, proxy: usize) -> Option<&str> {
        match &self.live.get(proxy)?.feed {
            Feed::Silent { why, .. } => Some(why),
            Feed::Answering { .. } | Feed::Connecting { .. } => None,
        }
    }

    /// The virtual cluster of that name at the proxy that is shown.
    pub(crate) fn cluster(&self, name: &str) -> Option<&ClusterStatus> {
        self.proxy().status.as_ref()?.virtual_clusters.iter().find(|c| c.name == name)
    }

    /// The virtual cluster that an action is about: the one whose detail is shown, or the selected one.
    pub(crate) fn subject(&self) -> Option<String> {
        match &self.screen {
            Screen::Detail { cluster, .. } => Some(cluster.clone()),
            Screen::Overview => rows::selected(self).map(|row| row.cluster.name.clone()),
            Screen::Events => None,
        }
    }
}

impl Proxy {
    fn new(label: &str, url: &str, now_unix_ms: u64) -> Self {
        Self {
            label: label.to_owned(),
            url: url.to_owned(),
            feed: Feed::Connecting { since_unix_ms: now_unix_ms },
            events: EventsFeed::Connecting,
            status: None,
            histories: BTreeMap::new(),
            total: History::default(),
            journal: Journal::default(),
        }
    }
}
