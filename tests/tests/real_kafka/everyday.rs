//! Nothing goes wrong: every client, every kind of acknowledgement, every tool.

use std::fs;
use tests::cluster::{Cluster, Listener};
use tests::library::{Library, Load, VARIANTS, demand};
use tests::proxy::Proxy;
use tests::{asked_for, say, scratch};

const EIGHT_MIB: u32 = 8 << 20;
const FIFTY_MIB: u32 = 50 << 20;

#[test]
fn every_library_sends_and_reads_with_one_broker() {
    let Some(turn) = asked_for("one_broker") else { return };
    let cluster = Cluster::start(&turn, 1, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    for library in Library::ALL {
        for variant in VARIANTS {
            Load::new(library, variant).with("--big", EIGHT_MIB).run(proxy.bootstrap());
        }
    }
}

#[test]
fn every_library_finds_leaders_and_coordinators_among_three_brokers() {
    let Some(turn) = asked_for("three_brokers") else { return };
    let cluster = Cluster::start(&turn, 3, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    for library in Library::STEADFAST {
        for variant in ["idempotent", "transactional"] {
            Load::new(library, variant).with("--replication", 3).run(proxy.bootstrap());
        }
    }
    Load::new(Library::Kafkajs, "acks-all").with("--replication", 3).run(proxy.bootstrap());
}

#[test]
fn records_of_fifty_mib_pass_without_being_held_in_memory() {
    let Some(turn) = asked_for("large_records") else { return };
    let limit = (FIFTY_MIB + (2 << 20)).to_string();
    let (message, fetch) = (format!("message.max.bytes={limit}"), format!("replica.fetch.max.bytes={limit}"));
    let cluster = Cluster::start(&turn, 1, &["--heap", "2g", "-c", &message, "-c", &fetch]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    for library in Library::ALL {
        Load::new(library, "acks-all").with("--big", FIFTY_MIB).with("--records", 12).run(proxy.bootstrap());
    }
    if let Some(peak) = proxy.peak_memory_mib() {
        assert!(peak < 50, "kroxy had {peak} MiB at its peak: not less than one record");
        say(&format!("large_records: kroxy's peak was {peak} MiB"));
    }
}

#[test]
fn sasl_passes_through() {
    let Some(turn) = asked_for("sasl") else { return };
    let cluster = Cluster::start(&turn, 1, &["--sasl"]);
    let proxy = Proxy::start(&cluster, Listener::Sasl);
    for library in Library::ALL {
        for mechanism in library.mechanisms() {
            Load::new(library, "idempotent").with("--sasl", mechanism).run(proxy.bootstrap());
        }
    }
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let settings = cluster.client_properties(mechanism);
        let args = format!("--bootstrap-server {} --command-config {} --list", proxy.bootstrap(), settings.display());
        cluster.tool("topics", &args).demand(mechanism);
    }
}

#[test]
fn clients_authenticate_again_while_records_flow() {
    let Some(turn) = asked_for("sasl_again") else { return };
    let cluster = Cluster::start(&turn, 1, &["--sasl", "-c", "connections.max.reauth.ms=3000"]); // KIP-368
    let proxy = Proxy::start(&cluster, Listener::Sasl);
    let start = |library| {
        Load::new(library, "idempotent").with("--sasl", "PLAIN").with("--seconds", 12).start(proxy.bootstrap())
    };
    demand(Library::STEADFAST.map(start).into());
}

#[test]
fn every_tool_of_kafka_works() {
    let Some(turn) = asked_for("java_tools") else { return };
    let cluster = Cluster::start(&turn, 1, &[]);
    let proxy = Proxy::start(&cluster, Listener::Plaintext);
    let at = proxy.bootstrap();
    let tool = |name: &str, args: &str| {
        let args = format!("--bootstrap-server {at} {args}");
        cluster.tool(name, &args).demand(&format!("{name} {args}"))
    };
    let expect = |said: &str, wanted: &str| assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");

    tool("topics", "--create --topic t --partitions 3");
    expect(&tool("topics", "--describe --topic t"), "PartitionCount: 3");
    for acks in ["0", "1", "all"] {
        let load =
            format!("--topic t --num-records 3000 --record-size 1024 --throughput -1 --command-property acks={acks}");
        expect(&tool("producer-perf-test", &load), "3000 records sent");
    }
    expect(&tool("consumer-perf-test", "--topic t --group perf --num-records 9000"), ", 9000,");
    expect(&tool("get-offsets", "--topic t"), "t:0:");
    expect(&tool("consumer-groups", "--describe --group perf"), "perf");
    expect(&tool("consumer-groups", "--list"), "perf");
    expect(&tool("groups", "--list"), "perf");

    let lines = (0..100).map(|i| format!("line {i}\n")).collect::<String>();
    let input = scratch("java_tools").join("lines");
    fs::write(&input, &lines).expect("cargo's output folder is writable");
    tool("topics", "--create --topic console --partitions 1");
    let produce = format!("--bootstrap-server {at} --topic console");
    cluster.tool_with_input("console-producer", &produce, &input).demand("console-producer");
    let read = "--topic console --from-beginning --max-messages 100 --timeout-ms 60000";
    assert_eq!(tool("console-consumer", read), lines);
    tool("configs", "--alter --entity-type groups --entity-name s --add-config share.auto.offset.reset=earliest");
    let read = "--topic console --group s --max-messages 100 --timeout-ms 60000";
    assert_eq!(tool("console-share-consumer", read), lines);
    expect(&tool("share-groups", "--describe --group s"), "console");

    expect(
        &cluster
            .tool(
                "e2e-latency",
                &format!(
                    "--bootstrap-server {at} --topic console --num-records 200 --producer-acks 1 --record-size 100"
                ),
            )
            .demand("e2e-latency"),
        "Percentiles",
    );
    tool("transactions", "list");
    expect(&tool("features", "describe"), "metadata.version");
    expect(&tool("metadata-quorum", "describe --status"), "LeaderId");
    expect(&tool("broker-api-versions", ""), "Produce(0)");
    expect(&tool("log-dirs", "--describe"), "console-0");
    expect(&tool("configs", "--describe --entity-type brokers --entity-name 1 --all"), "message.max.bytes");
    tool("client-metrics", "--list");
    expect(&cluster.tool("cluster", &format!("cluster-id --bootstrap-server {at}")).demand("cluster-id"), "Cluster ID");
    tool("topics", "--delete --topic t,console");
}
