//! What the service manager is told, where there is one: `systemd` and whatever else sets `NOTIFY_SOCKET`.
//!
//! A unit of `Type=notify-reload` is started when the proxy is, is reloaded by SIGHUP, and with `WatchdogSec=` is restarted
//! when the proxy does not answer any more.

use crate::{net::Net, proxy::Proxy};
use kroxy_core::status::{ClusterState, Event, EventKind, ProxyState};
use sd_notify::NotifyState;
use tracing::warn;

/// The service manager.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manager {
    is_there: bool,
}

impl Manager {
    /// The one that this process has in its environment.
    pub(crate) fn of_this_process() -> Self {
        Self { is_there: std::env::var_os("NOTIFY_SOCKET").is_some() }
    }

    pub(crate) const fn is_there(self) -> bool {
        self.is_there
    }

    /// Tells what an event means for the service.
    pub(crate) fn hear<N: Net>(self, event: &Event, proxy: &Proxy<N>) {
        match &event.kind {
            EventKind::ProxyTransition { transition } => match transition.to {
                ProxyState::Started => self.tell(&[NotifyState::Ready, NotifyState::Status(&summary(proxy))]),
                ProxyState::Stopping => self.tell(&[NotifyState::Stopping, NotifyState::Status(&summary(proxy))]),
                ProxyState::New | ProxyState::Starting | ProxyState::Stopped | ProxyState::Unknown => {}
            },
            EventKind::ClusterTransition { .. } | EventKind::Reload { .. } => {
                self.tell(&[NotifyState::Status(&summary(proxy))]);
            }
            EventKind::Disconnects { .. } | EventKind::Log { .. } | EventKind::Missed { .. } | EventKind::Unknown => {}
        }
    }

    /// A reload that the manager may have asked for begins. [`Self::reloaded`] has to follow.
    pub(crate) fn reloads(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(e) => warn!("the service manager cannot be told of a reload: {e}"),
        }
    }

    /// It is over, however it went.
    pub(crate) fn reloaded(self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// Tells that the proxy is alive for as long as it is, if the manager wants to know. Ends where it does not.
    pub(crate) async fn keep_alive<N: Net>(self, proxy: Proxy<N>) {
        let Some(patience) = sd_notify::watchdog_enabled() else { return };
        let mut ticks = tokio::time::interval(patience / 2);
        loop {
            ticks.tick().await;
            if !proxy.is_alive().await {
                return;
            }
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// Without a manager this does nothing.
    fn tell(self, news: &[NotifyState<'_>]) {
        if let Err(e) = sd_notify::notify(news) {
            warn!("the service manager cannot be told anything: {e}");
        }
    }
}

/// One line for `systemctl status`.
fn summary<N: Net>(proxy: &Proxy<N>) -> String {
    let status = proxy.status();
    let clusters = &status.virtual_clusters;
    let serving = clusters.iter().filter(|cluster| cluster.state == ClusterState::Serving).count();
    let failed = clusters.iter().filter(|cluster| cluster.state == ClusterState::Failed).map(|c| c.name.as_str());
    let failed = failed.collect::<Vec<_>>().join(", ");
    let failed = if failed.is_empty() { failed } else { format!("; failed: {failed}") };
    let (state, generation) = (status.proxy.state, status.configuration.generation);
    format!("{state}: {serving} of {} virtual clusters serve, generation {generation}{failed}", clusters.len())
}
