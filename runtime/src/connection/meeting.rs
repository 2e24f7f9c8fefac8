//! Before the first byte of Kafka: whose connection it is, whether it may come in, and TLS.

use super::{Surroundings, leg::LegIo};
use crate::{
    entrance::{self, Entered, Origin},
    limits,
    listen::{Arrival, Stage, reaches},
    net::Net,
    tls::{self, Stream},
};
use kroxy_core::{admission::Limit, limits::FIRST_WORDS, relay::Cause};
use tokio::sync::watch;

/// It drains, and the client has had the time to finish what it began. Nothing is owed to it yet.
pub(super) async fn drained_before_it_speaks(stage: &mut watch::Receiver<Stage>) {
    reaches(stage, Stage::Draining).await;
    tokio::time::sleep(FIRST_WORDS).await;
}

/// What happens before the first byte of Kafka: it is found out whose connection it is, and hands are shaken.
pub(super) async fn meet<N: Net>(
    around: &Surroundings<N>,
    client: Arrival<N::Stream>,
) -> Result<LegIo<Stream<N::Stream>>, Cause> {
    let shaken = match (client, &around.tls) {
        (Arrival::New(stream, peer), tls) => {
            let within = tls.as_ref().map_or(limits::HELLO_TIMEOUT, |tls| tls.timeout);
            let expected = &around.spec.gateway.proxy_protocol;
            let Entered { stream, first, origin } = entrance::enter::<N>(stream, peer, expected, within).await?;
            admit(around, origin)?;
            match tls {
                None => return Ok(LegIo::begun(Stream::Plain(stream), first)),
                Some(tls) => tls.accept(stream, first).await,
            }
        }
        (Arrival::Begun(hello, origin), Some(tls)) => {
            admit(around, origin)?;
            tls.resume(hello).await
        }
        (Arrival::Begun(..), None) => unreachable!("names are for gateways with TLS"),
    };
    shaken.map(LegIo::new).map_err(|failure| {
        around.cluster.metrics.handshake_failed(tls::Leg::Client, &failure);
        if failure.is_late() {
            around.cluster.metrics.reached(Limit::HandshakeTimeout);
        }
        Cause::HandshakeFailed(failure.to_string())
    })
}

/// It is known where the connection comes from: whether it may.
fn admit<N: Net>(around: &Surroundings<N>, origin: Origin) -> Result<(), Cause> {
    around.seen.came_from(origin);
    around.cluster.admit(&around.seen, around.clock.now()).map_err(Cause::LimitReached)
}
