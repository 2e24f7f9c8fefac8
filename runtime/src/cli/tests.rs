use super::*;
use std::fs;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config")
}

/// What `kroxy check` does with these files: how it ends, what it prints, and what it complains about.
fn checked(files: &[&str]) -> (Exit, String, String) {
    let files: Vec<_> = files.iter().map(|name| fixtures().join(name)).collect();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let exit = check(&files, &mut out, &mut errors).expect("memory takes all that is written");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (exit, text(out), text(errors))
}

/// The words of a command line without the program's name, or clap's exit code and message.
fn parsed(words: &str) -> Result<Cli, (i32, String)> {
    Cli::try_parse_from(words.split_whitespace()).map_err(|e| (e.exit_code(), e.to_string()))
}

fn demo_of(words: &str) -> demo::Options {
    match parsed(words).expect("right").command {
        Command::Demo(args) => args.options(),
        Command::Serve { .. }
        | Command::Check { .. }
        | Command::Ask(_)
        | Command::ScramCredential(_)
        | Command::Completions { .. } => panic!("{words} is a demo"),
    }
}

#[test]
fn clap_finds_no_contradiction_in_the_command_line() {
    Cli::command().debug_assert();
}

#[test]
fn checking_says_of_each_file_what_it_does_or_what_is_wrong() {
    let (exit, out, errors) = checked(&["single-broker.ron"]);
    assert_eq!((exit, errors.as_str()), (Exit::Clean, ""));
    assert!(out.contains("127.0.0.1:9193-9194  localhost:9193-9194  nodes 0-1"), "{out}");

    let (exit, out, errors) = checked(&["single-broker.ron", "bad/ids-overlap.ron", "bad/absent.ron", "tuned.ron"]);
    assert_eq!(exit, Exit::NotDone);
    assert_eq!(out.matches("is valid").count(), 2, "one bad file hides no other: {out}");
    assert!(errors.contains("node 5 is in two ranges") && errors.contains("cannot read"), "{errors}");
}

#[test]
fn checking_says_which_virtual_cluster_would_fail_for_its_files() {
    let (exit, out, errors) = checked(&["tls.ron"]);
    assert_eq!(exit, Exit::NotDone);
    assert!(out.contains("is valid"), "the text is: {out}");
    assert!(errors.starts_with("Error: virtual cluster orders would fail: "), "{errors}");
    assert!(errors.contains("tls/kroxy.pem cannot be read: No such file"), "{errors}");
}

#[test]
fn what_a_configuration_does_is_said_as_it_was_written_down() {
    let names = [
        "single-broker",
        "three-brokers",
        "two-clusters",
        "inside-and-outside",
        "load-balancer",
        "sasl-passthrough",
        "sni",
        "tls",
        "tuned",
    ];
    for name in names {
        let config = config::load(&fixtures().join(name).with_extension("ron")).expect("valid");
        let golden = fixtures().join("checked").join(name).with_extension("txt");
        // Files that a configuration names are in its folder, which is another one on each machine.
        let actual = config::describe(&config).replace(&format!("{}/", fixtures().display()), "");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &actual).expect("writable");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert!(expected == actual, "{} is stale (UPDATE_GOLDEN=1 rewrites it):\n{actual}", golden.display());
    }
}

#[test]
fn a_demo_ends_only_when_told_to() {
    assert_eq!(demo_of("kroxy demo"), demo::Options::default());
    assert_eq!(demo_of("kroxy demo --once").records, Some(demo::Options::ONCE_RECORDS));
    let chosen = demo_of("kroxy demo --once --records 7 --brokers 1 --port 9999 --admin-port 0 --record-bytes 100");
    let wanted = demo::Options { brokers: 1, port: 9999, admin_port: 0, records: Some(7), record_bytes: 100 };
    assert_eq!(chosen, wanted);
}

#[test]
fn a_wrong_command_line_exits_with_2_and_help_with_0() {
    for words in [
        "kroxy",
        "kroxy serve",
        "kroxy serve a b",
        "kroxy check",
        "kroxy demo --records 5",
        "kroxy demo --once --records 0",
        "kroxy demo --brokers 0",
        "kroxy demo --port 0",
        "kroxy --log-format xml demo",
        "kroxy -v -q demo",
        "kroxy completions cmd",
        "kroxy fly",
    ] {
        assert_eq!(parsed(words).expect_err(words).0, 2, "{words}");
    }
    for words in ["kroxy --help", "kroxy serve --help", "kroxy --version"] {
        assert_eq!(parsed(words).expect_err(words).0, 0, "{words}");
    }
}

#[test]
fn options_of_the_log_may_stand_before_and_behind_the_command() {
    let verbosity = |words| parsed(words).expect("right").asked();
    assert_eq!(verbosity("kroxy demo"), None);
    assert_eq!(verbosity("kroxy -v demo"), Some(Verbosity::Connections));
    assert_eq!(verbosity("kroxy demo -vv"), Some(Verbosity::Everything));
    assert_eq!(verbosity("kroxy check -q a.ron"), Some(Verbosity::Quiet));
    assert_eq!(parsed("kroxy serve a.ron --log-format json").expect("right").log_format, Format::Json);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    assert_eq!(printed(|_| Err(io::ErrorKind::BrokenPipe.into())), Exit::Clean);
    assert_eq!(printed(|_| Err(io::ErrorKind::StorageFull.into())), Exit::Failed);
}
