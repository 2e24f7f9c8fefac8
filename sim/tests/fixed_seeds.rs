//! The same seeds in every build, each in a process of its own, as `kroxy-sim run` plays them: what fails here fails there.

use std::process::{Command, Output};

fn kroxy_sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kroxy-sim")).args(args).output().expect("kroxy-sim can be started")
}

fn play(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let played = kroxy_sim(&["run", "--seed", &seed.to_string()]);
        let (out, err) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
        assert!(played.status.success(), "{out}{err}\nsee it again: cargo run -p sim -- run --seed {seed}");
    }
}

#[test]
fn seeds_0_to_9_are_clean() {
    play(0..10);
}

#[test]
fn seeds_10_to_19_are_clean() {
    play(10..20);
}

/// Plans that once showed a bug.
#[test]
fn plans_that_found_something_stay_clean() {
    let plans = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/plans");
    let mut files: Vec<_> =
        std::fs::read_dir(plans).expect("the plans are there").map(|f| f.expect("a file").path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "ron")) {
        let file = file.to_str().expect("a readable name");
        let played = kroxy_sim(&["replay", file]);
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stdout));
    }
}
