//! The commands that ask a proxy that runs.

use crate::{
    folder::Folder,
    kroxy::{Clusters, Kroxy, run},
    ports::free_port,
};

#[test]
fn a_plan_says_what_a_file_would_change_and_a_reload_does_just_that() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders", "audit"]));
    let (before, after) = (clusters.with("127.0.0.1:1", ""), clusters.with("127.0.0.1:2", ""));
    let file = folder.write("proxy.ron", &before);
    let kroxy = Kroxy::serve(&file);

    let new = folder.write("new.ron", &after);
    let plan = kroxy.ask(&["plan", new.to_str().expect("text")]);
    assert_eq!((plan.code, plan.errors.as_str()), (10, ""), "{plan:?}");
    assert!(plan.out.contains("! virtual cluster orders: drained and built anew"), "{}", plan.out);
    assert!(plan.out.contains("upstream.bootstrap_servers: 127.0.0.1:1 → 127.0.0.1:2"), "{}", plan.out);
    let same = kroxy.ask(&["plan", file.to_str().expect("text")]);
    assert_eq!((same.code, same.out.as_str()), (0, "no change\n"));
    assert_eq!(kroxy.status()["configuration"]["generation"], 1, "a plan changes nothing");

    std::fs::write(&file, after).expect("writable");
    let dry = kroxy.ask(&["reload", "--dry-run"]);
    assert_eq!((dry.code, &dry.out), (10, &plan.out), "the file in place says the same");
    let reload = kroxy.ask(&["reload"]);
    assert_eq!(reload.code, 0, "{reload:?}");
    assert!(reload.out.starts_with("applied: everything is in force; generation 2 in force"), "{}", reload.out);
    assert!(reload.out.contains("! virtual cluster audit: drained and built anew: done"), "{}", reload.out);
    assert_eq!(kroxy.ask(&["reload", "--dry-run"]).code, 0);
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_name_line_and_column_and_what_takes_a_restart_with_its_field() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with("127.0.0.1:1", "")));
    let bad = folder.write("with space.ron", "(\n virtual_clusters: [(nome: 3)])");
    let plan = kroxy.ask(&["plan", bad.to_str().expect("text")]);
    assert_eq!(plan.code, 1);
    let expected = format!("{}:2:22: virtual_clusters[0].nome: there is no such field", bad.display());
    assert!(plan.out.contains(&expected), "{plan:?}");

    let elsewhere = format!(r#"admin: (bind: "127.0.0.1:{}"),"#, free_port());
    let other = clusters.with("127.0.0.1:1", &elsewhere);
    let plan = kroxy.ask(&["plan", folder.write("other.ron", &other).to_str().expect("text")]);
    assert_eq!(plan.code, 1);
    assert!(plan.out.contains("refused, it takes a restart: admin.bind: 127.0.0.1:0 → "), "{plan:?}");
    folder.write("proxy.ron", &other);
    let reload = kroxy.ask(&["reload", "-o", "json"]);
    assert_eq!((reload.code, &reload.json()["outcome"]), (1, &"rejected".into()));
    let error = reload.json()["errors"][0].to_string();
    assert!(error.starts_with("\"this takes a restart: admin.bind"), "{error}");

    let absent = kroxy.ask(&["plan", "absent.ron"]);
    assert_eq!((absent.code, absent.out.as_str()), (1, ""));
    assert!(absent.errors.contains("absent.ron: No such file"), "{absent:?}");
}

#[test]
fn a_virtual_cluster_is_drained_shown_and_brought_back_and_the_proxy_stopped() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders", "audit"]));
    let mut kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with("127.0.0.1:1", "")));
    let drained = kroxy.ask(&["drain", "ORDERS"]);
    assert_eq!((drained.code, drained.out.as_str()), (0, "draining ORDERS\n"));
    kroxy.hear("drained");
    let status = kroxy.ask(&["status"]);
    assert_eq!(status.code, 0);
    let orders = status.out.lines().find(|line| line.starts_with("orders ")).expect("a row for each cluster");
    assert!(orders.contains("draining"), "{}", status.out);
    assert!(status.out.contains("drain (operator): 0 of 0 connections left"), "{}", status.out);

    let retried = kroxy.ask(&["retry", "orders", "-o", "json"]);
    assert_eq!((retried.code, &retried.json()["message"]), (0, &"retrying orders".into()));
    kroxy.hear("serving");
    let refused = kroxy.ask(&["retry", "orders"]);
    assert_eq!(refused.code, 1, "it serves already: {refused:?}");
    let nobody = kroxy.ask(&["drain", "nobody"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (1, "there is no virtual cluster nobody\n"));

    assert_eq!(kroxy.ask(&["shutdown"]).out, "stopping\n");
    assert_eq!(kroxy.ended(), 0);
    let gone = kroxy.ask(&["status"]);
    assert_eq!((gone.code, gone.out.as_str()), (3, ""));
    assert!(gone.errors.contains("no answer from http://127.0.0.1:"), "{gone:?}");
}

#[test]
fn a_wrong_command_line_is_2_before_anybody_is_asked() {
    for words in [&["drain"][..], &["drain", "not a name"], &["plan"], &["status", "-o", "yaml"], &["reload", "x"]] {
        assert_eq!(run(words).code, 2, "{words:?}");
    }
}
