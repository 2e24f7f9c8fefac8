//! From text to the raw configuration, and from what `ron` and `serde` complain about to problems with a place.

use super::{
    error::{Problem, first_line},
    hints,
    locate::{FieldPath, Located, Step, locate},
    raw::RawConfig,
};
use ron::{Options, error::Position, extensions::Extensions};
use serde_path_to_error::Segment;
use std::ops::Range;

/// Reads a text as RON. Stops at the first mistake.
pub(super) fn read(text: &str) -> Result<RawConfig, Problem> {
    let options = Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    let top = FieldPath::default();
    let mut ron = ron::Deserializer::from_str_with_options(text, &options)
        .map_err(|e| grammatical(text, &top, &e.code, offset(text, e.span.end)))?;
    let read = serde_path_to_error::deserialize(&mut ron);
    match read {
        Ok(raw) => {
            ron.end().map_err(|e| grammatical(text, &top, &e, text.len() - ron.remainder().len()))?;
            Ok(raw)
        }
        Err(e) => {
            let path = path_of(e.path());
            let at = text.len() - ron.remainder().len();
            Err(explain(text, &path, e.inner(), at))
        }
    }
}

fn path_of(path: &serde_path_to_error::Path) -> FieldPath {
    path.iter().fold(FieldPath::default(), |path, segment| match segment {
        Segment::Seq { index } => path.place(*index),
        Segment::Map { key } => path.field(key),
        // The variant of an enum is no step: what is in it is part of the field's value.
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}

/// The byte at a position that `ron` counts in lines and characters, from 1.
fn offset(text: &str, position: Position) -> usize {
    let line_start = match position.line.checked_sub(2) {
        None => 0,
        Some(n) => text.match_indices('\n').nth(n).map_or(text.len(), |(i, _)| i + 1),
    };
    let rest = &text[line_start..];
    rest.char_indices().nth(position.col.saturating_sub(1)).map_or(text.len(), |(i, _)| line_start + i)
}

/// `at` is how far `ron` has read.
#[expect(clippy::wildcard_enum_match_arm, reason = "the errors are ron's, which may add some")]
fn explain(text: &str, path: &FieldPath, code: &ron::Error, at: usize) -> Problem {
    use ron::Error as E;
    match code {
        E::NoSuchStructField { expected, found, .. } => unknown_field(text, path, found, expected, at),
        E::MissingStructField { field, .. } => missing_field(text, path, field),
        E::DuplicateStructField { field, .. } => {
            let path = if is_field(path, field) { path.clone() } else { path.field(*field) };
            let second = at.saturating_sub(field.len())..at;
            Problem::within(&path, whole_chars(text, second), "again", "it is there twice")
                .also(text, &path, "first")
                .with_help(Some("leave one of them"))
        }
        E::NoSuchEnumVariant { expected, found, .. } => {
            let what = format!("`{found}` is none of {}", list(expected));
            Problem::at(text, path, what)
        }
        E::Message(what) => Problem::at(text, path, what.clone()),
        E::InvalidValueForType { expected, found } => {
            Problem::at(text, path, format!("this is {found}, not {expected}"))
        }
        E::ExpectedDifferentLength { expected, found } => {
            Problem::at(text, path, format!("there are {found} elements here, not {expected}"))
        }
        E::IntegerOutOfBounds => Problem::at(text, path, "this number is out of bounds"),
        E::ExpectedString => mistyped(text, path, at, "text in quotes"),
        E::ExpectedInteger => mistyped(text, path, at, "a whole number"),
        E::ExpectedArray => mistyped(text, path, at, "a list in square brackets"),
        E::ExpectedStructLike | E::ExpectedNamedStructLike(_) => mistyped(text, path, at, "something in parentheses"),
        E::ExpectedDifferentStructName { .. } => mistyped(text, path, at, "parentheses without a name before them"),
        E::ExpectedIdentifier | E::SuggestRawIdentifier(_) => no_name(text, path, at),
        _ => grammatical(text, path, code, at),
    }
}

/// A value of another type than the field's; or no value at all.
fn mistyped(text: &str, path: &FieldPath, at: usize, wanted: &str) -> Problem {
    let what = format!("this has to be {wanted}");
    let right = hints::right_around(&path.names());
    let span = token_at(text, at);
    match locate(text, path) {
        Some(Located { value, .. }) if !value.is_empty() => Problem::at(text, path, what),
        Some(_) | None if at >= text.trim_end().len() => {
            let what = format!("the file ends where there has to be {wanted}");
            Problem::within(path, span, "here", what).with_help(right)
        }
        Some(_) | None if text[at..].starts_with([')', ']', '}', ',']) => {
            let what = format!("before this there has to be {wanted}, or another bracket");
            Problem::within(path, span, "here", what).with_help(right)
        }
        Some(_) | None => Problem::within(path, span, "here", what).with_help(right),
    }
}

/// No name where there has to be one: the name of a field within `path`, or the value at `path` itself.
fn no_name(text: &str, path: &FieldPath, at: usize) -> Problem {
    let wanted = "a name without quotes";
    match locate(text, path) {
        Some(Located { value, .. }) if value.start < at && text[value.start..].starts_with('(') => {
            let what = format!("this has to be {wanted}");
            Problem::within(path, token_at(text, at), "here", what).with_help(Some("a field is `name: value`"))
        }
        Some(_) | None => mistyped(text, path, at, wanted),
    }
}

/// Something that keeps the text from being RON at all.
#[expect(clippy::wildcard_enum_match_arm, reason = "the errors are ron's, which may add some")]
fn grammatical(text: &str, path: &FieldPath, code: &ron::Error, at: usize) -> Problem {
    use ron::Error as E;
    let (what, general) = match code {
        E::Eof => ("the file ends too early", "a bracket is not closed"),
        E::ExpectedComma => (
            "this does not belong to what stands before it",
            "fields and elements are separated by commas, text stands in quotes, and every quote is closed",
        ),
        E::ExpectedStringEnd => ("this text never ends", "a quote is missing at its end"),
        E::ExpectedMapColon => ("there has to be a colon before this", "a field is `name: value`"),
        E::TrailingCharacters => {
            ("the configuration has ended before this", "everything stands in one pair of parentheses")
        }
        E::ExpectedStructLikeEnd => {
            ("there has to be a closing `)` before this", "is there a bracket too few, or a value too many?")
        }
        E::ExpectedArrayEnd => {
            ("there has to be a closing `]` before this", "is there a bracket too few, or a value too many?")
        }
        other => {
            let help = "this is not RON: see https://github.com/ron-rs/ron/wiki/Specification";
            return Problem::within(path, token_at(text, at), "here", lower_first(&other.to_string()))
                .with_help(Some(help));
        }
    };
    Problem::within(path, token_at(text, at), "here", what).with_help(Some(general))
}

fn unknown_field(text: &str, path: &FieldPath, found: &str, expected: &[&str], at: usize) -> Problem {
    let (inside, path) =
        if is_field(path, found) { (path.parent(), path.clone()) } else { (path.clone(), path.field(found)) };
    let behind = at.saturating_sub(found.len())..at;
    let span = locate(text, &path).and_then(|found| found.key).unwrap_or_else(|| whole_chars(text, behind));
    let near = expected.iter().min_by_key(|known| strsim::damerau_levenshtein(known, found));
    let near = near.filter(|known| strsim::damerau_levenshtein(known, found) <= known.len() / 2);
    let known = match inside.steps().is_empty() {
        true => format!("the fields here are {}", list(expected)),
        false => format!("the fields of {} are {}", last_name(&inside), list(expected)),
    };
    let help = near.map_or(known.clone(), |near| format!("did you mean `{near}`? {known}"));
    Problem::within(&path, span, "unknown", "there is no such field").with_help(Some(help))
}

fn missing_field(text: &str, path: &FieldPath, field: &str) -> Problem {
    let missing = path.field(field);
    let help = hints::right(&missing.names())
        .map(|right| format!("{field} is {right}"))
        .or_else(|| hints::right_around(&path.names()).map(str::to_owned));
    let bracket = locate(text, path).map_or(0..0, |found| {
        let opening = text[found.value.clone()].find('(').map_or(0, |i| i + 1);
        first_line(text, found.value.start..found.value.start + opening)
    });
    Problem::within(&missing, bracket, &format!("`{field}` belongs in here"), "this field is missing").with_help(help)
}

/// Whether the last step of a path is this field: an error at a field's name may be reported for what holds the field.
fn is_field(path: &FieldPath, name: &str) -> bool {
    path.steps().last() == Some(&Step::Field(name.to_owned()))
}

fn last_name(path: &FieldPath) -> String {
    let name = path.steps().iter().rev().find_map(|step| match step {
        Step::Field(name) => Some(format!("`{name}`")),
        Step::Place(_) => None,
    });
    name.unwrap_or_else(|| "this".to_owned())
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// What stands at `at`: up to the next blank or comma, at least one character; at the end of the text its last one.
fn token_at(text: &str, at: usize) -> Range<usize> {
    let at = if at >= text.trim_end().len() { text.trim_end().len().saturating_sub(1) } else { at };
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let rest = text[at..].lines().next().unwrap_or_default();
    let len = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ')' | ']')).unwrap_or(rest.len());
    let one = rest.chars().next().map_or(0, char::len_utf8);
    at..at + len.max(one)
}

/// The same, unless it begins within a character.
fn whole_chars(text: &str, span: Range<usize>) -> Range<usize> {
    if text.get(span.clone()).is_some() { span } else { span.end..span.end }
}
