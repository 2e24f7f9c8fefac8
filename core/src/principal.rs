//! From the subject of a client's certificate to the name of its principal, by rules such as those of Kafka's
//! `ssl.principal.mapping.rules` (KIP-371).
//!
//! A pattern has to match the whole subject. It is of the library `regex`, which has no look-around and no references back, and whose
//! time grows with the length of a subject only, whoever has chosen that.

use core::{fmt, str::FromStr};
use regex::{Captures, Regex};

/// Rules, of which the first that matches names the principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappingRules(Vec<Rule>);

impl MappingRules {
    /// These, in this order.
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The name for a subject; `None` where no rule matches or the one that does leaves nothing of it.
    pub fn principal(&self, subject: &str) -> Option<String> {
        self.0.iter().find_map(|rule| rule.applied(subject)).filter(|name| !name.is_empty())
    }
}

impl fmt::Display for MappingRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.0.iter().map(|rule| rule.text.as_str()).collect();
        f.write_str(&rules.join(", "))
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    text: String,
    how: How,
}

/// Rules that are written alike do the same.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Rule {}

#[derive(Clone, Debug)]
enum How {
    /// The name is the subject.
    Default,
    Replace {
        pattern: Regex,
        replacement: Vec<Piece>,
        case: Case,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    /// What a group of the pattern has matched; 0 is all of it.
    Group(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    Kept,
    Lower,
    Upper,
}

/// What keeps a text from being a rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotARule {
    /// It is spelled like none.
    #[error("{0:?} is neither `DEFAULT` nor `RULE:pattern/replacement/` with `L`, `U` or nothing behind it")]
    Malformed(String),
    /// Its pattern is no regular expression, or one that kroxy does not have.
    #[error("its pattern cannot be used: {0}")]
    Pattern(String),
    /// Its replacement names what the pattern does not have.
    #[error("its replacement has `${group}`, and its pattern {groups} groups")]
    NoSuchGroup {
        /// As it is written.
        group: String,
        /// How many there are.
        groups: usize,
    },
}

impl FromStr for Rule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let malformed = || NotARule::Malformed(text.to_owned());
        if text == "DEFAULT" {
            return Ok(Self { text: text.to_owned(), how: How::Default });
        }
        let parts = split(text.strip_prefix("RULE:").ok_or_else(malformed)?);
        let [pattern, replacement, case] = &parts[..] else { return Err(malformed()) };
        let case = match *case {
            "" => Case::Kept,
            "L" => Case::Lower,
            "U" => Case::Upper,
            _ => return Err(malformed()),
        };
        let pattern = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| NotARule::Pattern(reason(&e)))?;
        let replacement = pieces(replacement, pattern.captures_len() - 1)?;
        Ok(Self { text: text.to_owned(), how: How::Replace { pattern, replacement, case } })
    }
}

impl Rule {
    fn applied(&self, subject: &str) -> Option<String> {
        let (pattern, replacement, case) = match &self.how {
            How::Default => return Some(subject.to_owned()),
            How::Replace { pattern, replacement, case } => (pattern, replacement, case),
        };
        let found = pattern.captures(subject)?;
        let name: String = replacement.iter().map(|piece| piece.of(&found)).collect();
        Some(match case {
            Case::Kept => name,
            Case::Lower => name.to_lowercase(),
            Case::Upper => name.to_uppercase(),
        })
    }
}

impl Piece {
    fn of<'a>(&'a self, found: &'a Captures<'_>) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Group(n) => found.get(*n).map_or("", |group| group.as_str()),
        }
    }
}

/// The parts between slashes that no backslash stands before.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut is_escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' => is_escaped = !is_escaped,
            '/' if !is_escaped => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => is_escaped = false,
        }
    }
    parts.push(&text[from..]);
    parts
}

/// A replacement as Java has it: `$1` is what a group has matched, of as many digits as there are groups for; what stands behind a
/// backslash is itself.
fn pieces(replacement: &str, groups: usize) -> Result<Vec<Piece>, NotARule> {
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.extend(rest.next()),
            '$' => {
                let mut group: Option<usize> = None;
                while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group.unwrap_or_default().saturating_mul(10).saturating_add(digit as usize);
                    if longer > groups {
                        break;
                    }
                    group = Some(longer);
                    rest.next();
                }
                let Some(group) = group else {
                    let group = rest.peek().map(char::to_string).unwrap_or_default();
                    return Err(NotARule::NoSuchGroup { group, groups });
                };
                pieces.extend((!text.is_empty()).then(|| Piece::Text(core::mem::take(&mut text))));
                pieces.push(Piece::Group(group));
            }
            c => text.push(c),
        }
    }
    pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
    Ok(pieces)
}

/// The last line of what the library says: those before it draw the pattern.
fn reason(e: &regex::Error) -> String {
    let text = e.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBJECT: &str = "CN=kafka1.example.com,OU=SME,O=Example,L=Walldorf,ST=BW,C=DE";

    fn rules(all: &[&str]) -> MappingRules {
        MappingRules::new(all.iter().map(|text| text.parse().expect("a rule")).collect())
    }

    /// Those of KIP-371 and of Kafka's documentation.
    #[test]
    fn rules_name_principals_as_kafkas_do() {
        for (all, subject, name) in [
            (&["DEFAULT"][..], SUBJECT, Some(SUBJECT)),
            (&["RULE:^CN=(.*?),.*$/$1/"], SUBJECT, Some("kafka1.example.com")),
            (&["RULE:^CN=(.*?),OU=(.*?),.*$/$1@$2/"], SUBJECT, Some("kafka1.example.com@SME")),
            (&["RULE:^CN=(.*?),.*$/$1/U"], SUBJECT, Some("KAFKA1.EXAMPLE.COM")),
            (&["RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L"], "O=x,CN=Alice", Some("alice")),
            (&["RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/", "DEFAULT"], SUBJECT, Some(SUBJECT)),
            (&["RULE:^CN=nobody$/x/", "RULE:.*O=(\\w+),.*/org \\$ $1/L"], SUBJECT, Some("org $ example")),
            (&["RULE:CN=kafka/$0/"], SUBJECT, None),
            (&["RULE:.*//"], SUBJECT, None),
            (&["RULE:CN=a\\/b/\\/c/"], "CN=a/b", Some("/c")),
            (&["RULE:CN=(.)(.*)/$12/"], "CN=abc", Some("a2")),
            (&[], SUBJECT, None),
        ] {
            assert_eq!(rules(all).principal(subject).as_deref(), name, "{all:?}");
        }
    }

    #[test]
    fn what_is_no_rule_is_told() {
        let why = |text: &str| text.parse::<Rule>().expect_err(text).to_string();
        for text in ["", "default", "RULE:a", "RULE:a/b", "RULE:a/b/X", "RULE:a/b/L/", "CN=(.*)/$1/"] {
            assert!(why(text).contains("is neither"), "{text}");
        }
        assert_eq!(why("RULE:CN=(.*/$1/"), "its pattern cannot be used: unclosed group");
        assert!(why("RULE:(?=CN).*/x/").contains("look-around"));
        assert_eq!(why("RULE:CN=(.*)/$2/"), "its replacement has `$2`, and its pattern 1 groups");
        assert_eq!(why("RULE:CN=(.*)/$/"), "its replacement has `$`, and its pattern 1 groups");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(RULE:)?[a-zA-Z0-9(){}\\[\\]*+?|^$/\\\\.,=]{0,30}", subject in ".{0,60}") {
            if let Ok(rule) = text.parse::<Rule>() {
                let _ = MappingRules::new(vec![rule]).principal(&subject);
            }
        }
    }
}
