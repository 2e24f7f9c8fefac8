//! A configuration as the proxy's machine wants it: the values, and digests over all that belongs to them.

use kroxy_core::{
    config::Config,
    reload::{Digest, Loaded, Material},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::PathBuf,
};

/// Puts digests to the values of a configuration.
pub fn loaded(config: Config) -> Loaded {
    let settings = digest(&(config.admin(), config.on_virtual_cluster_failure(), config.watch(), config.log()));
    Loaded::new(config, settings, |cluster| Material { digest: digest(cluster), files: BTreeMap::new() })
}

/// The files that a configuration names.
pub(crate) fn files(config: &Config) -> BTreeSet<PathBuf> {
    let _ = config;
    BTreeSet::new()
}

/// SHA-256 over the values as they print themselves, which names every field.
fn digest(values: &impl Debug) -> Digest {
    let sum = ring::digest::digest(&ring::digest::SHA256, format!("{values:?}").as_bytes());
    Digest(sum.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
