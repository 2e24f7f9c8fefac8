//! Cargo, for tests of programs that it does not build for them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The profile's output folder (`target/debug`), found by what runs: programs lie in it, tests in `deps` there.
pub(crate) fn profile_folder() -> PathBuf {
    let program = env::current_exe().expect("what runs has a file");
    let folder = program.parent().expect("a file lies in a folder");
    if folder.ends_with("deps") { folder.parent().expect("cargo puts tests into PROFILE/deps") } else { folder }
        .to_owned()
}

/// Builds what these arguments choose, in the profile of what runs.
///
/// What `cargo test --workspace` has left there is not built again if `--workspace` is among them, and a test or an example:
/// only then dependencies have the features that tests give them.
pub(crate) fn build(what: &[&str]) -> Command {
    let folder = profile_folder();
    let profile = folder.file_name().filter(|name| *name != "debug").unwrap_or("dev".as_ref());
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    build.args(["build", "--quiet"]).args(what).arg("--profile").arg(profile);
    // Cargo tells a test of the package that it belongs to. Build scripts that look at that, as ring's does, would run once more,
    // and everything above them be built once more: here, and again when cargo is called without.
    for (name, _) in env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|told| name.as_encoded_bytes().starts_with(told.as_bytes())) {
            build.env_remove(name);
        }
    }
    build
}
