//! The keys, as a table: what a key does, where, and what the help says about it all stand in one place.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The line before.
    Up,
    /// The next line.
    Down,
    /// Half a screen back.
    PageUp,
    /// Half a screen on.
    PageDown,
    /// The beginning.
    First,
    /// The end; in the journal, follow what comes.
    Last,
    /// The detail of the selected virtual cluster.
    Open,
    /// Back to where one came from.
    Back,
    /// The journal.
    Events,
    /// Keys and words.
    Help,
    /// Type a filter.
    Filter,
    /// Order by the next column.
    Sort,
    /// The other way round.
    Reverse,
    /// Hold the picture, or let go.
    Freeze,
    /// Show less or more of the journal.
    Severity,
    /// Write the journal to a file.
    Export,
    /// The next proxy.
    NextProxy,
    /// The proxy before.
    PreviousProxy,
    /// Drain the virtual cluster.
    Drain,
    /// Retry the virtual cluster.
    Retry,
    /// Plan a reload, then ask.
    Reload,
    /// Shut the proxy down.
    Shutdown,
    /// Other colours.
    Theme,
    /// Leave.
    Quit,
}

/// A place where keys mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The table of virtual clusters.
    Overview,
    /// One virtual cluster.
    Detail,
    /// The journal.
    Events,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    /// What it does.
    pub(crate) command: Command,
    /// The keys that do it.
    codes: &'static [KeyCode],
    /// With Ctrl.
    ctrl: bool,
    /// The keys as the help and the last line write them.
    pub(crate) label: &'static str,
    /// Where they do it.
    places: &'static [Place],
    /// One word for the last line; none where it is not worth the room.
    pub(crate) hint: Option<&'static str>,
    /// What the help says.
    pub(crate) help: &'static str,
    /// It changes something at the proxy: not in read-only mode.
    pub(crate) acts: bool,
}

use Place::{Detail, Events, Overview};

const ALL: &[Place] = &[Overview, Detail, Events];

/// Every key outside of dialogs, in the order of the help.
pub(crate) const BINDINGS: &[Binding] = &[
    Binding {
        hint: Some("move"),
        ..looks(Command::Up, &[KeyCode::Up, KeyCode::Char('k')], "↑ k", ALL, "the line before")
    },
    looks(Command::Down, &[KeyCode::Down, KeyCode::Char('j')], "↓ j", ALL, "the next line"),
    looks(Command::PageUp, &[KeyCode::PageUp], "PgUp", ALL, "half a screen back"),
    looks(Command::PageDown, &[KeyCode::PageDown], "PgDn", ALL, "half a screen on"),
    looks(Command::First, &[KeyCode::Home, KeyCode::Char('g')], "Home g", ALL, "the beginning"),
    looks(
        Command::Last,
        &[KeyCode::End, KeyCode::Char('G')],
        "End G",
        ALL,
        "the end; in the journal: follow what comes",
    ),
    Binding {
        hint: Some("detail"),
        ..looks(
            Command::Open,
            &[KeyCode::Enter, KeyCode::Right],
            "Enter",
            &[Overview],
            "the selected cluster in detail",
        )
    },
    Binding {
        hint: Some("back"),
        ..looks(Command::Back, &[KeyCode::Esc, KeyCode::Left, KeyCode::Backspace], "Esc", ALL, "back; drop the filter")
    },
    Binding {
        hint: Some("events"),
        ..looks(
            Command::Events,
            &[KeyCode::Char('e')],
            "e",
            &[Overview, Detail],
            "the journal; from a detail, this cluster's part of it",
        )
    },
    Binding {
        hint: Some("filter"),
        ..looks(Command::Filter, &[KeyCode::Char('/')], "/", &[Overview, Events], "show only what holds a text")
    },
    Binding {
        hint: Some("sort"),
        ..looks(Command::Sort, &[KeyCode::Char('s')], "s", &[Overview], "order by the next column")
    },
    looks(Command::Reverse, &[KeyCode::Char('S')], "S", &[Overview], "the other way round"),
    Binding {
        hint: Some("severity"),
        ..looks(Command::Severity, &[KeyCode::Char('v')], "v", &[Events], "show from debug, info, warn or error on")
    },
    Binding {
        hint: Some("export"),
        ..looks(Command::Export, &[KeyCode::Char('x')], "x", &[Events], "write the events shown to a new file")
    },
    Binding {
        hint: Some("freeze"),
        ..looks(Command::Freeze, &[KeyCode::Char(' ')], "Space", ALL, "hold the picture still, or let it go on")
    },
    looks(Command::NextProxy, &[KeyCode::Tab, KeyCode::Char(']')], "Tab ]", ALL, "the next proxy"),
    looks(Command::PreviousProxy, &[KeyCode::BackTab, KeyCode::Char('[')], "S-Tab [", ALL, "the proxy before"),
    acts(
        Command::Drain,
        &[KeyCode::Char('d')],
        "d",
        &[Overview, Detail],
        "drain",
        "drain the cluster: its clients leave without an error",
    ),
    acts(
        Command::Retry,
        &[KeyCode::Char('r')],
        "r",
        &[Overview, Detail],
        "retry",
        "try a failed or drained cluster again, at once",
    ),
    acts(
        Command::Reload,
        &[KeyCode::Char('R')],
        "R",
        ALL,
        "reload",
        "reload the configuration; shows the plan and asks first",
    ),
    acts(
        Command::Shutdown,
        &[KeyCode::Char('X')],
        "X",
        ALL,
        "shutdown",
        "drain everything and end the proxy; asks first",
    ),
    looks(Command::Theme, &[KeyCode::Char('t')], "t", ALL, "other colours: dark, light, high contrast, none"),
    Binding { hint: Some("help"), ..looks(Command::Help, &[KeyCode::Char('?'), KeyCode::F(1)], "?", ALL, "this page") },
    Binding { hint: Some("quit"), ..looks(Command::Quit, &[KeyCode::Char('q')], "q", ALL, "leave the console") },
    Binding {
        ctrl: true,
        ..looks(Command::Quit, &[KeyCode::Char('c')], "Ctrl-C", ALL, "leave the console, from dialogs as well")
    },
];

const fn looks(
    command: Command,
    codes: &'static [KeyCode],
    label: &'static str,
    places: &'static [Place],
    help: &'static str,
) -> Binding {
    Binding { command, codes, ctrl: false, label, places, hint: None, help, acts: false }
}

const fn acts(
    command: Command,
    codes: &'static [KeyCode],
    label: &'static str,
    places: &'static [Place],
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { command, codes, ctrl: false, label, places, hint: Some(hint), help, acts: true }
}

/// What `key` means at `place`.
pub(crate) fn command(key: KeyEvent, place: Place) -> Option<Command> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    let fits = |b: &&Binding| b.ctrl == ctrl && b.codes.contains(&key.code) && b.places.contains(&place);
    BINDINGS.iter().find(fits).map(|binding| binding.command)
}

/// How soon a hint is left out of the last line where there is no room: the lowest first.
pub(crate) fn worth(command: Command) -> u8 {
    match command {
        Command::Quit => 255,
        Command::Help => 254,
        Command::Back => 230,
        Command::Open => 220,
        Command::Events => 210,
        Command::Drain => 200,
        Command::Reload => 190,
        Command::Filter => 170,
        Command::Retry => 160,
        Command::Severity | Command::Export => 150,
        Command::Sort => 140,
        Command::Freeze => 130,
        Command::Shutdown => 120,
        Command::Up
        | Command::Down
        | Command::PageUp
        | Command::PageDown
        | Command::First
        | Command::Last
        | Command::Reverse
        | Command::NextProxy
        | Command::PreviousProxy
        | Command::Theme => 100,
    }
}

/// What the last line offers at `place`.
pub(crate) fn hints(place: Place, read_only: bool) -> impl Iterator<Item = &'static Binding> {
    // In the overview there is nowhere to go back to.
    let idle = move |b: &Binding| b.command == Command::Back && place == Place::Overview;
    BINDINGS.iter().filter(move |b| b.hint.is_some() && b.places.contains(&place) && !(read_only && b.acts) && !idle(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for place in ALL {
            let mut seen = Vec::new();
            for binding in BINDINGS.iter().filter(|b| b.places.contains(place)) {
                for code in binding.codes {
                    assert!(!seen.contains(&(*code, binding.ctrl)), "{code:?} at {place:?}");
                    seen.push((*code, binding.ctrl));
                }
            }
        }
    }

    #[test]
    fn every_key_does_what_its_line_says() {
        for binding in BINDINGS {
            for code in binding.codes {
                let modifiers = if binding.ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                let found = command(KeyEvent::new(*code, modifiers), binding.places[0]);
                assert_eq!(found, Some(binding.command), "{code:?}");
            }
            let first = binding.label.split(' ').next().expect("a label has a word");
            assert!(first.chars().count() <= 7, "{first} fits the help's column");
        }
    }
}
