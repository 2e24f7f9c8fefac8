//! How many file descriptors the process may have, and how many a configuration may need.

use crate::limits;
use kroxy_core::config::{Config, VirtualCluster};
use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::io;
use tracing::{debug, warn};

/// What a process has besides its connections: standard streams, the reactor's, signals, files that are read, the admin API with
/// its clients, and conversations with upstream about where its nodes are.
const OTHERS: u64 = 400;

/// Each connection is one to the client and one to upstream.
const FOR_EACH_CONNECTION: u64 = 2;

/// How many descriptors a configuration may need, where every virtual cluster has as many connections as it may.
pub(crate) fn needed(config: &Config) -> u64 {
    let of = |cluster: &VirtualCluster| {
        let listeners: usize = cluster.gateways.iter().map(|gateway| gateway.places().len()).sum();
        listeners as u64 + cluster.limits.max_connections as u64 * FOR_EACH_CONNECTION
    };
    OTHERS + config.virtual_clusters().iter().map(of).sum::<u64>()
}

/// Takes as many as the operating system allows, says where that is too few, and has it make room for those that are needed.
pub(crate) fn prepare(config: &Config) {
    let (allowed, needed) = (raise(), needed(config));
    make_room(needed.min(allowed.unwrap_or(u64::MAX)));
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        warn!(
            allowed,
            needed,
            "the process may have {allowed} file descriptors, and {needed} are needed where each virtual cluster has as many \
             connections as it may: raise the limit (LimitNOFILE= of a service, `ulimit -Hn` of a shell) or lower max_connections"
        );
    }
}

/// Raises the soft limit to the hard one, which is there for nothing else; how many there are now, where there is a limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(e) => {
            debug!("the limit of file descriptors cannot be raised: {e}");
            current
        }
    }
}

/// Has Linux make the table of descriptors as large as it will be. Where it grows, at 256 of them, 512, 1,024 and so on, whoever is
/// about to get a descriptor waits 10 ms and more for every thread of the process (`expand_fdtable` of `fs/file.c`), and with him
/// all connections of his worker.
fn make_room(descriptors: u64) {
    let last = i32::try_from(descriptors.min(limits::DESCRIPTORS_AT_ONCE)).unwrap_or(i32::MAX) - 1;
    // Closed again at once: the room stays.
    if let Err(e) = fcntl_dupfd_cloexec(io::stdin(), last) {
        debug!("the table of file descriptors will grow as connections come: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_and_a_listener_one() {
        let config = |limits: &str| {
            let text = format!(
                r#"(virtual_clusters: [(name: "c", upstream: (bootstrap_servers: ["kafka:9092"]), limits: ({limits}), gateways:
                [(name: "g", port_per_broker: (bind: "127.0.0.1", advertised_host: "localhost", bootstrap_port: 9192,
                nodes: [(ids: (0, 2), first_port: 9193)]))])])"#
            );
            crate::config::parse_str("test", &text).expect("valid")
        };
        assert_eq!(needed(&config("max_connections: 100")), OTHERS + 4 + 200);
        assert_eq!(needed(&config("")), OTHERS + 4 + 20_000);
    }
}
