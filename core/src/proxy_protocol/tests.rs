use super::*;
use proptest::prelude::*;

/// What HAProxy 2.6 sends: `send-proxy`, `send-proxy-v2`, and the latter with `crc32c,unique-id`, over IPv4 and IPv6.
const OF_HAPROXY: [(&str, &[u8]); 5] = [
    ("127.0.0.1:42100 127.0.0.1:42001", b"PROXY TCP4 127.0.0.1 127.0.0.1 42100 42001\r\n"),
    ("[::1]:42104 [::1]:42005", b"PROXY TCP6 ::1 ::1 42104 42005\r\n"),
    (
        "127.0.0.1:42101 127.0.0.1:42002",
        b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\xa4u\xa4\x12",
    ),
    (
        "127.0.0.1:42102 127.0.0.1:42003",
        b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00%\x7f\x00\x00\x01\x7f\x00\x00\x01\xa4v\xa4\x13\x03\x00\x04\xb2\x87\"\xcf\
          \x05\x00\x0fkroxy-127.0.0.1",
    ),
    (
        "[::1]:42103 [::1]:42004",
        b"\r\n\r\n\x00\r\nQUIT\n!!\x00+\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
          \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xa4w\xa4\x14\x03\x00\x04\x17\t\xf1_",
    ),
];

fn proxied(both: &str) -> Header {
    let (client, server) = both.split_once(' ').expect("two addresses");
    Header::Proxied(Ends { client: client.parse().expect("one"), server: server.parse().expect("another") })
}

/// Reads from `stream` as a driver does, at most `step` bytes at a time: the outcome, and how much was taken.
fn read(stream: &[u8], step: usize) -> (Result<Parsed, BadHeader>, usize) {
    let mut taken = 0;
    loop {
        let parsed = parse(&stream[..taken]);
        let Ok(Parsed::Want(wanted)) = parsed else { return (parsed, taken) };
        let more = wanted.min(step).min(stream.len() - taken);
        if more == 0 {
            return (parsed, taken);
        }
        taken += more;
    }
}

fn v2(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&V2_START[..], &[version_and_command, family], &len, rest].concat()
}

#[test]
fn what_haproxy_sends_is_read_in_any_split_and_not_a_byte_beyond() {
    for (both, header) in OF_HAPROXY {
        for step in 1..=header.len() {
            let stream = [header, b"\0\0\0\x0cRequest"].concat();
            assert_eq!(read(&stream, step), (Ok(Parsed::Whole(proxied(both))), header.len()), "{both}, {step}");
        }
    }
}

#[test]
fn what_is_written_is_what_haproxy_would_write() {
    let plain = |header: &[u8]| header.len() < 60; // those with further values have more
    for (both, header) in OF_HAPROXY.into_iter().filter(|(_, header)| plain(header)).take(3) {
        let version = if header[0] == b'P' { Version::V1 } else { Version::V2 };
        assert_eq!(proxied(both).to_bytes(version), header, "{both}");
    }
    assert_eq!(Header::Local.to_bytes(Version::V1), b"PROXY UNKNOWN\r\n");
    assert_eq!(Header::Local.to_bytes(Version::V2), v2(0x20, 0, &[]));
}

/// The lines of section 2.1 of the specification.
#[test]
fn the_longest_and_the_shortest_lines_are_read() {
    let f = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let whole = |line: &str| read(line.as_bytes(), usize::MAX);
    let four = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    assert_eq!(whole(four), (Ok(Parsed::Whole(proxied("255.255.255.255:65535 255.255.255.255:65535"))), 56));
    let six = format!("PROXY TCP6 {f} {f} 65535 65535\r\n");
    assert_eq!(whole(&six), (Ok(Parsed::Whole(proxied(&format!("[{f}]:65535 [{f}]:65535")))), 104));
    assert_eq!(whole("PROXY UNKNOWN\r\n"), (Ok(Parsed::Whole(Header::Local)), 15));
    let longest = format!("PROXY UNKNOWN {f} {f} 65535 65535\r\n");
    assert_eq!(whole(&longest), (Ok(Parsed::Whole(Header::Local)), 107));
    let (error, taken) = whole(&format!("PROXY UNKNOWN {f} {f} 65535 655350\r\n"));
    assert_eq!(error, Err(BadHeader::LineTooLong));
    assert!(taken < 108, "{taken}");
}

#[test]
fn what_is_no_header_says_why() {
    let cases: [(&[u8], BadHeader); 12] = [
        (b"PUT / HTTP/1.1\r\n", BadHeader::Start),
        (b"\r\n\r\n\x00\r\nQUIX\n!\x11\x00\x00", BadHeader::Start),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", BadHeader::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", BadHeader::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", BadHeader::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", BadHeader::Line),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", BadHeader::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX", BadHeader::Line),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", BadHeader::Line),
        (b"PROXY TCP4 \xff 5.6.7.8 1 2\r\n", BadHeader::Line),
        (b"\r\n\r\n\x00\r\nQUIT\n\x11\x11\x00\x00", BadHeader::Version(1)),
        (b"\r\n\r\n\x00\r\nQUIT\n\x22\x11\x00\x00", BadHeader::Command(2)),
    ];
    for (bytes, why) in cases {
        assert_eq!(read(bytes, usize::MAX).0, Err(why), "{}", bytes.escape_ascii());
    }
    let addresses = [1; 12];
    let cases = [
        (v2(0x21, 0x41, &addresses), BadHeader::Family(0x41)),
        (v2(0x21, 0x13, &addresses), BadHeader::Family(0x13)),
        (v2(0x21, 0x11, &[1; 11]), BadHeader::TooShort(27)),
        (v2(0x21, 0x21, &[1; 35]), BadHeader::TooShort(51)),
        (v2(0x21, 0x11, &[1; 20_000]), BadHeader::TooLong(20_016)),
        (v2(0x21, 0x11, &[&addresses[..], &[4, 0]].concat()), BadHeader::Value(4)),
        (v2(0x21, 0x11, &[&addresses[..], &[4, 0, 2, 0]].concat()), BadHeader::Value(4)),
        (v2(0x21, 0x11, &[&addresses[..], &[3, 0, 4, 0, 0, 0, 0]].concat()), BadHeader::Checksum),
        (v2(0x21, 0x11, &[&addresses[..], &[3, 0, 0]].concat()), BadHeader::Checksum),
    ];
    for (bytes, why) in cases {
        assert_eq!(read(&bytes, usize::MAX).0, Err(why), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_sender_that_speaks_for_itself_or_knows_no_ip_address_leaves_the_connections_own() {
    for bytes in [
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &[1; 3]),  // whatever stands there is thrown away
        v2(0x20, 0xff, &[9; 40]), // likewise
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x12, &[1; 12]),  // UDP
        v2(0x21, 0x31, &[1; 216]), // a socket of the sender's machine
    ] {
        assert_eq!(read(&bytes, 7), (Ok(Parsed::Whole(Header::Local)), bytes.len()), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_checksum_notices_each_flipped_bit_that_leaves_a_header() {
    for (_, good) in OF_HAPROXY.into_iter().skip(3) {
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let checked = matches!(read(&bad, usize::MAX).0, Ok(Parsed::Whole(Header::Proxied(_))));
            // A flipped type is no checksum any more; that it was one nobody knows.
            let is_type = good[bit / 8] == TYPE_CRC32C && good[bit / 8 + 1..].starts_with(&[0, 4]);
            assert!(!checked || is_type, "bit {bit}");
        }
    }
}

#[test]
fn what_is_expected_goes_by_the_address() {
    let networks = |all: &[&str]| {
        let all = all.iter().map(|text| text.parse().expect("a network")).collect();
        Networks::new(NonEmpty::new(all).expect("at least one"))
    };
    let from = networks(&["10.0.0.0/8", "192.0.2.7", "fd00::/8"]);
    let ip = |text: &str| text.parse().expect("an address");
    for (peer, allowed, required) in [
        ("10.1.2.3", Expected::MaybeHeader, Expected::Header),
        ("::ffff:10.1.2.3", Expected::MaybeHeader, Expected::Header),
        ("192.0.2.7", Expected::MaybeHeader, Expected::Header),
        ("fd00::1", Expected::MaybeHeader, Expected::Header),
        ("192.0.2.8", Expected::Client, Expected::Nothing),
        ("fe80::1", Expected::Client, Expected::Nothing),
    ] {
        assert_eq!(ProxyProtocol::Off.expects(ip(peer)), Expected::Client);
        assert_eq!(ProxyProtocol::Allowed(from.clone()).expects(ip(peer)), allowed, "{peer}");
        assert_eq!(ProxyProtocol::Required(from.clone()).expects(ip(peer)), required, "{peer}");
    }
    assert_eq!(ProxyProtocol::Required(from).to_string(), "Required from 10.0.0.0/8, 192.0.2.7/32, fd00::/8");
}

#[test]
fn a_network_is_written_without_a_machine_in_it() {
    let why = |text: &str| text.parse::<Network>().expect_err(text).to_string();
    assert_eq!(why("10.1.2.3/8"), "10.1.2.3/8 is an address within a network: the network is 10.0.0.0/8");
    for text in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/", "::/129"] {
        assert!(why(text).contains("is neither an address nor a network"), "{}", why(text));
    }
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// Bytes that begin like a header, and any others.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![Just(Vec::new()), Just(b"PROXY TCP4 ".to_vec()), Just(V2_START.to_vec())];
    (start, any::<[u8; 2]>(), prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(start, kind, rest)| [&start[..], &[0x20 | (kind[0] & 1), kind[1] & 0x33], &rest].concat())
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_and_nothing_behind_it(client in address(), server in address(), v1: bool, step in 1_usize..60, payload in prop::collection::vec(any::<u8>(), 0..20)) {
        let header = Header::Proxied(Ends { client, server });
        let bytes = header.to_bytes(if v1 { Version::V1 } else { Version::V2 });
        let (parsed, taken) = read(&[&bytes[..], &payload].concat(), step);
        prop_assert_eq!(taken, bytes.len());
        let Ok(Parsed::Whole(Header::Proxied(ends))) = parsed else { panic!("{parsed:?}") };
        for (written, read) in [(client, ends.client), (server, ends.server)] {
            prop_assert_eq!((written.ip().to_canonical(), written.port()), (read.ip().to_canonical(), read.port()));
        }
    }

    #[test]
    fn any_bytes_come_to_the_same_end_in_any_split(bytes in anything(), step in 1_usize..40) {
        let ((outcome, taken), (at_once, all)) = (read(&bytes, step), read(&bytes, usize::MAX));
        prop_assert_eq!(outcome, at_once);
        prop_assert!(taken == all || outcome.is_err() && taken < all, "{taken} and {all}");
    }

    #[test]
    fn any_bytes_at_once_are_no_panic(bytes in anything()) {
        let _ = parse(&bytes);
    }
}
