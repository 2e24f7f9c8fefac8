//! What a service manager hears.

use crate::folder::Folder;
use crate::kroxy::{Clusters, Kroxy, PATIENCE};
use std::{fs, os::unix::net::UnixDatagram};

/// A socket as systemd has it.
struct Manager(UnixDatagram);

impl Manager {
    fn new(folder: &Folder) -> (Self, String) {
        // Paths of sockets are short, so it is told apart by name and not by path.
        let name = format!("kroxy-test-{}-{}", std::process::id(), folder.file("").display().to_string().len());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path); // there is none, as a rule
        let socket = UnixDatagram::bind(&path).expect("writable");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        (Self(socket), path.display().to_string())
    }

    /// The next message that has this in one of its lines.
    fn hear(&self, wanted: &str) -> String {
        loop {
            let mut message = [0; 4_096];
            let n = self.0.recv(&mut message).unwrap_or_else(|e| panic!("nothing of {wanted}: {e}"));
            let message = String::from_utf8_lossy(&message[..n]).into_owned();
            if message.lines().any(|line| line.starts_with(wanted)) {
                return message;
            }
        }
    }
}

#[test]
fn a_service_manager_hears_of_start_reload_life_and_stop() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders", "audit"]));
    let (manager, path) = Manager::new(&folder);
    let file = folder.write("proxy.ron", &clusters.with("127.0.0.1:1", ""));
    let mut kroxy = Kroxy::spawn(&file, &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "400000")]);
    let ready = manager.hear("READY=1");
    assert!(ready.contains("STATUS=started: 2 of 2 virtual clusters serve, generation 1"), "{ready}");
    manager.hear("WATCHDOG=1");

    fs::write(&file, clusters.with("127.0.0.1:2", "")).expect("writable");
    kroxy.signal("HUP");
    let reloading = manager.hear("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("since when");
    assert!(since.parse::<u64>().expect("a number") > 0, "{reloading}");
    manager.hear("READY=1");

    fs::write(&file, "nonsense").expect("writable");
    kroxy.signal("HUP");
    manager.hear("RELOADING=1");
    manager.hear("READY=1"); // it goes on with what it has

    kroxy.signal("TERM");
    let stopping = manager.hear("STOPPING=1");
    assert!(stopping.contains("STATUS=stop"), "{stopping}");
    assert_eq!(kroxy.ended(), 0);
    fs::remove_file(path).expect("there");
}
