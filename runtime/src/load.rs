//! A configuration as the proxy's machine wants it: the values, what the files that they name hold, and digests over both.

use crate::{limits, sasl, tls};
use bytes::Bytes;
use kroxy_core::{
    config::{Config, VirtualCluster},
    reload::{Digest, FileContents, Loaded, Material, Secret},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Reads the files that a configuration names, and puts digests to it.
///
/// A file that cannot be read is the failure of the virtual cluster that wants it, so it is none here.
pub fn loaded(config: Config) -> Loaded {
    loaded_by(config, read)
}

/// The same with files that are read by `read`, which may say why one cannot be.
pub fn loaded_by(config: Config, read: impl Fn(&Path) -> Result<Bytes, String>) -> Loaded {
    let settings = digest(&(
        config.admin(),
        config.on_virtual_cluster_failure(),
        config.watch(),
        config.log(),
        config.max_unfinished_requests(),
    ));
    Loaded::new(config, settings, |cluster| material(cluster, &read))
}

fn material(cluster: &VirtualCluster, read: impl Fn(&Path) -> Result<Bytes, String>) -> Material {
    let files = contents(files_of(cluster).collect(), read);
    let digests: Vec<_> = files.iter().map(|(field, file)| (field, digest_of(file))).collect();
    Material { digest: digest(&(cluster, digests)), files }
}

/// Reads files, each by the field that names it.
pub(crate) fn contents(
    needed: Vec<tls::Needed>,
    read: impl Fn(&Path) -> Result<Bytes, String>,
) -> BTreeMap<String, FileContents> {
    let file = |needed: tls::Needed| {
        let contents = read(Path::new(&needed.path)).map(Secret);
        (needed.field, FileContents { purpose: needed.purpose, contents })
    };
    needed.into_iter().map(file).collect()
}

fn digest_of(file: &FileContents) -> Result<Digest, &str> {
    file.contents.as_ref().map(|secret| sha256(&secret.0)).map_err(String::as_str)
}

pub(crate) fn read(path: &Path) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(limits::MATERIAL_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limits::MATERIAL_MAX {
        return Err(format!("it has more than {} bytes, which no certificates have", limits::MATERIAL_MAX));
    }
    Ok(bytes.into())
}

/// The files that a virtual cluster names.
fn files_of(cluster: &VirtualCluster) -> impl Iterator<Item = tls::Needed> {
    tls::of_cluster(cluster).into_iter().chain(sasl::of_cluster(cluster))
}

/// The files that a configuration names.
pub(crate) fn files(config: &Config) -> BTreeSet<PathBuf> {
    let clusters = config.virtual_clusters().iter();
    clusters.flat_map(files_of).map(|needed| needed.path.into()).collect()
}

/// SHA-256 over the values as they print themselves, which names every field.
fn digest(values: &impl Debug) -> Digest {
    sha256(format!("{values:?}").as_bytes())
}

fn sha256(bytes: &[u8]) -> Digest {
    let sum = ring::digest::digest(&ring::digest::SHA256, bytes);
    Digest(sum.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
