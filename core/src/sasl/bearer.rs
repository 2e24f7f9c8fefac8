//! The messages of OAUTHBEARER (RFC 7628, KIP-255).

/// What the client of a refused token says to end the exchange.
pub(super) const GIVEN_UP: &[u8] = b"\x01";

/// What a server says of a token that it refuses, whatever the reason.
pub(super) const INVALID_TOKEN: &[u8] = br#"{"status":"invalid_token"}"#;

/// The first message of a client.
pub(super) struct Initial<'a> {
    /// Whom it wants to act for; empty: itself.
    pub(super) acting_for: Vec<u8>,
    pub(super) token: &'a [u8],
}

/// Reads `n,[a=NAME],^A KEY=VALUE ^A … ^A ^A`; `None`: it is something else.
pub(super) fn initial(message: &[u8]) -> Option<Initial<'_>> {
    let at = message.iter().position(|b| *b == 1)?;
    let (header, fields) = message.split_at(at);
    let acting_for = match header.strip_prefix(b"n,")?.strip_suffix(b",")? {
        [] => Vec::new(),
        name => super::scram::unescaped(name.strip_prefix(b"a=")?)?,
    };
    fields.ends_with(b"\x01\x01").then_some(())?;
    Some(Initial { acting_for, token: token(message)? })
}

/// The token in a client's first message, as far as one can be found.
pub fn token(message: &[u8]) -> Option<&[u8]> {
    let value = message.split(|b| *b == 1).find_map(|field| field.strip_prefix(b"auth="))?;
    let (scheme, value) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(value)
}

/// The first message of a client that has a token.
pub(super) fn message(token: &[u8]) -> Vec<u8> {
    [b"n,,\x01auth=Bearer ".as_slice(), token, b"\x01\x01"].concat()
}
