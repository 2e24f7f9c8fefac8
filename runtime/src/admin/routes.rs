//! Every path of the admin API and what answers there. docs/openapi.json describes them; a test compares.

use super::{Api, events::events};
use crate::{config, limits::ADMIN_BODY_TIMEOUT, net::Net, proxy::Proxy};
use axum::{
    Json,
    body::{Body, HttpBody, to_bytes},
    extract::{FromRequestParts, Path, Query, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use kroxy_core::{
    config::ClusterName,
    proxy::{Refused, Trigger},
    reload::Loaded,
    status::{ClusterState, ProxyState, ReloadOutcome, Status},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt::Display;
use tokio::time::timeout;

const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// Method, path and answer of everything that is served.
pub(super) fn all<N: Net>() -> [(&'static str, &'static str, MethodRouter<Api<N>>); 11] {
    [
        ("get", "/livez", get(async || "ok\n")),
        ("get", "/readyz", get(readyz::<N>)),
        ("get", "/metrics", get(metrics::<N>)),
        ("get", "/api/v1/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], OPENAPI))),
        ("get", "/api/v1/status", get(status::<N>)),
        ("get", "/api/v1/events", get(events::<N>)),
        ("post", "/api/v1/clusters/{name}/drain", post(drain::<N>)),
        ("post", "/api/v1/clusters/{name}/retry", post(retry::<N>)),
        ("post", "/api/v1/reload", post(reload::<N>)),
        ("post", "/api/v1/plan", post(plan::<N>)),
        ("post", "/api/v1/shutdown", post(shutdown::<N>)),
    ]
}

async fn status<N: Net>(State(proxy): State<Proxy<N>>) -> Json<Status> {
    Json(proxy.status())
}

async fn metrics<N: Net>(State(proxy): State<Proxy<N>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], proxy.metrics().text(&proxy.status())).into_response()
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
async fn reload<N: Net>(State(proxy): State<Proxy<N>>, Asked(asked): Asked<Reload>) -> Response {
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
async fn plan<N: Net>(State(proxy): State<Proxy<N>>, Asked(asked): Asked<ToPlan>, body: Body) -> Response {
    let too_large = || {
        let why = format!("a configuration has no more than {} bytes", config::FILE_MAX);
        refusal(StatusCode::PAYLOAD_TOO_LARGE, &why)
    };
    if body.size_hint().lower() > config::FILE_MAX as u64 {
        return too_large(); // which need not come first
    }
    match timeout(ADMIN_BODY_TIMEOUT, to_bytes(body, config::FILE_MAX)).await {
        Ok(Ok(contents)) => planned(&proxy, proxy.read_instead(&asked.name, &contents)),
        Ok(Err(_)) => too_large(),
        Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, &"the configuration has not come in time"),
    }
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Done {
    /// The words.
    message: String,
}

fn done(message: impl Into<String>) -> Json<Done> {
    Json(Done { message: message.into() })
}

/// Why something was not done, in words; a line for each thing that is wrong.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Refusal {
    /// The words.
    error: String,
}

/// What stands in the query of a question. What makes no sense there is refused in words.
struct Asked<T>(T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(asked)| Self(asked)).map_err(|e| refusal(StatusCode::BAD_REQUEST, &e.body_text()))
    }
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

pub(super) fn refusal(status: StatusCode, why: &impl Display) -> Response {
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
async fn readyz<N: Net>(State(proxy): State<Proxy<N>>, Asked(ready): Asked<Ready>) -> Response {
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
            None => return refusal(StatusCode::NOT_FOUND, &format!("there is no virtual cluster {name:?}")),
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
