//! Where the news come from: the admin API of proxies, or a recording. Threads that block, so that the screen never does.

pub(crate) mod http;
pub(crate) mod player;
pub(crate) mod recorder;
pub(crate) mod recording;
pub(crate) mod sse;
