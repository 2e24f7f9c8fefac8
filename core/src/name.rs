//! Names that people give: of virtual clusters and of gateways.
//!
//! A name becomes a label of a metric, a segment of a URL and, with SNI, of a host name. So it is a DNS label, and
//! compared as one: without regard to case, while its spelling is kept for everything that is shown.

use core::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// Bytes in a DNS label (RFC 1035).
const LABEL_MAX: usize = 63;

/// What keeps a text from being a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAName {
    /// Nothing there.
    #[error("a name cannot be empty")]
    Empty,
    /// More than a DNS label holds.
    #[error("a name has at most 63 characters, and this one has {0}")]
    TooLong(usize),
    /// A character that no DNS label has.
    #[error("a name has letters, digits and hyphens only, not {0:?}")]
    Character(char),
    /// A hyphen where a DNS label has none.
    #[error("a name neither begins nor ends with a hyphen")]
    Hyphen,
}

/// What the newtypes of this file hold: a text that was found to be a DNS label. A clone shares it.
#[derive(Clone)]
struct Label(Arc<str>);

impl Label {
    fn parse(s: &str) -> Result<Self, NotAName> {
        if s.is_empty() {
            return Err(NotAName::Empty);
        }
        if let Some(c) = s.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return Err(NotAName::Character(c));
        }
        if s.len() > LABEL_MAX {
            return Err(NotAName::TooLong(s.len()));
        }
        if s.starts_with('-') || s.ends_with('-') {
            return Err(NotAName::Hyphen);
        }
        Ok(Self(s.into()))
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A DNS label of at most 63 characters; compared without regard to case, shown as it was written.
        #[derive(Clone)]
        pub struct $name(Label);

        impl $name {
            /// As it was written.
            pub fn as_str(&self) -> &str {
                &self.0.0
            }
        }

        impl FromStr for $name {
            type Err = NotAName;

            fn from_str(s: &str) -> Result<Self, NotAName> {
                Label::parse(s).map(Self)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_str().eq_ignore_ascii_case(other.as_str())
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.folded().cmp(other.0.folded())
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.folded().for_each(|b| state.write_u8(b));
                state.write_u8(0xff);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}

name! {
    /// The identity of a virtual cluster.
    ClusterName
}

name! {
    /// Tells the gateways of one virtual cluster apart.
    GatewayName
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_is_compared_without_case_and_shown_as_it_was_written() {
        let (a, b): (ClusterName, ClusterName) =
            ("Orders-EU".parse().expect("valid"), "orders-eu".parse().expect("valid"));
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "Orders-EU");
        assert_eq!(BTreeSet::from([a, b]).len(), 1);
    }

    #[test]
    fn what_is_no_dns_label_is_refused_for_the_right_reason() {
        let long = "a".repeat(64);
        let cases = [
            ("", NotAName::Empty),
            ("-a", NotAName::Hyphen),
            ("a-", NotAName::Hyphen),
            ("a.b", NotAName::Character('.')),
            ("a b", NotAName::Character(' ')),
            ("größe", NotAName::Character('ö')),
            (&long, NotAName::TooLong(64)),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<ClusterName>(), Err(why), "{text:?}");
        }
        assert!("a".repeat(63).parse::<ClusterName>().is_ok());
    }

    proptest! {
        #[test]
        fn a_name_reads_back_as_itself_and_order_agrees_with_equality(a in "[a-cA-C]{1,3}", b in "[a-cA-C]{1,3}") {
            let (x, y): (GatewayName, GatewayName) = (a.parse().expect("valid"), b.parse().expect("valid"));
            prop_assert_eq!(x.as_str(), &a);
            prop_assert_eq!(x == y, x.cmp(&y).is_eq());
            prop_assert_eq!(x == y, a.to_lowercase() == b.to_lowercase());
        }
    }
}
