//! The rewriters: the body of one response, whole and masked.

use crate::{
    bend::bent,
    case::{NotACase, hex, unhex},
    dice::Dice,
    expected,
    invent::{self, Way},
    targets::relay::gateway,
};
use kroxy_core::{
    address::NodeId,
    api::{Api, ApiKey, ResponseTreatment},
    rewrite::{Learn, Malformed, Masker, Rewritten, Span, api_versions, rewrite},
};
use std::{fmt, str::FromStr};

/// The body of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    key: ApiKey,
    version: i16,
    pub(crate) body: Vec<u8>,
    /// Nobody bent it: the other codec reads it, and knows what has to become of it.
    is_valid: bool,
    /// Sizes of the pieces in which a masker sees it, over and over.
    pieces: Vec<usize>,
}

struct Deaf;

impl Learn for Deaf {
    fn learn(&mut self, _: NodeId, _: &str, _: i32) {}
}

impl Body {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let readers: Vec<_> =
            kroxy_core::api::APIS.iter().filter(|api| api.response != ResponseTreatment::Relay).collect();
        let api = *dice.one_of(&readers);
        let version = *dice.one_of(&(api.min..=api.max).collect::<Vec<_>>());
        let pieces = (0..=dice.below(3)).map(|_| 1 + dice.below(40)).collect();
        let Some(body) = invent::body(api.key, version, Way::Response, dice) else {
            let body = {
                let count = dice.below(300);
                dice.bytes(count)
            };
            return Self { key: api.key, version, body, is_valid: false, pieces };
        };
        let is_valid = dice.percent(40);
        let body = if is_valid { body } else { bent(body, 0, dice) };
        Self { key: api.key, version, body, is_valid, pieces }
    }

    pub(crate) fn check(&self) {
        let Self { key, version, body, is_valid, .. } = self;
        let whole = self.rewritten(body);
        if let Ok(once) = &whole {
            let twice = self.rewritten(once).expect("what was read once is read again");
            assert_eq!(hex(once), hex(&twice), "what is rewritten is rewritten to itself");
        }
        let treatment = Api::find(*key).map(|api| api.response_treatment(*version));
        if *is_valid && treatment != Some(ResponseTreatment::ApiVersions) {
            let expected = expected::rewritten(*key, *version, body).expect("it is valid");
            let got = whole.expect("what is valid is read");
            assert_eq!(hex(&got), hex(&expected), "what the other codec makes of it");
        }
        if treatment == Some(ResponseTreatment::Records) {
            self.check_masked();
        }
    }

    fn rewritten(&self, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        if self.key == ApiKey::API_VERSIONS {
            return api_versions::intersect(self.version, body, &mut out).map(|()| out);
        }
        match rewrite(self.key, self.version, body, &gateway(), &mut Deaf, &mut out)? {
            Rewritten::Changed => Ok(out),
            Rewritten::Unchanged => Ok(body.to_vec()),
        }
    }

    fn check_masked(&self) {
        let whole = self.masked(&[usize::MAX]);
        let pieces = self.masked(&self.pieces);
        assert_eq!(whole.1, pieces.1, "whether it can be read, in pieces");
        assert_eq!(hex(&whole.0), hex(&pieces.0), "what is masked, in pieces");
        if whole.1.is_ok() {
            assert_eq!(whole.0.len(), self.body.len(), "the length stood in front of it already");
        }
        if self.is_valid {
            whole.1.expect("what is valid is read");
            if let Err(why) = expected::is_masked(self.key, self.version, &self.body, &whole.0) {
                panic!("the other codec does not agree: {why}");
            }
        }
    }

    fn masked(&self, pieces: &[usize]) -> (Vec<u8>, Result<(), Malformed>) {
        let length = u32::try_from(self.body.len()).expect("a frame has less than 4 GiB");
        let mut masker = Masker::new(self.key, self.version, length);
        let (mut out, mut settled, mut shown) = (Vec::new(), 0, 0);
        let mut sizes = pieces.iter().cycle();
        while shown < self.body.len() {
            shown = sizes.next().map_or(usize::MAX, |size| shown.saturating_add(*size)).min(self.body.len());
            let chunk = &self.body[settled..shown];
            let mut at = 0;
            let fed = masker.feed(chunk, &mut |span| match span {
                Span::Keep(n) => {
                    out.extend_from_slice(&chunk[at..at + n]);
                    at += n;
                }
                Span::Replace(bytes) => {
                    out.extend_from_slice(&bytes);
                    at += bytes.len();
                }
            });
            match fed {
                Ok(n) => {
                    assert_eq!(n, at, "what is settled is given out");
                    settled += n;
                }
                Err(why) => return (out, Err(why)),
            }
        }
        assert!(masker.is_done(), "all of it was shown");
        (out, Ok(()))
    }

    pub(crate) fn smaller(&self) -> Vec<Self> {
        if self.is_valid {
            return Vec::new(); // nothing less is known to be
        }
        let ends = [self.body.len() / 2, self.body.len().saturating_sub(1)];
        let shorter = ends.into_iter().filter(|end| *end < self.body.len());
        shorter.map(|end| Self { body: self.body[..end].to_vec(), ..self.clone() }).collect()
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_valid { "valid" } else { "bent" };
        writeln!(f, "{kind} {} {}", self.key.0, self.version)?;
        writeln!(f, "pieces {}", self.pieces.iter().map(usize::to_string).collect::<Vec<_>>().join(" "))?;
        writeln!(f, "{}", hex(&self.body))
    }
}

impl FromStr for Body {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (head, pieces, body) = (line(), line(), line());
        let wrong = || NotACase::line(head);
        let [kind, key, version] = head.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let sizes = pieces.strip_prefix("pieces ").ok_or_else(wrong)?;
        Ok(Self {
            key: ApiKey(key.parse().map_err(|_| wrong())?),
            version: version.parse().map_err(|_| wrong())?,
            body: unhex(body)?,
            is_valid: kind == "valid",
            pieces: sizes.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?,
        })
    }
}
