//! The future of a proxy's life.

use super::{Ended, Proxy, Request};
use crate::net::Net;
use kroxy_core::{cluster::Reason, proxy::Command};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Ends when the proxy has stopped, with how it ended. Dropping the last one means a graceful shutdown.
pub struct Lifetime<N: Net> {
    ended: Pin<Box<dyn Future<Output = Ended> + Send>>,
    _guard: Arc<Guard>,
    _proxy: Proxy<N>,
}

impl<N: Net> Lifetime<N> {
    pub(super) fn new(proxy: Proxy<N>, guard: Arc<Guard>) -> Self {
        let waiting = proxy.clone();
        Self { ended: Box::pin(async move { waiting.ended().await }), _guard: guard, _proxy: proxy }
    }
}

impl<N: Net> std::fmt::Debug for Lifetime<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifetime").finish_non_exhaustive()
    }
}

impl<N: Net> Future for Lifetime<N> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        self.ended.as_mut().poll(cx)
    }
}

/// Asks for a shutdown when nobody waits for the end any more.
#[derive(Debug)]
pub(super) struct Guard(mpsc::UnboundedSender<Request>);

impl Guard {
    pub(super) const fn new(requests: mpsc::UnboundedSender<Request>) -> Self {
        Self(requests)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let cause = Reason::new("the lifetime future was dropped");
        // An error means that the proxy has stopped already.
        let _ = self.0.send(Request::Tell(Command::Shutdown { cause }));
    }
}
