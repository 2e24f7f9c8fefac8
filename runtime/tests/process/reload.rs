//! Reloads by signal and by watching files.

use crate::folder::Folder;
use crate::kroxy::{Clusters, Kroxy};
use std::{fs, os::unix::fs::symlink};

fn metric(kroxy: &Kroxy, line: &str) -> bool {
    let text = ureq::get(format!("http://{}/metrics", kroxy.admin())).call().expect("served");
    text.into_body().read_to_string().expect("text").lines().any(|l| l == line)
}

#[test]
fn sighup_puts_the_file_in_force_and_a_bad_file_is_shown_and_touches_nothing() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let file = folder.write("proxy.ron", &clusters.with("127.0.0.1:1", ""));
    let mut kroxy = Kroxy::serve(&file);
    let first = kroxy.status()["configuration"].clone();
    assert_eq!((&first["generation"], &first["last_reload"]), (&1.into(), &serde_json::Value::Null));

    fs::write(&file, clusters.with("127.0.0.1:2", "")).expect("writable");
    kroxy.signal("HUP");
    assert_eq!(kroxy.hear("reload over")["outcome"], "applied");
    let second = kroxy.status()["configuration"].clone();
    assert_eq!((&second["generation"], &second["last_reload"]["trigger"]), (&2.into(), &"signal".into()));
    assert_ne!(second["digest"], first["digest"]);

    fs::write(&file, "(virtual_clusters: 7, watch: maybe)").expect("writable");
    kroxy.signal("HUP");
    let line = kroxy.hear("reload over");
    assert_eq!((&line["outcome"], &line["level"]), (&"rejected".into(), &"WARN".into()));
    let third = kroxy.status()["configuration"].clone();
    assert_eq!((&third["generation"], &third["digest"]), (&2.into(), &second["digest"]), "nothing was touched");
    assert_eq!(third["last_reload"]["outcome"], "rejected");
    let error = third["last_reload"]["errors"][0].as_str().expect("what is wrong").to_owned();
    assert!(error.starts_with(&format!("{}:1:", file.display())), "{error}");
    assert!(metric(&kroxy, r#"kroxy_reload_total{outcome="rejected"} 1"#));
    assert!(metric(&kroxy, r#"kroxy_reload_total{outcome="applied"} 1"#));
    assert!(metric(&kroxy, "kroxy_reload_duration_seconds_count 1"), "what was not begun took no time");

    fs::write(&file, clusters.with("127.0.0.1:1", "")).expect("writable");
    kroxy.signal("HUP");
    assert_eq!(kroxy.hear("reload over")["outcome"], "applied");
    assert_eq!(kroxy.status()["configuration"]["digest"], first["digest"], "equal configurations, equal digests");
}

#[test]
fn a_watched_file_comes_into_force_however_it_is_replaced() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let with = |upstream: &str| clusters.with(upstream, "watch: true,");
    // As Kubernetes mounts it: proxy.ron -> ..data/proxy.ron, ..data -> ..1
    for (data, upstream) in [("..1", "127.0.0.1:1"), ("..2", "127.0.0.1:2")] {
        fs::create_dir(folder.file(data)).expect("new");
        folder.write(&format!("{data}/proxy.ron"), &with(upstream));
    }
    let (file, link) = (folder.file("proxy.ron"), folder.file("..data"));
    symlink("..1", &link).expect("new");
    symlink("..data/proxy.ron", &file).expect("new");
    let mut kroxy = Kroxy::serve(&file);
    let reloaded = |kroxy: &mut Kroxy, upstream: &str| {
        let line = kroxy.hear("reload over");
        assert_eq!((&line["outcome"], &line["trigger"]), (&"applied".into(), &"watch".into()));
        let status = kroxy.status();
        assert_eq!(status["virtual_clusters"][0]["upstream"]["bootstrap_servers"][0], upstream);
    };

    symlink("..2", folder.file("..new")).expect("new");
    fs::rename(folder.file("..new"), &link).expect("the link is swapped");
    reloaded(&mut kroxy, "127.0.0.1:2");

    // As an editor saves: a new file takes the place of the link.
    fs::rename(folder.write("proxy.ron~", &with("127.0.0.1:3")), &file).expect("renamed over");
    reloaded(&mut kroxy, "127.0.0.1:3");

    // In place.
    fs::write(&file, with("127.0.0.1:4")).expect("writable");
    reloaded(&mut kroxy, "127.0.0.1:4");

    // What is no change is no reload: neither other contents of the folder nor a comment. The last one is heard next.
    folder.write("beside", "something else");
    fs::write(&file, format!("// nothing new\n{}", with("127.0.0.1:4"))).expect("writable");
    fs::write(&file, clusters.with("127.0.0.1:5", "watch: false,")).expect("writable");
    reloaded(&mut kroxy, "127.0.0.1:5");

    // It is not watched any more.
    fs::write(&file, with("127.0.0.1:6")).expect("writable");
    kroxy.signal("HUP");
    assert_eq!(kroxy.hear("reload over")["trigger"], "signal");
}
