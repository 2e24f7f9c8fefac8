//! The configuration: files that somebody has typed into.

use crate::dice::Dice;
use runtime::config::{Invalid, describe, parse_bytes};
use std::{fs, path::Path, sync::OnceLock};

/// What is typed now and then, and what no editor would type.
const TYPED: [&str; 24] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "//",
    "/*",
    "*/",
    "r#\"",
    "'",
    "\u{feff}",
    "\u{202e}",
    "ß",
    "日本",
    "\0",
    "-9223372036854775809",
    "1e999",
    "NaN",
    "Some(",
];

/// Nestings that no reader may follow with a stack of its own without a limit.
const NESTINGS: [&str; 6] = ["(", "[", "{", "/*", "Some(", "(a:"];

/// The samples, good and bad.
fn samples() -> &'static [String] {
    static SAMPLES: OnceLock<Vec<String>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config");
        let mut files = Vec::new();
        for folder in [folder.clone(), folder.join("bad")] {
            let entries = fs::read_dir(folder).expect("the samples are there");
            files.extend(entries.map(|entry| entry.expect("readable").path()));
        }
        files.retain(|file| file.extension().is_some_and(|kind| kind == "ron"));
        files.sort(); // a seed is to draw the same everywhere
        files.iter().map(|file| fs::read_to_string(file).expect("readable")).collect()
    })
}

pub(crate) fn draw(dice: &mut Dice) -> Vec<u8> {
    let mut text = dice.one_of(samples()).clone().into_bytes();
    for _ in 0..dice.below(5) {
        let at = dice.below(text.len() + 1);
        match dice.below(8) {
            0 => {
                let end = at + dice.below((text.len() - at).min(40) + 1);
                text.drain(at..end);
            }
            1 => {
                let other = dice.one_of(samples()).as_bytes();
                let from = dice.below(other.len() + 1);
                let end = from + dice.below((other.len() - from).min(200) + 1);
                text.splice(at..at, other[from..end].iter().copied());
            }
            2 | 3 => {
                let typed = dice.one_of(&TYPED);
                text.splice(at..at, typed.bytes());
            }
            4 => {
                let nested = dice.one_of(&NESTINGS).repeat(*dice.one_of(&[3, 100, 500, 20_000]));
                text.splice(at..at, nested.bytes());
            }
            5 => {
                let noise = {
                    let count = dice.below(6);
                    dice.bytes(count)
                };
                text.splice(at..at, noise);
            }
            6 => numbers(&mut text, dice),
            _ => lines(&mut text, dice),
        }
    }
    text
}

/// Puts another number where one stands.
fn numbers(text: &mut Vec<u8>, dice: &mut Dice) {
    let digits: Vec<_> = (0..text.len()).filter(|at| text[*at].is_ascii_digit()).collect();
    if digits.is_empty() {
        return;
    }
    let at = *dice.one_of(&digits);
    let end = at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number =
        *dice.one_of(&["0", "-1", "65535", "65536", "2147483648", "18446744073709551616", "1e3", "00", "0x10"]);
    text.splice(at..end, number.bytes());
}

/// Repeats a line, or leaves it out.
fn lines(text: &mut Vec<u8>, dice: &mut Dice) {
    let mut lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    let at = dice.below(lines.len());
    if dice.percent(50) {
        lines.remove(at);
    } else {
        let again = lines[at].clone();
        let to = dice.below(lines.len());
        lines.insert(to, again);
    }
    *text = lines.concat();
}

pub(crate) fn check(text: &[u8]) {
    match parse_bytes("fuzz.ron", text) {
        Ok(config) => assert!(!describe(&config).is_empty(), "a configuration says what it does"),
        Err(invalid) => check_report(&invalid, &String::from_utf8_lossy(text)),
    }
}

/// What is wrong is said in words, at a place that is there.
fn check_report(invalid: &Invalid, text: &str) {
    assert!(!invalid.problems().is_empty(), "what is refused is refused for a reason");
    for problem in invalid.problems() {
        let (span, _) = (problem.span(), problem.position(text));
        assert!(text.get(span.clone()).is_some(), "{span:?} is no place in the text: {problem}");
        assert!(!problem.to_string().is_empty() && problem.help() != Some(""), "it is said in words");
    }
    for report in [invalid.report(false), invalid.report(true), invalid.lines()] {
        assert!(!report.is_empty());
    }
}

pub(crate) fn smaller(text: &[u8]) -> Vec<Vec<u8>> {
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut all: Vec<Vec<u8>> = (0..lines.len()).map(|at| [&lines[..at], &lines[at + 1..]].concat().concat()).collect();
    all.extend([text[..text.len() / 2].to_vec(), text[text.len() / 2..].to_vec()]);
    all.retain(|smaller| smaller.len() < text.len());
    all
}
