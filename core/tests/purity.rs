//! The core stays free of input and output, clocks, threads, randomness and hash order.
//!
//! clippy's bans (clippy.toml) catch uses of what they name; this catches whole modules and new dependencies.

#![expect(clippy::disallowed_methods, reason = "a test may read the files that it is about")]

use std::{fs, path::Path};

/// Paths of the standard library that have no place in a pure state machine.
const BANNED: [&str; 12] = [
    "std::net::Tcp",
    "std::net::Udp",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "std::io",
    "std::time",
    "std::os",
    "HashMap",
    "HashSet",
    "rand::",
];

/// What the core may be built from: data structures, codecs, schemas of both, and cryptography that computes. Random numbers
/// of `ring` are kept out by the paths that are banned.
const DEPENDENCIES: [&str; 12] = [
    "base64",
    "bytes",
    "crc32c",
    "ipnet",
    "kafka-protocol",
    "regex",
    "ring",
    "schemars",
    "serde",
    "serde_json",
    "subtle",
    "thiserror",
];

fn violations(source: &str) -> Vec<&'static str> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    BANNED.into_iter().filter(|banned| code.contains(banned)).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_of_the_core_names_what_acts() {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 10, "the core has more files than {}", files.len());
    for file in files {
        let is_test = file.components().any(|c| c.as_os_str() == "tests") || file.ends_with("tests.rs");
        let source = fs::read_to_string(&file).expect("readable");
        let production = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        if !is_test {
            assert_eq!(violations(production), [""; 0], "{}", file.display());
        }
    }
}

#[test]
fn the_check_finds_what_it_looks_for() {
    assert_eq!(violations("use std::fs;\n// std::net::TcpStream\nlet m: HashMap<u8, u8>;"), ["std::fs", "HashMap"]);
}

#[test]
fn the_core_depends_on_what_computes_only() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("readable");
    let section =
        manifest.split("\n[dependencies]\n").nth(1).and_then(|s| s.split("\n[").next()).expect("dependencies");
    let names: Vec<_> = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    assert_eq!(names, DEPENDENCIES);
}
