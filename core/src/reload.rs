//! What a new configuration means for a proxy that runs: a pure comparison of what is in force with what is wanted.
//!
//! Clusters are compared by name, field by field, contents of files included. What cannot be changed in a running process
//! is refused as a whole, so that a reload never does half of what a file says. Nothing here acts: [`crate::proxy`] does.

mod differences;
mod listeners;

use core::fmt;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    config::{ClusterName, Config, VirtualCluster},
    status::ReloadAction,
};

/// A configuration as it was read, complete: whatever its files say later, it can be gone back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    config: Config,
    settings: Digest,
    material: BTreeMap<ClusterName, Material>,
}

/// What belongs to a virtual cluster beside its values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Material {
    /// Over its values and the contents of its files.
    pub digest: Digest,
    /// What its files held, by the field that names the file, such as `upstream.tls.ca`.
    pub files: BTreeMap<String, FileContents>,
}

/// What a file held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileContents {
    /// What it is for.
    pub purpose: FilePurpose,
    /// All of it, or why it cannot be read: that is the failure of the cluster that wants it and of no other.
    pub contents: Result<Secret, String>,
}

/// Bytes that are shown nowhere: they may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bytes);

/// What a file is for, which decides what a change of it needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilePurpose {
    /// Certificates, keys and trust towards clients: new ones are for new handshakes.
    TowardsClients,
    /// Certificates, keys and trust towards upstream: connections were made with the old ones.
    TowardsUpstream,
    /// What somebody proves with who it is, on either side: the next exchange takes the new one.
    Sasl,
}

/// A digest of 256 bits over a configuration or a part of one, made where files are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Loaded {
    /// A configuration, the digest over all that belongs to no cluster, and what belongs to each cluster.
    pub fn new(config: Config, settings: Digest, mut material: impl FnMut(&VirtualCluster) -> Material) -> Self {
        let material = config.virtual_clusters().iter().map(|c| (c.name.clone(), material(c))).collect();
        Self { config, settings, material }
    }

    /// The values.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Over all that belongs to no cluster.
    pub const fn settings_digest(&self) -> Digest {
        self.settings
    }

    /// A virtual cluster and what belongs to it.
    pub fn cluster(&self, name: &ClusterName) -> Option<(&VirtualCluster, &Material)> {
        let values = self.config.virtual_clusters().iter().find(|c| c.name == *name)?;
        Some((values, self.material.get(name)?))
    }

    /// The same digest that a proxy shows when all of this is in force.
    pub fn digest(&self) -> Digest {
        self.material.values().fold(self.settings, |sum, m| sum.with(m.digest))
    }

    fn clusters(&self) -> impl Iterator<Item = (&VirtualCluster, &Material)> {
        self.config.virtual_clusters().iter().filter_map(|c| Some((c, self.material.get(&c.name)?)))
    }
}

impl Digest {
    /// The digest over two things that have no order. Each must be there once: names are unique.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(core::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What is in force: after a reload that failed in part, clusters of several generations.
#[derive(Clone, Debug)]
pub struct InForce<'a> {
    settings: &'a Config,
    clusters: BTreeMap<&'a ClusterName, Present<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Present<'a> {
    values: &'a VirtualCluster,
    material: &'a Material,
    failed: bool,
}

impl<'a> InForce<'a> {
    /// Settings of one generation, and no cluster yet.
    pub const fn settings(loaded: &'a Loaded) -> Self {
        Self { settings: &loaded.config, clusters: BTreeMap::new() }
    }

    /// All of one generation.
    pub fn all(loaded: &'a Loaded) -> Self {
        let mut all = Self::settings(loaded);
        for (values, material) in loaded.clusters() {
            all.clusters.insert(&values.name, Present { values, material, failed: false });
        }
        all
    }

    /// Adds a virtual cluster of some generation. One that has failed is built anew by any reload that still has it.
    pub fn add(&mut self, name: &ClusterName, of: &'a Loaded, failed: bool) {
        if let Some((values, material)) = of.cluster(name) {
            self.clusters.insert(&values.name, Present { values, material, failed });
        }
    }
}

/// What a reload would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// Every virtual cluster of before and after, sorted by name.
    pub virtual_clusters: Vec<ClusterPlan>,
    /// Changed settings of the proxy itself; they are applied at once.
    pub settings: Vec<FieldChange>,
    /// Changed settings that need a restart. Where there is one, nothing of the plan can be done.
    pub refused: Vec<FieldChange>,
    /// What the operator should know all the same.
    pub warnings: Vec<String>,
}

/// What a reload would do to one virtual cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterPlan {
    /// Its name.
    #[serde(deserialize_with = "name")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub name: ClusterName,
    /// What is done.
    pub action: ReloadAction,
    /// The fields that made it so.
    pub fields: Vec<FieldChange>,
    /// Clusters that still have addresses which this one is to have: it binds them when those have let go.
    #[serde(deserialize_with = "names")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub after: Vec<ClusterName>,
}

/// A field that is not what it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldChange {
    /// Its path, such as `upstream.bootstrap_servers`.
    pub field: String,
    /// What it was; absent where there was nothing, and for contents of files.
    pub from: Option<String>,
    /// What it is to be; absent where there is to be nothing, and for contents of files.
    pub to: Option<String>,
}

/// Compares what is in force with what is wanted.
pub fn plan(old: &InForce<'_>, new: &Loaded) -> Plan {
    let wanted: BTreeMap<_, _> = new.clusters().map(|(values, material)| (&values.name, (values, material))).collect();
    let listeners = listeners::Listeners::of(old.clusters.values().map(|p| p.values));
    let mut plan = differences::settings(old.settings, &new.config);
    for (name, (values, material)) in &wanted {
        let mut cluster = differences::cluster((*name).clone(), old.clusters.get(name), values, material);
        cluster.after = listeners.still_with_others(values);
        if cluster.action == ReloadAction::Live && !cluster.after.is_empty() {
            // It cannot be prepared beside the old, and what is swapped in must not fail.
            cluster.action = ReloadAction::Drain;
        }
        plan.virtual_clusters.push(cluster);
    }
    let removed = old.clusters.iter().filter(|(name, _)| !wanted.contains_key(*name));
    for (name, present) in removed {
        let added = wanted.iter().filter(|(name, _)| !old.clusters.contains_key(*name)).map(|(_, (values, _))| *values);
        plan.warnings.extend(differences::rename_hint(present.values, added));
        let (name, action) = ((*name).clone(), ReloadAction::Remove);
        plan.virtual_clusters.push(ClusterPlan { name, action, fields: Vec::new(), after: Vec::new() });
    }
    plan.virtual_clusters.sort_by(|a, b| a.name.cmp(&b.name));
    plan
}

impl Plan {
    /// There is nothing to do.
    pub fn is_unchanged(&self) -> bool {
        self.settings.is_empty()
            && self.refused.is_empty()
            && self.virtual_clusters.iter().all(|c| c.action == ReloadAction::Unchanged)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unchanged() {
            return writeln!(f, "no change");
        }
        for setting in &self.settings {
            writeln!(f, "~ {setting}")?;
        }
        for cluster in &self.virtual_clusters {
            fmt::Display::fmt(cluster, f)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for setting in &self.refused {
            writeln!(f, "refused, it takes a restart: {setting}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ClusterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} virtual cluster {}: {}", self.action.sign(), self.name, self.action.words())?;
        self.fields.iter().try_for_each(|field| writeln!(f, "    {field}"))?;
        self.after.iter().try_for_each(|other| writeln!(f, "    waits for addresses that {other} still has"))
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{}: {from} → {to}", self.field),
            (None, Some(to)) => write!(f, "{}: now {to}", self.field),
            (Some(from), None) => write!(f, "{}: no longer {from}", self.field),
            (None, None) => f.write_str(&self.field),
        }
    }
}

fn name<'de, D: Deserializer<'de>>(d: D) -> Result<ClusterName, D::Error> {
    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}

fn names<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<ClusterName>, D::Error> {
    Vec::<String>::deserialize(d)?.iter().map(|n| n.parse().map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
