//! Keys that are derived from passwords, some 10 ms of a core each: not on the threads that all connections share, and never on so
//! many others that those would have to wait.

use kroxy_core::sasl::scram::{Derivation, Keys};
use std::{sync::Arc, thread};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Where keys are derived.
#[derive(Clone, Debug)]
pub(crate) enum Hashing {
    /// On threads of their own, as many at the same time as there are permits. Others wait in turn.
    Aside(Arc<Semaphore>),
    /// On the thread that asks, as a simulation needs it: when another thread is done depends on the machine.
    Here,
}

impl Hashing {
    /// On half of the cores at the most: guessing passwords leaves the other half to those who are known.
    pub(crate) fn aside() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::Aside(Arc::new(Semaphore::new(cores.div_ceil(2))))
    }

    #[expect(clippy::disallowed_methods, reason = "a simulation, which could not control it, derives keys `Here`")]
    pub(crate) async fn keys(&self, derivation: Derivation) -> Keys {
        let Self::Aside(turn) = self else { return derivation.keys() };
        let turn = turn.clone().acquire_owned().await.expect("it is never closed");
        let deriving = spawn_blocking(move || {
            let keys = derivation.keys();
            drop(turn); // who waits for the keys may be gone long before
            keys
        });
        match deriving.await {
            Ok(keys) => keys,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => std::future::pending().await, // the process ends
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::FutureExt;
    use kroxy_core::{
        reload::Secret,
        sasl::{
            directory::Directory,
            server::{Exchange, Verdict},
        },
    };
    use std::pin::pin;

    fn derivation() -> Derivation {
        let mut exchange = Exchange::plain(Arc::new(Directory::new([1; 32])));
        match exchange.step(&Secret(Bytes::from_static(b"\0alice\0pencil")).0) {
            Verdict::Derive(derivation) => *derivation,
            other @ (Verdict::Challenge(_) | Verdict::Accepted { .. } | Verdict::Refused(_)) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn whoever_asks_is_not_held_up_and_waits_for_a_turn() {
        let turns = Arc::new(Semaphore::new(1));
        let hashing = Hashing::Aside(turns.clone());
        let taken = turns.try_acquire().expect("nobody has it");
        let mut keys = pin!(hashing.keys(derivation()));
        for _ in 0..3 {
            assert!(keys.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(taken);
        assert!(keys.as_mut().now_or_never().is_none(), "it is another thread that derives them");
        assert_eq!(keys.await, derivation().keys());
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_simulation_waits_for_nothing() {
        assert_eq!(Hashing::Here.keys(derivation()).now_or_never(), Some(derivation().keys()));
    }
}
