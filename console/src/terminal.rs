//! The terminal, which is left as it was found: at the end, on a panic, on SIGTERM.

use std::io::{self, Stdout};
use std::panic;
use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::Context as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::model::Msg;

/// The terminal while it is ours.
pub(crate) struct Screen {
    /// What to draw on.
    pub(crate) terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn open() -> anyhow::Result<Self> {
        restore_on_panic();
        enable_raw_mode().context("cannot switch the terminal to single keys")?;
        // From here on dropping gives it back, whatever fails.
        let opened = Terminal::new(CrosstermBackend::new(io::stdout()));
        let mut screen = match opened {
            Ok(terminal) => Self { terminal },
            Err(error) => {
                restore();
                return Err(error).context("cannot draw on this terminal");
            }
        };
        execute!(io::stdout(), EnterAlternateScreen).context("cannot draw on this terminal")?;
        screen.terminal.hide_cursor()?;
        screen.terminal.clear()?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. May be called twice.
fn restore() {
    // Where the terminal has gone there is nothing left to restore, and nobody to tell.
    drop(disable_raw_mode());
    drop(execute!(io::stdout(), LeaveAlternateScreen, ratatui::crossterm::cursor::Show));
}

/// A panic in any thread gives the terminal back before its message is written, and ends the console: half of it would
/// show a picture that nobody updates.
fn restore_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        restore();
        report(panic);
        std::process::exit(101);
    }));
}

/// Sends keys and sizes.
pub(crate) fn read_keys(to: SyncSender<Msg>) -> anyhow::Result<()> {
    let read = move || {
        loop {
            let msg = match event::read() {
                Ok(Event::Key(key)) => Msg::Key(key),
                Ok(Event::Resize(columns, rows)) => Msg::Resized(columns, rows),
                Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => continue,
                // The terminal has gone: nobody can see or press anything any more.
                Err(_) => Msg::Terminate,
            };
            let end = matches!(msg, Msg::Terminate);
            if to.send(msg).is_err() || end {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read).map(drop).context("cannot start a thread")
}

/// Sends word when the process is asked to end.
pub(crate) fn watch_signals(to: SyncSender<Msg>) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot watch for signals")?;
    let watch = move || {
        if signals.forever().next().is_some() {
            // The console may have ended on its own meanwhile.
            drop(to.send(Msg::Terminate));
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map(drop).context("cannot start a thread")
}
