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
    Proxy(Holder),
    /// Who steers the proxy speaks no Kafka.
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
    /// For an end that `who` holds at `host`; clients come in at `port`.
    pub(super) fn new(role: Role, who: &Arc<str>, host: &str, side: Side, port: u16, wires: &Wires) -> Self {
        match role {
            Role::Client => Self::Client(Watch::new(Some(who.clone()), port, &wires.exchanges)),
            Role::Rude => Self::Client(Watch::new(None, port, &wires.exchanges)),
            Role::Operator => Self::Nobodys,
            Role::Broker => Self::Broker(Ear::new(host, &wires.exchanges)),
            Role::Proxy => Self::Proxy(Holder {
                holding: None,
                wires: wires.clone(),
                is_client_leg: side == Side::Server && topology::is_gateway(port),
                since: now(),
                was_read: false,
            }),
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
            Self::Proxy(holder) => {
                holder.was_read |= !bytes.is_empty();
                if bytes.is_empty() {
                    holder.ended();
                }
                let is_client_leg = holder.is_client_leg;
                holder.holding().took(is_client_leg, bytes.len()).err().map(|what| (Checker::Memory, what))
            }
        }
    }

    /// Its holder has sent bytes.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        match self {
            Self::Client(watch) => watch.sent(bytes, now()),
            Self::Nobodys => {}
            Self::Broker(ear) => ear.said(bytes),
            Self::Proxy(holder) => {
                let is_client_leg = holder.is_client_leg;
                holder.holding().gave(is_client_leg, bytes.len());
            }
        }
    }

    /// Its holder sends no more.
    pub(super) fn shut(&mut self) {
        match self {
            Self::Proxy(holder) => holder.ended(),
            Self::Client(_) | Self::Broker(_) | Self::Nobodys => {}
        }
    }

    /// Its holder has let go of it.
    pub(super) fn gone(&mut self) -> Option<Wrong> {
        match self {
            Self::Client(watch) => watch.gone(now()),
            Self::Broker(_) | Self::Nobodys => {}
            Self::Proxy(holder) => {
                let lasted = now().saturating_sub(holder.since);
                if holder.is_client_leg && !holder.was_read && lasted > limits::SILENCE {
                    let what = format!("a connection without any request was kept for {lasted:?}");
                    return Some((Checker::Deadlines, what));
                }
            }
        }
        None
    }
}

impl Holder {
    /// The client's leg has ended, in one direction at least.
    fn ended(&mut self) {
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
