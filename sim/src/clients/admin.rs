//! An operator of kroxy, who watches it and steers it over HTTP from another host.
//!
//! He looks at probes, status and metrics now and then, listens to the events, and passes on what the plan has him ask.

use super::{Client, Phase, reaches};
use crate::{findings::Checker, hosts::proxy::ProxyHost, limits, mailbox::Mailbox, plan::Change, topology};
use kroxy_core::{
    address::HostPort,
    cluster::has_edge,
    status::{ClusterState, Event, EventKind, ReloadOutcome, ReloadReport, Status},
};
use runtime::net::Net;
use std::{collections::BTreeMap, io, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    time::{sleep, timeout},
};

/// How often he looks.
const LOOK: Duration = Duration::from_millis(250);
/// ms of uptime that no process reaches which was started between two looks.
const OLD_MS: u64 = 6_000;
/// Bytes of an answer that he takes.
const ANSWER: u64 = 4 << 20;
/// How often he asks again for what was not answered.
const TRIES: usize = 40;

/// What he asks of kroxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Demand {
    Drain(u8),
    Retry(u8),
    /// To put in force what he writes into its files.
    Reload(Change),
    Shutdown,
}

/// What he saw last of a process: its uptime in ms, and by virtual cluster how many requests it has counted.
type Look = (u64, BTreeMap<String, u64>);

/// An answer.
struct Answer {
    status: u16,
    body: String,
}

/// Watches until all others are done.
pub(super) async fn watch(me: Client) {
    let mut phase = me.phase.clone();
    let mut last = None;
    let watching = async {
        loop {
            sleep(LOOK).await;
            // Not to be reached is no finding: the network and the proxy itself may be away.
            if let Err(e) = look(&me, &mut last).await {
                me.note(format_args!("cannot look: {:?}", e.kind()));
                last = None; // it may be another process by the next time
            }
        }
    };
    tokio::select! {
        biased;
        () = reaches(&mut phase, Phase::Leave) => {}
        () = watching => {}
    }
    me.done();
}

/// Listens to the events until all others are done.
pub(super) async fn listen(me: Client) {
    let mut phase = me.phase.clone();
    let listening = async {
        loop {
            if let Err(e) = events(&me).await {
                me.note(format_args!("cannot listen: {:?}", e.kind()));
            }
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        biased;
        () = reaches(&mut phase, Phase::Leave) => {}
        () = listening => {}
    }
    me.done();
}

/// Passes on what the plan has him ask.
pub(super) async fn steer(me: Client, proxy: ProxyHost, demands: Mailbox<Demand>) {
    let mut phase = me.phase.clone();
    let steering = async {
        loop {
            demand(&me, &proxy, &demands.next().await).await;
        }
    };
    tokio::select! {
        biased;
        () = reaches(&mut phase, Phase::Finish) => {}
        () = steering => {}
    }
    me.done();
}

async fn demand(me: &Client, proxy: &ProxyHost, demand: &Demand) {
    let of_cluster = |what, cluster| format!("/api/v1/clusters/{}/{what}", topology::cluster_name(cluster));
    let (path, expected) = match demand {
        Demand::Drain(cluster) => (of_cluster("drain", *cluster), &[200, 409][..]),
        Demand::Retry(cluster) => (of_cluster("retry", *cluster), &[200, 409][..]),
        Demand::Reload(_) => ("/api/v1/reload".to_owned(), &[200, 409, 422][..]),
        Demand::Shutdown => ("/api/v1/shutdown".to_owned(), &[202][..]),
    };
    let reloads = if let Demand::Reload(change) = demand { Some((*change, proxy.write(*change))) } else { None };
    let mut outcome = ReloadOutcome::Unknown;
    for _ in 0..TRIES {
        let Ok(answer) = ask(me, "POST", &path).await else {
            sleep(limits::RETRY_PAUSE).await;
            continue;
        };
        me.note(format_args!("{demand:?}: {} {}", answer.status, answer.body.len()));
        if !expected.contains(&answer.status) {
            me.history.accuse(Checker::Admin, format!("{path} was answered with {}", answer.status));
        }
        outcome = serde_json::from_str(&answer.body).map_or(outcome, |report: ReloadReport| report.outcome);
        break;
    }
    if let Some((change, written)) = reloads {
        proxy.settle(change, &written, outcome);
    }
}

/// One look at everything. `last` is the process that was seen last, and its uptime.
async fn look(me: &Client, last: &mut Option<Look>) -> io::Result<()> {
    let alive = ask(me, "GET", "/livez").await?;
    let ready = ask(me, "GET", "/readyz").await?;
    let status = ask(me, "GET", "/api/v1/status").await?;
    let metrics = ask(me, "GET", "/metrics").await?;
    let wrong = |what: String| me.history.accuse(Checker::Admin, what);
    if alive.status != 200 || status.status != 200 || metrics.status != 200 || !matches!(ready.status, 200 | 503) {
        let codes = (alive.status, ready.status, status.status, metrics.status);
        wrong(format!("liveness, readiness, status and metrics are answered with {codes:?}"));
        return Ok(());
    }
    let known: Status = match serde_json::from_str(&status.body) {
        Ok(known) => known,
        Err(e) => {
            wrong(format!("the status cannot be read: {e}"));
            return Ok(());
        }
    };
    if ready.status == 503 && ready.body.trim().is_empty() {
        wrong("it is not ready and does not say why".to_owned());
    }
    // One that has stopped is shown no more.
    let counts = known.virtual_clusters.iter().map(|cluster| (cluster.name.clone(), cluster.totals.requests));
    let (uptime, requests): Look = (known.proxy.uptime_ms, counts.collect());
    if let Some((before, requests_before)) = last.replace((uptime, requests.clone()))
        && before > OLD_MS
        && uptime > before
    {
        for (name, count) in &requests {
            let count_before = requests_before.get(name).copied().unwrap_or_default();
            if *count < count_before {
                wrong(format!("{count_before} requests of {name} have become {count} without a restart"));
            }
        }
    }
    for cluster in &known.virtual_clusters {
        if !metrics.body.contains(&format!("\"{}\"", cluster.name)) {
            wrong(format!("the metrics do not know {}", cluster.name));
        }
    }
    Ok(())
}

/// Reads events for as long as they come. Each has the next number, and each transition is an edge.
async fn events(me: &Client) -> io::Result<()> {
    let stream = connect(me).await?;
    let (reader, mut writer) = tokio::io::split(stream);
    writer.write_all(&request("GET", "/api/v1/events")).await?;
    let mut lines: Lines<_> = BufReader::new(reader).lines();
    let mut states: BTreeMap<String, ClusterState> = BTreeMap::new();
    let mut last = None;
    while let Some(line) = lines.next_line().await? {
        let Some(text) = line.strip_prefix("data: ") else { continue };
        let event: Event = match serde_json::from_str(text) {
            Ok(event) => event,
            // Behind the last event stands an empty line, unless the proxy has died in its middle.
            Err(e) if lines.next_line().await?.is_some() => {
                me.history.accuse(Checker::Admin, format!("an event cannot be read: {e}"));
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        if last.replace(event.seq).is_some_and(|before| event.seq != before + 1) {
            me.history.accuse(Checker::Admin, format!("event {} does not come next", event.seq));
        }
        if let EventKind::ClusterTransition { virtual_cluster, transition } = event.kind {
            let from = states.insert(virtual_cluster.clone(), transition.to);
            if from.is_some_and(|from| !has_edge(Some(from), transition.to)) {
                let what = format!("{virtual_cluster} goes from {from:?} to {}, as its events tell", transition.to);
                me.history.accuse(Checker::Admin, what);
            }
        }
    }
    Ok(())
}

async fn connect(me: &Client) -> io::Result<crate::net::SimStream> {
    let to = HostPort::new(topology::advertised(me.proxy()), topology::TUNNEL);
    timeout(limits::OPERATION, me.net.connect(&to)).await?
}

fn request(method: &str, path: &str) -> Vec<u8> {
    let host = topology::LOOPBACK; // what is at the other end of the tunnel
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

async fn ask(me: &Client, method: &str, path: &str) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = connect(me).await?;
        stream.write_all(&request(method, path)).await?;
        let mut text = String::new();
        stream.take(ANSWER).read_to_string(&mut text).await?;
        io::Result::Ok(text)
    };
    let text = timeout(limits::OPERATION, exchange).await??;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).ok_or_else(cut)?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    // The proxy may have died in the middle of it.
    if length != Some(body.len()) {
        return Err(cut());
    }
    Ok(Answer { status, body: body.to_owned() })
}
