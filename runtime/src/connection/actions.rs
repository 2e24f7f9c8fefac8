//! What the relay asks for besides bytes, and how what comes of it is told to it.

use super::{Connection, Surroundings, leg::LegIo};
use crate::{cluster::Candidates, net::Net, resolve, tls::Stream};
use kroxy_core::{
    relay::{Action, Cause, Event, Leg, Plan},
    sasl,
};
use std::{future::Future, io, pin::Pin, time::Duration};

/// What a connection waits for besides its two streams.
pub(super) type Pending<S> = Pin<Box<dyn Future<Output = Arrived<S>> + Send>>;

pub(super) enum Arrived<S> {
    Resolved(Candidates),
    Connected(io::Result<S>),
    /// It is known where the node is that upstream stands in for.
    Learned,
    Examiner(Result<Box<sasl::server::Exchange>, String>),
    Secrets(Result<Box<sasl::client::Exchange>, String>),
    Derived(Leg, Box<sasl::scram::Keys>),
}

impl<N: Net> Connection<N> {
    pub(super) fn arrived(&mut self, arrived: Arrived<Stream<N::Stream>>) -> Result<(), Cause> {
        match arrived {
            Arrived::Resolved(candidates) => {
                self.stands_in_for = candidates.stand_in_for;
                self.handle(Event::Resolved(candidates.servers))
            }
            Arrived::Connected(Ok(stream)) => {
                self.upstream = Some(LegIo::new(stream));
                self.pending = self.stands_in_for.map(|node| {
                    let cluster = self.around.cluster.clone();
                    let learned = async move {
                        cluster.learned(node).await;
                        Arrived::Learned
                    };
                    Box::pin(learned) as Pending<Stream<N::Stream>>
                });
                self.handle(Event::Connected)
            }
            // No client reconnects because of "not leader" and the like: on a stand-in it would be told so for ever.
            Arrived::Learned => self.handle(Event::Drain),
            Arrived::Examiner(brought) => self.handle(Event::Examiner(brought)),
            Arrived::Secrets(brought) => self.handle(Event::Secrets(brought)),
            Arrived::Derived(leg, keys) => self.handle(Event::Derived(leg, keys)),
            Arrived::Connected(Err(e)) => self.handle(Event::ConnectFailed(e.to_string())),
        }
    }

    /// Carries out what a plan has besides bytes. Those `took` so long from when the worker turned to what came until they were
    /// written; those of an event are queued, and take no time.
    pub(super) fn carry_out(&mut self, plan: &Plan, took: Duration) -> Result<(), Cause> {
        let Surroundings { net, cluster, route, seen, .. } = &self.around;
        for (server, ended) in &plan.attempts {
            cluster.attempted(server, ended.clone(), self.turned);
            if ended.is_ok() {
                seen.upstream.get_or_init(|| server.clone());
            }
        }
        cluster.learn(&plan.learned);
        cluster.note_unmapped(&plan.unmapped);
        seen.settle(&plan.exchanges, self.relay.in_flight(), took);
        for action in &plan.actions {
            self.acted = true;
            match action {
                Action::Resolve => {
                    let resolving = resolve::candidates(net.clone(), cluster.clone(), *route);
                    self.pending = Some(Box::pin(async { Arrived::Resolved(resolving.await) }));
                }
                Action::Connect(to) => {
                    let (net, cluster, to, whose) = (net.clone(), cluster.clone(), to.clone(), seen.header());
                    let connecting = async move { Arrived::Connected(cluster.connect(&net, &to, whose).await) };
                    self.pending = Some(Box::pin(connecting));
                }
                Action::Introduced => {
                    seen.introduce(self.relay.client());
                    cluster.admit_principal(seen).map_err(Cause::LimitReached)?;
                }
                Action::NotAuthenticated => cluster.not_authenticated(seen.client_address(), self.relay.client()),
                Action::Examine { mechanism, token } => {
                    let (net, sasl) = (net.clone(), cluster.sasl());
                    let (mechanism, token) = (*mechanism, token.clone());
                    self.asking =
                        Some(Box::pin(async move { Arrived::Examiner(sasl.examiner(&net, mechanism, &token).await) }));
                }
                Action::LogIn => {
                    let (net, sasl) = (net.clone(), cluster.sasl());
                    self.asking = Some(Box::pin(async move { Arrived::Secrets(sasl.secrets(&net).await) }));
                }
                Action::Derive(leg, derivation) => {
                    let (leg, derivation, sasl) = (*leg, (**derivation).clone(), cluster.sasl());
                    self.asking = Some(Box::pin(async move {
                        let keys = match leg {
                            Leg::Client => sasl.keys(derivation).await,
                            Leg::Upstream => sasl.own_keys(derivation).await,
                        };
                        Arrived::Derived(leg, Box::new(keys))
                    }));
                }
                Action::LetIn(mechanism) => cluster.metrics.authentication(Some(*mechanism), true),
                Action::Denied { mechanism, name, why } => {
                    cluster.denied(seen.client_address(), *mechanism, name.as_deref(), why);
                }
                Action::LoggedIn => cluster.metrics.login(true),
                Action::NotLoggedIn => {
                    cluster.metrics.login(false);
                    cluster.sasl().not_logged_in();
                }
                Action::Finish => self.client.finish(),
            }
        }
        Ok(())
    }
}
