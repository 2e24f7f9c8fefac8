//! The meta test: without it no seed is worth anything.

use std::process::Command;

/// Seeds whose plans have crashes, bad weather and reloads in them, several proxies and TLS.
const SEEDS: [u64; 4] = [1, 2, 18, 24];

#[test]
fn simulations_may_run_in_this_build() {
    assert_eq!(sim::may_run(), Ok(()));
}

#[test]
fn the_same_seed_in_two_fresh_processes_gives_the_same_journal_to_the_byte() {
    let compared = Command::new(env!("CARGO_BIN_EXE_kroxy-sim"))
        .arg("meta")
        .args(SEEDS.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]))
        .output()
        .expect("kroxy-sim can be started");
    let said = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success(), "{said}{}", String::from_utf8_lossy(&compared.stderr));
    assert_eq!(said.matches("the same twice").count(), SEEDS.len(), "{said}");
}

/// A seeded defect that does not fit the sources any more proves nothing: whoever changes them changes it as well.
#[test]
fn every_mutant_fits_the_sources() {
    let checked = Command::new(env!("CARGO_BIN_EXE_kroxy-sim"))
        .args(["mutants", "--check"])
        .output()
        .expect("kroxy-sim can be started");
    let err = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{err}\nchange its search text in sim/mutants as you have changed the source");
}
