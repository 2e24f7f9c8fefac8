//! The PROXY protocol: what stands in front of a connection, read as the driver reads it.

use crate::{
    bend::bent,
    case::{NotACase, hex, unhex},
    dice::Dice,
};
use kroxy_core::{
    limits,
    proxy_protocol::{Ends, Header, Parsed, Version, parse},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// How a connection begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// Sizes of the pieces in which bytes come, over and over.
    pieces: Vec<usize>,
    /// So many of the bytes are a header as it should be; 0: who knows.
    whole: usize,
    bytes: Vec<u8>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Read {
    /// A header, and how many bytes it took.
    Whole(Header, usize),
    Absent,
    Bad,
    Unfinished,
}

impl Beginning {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let sizes = *dice.one_of(&[1, 7, 100, 20_000]);
        let pieces = (0..=dice.below(4)).map(|_| 1 + dice.below(sizes)).collect();
        let mut bytes = match dice.below(10) {
            0 => {
                let count = dice.below(60);
                return Self { pieces, whole: 0, bytes: dice.bytes(count) };
            }
            1 => spliced(dice),
            _ => header(dice).to_bytes(*dice.one_of(&[Version::V1, Version::V2])),
        };
        let whole = bytes.len();
        let payload = dice.below(40);
        bytes.extend(dice.bytes(payload));
        if dice.percent(50) {
            return Self { pieces, whole, bytes };
        }
        Self { pieces, whole: 0, bytes: bent(bytes, 0, dice) }
    }

    pub(crate) const fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn check(&self) {
        let read = self.read(&[usize::MAX]);
        assert_eq!(self.read(&self.pieces), read, "however it is cut");
        if self.whole > 0 {
            let Read::Whole(header, took) = read else { panic!("a header is one: {read:?}") };
            assert_eq!(took, self.whole, "nothing of what comes behind it is taken");
            for version in [Version::V1, Version::V2] {
                let again = header.to_bytes(version);
                assert_eq!(parse(&again), Ok(Parsed::Whole(header)), "it is written as it is read");
            }
        }
    }

    /// As the driver does: never more than is wanted, and no more than has come.
    fn read(&self, pieces: &[usize]) -> Read {
        let (mut seen, mut sizes) = (Vec::new(), pieces.iter().cycle());
        loop {
            assert!(seen.len() <= limits::PROXY_HEADER_MAX, "{} bytes are read of one header", seen.len());
            let more = match parse(&seen) {
                Ok(Parsed::Want(more)) => more,
                Ok(Parsed::Whole(header)) => return Read::Whole(header, seen.len()),
                Ok(Parsed::Absent) => return Read::Absent,
                Err(_) => return Read::Bad,
            };
            assert!(more > 0, "nothing is decided, and nothing wanted");
            let left = &self.bytes[seen.len()..];
            if left.is_empty() {
                return Read::Unfinished;
            }
            let piece = sizes.next().copied().unwrap_or(usize::MAX).clamp(1, more).min(left.len());
            seen.extend_from_slice(&left[..piece]);
        }
    }

    pub(crate) fn smaller(&self) -> Vec<Self> {
        if self.whole > 0 {
            return Vec::new(); // a part of a header is none
        }
        let without = |at: usize| {
            let mut bytes = self.bytes.clone();
            bytes.remove(at);
            Self { bytes, ..self.clone() }
        };
        (0..self.bytes.len()).map(without).collect()
    }
}

fn header(dice: &mut Dice) -> Header {
    let mut address = || match dice.below(3) {
        0 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(dice.bytes(4)).expect("four"))),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(dice.bytes(16)).expect("sixteen"))),
    };
    let (client, other) = (address(), address());
    // Both are of one family.
    let server = match (client, other) {
        (IpAddr::V4(_), IpAddr::V6(_)) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (IpAddr::V6(_), IpAddr::V4(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => other,
    };
    let mut port = || u16::from_be_bytes([dice.byte(), dice.byte()]);
    let ends = Ends { client: SocketAddr::new(client, port()), server: SocketAddr::new(server, port()) };
    if dice.percent(20) { Header::Local } else { Header::Proxied(ends) }
}

/// A header of version 2 with more behind its addresses: values of any type, whose lengths are right.
fn spliced(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = header(dice).to_bytes(Version::V2);
    for _ in 0..dice.below(4) {
        let most = *dice.one_of(&[4, 300, 4_000]);
        let count = dice.below(most);
        // Not the type of a checksum, which would be wrong.
        let kind = *dice.one_of(&[0x01, 0x02, 0x04, 0x20, 0xea]);
        bytes.push(kind);
        bytes.extend_from_slice(&u16::try_from(count).expect("short").to_be_bytes());
        bytes.extend(dice.bytes(count));
    }
    let length = u16::try_from(bytes.len() - 16).expect("short").to_be_bytes();
    bytes[14..16].copy_from_slice(&length);
    bytes
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces: Vec<_> = self.pieces.iter().map(usize::to_string).collect();
        writeln!(f, "pieces {}\nwhole {}\nbytes {}", pieces.join(" "), self.whole, hex(&self.bytes))
    }
}

impl FromStr for Beginning {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let mut beginning = Self { pieces: Vec::new(), whole: 0, bytes: Vec::new() };
        for line in text.lines() {
            let wrong = || NotACase::line(line);
            let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
            match word {
                "pieces" => {
                    let sizes = rest.split(' ').map(str::parse).collect::<Result<_, _>>();
                    beginning.pieces = sizes.map_err(|_| wrong())?;
                }
                "whole" => beginning.whole = rest.parse().map_err(|_| wrong())?,
                "bytes" => beginning.bytes = unhex(rest)?,
                _ => return Err(wrong()),
            }
        }
        Ok(beginning)
    }
}
