//! A process that runs out of file descriptors: who is connected notices nothing, and who comes is served in the end.

use crate::{
    folder::Folder,
    frames::{HEARTBEAT, HEARTBEAT_OK},
    kroxy::{Clusters, Kroxy, PATIENCE},
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

const DESCRIPTORS: u32 = 64;

/// A client that has not asked anything.
fn connected(to: &str) -> TcpStream {
    let client = TcpStream::connect(to).expect("the operating system takes it");
    client.set_read_timeout(Some(PATIENCE)).expect("possible");
    client
}

fn served(mut client: &TcpStream) {
    client.write_all(HEARTBEAT).expect("it is open");
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, HEARTBEAT_OK);
}

#[test]
fn out_of_descriptors_nobody_is_harmed_and_it_recovers() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["crowded", "neighbour"]));
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let text = clusters.with(&upstream.local_addr().expect("bound").to_string(), "");
    thread::spawn(move || {
        for mut stream in upstream.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut request = vec![0; HEARTBEAT.len()];
                while stream.read_exact(&mut request).is_ok() && stream.write_all(HEARTBEAT_OK).is_ok() {}
            });
        }
    });
    let mut kroxy = Kroxy::serve_within(&folder.write("proxy.ron", &text), DESCRIPTORS);
    assert!(
        kroxy.heard().contains("the process may have 64 file descriptors, and 40404 are needed"),
        "{}",
        kroxy.heard()
    );
    let neighbour = connected(&clusters.bootstrap(1));
    served(&neighbour);

    // Clients that only connect take one each, and the last of them wait.
    let crowd: Vec<_> = (0..DESCRIPTORS).map(|_| connected(&clusters.bootstrap(0))).collect();
    kroxy.hear("connections cannot be accepted");
    served(&neighbour);
    let late = connected(&clusters.bootstrap(1));
    drop(crowd);
    served(&late);
    served(&neighbour);

    // It is over when somebody comes and for a while nobody has failed.
    let deadline = std::time::Instant::now() + PATIENCE;
    let page = loop {
        let url = format!("http://{}/metrics", kroxy.admin());
        let page = ureq::get(url).call().expect("served").body_mut().read_to_string().expect("text");
        if kroxy.has_said("connections are accepted again") {
            break page;
        }
        assert!(std::time::Instant::now() < deadline, "{}", kroxy.heard());
        thread::yield_now();
    };
    assert!(page.contains("kroxy_accept_failures_total{cause=\"descriptors\"}"), "{page}");
    assert_eq!(kroxy.heard().matches("connections cannot be accepted").count(), 1, "{}", kroxy.heard());
    kroxy.signal("TERM");
    drop((neighbour, late));
    assert_eq!(kroxy.ended(), 0);
}
