//! The PROXY protocol: what a load balancer says in front of a connection about whose it is, versions 1 and 2
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! [`parse`] looks at all bytes so far and never asks for one that could be the payload's: whoever reads exactly what it wants
//! has nothing to give back. Whom a header is believed from is a [`ProxyProtocol`]'s to say.

use crate::{config::NonEmpty, limits};
use core::{fmt, str::FromStr};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What stands at the beginning of a header of version 1, and its shortest whole form.
const V1_START: &[u8] = b"PROXY ";
const V1_SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();

/// Bytes: the longest header of version 1, its end of line included (section 2.1).
const V1_LONGEST: usize = 107;

/// What stands at the beginning of a header of version 2.
const V2_START: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a header of version 2 before its addresses.
const V2_HEAD: usize = 16;

/// The type of the value that holds a checksum over the whole header (section 2.2.3).
const TYPE_CRC32C: u8 = 0x03;

/// Whether clients of a gateway come through something that says whose connections they are.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum ProxyProtocol {
    /// No: a header is as wrong as anything that is no Kafka.
    #[default]
    Off,
    /// From these addresses they may. All others are clients themselves, whatever they send.
    Allowed(Networks),
    /// All of them, from these addresses. Whoever comes from elsewhere is closed.
    Required(Networks),
}

/// What a connection has to begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// What the client says, and nothing before it.
    Client,
    /// A header, or what the client says.
    MaybeHeader,
    /// A header.
    Header,
    /// Nothing: it is not to be here.
    Nothing,
}

impl ProxyProtocol {
    /// What a connection from this address has to begin with.
    pub fn expects(&self, peer: IpAddr) -> Expected {
        match self {
            Self::Allowed(from) if from.contain(peer) => Expected::MaybeHeader,
            Self::Off | Self::Allowed(_) => Expected::Client,
            Self::Required(from) if from.contain(peer) => Expected::Header,
            Self::Required(_) => Expected::Nothing,
        }
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Allowed(from) => write!(f, "Allowed from {from}"),
            Self::Required(from) => write!(f, "Required from {from}"),
        }
    }
}

/// Addresses that are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Networks(NonEmpty<Network>);

impl Networks {
    /// Those of all these networks.
    pub const fn new(all: NonEmpty<Network>) -> Self {
        Self(all)
    }

    /// Whether one of the networks has this address. An IPv4 address counts as one however it came in.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, network) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { ", " };
            write!(f, "{separator}{}", network.0)?;
        }
        Ok(())
    }
}

/// A network, or a single address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network(IpNet);

/// What keeps a text from being a network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotANetwork {
    /// It is something else.
    #[error("{0:?} is neither an address nor a network such as \"10.0.0.0/8\"")]
    Unreadable(String),
    /// It names a machine and a network at once.
    #[error("{text} is an address within a network: the network is {network}")]
    Within {
        /// What was given.
        text: String,
        /// The network.
        network: IpNet,
    },
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| NotANetwork::Unreadable(text.to_owned()))?;
        if network.trunc() == network {
            Ok(Self(network))
        } else {
            Err(NotANetwork::Within { text: text.to_owned(), network: network.trunc() })
        }
    }
}

/// How a header is spelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "V1",
            Self::V2 => "V2",
        })
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// Nothing about a client: the sender speaks for itself, as in a health check, or knows no IP address of the client. The
    /// connection's own addresses count.
    Local,
    /// Whose connection it is.
    Proxied(Ends),
}

/// Both ends of the connection that a client has made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// Where the client is.
    pub client: SocketAddr,
    /// Where it connected to.
    pub server: SocketAddr,
}

/// How far the first bytes of a connection tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// There is no header: its first byte is another.
    Absent,
    /// At least so many further bytes belong to the header.
    Want(usize),
    /// All the bytes are the header.
    Whole(Header),
}

/// What is no header, though it begins like one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadHeader {
    /// It only begins like one.
    #[error("it begins like a header and goes on in another way")]
    Start,
    /// Version 1 without its end.
    #[error("a line of more than {V1_LONGEST} bytes")]
    LineTooLong,
    /// Version 1 with another content.
    #[error("a line that cannot be read")]
    Line,
    /// Version 2 that is another.
    #[error("version {0}, which nobody knows")]
    Version(u8),
    /// Neither LOCAL nor PROXY.
    #[error("command {0}, which nobody knows")]
    Command(u8),
    /// A kind of address that is not defined.
    #[error("addresses of kind {0:#04x}, which nobody knows")]
    Family(u8),
    /// Longer than anybody's.
    #[error("{0} bytes, above the limit of {max}", max = limits::PROXY_HEADER_MAX)]
    TooLong(usize),
    /// The addresses do not fit.
    #[error("{0} bytes, too few for its addresses")]
    TooShort(usize),
    /// A value ends behind the header.
    #[error("a value of type {0:#04x} that is longer than the header")]
    Value(u8),
    /// It was damaged.
    #[error("its checksum is not that of its bytes")]
    Checksum,
}

/// Reads a header from the first bytes of a connection, which are never more than it has asked for.
///
/// # Errors
/// With what is wrong, as soon as no further byte could mend it.
pub fn parse(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    match bytes.first() {
        None => Ok(Parsed::Want(1)),
        Some(first) if *first == V1_START[0] => v1(bytes),
        Some(first) if *first == V2_START[0] => v2(bytes),
        Some(_) => Ok(Parsed::Absent),
    }
}

fn v1(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    let seen = bytes.len().min(V1_START.len());
    if bytes[..seen] != V1_START[..seen] {
        return Err(BadHeader::Start);
    }
    let end = bytes.iter().position(|byte| *byte == b'\r');
    let wanted = match end {
        None => V1_SHORTEST.saturating_sub(bytes.len()).max(b"\r\n".len()),
        Some(end) if end + 1 == bytes.len() => 1,
        Some(end) if bytes[end + 1] != b'\n' => return Err(BadHeader::Line),
        Some(end) => return v1_line(&bytes[V1_START.len()..end]).map(Parsed::Whole),
    };
    if bytes.len() + wanted > V1_LONGEST { Err(BadHeader::LineTooLong) } else { Ok(Parsed::Want(wanted)) }
}

/// What stands between `PROXY ` and the end of the line.
fn v1_line(line: &[u8]) -> Result<Header, BadHeader> {
    fn ends<T: FromStr + Into<IpAddr>>(fields: [&str; 4]) -> Option<Header> {
        let [client, server, client_port, server_port] = fields;
        let end = |address: &str, port: &str| {
            let is_plain = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = is_plain.then(|| port.parse().ok()).flatten()?;
            Some(SocketAddr::new(address.parse::<T>().ok()?.into(), port))
        };
        Some(Header::Proxied(Ends { client: end(client, client_port)?, server: end(server, server_port)? }))
    }
    let line = core::str::from_utf8(line).map_err(|_| BadHeader::Line)?;
    let fields: Vec<_> = line.split(' ').collect();
    let header = match fields.as_slice() {
        // Whatever follows is to be ignored.
        ["UNKNOWN", ..] => Some(Header::Local),
        ["TCP4", rest @ ..] => rest.try_into().ok().and_then(ends::<Ipv4Addr>),
        ["TCP6", rest @ ..] => rest.try_into().ok().and_then(ends::<Ipv6Addr>),
        [..] => None,
    };
    header.ok_or(BadHeader::Line)
}

fn v2(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    let seen = bytes.len().min(V2_START.len());
    if bytes[..seen] != V2_START[..seen] {
        return Err(BadHeader::Start);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<V2_HEAD>() else {
        return Ok(Parsed::Want(V2_HEAD - bytes.len()));
    };
    let [.., version_and_command, family, high, low] = *head;
    let (version, command) = (version_and_command >> 4, version_and_command & 0xf);
    if version != 2 {
        return Err(BadHeader::Version(version));
    }
    let total = V2_HEAD + usize::from(u16::from_be_bytes([high, low]));
    if total > limits::PROXY_HEADER_MAX {
        return Err(BadHeader::TooLong(total));
    }
    let is_whole = bytes.len() >= total;
    let want = Parsed::Want(total.saturating_sub(bytes.len()));
    match command {
        // Everything behind the head is to be thrown away.
        0 => Ok(if is_whole { Parsed::Whole(Header::Local) } else { want }),
        1 if family >> 4 > 3 || family & 0xf > 2 => Err(BadHeader::Family(family)),
        1 if is_whole => v2_addresses(family, &rest[..total - V2_HEAD], &bytes[..total]).map(Parsed::Whole),
        1 => Ok(want),
        other => Err(BadHeader::Command(other)),
    }
}

/// What stands behind the head of `whole`. Only TCP over IP tells of a Kafka client; of another kind nothing is looked at.
fn v2_addresses(family: u8, rest: &[u8], whole: &[u8]) -> Result<Header, BadHeader> {
    let too_short = BadHeader::TooShort(whole.len());
    let (ends, values) = match family {
        0x11 => {
            let (addresses, values) = rest.split_first_chunk::<12>().ok_or(too_short)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            (ends(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports), values)
        }
        0x21 => {
            let (client, rest) = rest.split_first_chunk::<16>().ok_or(too_short)?;
            let (server, rest) = rest.split_first_chunk::<16>().ok_or(too_short)?;
            let (ports, values) = rest.split_first_chunk::<4>().ok_or(too_short)?;
            (ends(Ipv6Addr::from(*client), Ipv6Addr::from(*server), *ports), values)
        }
        _ => return Ok(Header::Local),
    };
    check_values(values, whole)?;
    Ok(Header::Proxied(ends))
}

fn ends(client: impl Into<IpAddr>, server: impl Into<IpAddr>, [a, b, c, d]: [u8; 4]) -> Ends {
    Ends {
        client: SocketAddr::new(client.into(), u16::from_be_bytes([a, b])),
        server: SocketAddr::new(server.into(), u16::from_be_bytes([c, d])),
    }
}

/// Skips what else a header says, but for a checksum: that has to be right. One is enough for all bytes.
fn check_values(mut values: &[u8], whole: &[u8]) -> Result<(), BadHeader> {
    let mut is_checked = false;
    while let Some((kind, behind)) = values.split_first() {
        let cut = || BadHeader::Value(*kind);
        let (len, behind) = behind.split_first_chunk().ok_or_else(cut)?;
        let (value, behind) = behind.split_at_checked(u16::from_be_bytes(*len).into()).ok_or_else(cut)?;
        if *kind == TYPE_CRC32C && !is_checked {
            let at = whole.len() - behind.len() - value.len();
            let blank = crc32c::crc32c_append(crc32c::crc32c(&whole[..at]), &vec![0; value.len()]);
            let sum = crc32c::crc32c_append(blank, behind);
            if value != sum.to_be_bytes() {
                return Err(BadHeader::Checksum);
            }
            is_checked = true;
        }
        values = behind;
    }
    Ok(())
}

impl Header {
    /// As it goes in front of a connection. Where one end has an IPv4 address and the other an IPv6 one, both are told as IPv6.
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        let ends = match self {
            Self::Local => None,
            Self::Proxied(Ends { client, server }) => {
                let ips = match (client.ip().to_canonical(), server.ip().to_canonical()) {
                    (IpAddr::V4(client), IpAddr::V4(server)) => Ips::V4(client, server),
                    (client, server) => Ips::V6(as_v6(client), as_v6(server)),
                };
                Some((ips, client.port(), server.port()))
            }
        };
        match version {
            Version::V1 => match ends {
                None => b"PROXY UNKNOWN\r\n".to_vec(),
                Some((Ips::V4(client, server), from, to)) => {
                    format!("PROXY TCP4 {client} {server} {from} {to}\r\n").into()
                }
                Some((Ips::V6(client, server), from, to)) => {
                    format!("PROXY TCP6 {client} {server} {from} {to}\r\n").into()
                }
            },
            Version::V2 => {
                let (kind, ips) = match ends {
                    None => ([0x20, 0x00], Vec::new()),
                    Some((Ips::V4(client, server), ..)) => ([0x21, 0x11], [client.octets(), server.octets()].concat()),
                    Some((Ips::V6(client, server), ..)) => ([0x21, 0x21], [client.octets(), server.octets()].concat()),
                };
                let ports = ends.map(|(_, from, to)| [from.to_be_bytes(), to.to_be_bytes()].concat());
                let addresses = [ips, ports.unwrap_or_default()].concat();
                let len = u16::try_from(addresses.len()).expect("two addresses and two ports");
                [&V2_START[..], &kind, &len.to_be_bytes(), &addresses].concat()
            }
        }
    }
}

enum Ips {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests;
