use super::*;
use proptest::prelude::*;
use std::{env, fs, path::PathBuf};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config")
}

/// Name and content of every file with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let all = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("readable").path());
    let mut files: Vec<_> = all
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

/// Compares with what was written down, or writes it down where `UPDATE_GOLDEN` is set.
fn assert_golden(path: &Path, actual: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).expect("writable");
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert!(golden == actual, "{} is stale (UPDATE_GOLDEN=1 rewrites it): it should be\n{actual}", path.display());
}

#[test]
fn every_example_is_valid() {
    let examples = files(&fixtures(), "ron");
    assert!(examples.len() >= 6, "an example for each typical set-up");
    for (name, text) in examples {
        if let Err(invalid) = parse_str(&name, &text) {
            panic!("{}", invalid.report(false));
        }
    }
}

#[test]
fn what_is_not_set_has_its_default_and_what_is_set_is_taken() {
    use kroxy_core::config::{Admin, Limits, Log, LogLevel, OnVirtualClusterFailure, Serve, Upstream, VirtualCluster};
    use std::time::Duration;
    let example = |name: &str| load(&fixtures().join(name)).expect("valid");

    let plain = example("single-broker.ron");
    assert_eq!(*plain.admin(), Admin::default());
    assert_eq!(plain.on_virtual_cluster_failure(), OnVirtualClusterFailure::default());
    assert_eq!(plain.log(), Log::default());
    let [cluster] = plain.virtual_clusters() else { panic!("one virtual cluster") };
    assert_eq!(cluster.name.as_str(), "local");
    assert_eq!(cluster.limits, Limits::default());
    assert_eq!(cluster.upstream.connect_timeout, Upstream::CONNECT_TIMEOUT);
    assert_eq!(cluster.first_request_timeout, VirtualCluster::FIRST_REQUEST_TIMEOUT);
    assert_eq!((cluster.drain_timeout, cluster.idle_timeout), (VirtualCluster::DRAIN_TIMEOUT, None));

    let tuned = example("tuned.ron");
    assert_eq!(tuned.admin().bind, "127.0.0.1:9199".parse().expect("an address"));
    assert_eq!(tuned.log().level, Some(LogLevel::Debug));
    assert_eq!(tuned.max_unfinished_requests(), 16 << 20);
    let on_failure = tuned.on_virtual_cluster_failure();
    assert_eq!(on_failure.serve, Serve::Remaining);
    assert_eq!(on_failure.retry.max_retries, None);
    assert_eq!((on_failure.retry.initial, on_failure.retry.cap), (Duration::from_millis(500), Duration::from_secs(30)));
    let [cluster] = tuned.virtual_clusters() else { panic!("one virtual cluster") };
    let limits = Limits {
        max_request_frame: 16 << 20,
        max_connections: 50_000,
        max_connections_per_address: Some(200),
        max_connections_per_principal: Some(5_000),
        max_connection_rate: Some(500),
        max_connection_rate_per_address: Some(20),
        max_request_rate: Some(1_000),
        max_buffered: 256 << 20,
    };
    assert_eq!(cluster.limits, limits);
    assert_eq!(cluster.upstream.connect_timeout, Duration::from_secs(2));
    assert_eq!(cluster.upstream.bootstrap_servers[2].to_string(), "[fd00::3]:9092");
    assert_eq!(cluster.first_request_timeout, Duration::from_secs(10));
    assert_eq!(cluster.unfinished_request_timeout, Duration::from_secs(20));
    assert_eq!(cluster.unread_response_timeout, Duration::from_secs(60));
    assert_eq!(cluster.drain_timeout, Duration::from_secs(30));
    assert_eq!(cluster.idle_timeout, Some(Duration::from_secs(900)));
}

#[test]
fn every_mistake_is_reported_as_it_was_written_down() {
    let folder = fixtures().join("bad");
    let mistakes = files(&folder, "ron");
    assert!(mistakes.len() > 30, "the folder is there");
    for (name, text) in mistakes {
        let invalid = parse_str(&name, &text).expect_err(&name);
        assert_golden(&folder.join(&name).with_extension("txt"), &invalid.report(false));
    }
}

#[test]
fn every_report_has_place_pointer_and_help() {
    for (name, text) in files(&fixtures().join("bad"), "ron") {
        let invalid = parse_str(&name, &text).expect_err(&name);
        for problem in invalid.problems() {
            assert!(problem.help().is_some_and(|help| !help.is_empty()), "{name}: no help with {problem}");
            let (line, column) = problem.position(&text);
            let report = Invalid::new(&name, &text, vec![problem.clone()]).report(false);
            assert!(report.contains(&format!("{name}:{line}:{column}")), "{name}:{line}:{column} is not in\n{report}");
            assert!(report.contains(&problem.path()), "{} is not in\n{report}", problem.path());
            assert!(text.is_empty() || report.contains("here") || report.contains('─'), "no pointer in\n{report}");
        }
    }
}

#[test]
fn a_problem_is_one_line_in_a_log() {
    let text = "(virtual_clusters: [],\n  admin: (bind: 9190))";
    let invalid = parse_str("proxy.ron", text).expect_err("a number is no address");
    assert_eq!(invalid.to_string(), "proxy.ron:2:17: admin.bind: this has to be text in quotes");
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_said_so() {
    let absent = load(&fixtures().join("absent.ron")).expect_err("it is not there");
    assert!(absent.report(false).starts_with("Error: cannot read "), "{absent}");
    let invalid = parse_bytes("proxy.ron", b"(\n  // gr\xf6\xdfer\n)").expect_err("this is Latin-1");
    assert_eq!(invalid.to_string(), "proxy.ron:2:8: this is no text in UTF-8");
}

/// A valid text with some of it replaced, removed, doubled or cut off.
fn mangled() -> impl Strategy<Value = String> {
    let valid = files(&fixtures(), "ron").into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    const PIECES: [&str; 18] = [
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "'",
        "/*",
        "//",
        "r#",
        "\\",
        "-",
        "0",
        "99999999999",
        "é",
        "\u{0}",
        "Some(",
    ];
    let piece = prop_oneof![prop::sample::select(&PIECES[..]).prop_map(str::to_owned), ".{0,4}"];
    let edit = (any::<prop::sample::Index>(), 0_usize..12, piece);
    (prop::sample::select(valid), prop::collection::vec(edit, 1..4)).prop_map(|(text, edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, removed, piece) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

#[test]
fn a_line_too_long_to_be_drawn_is_reported_by_its_place() {
    let text = format!("({}: 1)", "a".repeat(100_000));
    let invalid = parse_str("proxy.ron", &text).expect_err("no such field");
    for colour in [true, false] {
        let report = invalid.report(colour);
        assert!(report.starts_with("proxy.ron:1:2: aaa") && report.ends_with('\n'), "{}", &report[..200]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn however_mangled_a_file_is_its_problems_are_in_it(text in mangled()) {
        if let Err(invalid) = parse_str("proxy.ron", &text) {
            prop_assert!(!invalid.problems().is_empty());
            for problem in invalid.problems() {
                let span = problem.span();
                prop_assert!(text.get(span.clone()).is_some(), "{:?} is not in the text", span);
                prop_assert!(span.start < text.len() || text.trim().is_empty(), "it points behind the text");
                let (line, _) = problem.position(&text);
                prop_assert!(line <= text.lines().count().max(1));
            }
            let report = invalid.report(false);
            prop_assert!(report.contains("proxy.ron:"), "no place in\n{}", report);
            prop_assert!(!report.contains("Failed to read contents"), "{}", report);
        }
    }

    #[test]
    fn a_host_and_port_reads_back_as_it_was_written(host in "[a-z][a-z0-9.-]{0,20}|([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}", port in 1_u16..) {
        let written = kroxy_core::address::HostPort::new(host, port);
        prop_assert_eq!(written.to_string().parse(), Ok(written));
    }
}
