//! What the console keeps, reads and waits for at most.

use std::time::Duration;

/// Bytes of one answer of `GET /api/v1/status`: 200 clusters need about 500 KiB.
pub(crate) const STATUS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of an answer to an action: a reload report over thousands of clusters, or an error page.
pub(crate) const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of one server-sent event: a reload report is the largest.
pub(crate) const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Journal entries kept for each proxy; the oldest go first.
pub(crate) const JOURNAL_ENTRIES_MAX: usize = 5_000;
/// Transitions remembered for each proxy, so that the status and the event stream do not tell one twice.
pub(crate) const TRANSITIONS_REMEMBERED_MAX: usize = 20_000;
/// Points of a sparkline: at one a second, five minutes, more than the widest terminal shows.
pub(crate) const HISTORY_POINTS_MAX: usize = 300;
/// Rates are taken over at least this, so that a status that comes early does not make them jump.
pub(crate) const RATE_WINDOW_MIN_MS: u64 = 900;
/// Proxies at once: each takes two threads.
pub(crate) const PROXIES_MAX: usize = 64;
/// Characters of a filter or a file name.
pub(crate) const INPUT_CHARS_MAX: usize = 200;
/// Messages on their way to the model; whoever sends more waits.
pub(crate) const MESSAGES_MAX: usize = 1_024;
/// Characters of an error text that a proxy answers with.
pub(crate) const ERROR_CHARS_MAX: usize = 2_000;

/// How often the status is asked for where nothing happens.
pub(crate) const POLL_EVERY: Duration = Duration::from_millis(1_000);
/// Events make the next poll come sooner, but never sooner than this.
pub(crate) const POLL_GAP_MIN: Duration = Duration::from_millis(250);
/// After a failed attempt the next one waits this long, then twice as long, and so on.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// No wait is longer: a proxy that returns is seen within this.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Where a proxy does not offer events, it is asked again this often: it may have been upgraded.
pub(crate) const EVENTS_ASK_AGAIN: Duration = Duration::from_secs(60);
/// Time for a connection to the admin API.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a status.
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for an action. A reload answers when every drain has ended.
pub(crate) const ACTION_TIMEOUT: Duration = Duration::from_secs(300);
/// An event stream that is silent for this long may be dead without knowing it: it is opened anew.
pub(crate) const EVENTS_SILENCE_MAX: Duration = Duration::from_secs(60);
/// No answer for this long, and the picture is called stale even if no attempt has failed yet.
pub(crate) const STALE_AFTER_MS: u64 = 3_500;
/// How long the result of an action stays in the last line.
pub(crate) const NOTICE_MS: u64 = 8_000;
/// The screen is drawn at most this often.
pub(crate) const FRAME_GAP_MIN: Duration = Duration::from_millis(100);
/// A key is answered on the screen within this.
pub(crate) const KEY_FRAME_GAP_MIN: Duration = Duration::from_millis(16);
