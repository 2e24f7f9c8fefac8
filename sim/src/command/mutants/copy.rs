//! A copy of the workspace with all mutants in it.

use super::Mutant;
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The binary in the copy. With a name and a version of its own the copy can share the folder that everything else is built
/// in: cargo tells packages of workspaces apart by these, not by where they are.
const PROGRAM: &str = "kroxy-sim-mutants";

/// What a build needs of the workspace.
const PARTS: [&str; 10] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "core",
    "docs",
    "fixtures",
    "runtime",
    "rust-toolchain.toml",
    "sim",
];

/// Members of the workspace that are needed for it.
const MEMBERS: &str = r#"members = ["core", "runtime", "sim", "fixtures/broker"]"#;

/// Files with their new text, by their path from the root.
pub(super) type Sources = BTreeMap<String, String>;

/// The workspace that this program was built from.
pub(super) struct Workspace {
    pub(super) root: PathBuf,
    target: PathBuf,
    profile: String,
}

impl Workspace {
    pub(super) fn of_this_build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("sim has a parent")?.to_owned();
        let program = std::env::current_exe()?;
        let folder = program.parent().context("a program is in a folder")?;
        let profile = folder.file_name().and_then(|name| name.to_str()).context("a folder has a name")?;
        let profile = if profile == "debug" { "dev" } else { profile }.to_owned();
        let target = folder.parent().context("a profile's folder is in the target folder")?.to_owned();
        Ok(Self { root, target, profile })
    }

    /// The sources with every mutant behind its switch.
    pub(super) fn mutated(&self, mutants: &[Mutant]) -> Result<Sources> {
        let mut sources = Sources::new();
        for mutant in mutants {
            for edit in &mutant.edits {
                let name = || format!("mutant {} in {}", mutant.name, edit.file);
                let original = fs::read_to_string(self.root.join(&edit.file)).with_context(name)?;
                let count = original.matches(&edit.find).count();
                ensure!(count == 1, "{}: what it replaces is there {count} times:\n{}", name(), edit.find);
                let text = sources.entry(edit.file.clone()).or_insert(original);
                ensure!(text.contains(&edit.find), "{}: another mutant has changed the same place", name());
                ensure!(edit.replace.contains("MUTATED"), "{}: nothing turns it on", name());
                let package = if edit.file.starts_with("core/") { "crate" } else { "kroxy_core" };
                let switch = format!("{package}::mutants::on(\"{}\")", mutant.name);
                *text = text.replacen(&edit.find, &edit.replace.replace("MUTATED", &switch), 1);
            }
        }
        let mut add = |file: &str, change: &dyn Fn(String) -> String| -> Result<()> {
            let text = match sources.remove(file) {
                Some(text) => text,
                None => fs::read_to_string(self.root.join(file)).with_context(|| file.to_owned())?,
            };
            sources.insert(file.to_owned(), change(text));
            Ok(())
        };
        add("core/src/lib.rs", &|text| text + "\n#[allow(missing_docs)]\npub mod mutants;\n")?;
        add("Cargo.toml", &|text| {
            let version = |suffix| format!("version = \"{}{suffix}\"", env!("CARGO_PKG_VERSION"));
            let line = |line: &str| if line.starts_with("members = ") { MEMBERS } else { line }.to_owned() + "\n";
            let text: String = text.lines().map(line).collect();
            text.replacen(&version(""), &version("-mutants"), 1)
        })?;
        add("sim/Cargo.toml", &|text| text.replace("name = \"kroxy-sim\"", &format!("name = \"{PROGRAM}\"")))?;
        let switch = fs::read_to_string(self.root.join("sim/mutants/switch.rs"))?;
        sources.insert("core/src/mutants.rs".to_owned(), switch);
        Ok(sources)
    }

    /// Builds the copy; the program that plays it.
    pub(super) fn build(&self, sources: &Sources) -> Result<PathBuf> {
        let copy = self.target.join("mutants");
        let mut wanted = BTreeSet::new();
        for part in PARTS {
            copy_over(&self.root.join(part), &copy.join(part), part, sources, &mut wanted)?;
        }
        for (file, text) in sources {
            put(&copy.join(file), text.as_bytes())?;
            wanted.insert(copy.join(file));
        }
        sweep_out(&copy, &wanted)?;
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--package", "sim", "--bin", PROGRAM, "--profile", &self.profile])
            .arg("--target-dir")
            .arg(&self.target)
            .current_dir(&copy)
            .status()
            .context("cargo can be started")?;
        if !status.success() {
            bail!("the mutants do not compile; their sources are in {}", copy.display());
        }
        let folder = if self.profile == "dev" { "debug" } else { &self.profile };
        Ok(self.target.join(folder).join(PROGRAM))
    }
}

/// Copies a file, or a folder with all that is in it, except for what is to have another text. Adds what it writes to
/// `wanted`.
fn copy_over(from: &Path, to: &Path, name: &str, sources: &Sources, wanted: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !from.is_dir() {
        if sources.contains_key(name) {
            return Ok(());
        }
        wanted.insert(to.to_owned());
        return put(to, &fs::read(from)?);
    }
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let part = entry.file_name();
        let part = part.to_str().context("a readable name")?;
        if part != "target" && part != "node_modules" {
            copy_over(&entry.path(), &to.join(part), &format!("{name}/{part}"), sources, wanted)?;
        }
    }
    Ok(())
}

/// Removes the files that an earlier copy has left and the workspace has no more: cargo would find a module or a test in them.
fn sweep_out(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            sweep_out(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Writes a file unless it is like that already: what has not changed is not built again.
fn put(file: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
    fs::write(file, contents).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_copy_has_what_the_workspace_has_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("kroxy-sim-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        let sources = Sources::from([("part/changed.rs".to_owned(), "mutated".to_owned())]);
        let copy = |files: &[&str]| -> Result<Vec<String>> {
            let _ = fs::remove_dir_all(&from); // there is none the first time
            for file in files {
                put(&from.join("part").join(file), b"original")?;
            }
            let mut wanted = BTreeSet::new();
            copy_over(&from.join("part"), &to.join("part"), "part", &sources, &mut wanted)?;
            sweep_out(&to, &wanted)?;
            let mut left: Vec<_> = wanted
                .iter()
                .map(|file| file.strip_prefix(&to).map(|f| f.display().to_string()))
                .collect::<Result<_, _>>()?;
            left.retain(|file| to.join(file).exists());
            Ok(left)
        };
        assert_eq!(copy(&["a.rs", "deep/b.rs", "changed.rs"]).expect("it is copied"), ["part/a.rs", "part/deep/b.rs"]);
        assert_eq!(copy(&["a.rs", "changed.rs"]).expect("it is copied"), ["part/a.rs"]);
        assert!(!to.join("part/deep/b.rs").exists(), "the workspace has it no more");
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
