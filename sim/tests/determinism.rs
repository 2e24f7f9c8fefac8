//! The meta test: without it no seed is worth anything.

use std::process::Command;

/// Seeds whose plans have crashes, bad weather and reloads in them.
const SEEDS: [u64; 4] = [2, 6, 8, 33];

fn journal(seed: u64, which: &str) -> Vec<u8> {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-{seed}-{which}"));
    let played = Command::new(env!("CARGO_BIN_EXE_kroxy-sim"))
        .args(["run", "--seed", &seed.to_string(), "--journal"])
        .arg(&file)
        .output()
        .expect("kroxy-sim can be started");
    assert!(!played.stdout.is_empty(), "{}", String::from_utf8_lossy(&played.stderr));
    std::fs::read(&file).expect("the journal is there")
}

#[test]
fn simulations_may_run_in_this_build() {
    assert_eq!(sim::may_run(), Ok(()));
}

#[test]
fn the_same_seed_in_two_fresh_processes_gives_the_same_journal_to_the_byte() {
    for seed in SEEDS {
        let (one, two) = (journal(seed, "one"), journal(seed, "two"));
        assert!(one.len() > 10_000, "seed {seed} writes only {} bytes", one.len());
        let lines = || one.split(|b| *b == b'\n').zip(two.split(|b| *b == b'\n'));
        let differs = lines().position(|(a, b)| a != b).map(|line| {
            let (a, b) = lines().nth(line).expect("found");
            format!("line {line}:\n{}\n{}", String::from_utf8_lossy(a), String::from_utf8_lossy(b))
        });
        assert!(one == two, "seed {seed} differs from itself, {}", differs.unwrap_or_else(|| "in length".to_owned()));
    }
}
