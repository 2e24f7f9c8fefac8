//! The admin listener: health, metrics and status over HTTP.
//!
//! Loopback unless configured.

use crate::{
    config,
    net::{self, Net},
    proxy::Proxy,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{self, Sse},
    },
    routing::{get, post},
};
use futures_util::stream;
use kroxy_core::{
    config::ClusterName,
    proxy::{Refused, Trigger},
    reload::Loaded,
    status::{ClusterState, ProxyState, ReloadOutcome, Status},
};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, fmt::Display, io, net::SocketAddr, time::Duration};
use tokio::sync::{broadcast::error::RecvError, watch};

/// How long the acceptor waits after a failure that concerns the whole process.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` turns true.
pub(crate) async fn serve<N: Net>(
    listener: N::Listener,
    proxy: Proxy<N>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz::<N>))
        .route("/metrics", get(metrics::<N>))
        .route("/api/v1/status", get(status::<N>))
        .route("/api/v1/events", get(events::<N>))
        .route("/api/v1/clusters/{name}/drain", post(drain::<N>))
        .route("/api/v1/clusters/{name}/retry", post(retry::<N>))
        .route("/api/v1/reload", post(reload::<N>))
        .route("/api/v1/plan", post(plan::<N>).layer(DefaultBodyLimit::max(config::FILE_MAX)))
        .route("/api/v1/shutdown", post(shutdown::<N>))
        .with_state(proxy);
    axum::serve(Accepting(listener), routes)
        .with_graceful_shutdown(async move {
            let _ = stop.wait_for(|stop| *stop).await; // an error means that whoever could stop us is gone
        })
        .await
}

/// Lets axum accept from whatever network kroxy runs on.
struct Accepting<L>(L);

impl<L> axum::serve::Listener for Accepting<L>
where
    L: net::Listener,
    L::Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    type Io = L::Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(e) => {
                    tracing::warn!("the admin listener cannot accept a connection: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

async fn status<N: Net>(State(proxy): State<Proxy<N>>) -> Json<Status> {
    Json(proxy.status())
}

async fn metrics<N: Net>(State(proxy): State<Proxy<N>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], proxy.metrics().text(&proxy.status())).into_response()
}

/// Every event as it happens, from now on. A reader that falls behind is told how many it has missed.
async fn events<N: Net>(State(proxy): State<Proxy<N>>) -> impl IntoResponse {
    let events = stream::unfold(proxy.events(), |mut events| async {
        let event = match events.recv().await {
            Ok(event) => sse::Event::default()
                .id(event.seq.to_string())
                .json_data(&event)
                .unwrap_or_else(|_| sse::Event::default().comment("an event that cannot be shown")),
            Err(RecvError::Lagged(missed)) => sse::Event::default().comment(format!("{missed} events missed")),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(event), events))
    });
    Sse::new(events).keep_alive(sse::KeepAlive::default())
}

async fn drain<N: Net>(State(proxy): State<Proxy<N>>, Path(name): Path<String>) -> Response {
    match name.parse::<ClusterName>() {
        Ok(name) => answer(proxy.drain(name.clone()).await.map(|()| done(format!("draining {name}")))),
        Err(e) => refusal(StatusCode::NOT_FOUND, &e),
    }
}

async fn retry<N: Net>(State(proxy): State<Proxy<N>>, Path(name): Path<String>) -> Response {
    match name.parse::<ClusterName>() {
        Ok(name) => answer(proxy.retry(name.clone()).await.map(|()| done(format!("retrying {name}")))),
        Err(e) => refusal(StatusCode::NOT_FOUND, &e),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reload {
    /// Says what would be done, and does nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Reads the configuration file again and puts it in force; answers once that is over.
async fn reload<N: Net>(State(proxy): State<Proxy<N>>, Query(asked): Query<Reload>) -> Response {
    if asked.dry_run {
        return planned(&proxy, proxy.read_again());
    }
    let status = |outcome| match outcome {
        ReloadOutcome::Busy => StatusCode::CONFLICT,
        ReloadOutcome::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        ReloadOutcome::Unchanged
        | ReloadOutcome::Applied
        | ReloadOutcome::Partial
        | ReloadOutcome::Failed
        | ReloadOutcome::Unknown => StatusCode::OK,
    };
    answer(proxy.reload_source(Trigger::Api).await.map(|report| (status(report.outcome), Json(report))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToPlan {
    /// What messages call the file.
    #[serde(default = "unnamed")]
    name: String,
}

fn unnamed() -> String {
    "the configuration".to_owned()
}

/// What a reload would do if the file in force held this. Nothing is written or changed.
async fn plan<N: Net>(State(proxy): State<Proxy<N>>, Query(asked): Query<ToPlan>, body: Bytes) -> Response {
    planned(&proxy, proxy.read_instead(&asked.name, &body))
}

fn planned<N: Net>(proxy: &Proxy<N>, wanted: Result<Loaded, String>) -> Response {
    match wanted {
        Ok(loaded) => Json(proxy.plan(&loaded)).into_response(),
        Err(e) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &e),
    }
}

async fn shutdown<N: Net>(State(proxy): State<Proxy<N>>) -> Response {
    proxy.shutdown("the admin API was asked to");
    (StatusCode::ACCEPTED, done("stopping")).into_response()
}

/// What was done, or begun, in words.
#[derive(Serialize)]
struct Done {
    message: String,
}

fn done(message: impl Into<String>) -> Json<Done> {
    Json(Done { message: message.into() })
}

/// Why something was not done, in words; a line for each thing that is wrong.
#[derive(Serialize)]
struct Refusal {
    error: String,
}

fn answer(done: Result<impl IntoResponse, Refused>) -> Response {
    match done {
        Ok(done) => done.into_response(),
        Err(refused @ Refused::NoSuchCluster(_)) => refusal(StatusCode::NOT_FOUND, &refused),
        Err(refused @ Refused::CannotChange(_)) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &refused),
        Err(refused @ (Refused::Over(_) | Refused::NotRunning(_) | Refused::Busy | Refused::Cluster(_))) => {
            refusal(StatusCode::CONFLICT, &refused)
        }
    }
}

fn refusal(status: StatusCode, why: &impl Display) -> Response {
    (status, Json(Refusal { error: why.to_string() })).into_response()
}

/// What has to serve for the proxy to count as ready.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    #[serde(default)]
    require: Require,
    cluster: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Require {
    #[default]
    All,
    Any,
}

/// Says what is missing, one line each.
async fn readyz<N: Net>(State(proxy): State<Proxy<N>>, Query(ready): Query<Ready>) -> Response {
    let status = proxy.status();
    let mut missing = Vec::new();
    if status.proxy.state != ProxyState::Started {
        missing.push(format!("the proxy is {}", status.proxy.state));
    }
    let serving = |state: ClusterState| state == ClusterState::Serving;
    let clusters = &status.virtual_clusters;
    match (&ready.cluster, ready.require) {
        (Some(name), _) => match clusters.iter().find(|c| c.name.eq_ignore_ascii_case(name)) {
            Some(cluster) if serving(cluster.state) => {}
            Some(cluster) => missing.push(not_serving(&cluster.name, cluster.state)),
            None => return (StatusCode::NOT_FOUND, format!("no virtual cluster {name:?}\n")).into_response(),
        },
        (None, Require::Any) if clusters.iter().any(|c| serving(c.state)) => {}
        (None, Require::Any) => missing.push("no virtual cluster is serving".to_owned()),
        (None, Require::All) => {
            missing.extend(clusters.iter().filter(|c| !serving(c.state)).map(|c| not_serving(&c.name, c.state)));
        }
    }
    if missing.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
    }
}

fn not_serving(name: &str, state: ClusterState) -> String {
    format!("virtual cluster {name} is {state}")
}
