//! `docs/states.md` is made from the machines: this test fails when it is stale.
//!
//! `UPDATE_DOCS=1 cargo test -p kroxy-core --test states` writes it anew.

use kroxy_core::{cluster, proxy};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/states.md");

fn page() -> String {
    let clusters = cluster::EDGES.iter().map(|e| {
        let from = e.from.map_or("(new)", |from| from.name());
        row(from, e.to.name(), e.when)
    });
    let proxy = proxy::EDGES.iter().map(|e| row(e.from.name(), e.to.name(), e.when));
    format!(
        "<!-- Made from the machines in core/src by core/tests/states.rs; UPDATE_DOCS=1 makes it anew. -->\n\
         # States\n\n\
         Every state that a virtual cluster and the proxy can be in, and every way between them. There is no other.\n\n\
         ## A virtual cluster\n\n\
         {CLUSTER}\n\
         ```mermaid\n{}```\n\n\
         {HEAD}{}\n\
         ## The proxy\n\n\
         {PROXY}\n\
         ```mermaid\n{}```\n\n\
         {HEAD}{}",
        cluster::diagram(),
        clusters.collect::<String>(),
        proxy::diagram(),
        proxy.collect::<String>(),
    )
}

const HEAD: &str = "| from | to | when |\n|---|---|---|\n";

const CLUSTER: &str = "\
Its identity is its name, compared without regard to case. `stopped` is final: a name that comes back is a new cluster.

- `initializing`: files are read, filters built, listeners bound. It ends within a limit, or waits for another cluster that
  still drains and has a port which this one is to have.
- `serving`: clients are served. It says nothing about the health of upstream.
- `draining`: new connections are refused and open ones are asked to leave, for a reload, a removal, a shutdown or an
  operator. It ends when the last has left, or at its deadline, when the rest is cut. A cluster that an *operator* drained
  stays `draining`, holding nothing, until it is retried, removed, or changed by a reload.
- `failed`: it could not be built. It has a reason and holds no port, file or connection. It is retried by itself, with a
  growing pause, as often as `on_virtual_cluster_failure` says, and whenever an operator or a reload asks for it.

A reload that changes a serving cluster prepares everything beside the old first; what cannot be prepared disturbs nothing.
If the new configuration fails after the drain, the cluster goes `failed` → `initializing` with the last configuration that
served it, file contents included.
";

const PROXY: &str = "\
A proxy is used once. There is no failed state: how it ended is its result, and the exit code of `kroxy serve` (0 a clean
stop, 1 start-up failed, 3 failed while running or stopping).

- `starting`: every virtual cluster is built. With `serve: None` it is over when all of them serve; with `serve: Remaining`
  when all have been tried and one serves.
- `started`: with `serve: None` a virtual cluster that has run out of retries stops the proxy. With `serve: Remaining` only
  the last one does: when every virtual cluster has run out of retries, nothing is left to serve.
- `stopping`: all virtual clusters drain at the same time, so that it takes as long as the slowest and not their sum. A
  second signal ends it at once.
";

fn row(from: &str, to: &str, when: &str) -> String {
    format!("| {from} | {to} | {when} |\n")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the page is a file; nothing of this is in the product")]
fn the_page_is_what_the_machines_say() {
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(PATH, page()).expect("docs can be written");
    }
    let written = std::fs::read_to_string(PATH).expect("docs/states.md is there");
    assert_eq!(written, page(), "stale: run UPDATE_DOCS=1 cargo test -p kroxy-core --test states");
}

#[test]
fn every_state_can_be_reached_and_only_the_last_has_no_way_out() {
    for e in cluster::EDGES {
        let goes_on = cluster::EDGES.iter().any(|next| next.from == Some(e.to));
        assert_eq!(goes_on, e.to.name() != "stopped", "{}", e.to);
    }
    for e in proxy::EDGES {
        let goes_on = proxy::EDGES.iter().any(|next| next.from == e.to);
        assert_eq!(goes_on, e.to.name() != "stopped", "{}", e.to);
    }
}
