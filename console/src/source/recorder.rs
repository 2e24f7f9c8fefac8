//! Writes down what comes, for `--play`: to show a session to somebody, or to look again.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::recording::{Head, Take, What, by_name, difference};
use crate::model::{EventsFeed, News};

/// A recording that is being made.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: BufWriter<File>,
    begun_unix_ms: u64,
    last: Vec<Value>,
}

impl Recorder {
    /// Begins a new file.
    pub(crate) fn create(path: &Path, proxies: &[(String, String)], now_unix_ms: u64) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        let head = Head { proxies: proxies.to_vec(), begun_unix_ms: now_unix_ms };
        writeln!(file, "{}", serde_json::to_string(&head)?)?;
        Ok(Self { file, begun_unix_ms: now_unix_ms, last: vec![Value::Null; proxies.len()] })
    }

    /// Writes one thing that came.
    pub(crate) fn take(&mut self, proxy: usize, news: &News, now_unix_ms: u64) -> anyhow::Result<()> {
        let what = match news {
            News::Status(status) => {
                let now = by_name(serde_json::to_value(status)?);
                let Some(patch) = difference(&self.last[proxy], &now) else { return Ok(()) };
                self.last[proxy] = now;
                What::Status(patch)
            }
            News::Silent(why) => What::Silent(why.clone()),
            News::Event(event) => What::Event(event.clone()),
            News::Events(EventsFeed::Connecting) => return Ok(()),
            News::Events(EventsFeed::Live) => What::Events("live".to_owned()),
            News::Events(EventsFeed::NotOffered) => What::Events("not_offered".to_owned()),
            News::Events(EventsFeed::Lost(why)) => What::Events(why.clone()),
        };
        let take = Take { at_ms: now_unix_ms.saturating_sub(self.begun_unix_ms), proxy, what };
        writeln!(self.file, "{}", serde_json::to_string(&take)?)?;
        // A recording is wanted most where the console was killed.
        self.file.flush()?;
        Ok(())
    }
}
