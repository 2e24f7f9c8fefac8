//! `GET /api/v1/events`: what happens, as server-sent events, and for a reader that returns what it has missed.

use super::{Api, is_told};
use crate::net::Net;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{self, Sse},
    },
};
use futures_util::stream;
use kroxy_core::status::{Event, EventKind};
use std::{collections::VecDeque, convert::Infallible};
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

/// Every event as it happens: from now on, or after the one that `Last-Event-ID` names. What is not kept any more is told
/// as missed.
pub(super) async fn events<N: Net>(State(api): State<Api<N>>, headers: HeaderMap) -> impl IntoResponse {
    let reader = Reader::new(api, headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default()));
    let events = stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        let event = sse::Event::default()
            .id(reader.id(event.seq))
            .json_data(&event)
            .unwrap_or_else(|_| sse::Event::default().comment("an event that cannot be shown"));
        Some((Ok::<_, Infallible>(event), reader))
    });
    Sse::new(events).keep_alive(sse::KeepAlive::default())
}

/// One reader, and how far it is.
struct Reader<N: Net> {
    api: Api<N>,
    /// Tells this process from an earlier one, whose events were counted from 1 as well.
    process: u64,
    last: u64,
    waiting: VecDeque<Event>,
    live: Receiver<Event>,
    stop: watch::Receiver<bool>,
}

impl<N: Net> Reader<N> {
    fn new(api: Api<N>, last_id: Option<&str>) -> Self {
        let process = api.proxy.began_unix_ms();
        let last = last_id.map(|id| {
            let (of, seq) = id.split_once('-').unwrap_or_default();
            seq.parse().ok().filter(|_| of.parse() == Ok(process))
        });
        let (last, waiting, live) = match last {
            None => (api.proxy.last_event(), VecDeque::new(), api.proxy.events()),
            Some(Some(seq)) => {
                let (kept, live) = api.proxy.events_after(seq);
                (seq, with_gap(&api, Some(seq), kept), live)
            }
            Some(None) => {
                let (kept, live) = api.proxy.events_after(0);
                (0, with_gap(&api, None, kept), live)
            }
        };
        let stop = api.stop.clone();
        Self { api, process, last, waiting, live, stop }
    }

    fn id(&self, seq: u64) -> String {
        format!("{}-{seq}", self.process)
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.last = event.seq;
                return Some(event);
            }
            tokio::select! {
                biased;
                event = self.live.recv() => match event {
                    Ok(event) => self.waiting.push_back(event),
                    Err(RecvError::Lagged(_)) => {
                        let (kept, live) = self.api.proxy.events_after(self.last);
                        (self.waiting, self.live) = (with_gap(&self.api, Some(self.last), kept), live);
                    }
                    Err(RecvError::Closed) => return None,
                },
                () = is_told(&mut self.stop) => return None,
            }
        }
    }
}

/// Events that follow `last`, with one in front that says how many are missing. `None` is an event of another process.
fn with_gap<N: Net>(api: &Api<N>, last: Option<u64>, kept: Vec<Event>) -> VecDeque<Event> {
    let before = kept.first().map_or_else(|| api.proxy.last_event(), |first| first.seq - 1);
    let missed = last.map(|last| before.saturating_sub(last));
    let mut events = VecDeque::from(kept);
    if missed != Some(0) {
        let kind = EventKind::Missed { events: missed };
        events.push_front(Event { seq: before, at_unix_ms: api.proxy.now_unix_ms(), kind });
    }
    events
}
