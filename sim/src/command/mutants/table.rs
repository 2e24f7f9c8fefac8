//! What was found, for people in docs/simulation.md and for the next hunt in `sim/mutants/found.ron`.

use super::{Found, KNOWN, Known, Mutant};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

/// The file with the table for people.
const DOCS: &str = "docs/simulation.md";

/// The lines between which it stands.
const BEGIN: &str = "<!-- written by kroxy-sim mutants --write -->\n";
const END: &str = "<!-- end -->\n";

/// Puts into both files what was found now. Of mutants that were not hunted they keep what they have.
pub(super) fn write(root: &Path, all: &[Mutant], mut known: Known, found: Vec<(&Mutant, Found)>) -> Result<()> {
    let docs = fs::read_to_string(root.join(DOCS)).context(DOCS)?;
    let (before, rest) = docs.split_once(BEGIN).context("the file has no place for the table")?;
    let (table, after) = rest.split_once(END).context("the place for the table has no end")?;
    let mut lines: BTreeMap<String, String> =
        table.lines().filter_map(|line| Some((line.split('`').nth(1)?.to_owned(), line.to_owned()))).collect();
    for (Mutant { name, what, .. }, Found { seed, by, .. }) in found {
        lines.insert(name.clone(), format!("| `{name}` | {what} | {by} | {} |", seed + 1));
        known.insert(name.clone(), seed);
    }
    known.retain(|name, _| all.iter().any(|mutant| mutant.name == *name));
    let mut table = String::from("| mutant | what is wrong with it | found by | after seeds |\n|---|---|---|---|\n");
    for line in all.iter().filter_map(|mutant| lines.get(&mutant.name)) {
        writeln!(table, "{line}")?;
    }
    fs::write(root.join(DOCS), format!("{before}{BEGIN}{table}{END}{after}")).context(DOCS)?;
    let text = format!(
        "// Written by kroxy-sim mutants --write.\n{}\n",
        ron::ser::to_string_pretty(&known, Default::default())?
    );
    fs::write(root.join(KNOWN), text).context(KNOWN)
}
