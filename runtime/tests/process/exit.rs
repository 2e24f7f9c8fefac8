//! How a process ends.

use crate::folder::Folder;
use crate::kroxy::{Clusters, Kroxy, run};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

#[test]
fn a_certificate_that_cannot_be_read_is_1_with_the_reason() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let tls = r#"(name: "g", tls: (certificates: [(chain: "/nowhere/kroxy.pem", key: "/nowhere/kroxy.key")]),"#;
    let configuration = clusters.with("127.0.0.1:1", "").replace(r#"(name: "g","#, tls);
    let refused = run(&["serve", folder.write("proxy.ron", &configuration).to_str().expect("text")]);
    assert_eq!(refused.code, 1);
    let last = refused.errors.lines().last().unwrap_or_default();
    for part in [
        "start-up failed: virtual cluster orders cannot be served: ",
        "/nowhere/kroxy.pem cannot be read: No such file",
    ] {
        assert!(last.contains(part), "{}", refused.errors);
    }
    assert_eq!(refused.errors.matches("start-up failed").count(), 1, "one message: {}", refused.errors);
}

#[test]
fn a_port_that_is_taken_is_1_with_the_reason_unless_the_others_are_to_be_served() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders", "audit"]));
    let squatter = TcpListener::bind(clusters.bootstrap(0)).expect("free until now");
    let refused = run(&["serve", folder.write("proxy.ron", &clusters.with("127.0.0.1:1", "")).to_str().expect("text")]);
    assert_eq!(refused.code, 1);
    let address = clusters.bootstrap(0);
    let reason =
        format!("start-up failed: virtual cluster orders cannot be served: gateway g cannot listen on {address}");
    assert!(refused.errors.contains(&reason), "{}", refused.errors);
    assert_eq!(refused.errors.matches("start-up failed").count(), 1, "one message: {}", refused.errors);

    let forgiving = "on_virtual_cluster_failure: (serve: Remaining, retry: (initial_backoff: \"10ms\")),";
    let mut kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with("127.0.0.1:1", forgiving)));
    let status = kroxy.ask(&["status"]);
    assert!(status.out.contains("because: ") && status.out.contains(&address), "{}", status.out);
    assert_eq!(kroxy.ask(&["status", "-o", "json"]).json()["virtual_clusters"][0]["state"], "serving");
    drop(squatter);
    while kroxy.hear("serving")["cluster"] != "orders" {}
    kroxy.signal("INT");
    assert_eq!(kroxy.ended(), 0);
}

#[test]
fn an_invalid_configuration_is_1_and_a_wrong_command_line_2() {
    let folder = Folder::new();
    let invalid = run(&["serve", folder.write("proxy.ron", "(virtual_clusters: [])").to_str().expect("text")]);
    assert_eq!((invalid.code, invalid.out.as_str()), (1, ""));
    assert!(invalid.errors.contains("there is no virtual cluster to serve"), "{}", invalid.errors);
    assert_eq!(run(&["serve", "--fast"]).code, 2);
}

#[test]
fn a_second_signal_does_not_wait_for_what_is_in_flight_and_is_3() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = upstream.local_addr().expect("bound").to_string();
    let mut kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with(&at, "")));
    // A heartbeat that upstream never answers.
    let mut client = TcpStream::connect(clusters.bootstrap(0)).expect("it listens");
    client.write_all(&[0, 0, 0, 12, 0, 12, 0, 4, 0, 0, 0, 7, 0, 1, b's', 0]).expect("writable");
    let (mut asked, _) = upstream.accept().expect("it connects");
    asked.read_exact(&mut [0; 16]).expect("the question");

    kroxy.signal("TERM");
    kroxy.hear("the proxy is stopping");
    kroxy.signal("TERM");
    kroxy.hear("shutdown failed: it was told to stop at once: SIGTERM, again");
    assert_eq!(kroxy.ended(), 3);
}
