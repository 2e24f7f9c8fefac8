//! A real HAProxy in front of the program, which says whose connections they are.

use crate::{
    folder::Folder,
    frames::{HEARTBEAT, HEARTBEAT_OK},
    kroxy::{Clusters, Kroxy, PATIENCE},
    ports::free_port,
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

/// Where a distribution puts what is for administrators.
const PROGRAMS: [&str; 2] = ["haproxy", "/usr/sbin/haproxy"];

/// Killed when its test ends.
struct HaProxy(Child);

impl HaProxy {
    /// One that passes each of these ports on to kroxy with a header of its kind; `None` where it is not installed.
    fn start(folder: &Folder, ports: &[(u16, &str)], kroxy: &str) -> Option<Self> {
        let listen = |(port, how): &(u16, &str)| {
            format!("listen l{port}\n  bind 127.0.0.1:{port}\n  server kroxy {kroxy} {how} check inter 200\n")
        };
        let defaults = "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1m\n  timeout server 1m\n";
        let text = defaults.to_owned() + &ports.iter().map(listen).collect::<String>();
        let file = folder.write("haproxy.cfg", &text);
        let start = |program| {
            let mut command = Command::new(program);
            command.args(["-db", "-f"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().ok()
        };
        PROGRAMS.into_iter().find_map(start).map(Self)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it runs, as a rule
        let _ = self.0.wait(); // likewise
    }
}

/// A broker that answers one request after the other, of one connection after the other.
fn answer_all(listener: TcpListener) {
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut request = vec![0; HEARTBEAT.len()];
                while stream.read_exact(&mut request).is_ok() && stream.write_all(HEARTBEAT_OK).is_ok() {}
            });
        }
    });
}

/// A client at `from` that has been answered once through a port of HAProxy's, which may not listen yet.
fn served(from: Ipv4Addr, port: u16) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((from, 0)).into()).expect("loopback is wide");
        if socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).is_ok() {
            let mut client = TcpStream::from(socket);
            client.set_read_timeout(Some(PATIENCE)).expect("possible");
            let mut answer = vec![0; HEARTBEAT_OK.len()];
            if client.write_all(HEARTBEAT).is_ok() && client.read_exact(&mut answer).is_ok() {
                assert_eq!(answer, HEARTBEAT_OK);
                return client;
            }
        }
        assert!(Instant::now() < deadline, "nobody is served");
        thread::yield_now();
    }
}

#[test]
fn behind_haproxy_clients_have_their_own_addresses() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["c"]));
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let text = clusters.with(&upstream.local_addr().expect("bound").to_string(), "");
    let text = text.replace(r#"(name: "g","#, r#"(name: "g", proxy_protocol: Required(from: ["127.0.0.1"]),"#);
    answer_all(upstream);
    let kinds = [
        (free_port(), "send-proxy"),
        (free_port(), "send-proxy-v2"),
        (free_port(), "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    ];
    let Some(_haproxy) = HaProxy::start(&folder, &kinds, &clusters.bootstrap(0)) else {
        eprintln!("there is no haproxy on this machine: nothing is shown");
        return;
    };
    let kroxy = Kroxy::serve(&folder.write("proxy.ron", &text));
    let clients = (7..).zip(kinds).map(|(n, (port, _))| served(Ipv4Addr::new(127, 0, 0, n), port));
    let clients: Vec<_> = clients.collect();
    let status = kroxy.status();
    let shown = status["virtual_clusters"][0]["clients"].as_array().expect("a list");
    let mut shown: Vec<_> = shown.iter().map(|c| (c["address"].as_str(), c["via"].as_str())).collect();
    shown.retain(|(_, via)| via.is_some()); // HAProxy's health checks speak for themselves
    shown.sort_unstable();
    let expected = ["127.0.0.7", "127.0.0.8", "127.0.0.9"].map(|address| (Some(address), Some("127.0.0.1")));
    assert_eq!(shown, expected, "{status:#}");
    drop(clients);
}
