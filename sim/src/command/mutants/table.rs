//! The table in docs/simulation.md.

use super::{Found, Mutant};
use anyhow::{Context, Result};
use std::{fmt::Write, fs, path::Path};

/// The lines between which the table stands.
const BEGIN: &str = "<!-- written by kroxy-sim mutants --write -->\n";
const END: &str = "<!-- end -->\n";

/// Puts the table into the file.
pub(super) fn write(file: &Path, lines: &[(&Mutant, Found)]) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("the file has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the place for the table has no end")?;
    let mut table = String::from("| mutant | what is wrong with it | found by | after seeds |\n|---|---|---|---|\n");
    for (mutant, found) in lines {
        writeln!(table, "| `{}` | {} | {} | {} |", mutant.name, mutant.what, found.by, found.seed + 1)?;
    }
    fs::write(file, format!("{before}{BEGIN}{table}{END}{after}"))?;
    Ok(())
}
