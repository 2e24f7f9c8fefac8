//! A terminal that a test looks at and types into: tmux, on a socket of its own.

use crate::process::{run, wait_until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a screen may take to show something: long for a machine under load, short enough to notice what never comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long tmux itself may take.
const TMUX_LIMIT: Duration = Duration::from_secs(20);

/// A program in a terminal of its own. Dropping it ends both.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns and rows.
    ///
    /// # Panics
    /// Without tmux.
    pub fn open(name: &str, (columns, rows): (u16, u16), program: &Path, args: &[&str]) -> Self {
        let terminal = Self { socket: format!("kroxy-{name}-{}", std::process::id()) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut tmux = terminal.tmux();
        // Nobody's own settings.
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows]).arg(program).args(args);
        run(TMUX_LIMIT, &tmux).demand("tmux, which these tests need");
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-L", &self.socket]);
        tmux.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("TMUX");
        tmux
    }

    /// What it shows now; nothing once the program has ended.
    pub fn screen(&self) -> String {
        run(TMUX_LIMIT, self.tmux().args(["capture-pane", "-p"])).stdout
    }

    /// Presses keys, named as tmux names them.
    ///
    /// # Panics
    /// When the program has ended.
    pub fn press(&self, keys: &[&str]) {
        run(TMUX_LIMIT, self.tmux().arg("send-keys").args(keys)).demand("tmux send-keys");
    }

    /// Waits until all of these stand on the screen together, and returns it.
    ///
    /// # Panics
    /// With the screen, when they do not come.
    pub fn wait_for(&self, texts: &[&str]) -> String {
        let mut screen = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(&format!("{texts:?} on the screen"), PATIENCE, || {
                screen = self.screen();
                texts.iter().all(|text| screen.contains(text))
            });
        }));
        assert!(shown.is_ok(), "{texts:?} do not come; the screen shows\n{screen}");
        screen
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_until_closed(&self) {
        wait_until("the program ends", PATIENCE, || !run(TMUX_LIMIT, self.tmux().arg("has-session")).status.success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It fails where the program has ended, and its terminal with it.
        let _ = run(TMUX_LIMIT, self.tmux().arg("kill-server"));
    }
}
