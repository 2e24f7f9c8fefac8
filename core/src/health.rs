//! Which upstream servers could be connected to last time, and since when that is so.
//!
//! It says how attempts ended and decides nothing: every client connection tries for itself.

use crate::{address::HostPort, limits, time::Instant};
use std::collections::BTreeMap;

/// What is known of the servers of one upstream cluster.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Health {
    servers: BTreeMap<HostPort, Reach>,
}

/// How attempts to connect to a server end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Why the last one failed, if it did.
    pub error: Option<String>,
    /// When the first one ended that way without another end in between.
    pub since: Instant,
}

impl Health {
    /// Takes note of how an attempt to connect to `server` ended. Says whether that was news: the first attempt, or the
    /// first after others had ended the other way.
    pub fn note(&mut self, server: &HostPort, ended: Result<(), String>, now: Instant) -> bool {
        let (error, has_room) = (ended.err(), self.servers.len() < limits::NODES_MAX);
        match self.servers.get_mut(server) {
            Some(reach) => {
                let is_news = reach.error.is_some() != error.is_some();
                reach.error = error;
                if is_news {
                    reach.since = now;
                }
                is_news
            }
            None if has_room => {
                self.servers.insert(server.clone(), Reach { error, since: now });
                true
            }
            None => false,
        }
    }

    /// What is known of a server; `None` before the first attempt to connect to it.
    pub fn of(&self, server: &HostPort) -> Option<&Reach> {
        self.servers.get(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn since_is_when_attempts_began_to_end_that_way() {
        let (mut health, server) = (Health::default(), HostPort::new("kafka-1", 9092));
        assert_eq!(health.of(&server), None);
        assert!(health.note(&server, Ok(()), Instant::from_millis(1)));
        assert!(!health.note(&server, Ok(()), Instant::from_millis(2)));
        assert_eq!(health.of(&server), Some(&Reach { error: None, since: Instant::from_millis(1) }));
        assert!(health.note(&server, refused(), Instant::from_millis(3)));
        assert!(!health.note(&server, Err("no answer".to_owned()), Instant::from_millis(4)), "still not reached");
        let reach = health.of(&server).expect("tried");
        assert_eq!(
            (reach.error.as_deref(), reach.since),
            (Some("no answer"), Instant::from_millis(3)),
            "the last reason"
        );
        assert!(health.note(&server, Ok(()), Instant::from_millis(5)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut health = Health::default();
        for n in 0..2 * limits::NODES_MAX {
            health.note(&HostPort::new(format!("kafka-{n}"), 9092), refused(), Instant::ZERO);
        }
        assert_eq!(health.servers.len(), limits::NODES_MAX);
    }
}
