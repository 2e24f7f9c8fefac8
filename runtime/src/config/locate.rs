//! Finds where in a text of RON the value of a field stands.
//!
//! Once a text is deserialized, nothing remembers where its values came from. This walks the text again, by field names and
//! places only, and knows no more of the grammar than where a value ends. It is total: in a text that is not RON it finds
//! what comes before the mistake.

use std::{fmt, ops::Range};

/// How deep values may be nested; `ron` itself gives up at as much.
const DEPTH_MAX: usize = 128;

/// The way from the whole text to one value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct FieldPath(Vec<Step>);

/// One step down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Into a field of a struct, or under a key of a map.
    Field(String),
    /// To an element of a list or a tuple, counted from 0.
    Place(usize),
}

impl FieldPath {
    pub(super) fn field(&self, name: impl Into<String>) -> Self {
        self.then(Step::Field(name.into()))
    }

    pub(super) fn place(&self, place: usize) -> Self {
        self.then(Step::Place(place))
    }

    pub(super) fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The same without its last step.
    pub(super) fn parent(&self) -> Self {
        Self(self.0.split_last().map_or_else(Vec::new, |(_, rest)| rest.to_vec()))
    }

    /// The names of its fields joined by dots, without places: the same for all elements of a list.
    pub(super) fn names(&self) -> String {
        let names = self.0.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Place(_) => None,
        });
        names.collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if n == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Place(place) => write!(f, "[{place}]")?,
            }
        }
        Ok(())
    }
}

/// Where a value stands, in bytes from the start of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Located {
    /// The name of the field that holds it, where it has one.
    pub(super) key: Option<Range<usize>>,
    /// The value from its first to its last byte, comments around it excluded.
    pub(super) value: Range<usize>,
}

/// Where the value at `path` stands.
pub(super) fn locate(text: &str, path: &FieldPath) -> Option<Located> {
    let mut walker = Walker { text, at: 0 };
    walker.skip_attributes();
    walker.find(None, path.steps(), 0)
}

struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walker<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, c: char) -> bool {
        let there = self.rest().starts_with(c);
        if there {
            self.at += c.len_utf8();
        }
        there
    }

    fn skip_while(&mut self, mut belongs: impl FnMut(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    }

    /// `#![enable(...)]` in front of the value.
    fn skip_attributes(&mut self) {
        self.skip_blank();
        while self.rest().starts_with("#!") {
            self.skip_while(|c| c != ']');
            self.skip(']');
            self.skip_blank();
        }
    }

    /// White space and comments; block comments nest.
    fn skip_blank(&mut self) {
        loop {
            self.skip_while(|c| c.is_whitespace() || matches!(c, '\u{200e}' | '\u{200f}'));
            if self.rest().starts_with("//") {
                self.skip_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                self.skip_block_comment();
            } else {
                return;
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest().is_empty() {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                self.skip_char();
            }
        }
    }

    fn skip_char(&mut self) {
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
    }

    /// A string or a character, if one begins here.
    fn skip_quoted(&mut self) -> bool {
        let rest = self.rest().trim_start_matches('b');
        let prefix = self.rest().len() - rest.len();
        let hashes = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
        match hashes {
            Some(n) if rest[1 + n..].starts_with('"') => {
                let end = format!("\"{}", "#".repeat(n));
                let body = self.at + prefix + 1 + n + 1;
                self.at = self.text[body..].find(&end).map_or(self.text.len(), |i| body + i + end.len());
                true
            }
            Some(_) | None => match rest.chars().next() {
                Some(quote @ ('"' | '\'')) if prefix <= 1 => {
                    self.at += prefix + 1;
                    self.skip_escaped(quote);
                    true
                }
                Some(_) | None => false,
            },
        }
    }

    fn skip_escaped(&mut self, quote: char) {
        while !self.rest().is_empty() && !self.skip(quote) {
            if self.skip('\\') {
                self.skip_char();
            } else {
                self.skip_while(|c| c != quote && c != '\\');
            }
        }
    }

    /// A name in front of a parenthesis or a colon, such as `Some` or a field's.
    fn identifier(&mut self) -> Option<&'a str> {
        let before = self.at;
        if self.rest().starts_with("r#") && !self.rest().starts_with("r#\"") {
            self.at += 2;
        } else if !self.rest().starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return None;
        } else if self.skip_quoted() {
            self.at = before;
            return None;
        }
        let start = self.at;
        self.skip_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'));
        Some(&self.text[start..self.at])
    }

    /// The value that begins here, or that within it to which `steps` lead. Without a result the walker stands behind the
    /// value.
    fn find(&mut self, key: Option<Range<usize>>, steps: &[Step], depth: usize) -> Option<Located> {
        self.skip_blank();
        let start = self.at;
        if steps.is_empty() {
            self.skip_value();
            let end = self.at.max(start);
            return Some(Located { key, value: start..end });
        }
        let name = self.identifier();
        self.skip_blank();
        let closing = match self.rest().chars().next() {
            Some('(') => ')',
            Some('[') => ']',
            Some('{') => '}',
            Some(_) | None => return None,
        };
        if depth == DEPTH_MAX {
            return None;
        }
        self.skip_char();
        if name == Some("Some") {
            return self.find(key, steps, depth + 1); // an option is no step of its own
        }
        self.find_within(closing, steps, depth)
    }

    /// The element of the list, tuple, struct or map entered just now to which `steps` lead.
    fn find_within(&mut self, closing: char, steps: &[Step], depth: usize) -> Option<Located> {
        let (step, rest) = steps.split_first()?;
        for place in 0.. {
            self.skip_blank();
            if self.rest().is_empty() || self.skip(closing) {
                return None;
            }
            let before = self.at;
            let key = self.key(closing);
            let found = match (step, &key) {
                (Step::Field(name), Some((key, _))) => name == key,
                (Step::Place(wanted), None) => *wanted == place,
                (Step::Field(_), None) | (Step::Place(_), Some(_)) => false,
            };
            if found {
                return self.find(key.map(|(_, range)| range), rest, depth + 1);
            }
            self.skip_value();
            self.skip_blank();
            self.skip(',');
            if self.at == before {
                return None; // a bracket that closes something else
            }
        }
        None
    }

    /// The name in front of a colon, if there is one here.
    fn key(&mut self, closing: char) -> Option<(String, Range<usize>)> {
        let start = self.at;
        let name = if closing == '}' && self.skip_quoted() {
            self.text[start..self.at].trim_matches('"').to_owned()
        } else if let Some(name) = self.identifier() {
            name.to_owned()
        } else {
            return None;
        };
        let end = self.at;
        self.skip_blank();
        if self.skip(':') {
            return Some((name, start..end));
        }
        self.at = start;
        None
    }

    /// One value of any kind: everything up to the comma or the bracket that ends it, blanks at its end excluded.
    fn skip_value(&mut self) {
        self.skip_blank();
        let mut end = self.at;
        let mut open = 0_usize;
        while let Some(c) = self.rest().chars().next() {
            match c {
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' | ',' if open == 0 => break,
                ')' | ']' | '}' => open -= 1,
                _ => {} // any other character is a part of the value
            }
            if !self.skip_quoted() {
                self.skip_char();
            }
            end = self.at;
            self.skip_blank();
        }
        self.at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r##"#![enable(implicit_some)]
// a ) comment, with: brackets (
(
    plain: 1, /* a /* nested */ , ) one */ string: "a ), \" (b", // the end
    raw: r#"x"), y"#,
    'c',
    list: [ 10, Some((deep: [true, (last: (0, 9))])), "é" ],
    named: Server(host: "k", port: 0x_23),
    map: { "a b": (1, 2), c: 'd' }, r#type: -1.5e3,
    unit: (), some: Some( (inner: 7) ),
)"##;

    fn path(text: &str) -> FieldPath {
        let mut path = FieldPath::default();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            path = match part.parse() {
                Ok(place) => path.place(place),
                Err(_) => path.field(part),
            };
        }
        path
    }

    #[test]
    fn every_value_is_found_by_its_path() {
        let cases = [
            ("plain", Some("1")),
            ("string", Some(r#""a ), \" (b""#)),
            ("raw", Some(r##"r#"x"), y"#"##)),
            ("3", Some("'c'")),
            ("list/0", Some("10")),
            ("list/1/deep/0", Some("true")),
            ("list/1/deep/1/last/1", Some("9")),
            ("list/2", Some("\"é\"")),
            ("list/3", None),
            ("named/port", Some("0x_23")),
            ("named", Some("Server(host: \"k\", port: 0x_23)")),
            ("map/a b/1", Some("2")),
            ("map/c", Some("'d'")),
            ("type", Some("-1.5e3")),
            ("unit", Some("()")),
            ("unit/0", None),
            ("some/inner", Some("7")),
            ("some", Some("Some( (inner: 7) )")),
            ("plain/0", None),
            ("absent", None),
        ];
        for (at, want) in cases {
            let found = locate(TEXT, &path(at));
            assert_eq!(found.map(|found| &TEXT[found.value]), want, "{at}");
        }
    }

    #[test]
    fn a_field_is_found_with_its_name() {
        let key = |at| locate(TEXT, &path(at)).and_then(|found| found.key).map(|key| &TEXT[key]);
        assert_eq!(key("named/port"), Some("port"));
        assert_eq!(key("list/1/deep"), Some("deep"));
        assert_eq!(key("some"), Some("some"));
        assert_eq!(key("list/0"), None);
    }

    #[test]
    fn a_path_is_written_as_it_is_read() {
        let path = path("virtual_clusters/1/gateways/0/port_per_broker/nodes/0/ids");
        assert_eq!(path.to_string(), "virtual_clusters[1].gateways[0].port_per_broker.nodes[0].ids");
        assert_eq!(path.names(), "virtual_clusters.gateways.port_per_broker.nodes.ids");
    }

    #[test]
    fn what_is_nested_without_end_is_given_up() {
        let mut deep = path("0");
        for _ in 0..200 {
            deep = deep.place(0);
        }
        assert_eq!(locate(&"(".repeat(10_000), &deep), None);
    }

    proptest! {
        #[test]
        fn any_text_is_walked_without_harm(text in r#"[\[\](){}:,a"'r#/*\\é \n]{0,60}"#, at in "[0-2a]?(/[0-2a]){0,3}") {
            if let Some(found) = locate(&text, &path(&at)) {
                prop_assert!(text.get(found.value).is_some());
                prop_assert!(found.key.is_none_or(|key| text.get(key).is_some()));
            }
        }
    }
}
