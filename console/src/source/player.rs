//! Plays a recording: everything comes as it came, when it came.

use anyhow::Context as _;
use serde_json::Value;

use super::recording::{Head, Take, What, apply, in_a_row};
use crate::model::{EventsFeed, News};

/// The session that `--demo` plays.
pub(crate) const DEMO: &str = include_str!("../../../fixtures/console/demo.jsonl");

/// A session that shows everything at least once: for golden screens.
#[cfg(test)]
pub(crate) const STORY: &str = include_str!("../../../fixtures/console/story.jsonl");

/// A recording, read in full.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// Labels and addresses of the proxies, at least one.
    pub(crate) proxies: Vec<(String, String)>,
    /// What its clock showed at the beginning.
    pub(crate) begun_unix_ms: u64,
    /// What came: when, from which proxy, what; in the order of time.
    pub(crate) takes: Vec<(u64, usize, News)>,
}

impl Recording {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().context("the recording is empty")?;
        let head: Head = serde_json::from_str(first).context("line 1 does not say which proxies were recorded")?;
        anyhow::ensure!(!head.proxies.is_empty(), "line 1 names no proxy");
        let mut statuses = vec![Value::Null; head.proxies.len()];
        let mut takes = Vec::new();
        for (n, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let take: Take = serde_json::from_str(line).with_context(|| format!("line {}", n + 1))?;
            let status = statuses.get_mut(take.proxy);
            let status = status.with_context(|| format!("line {}: there is no proxy {}", n + 1, take.proxy))?;
            let news = match take.what {
                What::Status(patch) => {
                    apply(status, &patch);
                    let whole = serde_json::from_value(in_a_row(status.clone()));
                    News::Status(Box::new(whole.with_context(|| format!("line {}", n + 1))?))
                }
                What::Event(event) => News::Event(event),
                What::Silent(why) => News::Silent(why),
                What::Events(how) => News::Events(match how.as_str() {
                    "live" => EventsFeed::Live,
                    "not_offered" => EventsFeed::NotOffered,
                    _ => EventsFeed::Lost(how),
                }),
            };
            takes.push((take.at_ms, take.proxy, news));
        }
        takes.sort_by_key(|(at, ..)| *at);
        Ok(Self { proxies: head.proxies, begun_unix_ms: head.begun_unix_ms, takes })
    }
}
