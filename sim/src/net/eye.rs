//! What looks over the shoulder of whoever holds an end of a connection. Nothing that kroxy says is believed.

use super::{
    Role,
    ear::Ear,
    holdings::Holding,
    watch::Watch,
    wires::{Side, Wires},
};
use crate::{findings::Checker, limits, topology};
use std::{sync::Arc, time::Duration};

/// What is wrong, and who says so.
pub(super) type Wrong = (Checker, String);

/// An end of a connection, as it is looked at.
#[derive(Debug)]
pub(super) enum Eye {
    Client(Watch),
    Broker(Ear),
    /// Who steers the proxy speaks no Kafka, and the proxy is looked at where the bytes go over the wire.
    Nobodys,
}

/// An end that the proxy holds.
#[derive(Debug)]
pub(super) struct Holder {
    /// Known with the first byte: then the task that holds it runs.
    holding: Option<Holding>,
    wires: Wires,
    is_client_leg: bool,
    since: Duration,
    was_read: bool,
}

impl Eye {
    /// For an end that `who` holds of a connection to `port` of the host `server`.
    pub(super) fn new(role: Role, who: &Arc<str>, server: &str, port: u16, wires: &Wires) -> Self {
        let proxy = topology::proxy_on(server);
        match role {
            Role::Client => Self::Client(Watch::new(Some(who.clone()), proxy, port, &wires.exchanges)),
            Role::Rude | Role::Barbarian => Self::Client(Watch::new(None, proxy, port, &wires.exchanges)),
            // What an intruder asks nobody may be asked: it stands in no book.
            Role::Operator | Role::Proxy | Role::Intruder => Self::Nobodys,
            Role::Broker => Self::Broker(Ear::new(server, &wires.exchanges)),
        }
    }

    /// Its holder has received bytes; none are the end.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<Wrong> {
        match self {
            Self::Client(watch) if bytes.is_empty() => {
                watch.ended(now());
                None
            }
            Self::Client(watch) => watch.received(bytes, now()),
            Self::Nobodys => None,
            Self::Broker(ear) => ear.received(bytes).map(|what| (Checker::Requests, what)),
        }
    }

    /// Its holder has sent bytes.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        match self {
            Self::Client(watch) => watch.sent(bytes, now()),
            Self::Nobodys => {}
            Self::Broker(ear) => ear.said(bytes),
        }
    }

    /// Its holder has let go of it.
    pub(super) fn gone(&mut self) {
        match self {
            Self::Client(watch) => watch.gone(now()),
            Self::Broker(_) | Self::Nobodys => {}
        }
    }
}

impl Holder {
    /// For an end at `port`, where clients may come in.
    pub(super) fn new(side: Side, port: u16, wires: &Wires) -> Self {
        Self {
            holding: None,
            wires: wires.clone(),
            is_client_leg: side == Side::Server && topology::is_gateway(port),
            since: now(),
            was_read: false,
        }
    }

    /// The proxy has received so many bytes; none are the end.
    pub(super) fn read(&mut self, bytes: usize) -> Option<Wrong> {
        self.was_read |= bytes > 0;
        if bytes == 0 {
            self.ended();
        }
        let is_client_leg = self.is_client_leg;
        self.holding().took(is_client_leg, bytes).err().map(|what| (Checker::Memory, what))
    }

    /// The proxy has sent so many bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        let is_client_leg = self.is_client_leg;
        self.holding().gave(is_client_leg, bytes);
    }

    /// The proxy has let go of it.
    pub(super) fn gone(&mut self) -> Option<Wrong> {
        if self.is_client_leg
            && let Some(holding) = &self.holding
        {
            holding.over();
        }
        let lasted = now().saturating_sub(self.since);
        (self.is_client_leg && !self.was_read && lasted > limits::SILENCE)
            .then(|| (Checker::Deadlines, format!("a connection without any request was kept for {lasted:?}")))
    }

    /// The client's leg has ended, in one direction at least.
    pub(super) fn ended(&mut self) {
        if self.is_client_leg {
            self.holding().over();
        }
    }

    fn holding(&mut self) -> &Holding {
        self.holding.get_or_insert_with(|| self.wires.holdings.of_this_task())
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
