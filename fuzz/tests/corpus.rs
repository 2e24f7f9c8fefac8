//! Every case that was kept holds, a case survives being written down, and the judge sees what it is for.

use fuzz::{case::Case, runner::judge};
use std::{fs, path::Path};

/// Seeds that every test run judges; `kroxy-fuzz run` judges far more.
const SEEDS: u64 = 2_000;

#[test]
fn kept_cases_hold_and_so_do_the_first_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/fuzz");
    let mut kept = 0;
    for entry in fs::read_dir(folder).expect("there") {
        let file = entry.expect("readable").path();
        if file.extension().is_some_and(|kind| kind == "case") {
            let case: Case =
                fs::read_to_string(&file).expect("text").parse().unwrap_or_else(|e| panic!("{file:?}: {e}"));
            judge(&case).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            kept += 1;
        }
    }
    assert!(kept > 0);
    for seed in 0..SEEDS {
        judge(&Case::draw(seed)).unwrap_or_else(|why| panic!("kroxy-fuzz run --seed {seed} --count 1: {why}"));
    }
}

#[test]
fn a_case_that_is_written_down_and_read_again_is_the_same() {
    for seed in 0..200 {
        let case = Case::draw(seed);
        assert_eq!(case.to_string().parse::<Case>().ok(), Some(case), "seed {seed}");
    }
}

#[test]
fn what_does_not_hold_is_seen() {
    let story =
        "relay\npieces 1\nclient 0000000f000300010000000700017300000000\nresolved\nconnected\nexpect-client 00\n";
    let case: Case = story.parse().expect("a case");
    let why = judge(&case).expect_err("nothing has reached the client");
    assert!(why.contains("what reaches Client"), "{why}");
}
