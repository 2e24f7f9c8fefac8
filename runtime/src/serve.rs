//! `kroxy serve`: a proxy with the operating system's network, clock, signals and files.

use crate::{
    clock::Clock,
    net::OsNet,
    proxy::{Ended, Proxy, Source},
    systemd::Manager,
    watch,
};
use kroxy_core::{proxy::Trigger, reload::Loaded};
use std::{io, path::PathBuf, time::SystemTime};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tracing::{error, info};

/// Runs a proxy until it has stopped, with the file descriptors that the process has. The first SIGTERM or SIGINT stops it gracefully, a second one at once; SIGHUP reloads.
///
/// # Errors
/// With [`kroxy_core::proxy::Failure`], which has the exit code, where it did not start or did not end well; the outer
/// error means that signals cannot be received here.
pub async fn run(loaded: Loaded, file: PathBuf) -> io::Result<Ended> {
    let mut signals = Signals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let proxy = Proxy::new(loaded, Source::file(file.clone()), OsNet, Clock::system(), seed());
    let (manager, mut events) = (Manager::of_this_process(), proxy.events());
    let lifetime = match proxy.startup() {
        Ok(lifetime) => lifetime,
        Err(refused) => unreachable!("a new proxy can be started: {refused}"),
    };
    tokio::pin!(lifetime);
    let mut beside = JoinSet::new();
    beside.spawn(watch::follow(proxy.clone(), file));
    beside.spawn(manager.keep_alive(proxy.clone()));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // Before the end, so that its manager has heard of it.
            event = events.recv(), if manager.is_there() => {
                if let Ok(event) = event {
                    manager.hear(&event, &proxy);
                }
            }
            ended = &mut lifetime => return Ok(ended),
            name = signals.next() => {
                if stopping {
                    proxy.halt(format!("{name}, again"));
                } else {
                    proxy.shutdown(name);
                    stopping = true;
                }
            }
            Some(()) = hangup.recv() => drop(beside.spawn(reload(proxy.clone(), manager))),
            Some(ended) = beside.join_next() => {
                if let Err(e) = ended {
                    error!("a task beside the proxy has failed: {e}");
                }
            }
        }
    }
}

async fn reload(proxy: Proxy<OsNet>, manager: Manager) {
    manager.reloads();
    if let Err(refused) = proxy.reload_source(Trigger::Signal).await {
        info!("not reloaded: {refused}");
    }
    manager.reloaded();
}

/// Ends with the first SIGTERM or SIGINT; where signals cannot be received, at once.
pub async fn asked_to_stop() {
    if let Ok(mut signals) = Signals::new() {
        signals.next().await;
    }
}

/// The signals that stop a process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            else => std::future::pending().await,
        }
    }
}

/// Two proxies that fail together must not retry together.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ u64::from(std::process::id()) << 32
}
