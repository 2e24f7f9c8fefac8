//! The admin listener: health, metrics and status over HTTP, and what steers the proxy.
//!
//! Whoever reaches it may stop the proxy, so it is on loopback unless a token or a certificate is asked for, and [`guard`]
//! stands before everything but the probes. It has few connections, small heads and little patience: nobody can keep it busy.

mod events;
mod guard;
#[cfg(test)]
mod openapi;
mod routes;
mod tls;

pub(crate) use self::{guard::Guard, tls::Door};

use self::guard::Certified;
use crate::{
    limits::{ADMIN_CONNECTIONS, ADMIN_HEAD, ADMIN_HEAD_TIMEOUT},
    net::{Listener, Net},
    proxy::Proxy,
    tls::Stream,
};
use axum::{
    Extension, Router,
    extract::FromRef,
    http::{Method, StatusCode, Uri},
    middleware,
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinSet,
};
use tracing::{debug, error, warn};

/// What answers need.
struct Api<N: Net> {
    proxy: Proxy<N>,
    /// Turns true when answers that have no end of their own have to end.
    stop: watch::Receiver<bool>,
}

impl<N: Net> Clone for Api<N> {
    fn clone(&self) -> Self {
        Self { proxy: self.proxy.clone(), stop: self.stop.clone() }
    }
}

impl<N: Net> FromRef<Api<N>> for Proxy<N> {
    fn from_ref(api: &Api<N>) -> Self {
        api.proxy.clone()
    }
}

fn router<N: Net>(api: Api<N>, guard: Guard) -> Router {
    let mut router = Router::new();
    for (_, path, answer) in routes::all::<N>() {
        router = router.route(path, answer);
    }
    router
        .fallback(async |uri: Uri| routes::refusal(StatusCode::NOT_FOUND, &format!("there is no {}", uri.path())))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .with_state(api)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    routes::refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("{} does not take {method}", uri.path()))
}

/// Serves until `stop` turns true; returns when the last answer has been given.
pub(crate) async fn serve<N: Net>(
    mut listener: N::Listener,
    proxy: Proxy<N>,
    guard: Guard,
    door: Option<Door>,
    mut stop: watch::Receiver<bool>,
) {
    let (door, mut acceptor) = (door.map(Arc::new), proxy.acceptor());
    let service = router(Api { proxy, stop: stop.clone() }, guard);
    let (mut connections, told) = (JoinSet::new(), stop.clone());
    loop {
        tokio::select! {
            biased;
            () = is_told(&mut stop) => break,
            Some(ended) = connections.join_next() => note_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if connections.len() >= ADMIN_CONNECTIONS => {
                    warn!(%peer, "the admin API has as many connections as it may");
                }
                Ok((stream, peer)) => {
                    acceptor.succeeded();
                    let (service, door, told) = (service.clone(), door.clone(), told.clone());
                    connections.spawn(async move {
                        let stream = match &door {
                            None => Stream::Plain(stream),
                            Some(door) => match Box::pin(door.open(stream)).await {
                                Ok(stream) => stream,
                                Err(e) => return debug!(%peer, "nobody came in to the admin API: {e}"),
                            },
                        };
                        if let Err(e) = answer(stream, service, told).await {
                            debug!(%peer, "a connection to the admin API ended: {e}");
                        }
                    });
                }
                Err(e) => tokio::select! {
                    biased;
                    () = is_told(&mut stop) => break,
                    () = acceptor.failed(&e) => {}
                },
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note_panic(ended);
    }
}

/// Waits until it is time to stop. An error means that whoever could say so is gone.
async fn is_told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection, until the client has no more questions or the answer to the last one is given.
async fn answer<S>(stream: Stream<S>, service: Router, mut stop: watch::Receiver<bool>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service.layer(Extension(Certified(stream.has_certified_peer())));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_HEAD_TIMEOUT)
        .max_buf_size(ADMIN_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = is_told(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        error!("a task of the admin API panicked, which is a bug of kroxy: {e}");
    }
}
