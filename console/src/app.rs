//! The loop: takes messages, updates the model, does what it wants done, draws when something has changed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kroxy_core::status::Severity;

use crate::limits::{FRAME_GAP_MIN, KEY_FRAME_GAP_MIN, MESSAGES_MAX};
use crate::model::{Effect, Model, Msg, News};
use crate::source::http::Source;
use crate::source::player::Recording;
use crate::source::recorder::Recorder;
use crate::terminal::Screen;
use crate::update::update;
use crate::view::view;

/// How long the last picture of a recording stays before it begins again.
const END_OF_RECORDING: Duration = Duration::from_secs(4);

/// Where the news come from.
pub(crate) enum Feed {
    /// Proxies, by number.
    Proxies {
        /// One for each.
        sources: Vec<Source>,
        /// What comes is written down as well.
        recorder: Option<Recorder>,
    },
    /// A recording.
    Recording(Player),
}

/// A recording that is being played.
pub(crate) struct Player {
    recording: Recording,
    left: VecDeque<(u64, usize, News)>,
    begun: Instant,
}

impl Player {
    /// Begins to play.
    pub(crate) fn new(recording: Recording) -> Self {
        let left = recording.takes.iter().cloned().collect();
        Self { recording, left, begun: Instant::now() }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The console while it runs.
pub(crate) struct App {
    /// What is shown.
    pub(crate) model: Model,
    /// Where news come from.
    pub(crate) feed: Feed,
    /// Something has changed since it was last drawn.
    dirty: bool,
    /// It should be drawn soon, because somebody has pressed a key.
    hurry: bool,
}

impl App {
    /// Before the first picture.
    pub(crate) fn new(model: Model, feed: Feed) -> Self {
        Self { model, feed, dirty: true, hurry: true }
    }

    /// Runs until somebody leaves.
    pub(crate) fn run(&mut self, screen: &mut Screen, messages: &Receiver<Msg>) -> anyhow::Result<()> {
        let mut drawn = Instant::now().checked_sub(FRAME_GAP_MIN).unwrap_or_else(Instant::now);
        loop {
            self.play();
            let gap = if self.hurry { KEY_FRAME_GAP_MIN } else { FRAME_GAP_MIN };
            if self.dirty && drawn.elapsed() >= gap {
                screen.terminal.draw(|frame| view(&self.model, frame))?;
                drawn = Instant::now();
                (self.dirty, self.hurry) = (false, false);
            }
            let wait = if self.dirty { gap.saturating_sub(drawn.elapsed()) } else { self.until_next() };
            match messages.recv_timeout(wait) {
                Ok(msg) => {
                    if self.take(msg)? {
                        return Ok(());
                    }
                    for _ in 0..MESSAGES_MAX {
                        let Ok(msg) = messages.try_recv() else { break };
                        if self.take(msg)? {
                            return Ok(());
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => drop(self.take(Msg::Tick)?),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// By which clock the model lives: a recording has its own.
    fn now_unix_ms(&self) -> u64 {
        match &self.feed {
            Feed::Proxies { .. } => wall_clock_ms(),
            Feed::Recording(player) => player.recording.begun_unix_ms.saturating_add(player.elapsed_ms()),
        }
    }

    /// Until the next whole second of that clock, when ages change, or until the recording goes on.
    fn until_next(&self) -> Duration {
        let second = 1_000 - self.now_unix_ms() % 1_000;
        let ms = match &self.feed {
            Feed::Proxies { .. } => second,
            Feed::Recording(player) => match player.left.front() {
                Some((at, ..)) => at.saturating_sub(player.elapsed_ms()).clamp(1, second),
                None => second,
            },
        };
        Duration::from_millis(ms)
    }

    /// Takes one message; true when that was the last.
    pub(crate) fn take(&mut self, msg: Msg) -> anyhow::Result<bool> {
        let now = self.now_unix_ms();
        if let (Msg::News { proxy, news }, Feed::Proxies { recorder: Some(recorder), .. }) = (&msg, &mut self.feed) {
            recorder.take(*proxy, news, now)?;
        }
        let before = self.model.ages();
        let quiet = matches!(msg, Msg::Tick);
        self.hurry |= matches!(msg, Msg::Key(_) | Msg::Resized(..));
        let effects = update(&mut self.model, msg, now);
        self.dirty |= !quiet || before != self.model.ages();
        for effect in effects {
            if self.perform(effect)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn perform(&mut self, effect: Effect) -> anyhow::Result<bool> {
        match (effect, &self.feed) {
            (Effect::Quit, _) => return Ok(true),
            (Effect::Export { path, text }, _) => {
                let written = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
                let lines = text.lines().count();
                let said = match written {
                    Ok(()) => Ok(format!("{path}: {lines} lines written")),
                    Err(error) => Err(format!("{path}: {error}")),
                };
                return self.take(Msg::Exported(said));
            }
            (Effect::Act { proxy, action }, Feed::Proxies { sources, .. }) => sources[proxy].act(action)?,
            (Effect::Refresh { proxy }, Feed::Proxies { sources, .. }) => sources[proxy].refresh(),
            // A recording cannot be asked for anything.
            (Effect::Act { .. } | Effect::Refresh { .. }, Feed::Recording(_)) => {}
        }
        Ok(false)
    }

    /// Takes from the recording what is due; begins it anew some time after its end.
    fn play(&mut self) {
        let now = self.now_unix_ms();
        let Feed::Recording(player) = &mut self.feed else { return };
        let elapsed = player.elapsed_ms();
        while player.left.front().is_some_and(|(at, ..)| *at <= elapsed) {
            let Some((_, proxy, news)) = player.left.pop_front() else { break };
            update(&mut self.model, Msg::News { proxy, news }, now);
            self.dirty = true;
        }
        let end = player.recording.takes.last().map_or(0, |(at, ..)| *at);
        if player.left.is_empty() && Duration::from_millis(elapsed.saturating_sub(end)) > END_OF_RECORDING {
            *player = Player::new(player.recording.clone());
            self.model.begin_anew(&player.recording.proxies, player.recording.begun_unix_ms);
            self.model.say(Severity::Info, "the recording begins again");
        }
    }
}

/// Plays a recording up to `at_ms`, at once.
pub(crate) fn fast_forward(model: &mut Model, recording: &Recording, at_ms: u64) {
    for (at, proxy, news) in recording.takes.iter().filter(|(at, ..)| *at <= at_ms) {
        let msg = Msg::News { proxy: *proxy, news: news.clone() };
        update(model, msg, recording.begun_unix_ms.saturating_add(*at));
    }
    update(model, Msg::Tick, recording.begun_unix_ms.saturating_add(at_ms));
}
