//! Which files TLS needs, each by the field of the configuration that names it.

use super::TlsError;
use kroxy_core::{
    config::{
        VirtualCluster,
        tls::{CertificateFiles, ClientTls, Trust, UpstreamTls},
    },
    gateway::GatewayName,
    reload::{FileContents, FilePurpose},
};
use std::collections::BTreeMap;

/// Fields of a certificate that is in a PKCS#12 file.
pub(super) const PKCS12: &str = "pkcs12";
pub(super) const PASSWORD_FILE: &str = "password_file";

pub(super) const FIELD_OF_UPSTREAM: &str = "upstream.tls";

pub(super) fn field_of_gateway(name: &GatewayName) -> String {
    format!("gateways.{name}.tls")
}

/// The place of a certificate among those of a gateway.
pub(super) fn certificate(place: usize) -> String {
    format!("certificates[{place}]")
}

/// A file that is needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needed {
    /// The field that names it, such as `gateways.internal.tls.certificates[0].key`.
    pub field: String,
    /// The file.
    pub path: String,
    /// What it is for.
    pub purpose: FilePurpose,
}

/// The files of TLS towards clients, whose block of the configuration is called `field`.
pub fn of_clients(tls: &ClientTls, field: &str) -> Vec<Needed> {
    let certificates = tls.certificates.iter().enumerate().flat_map(|(n, c)| both(c, &certificate(n)));
    let all = certificates.chain(tls.client_auth.ca().map(|ca| ("client_auth.ca".to_owned(), ca)));
    needed(all, field, FilePurpose::TowardsClients)
}

/// The files of TLS towards upstream.
pub fn of_upstream(tls: &UpstreamTls, field: &str) -> Vec<Needed> {
    let ca = match &tls.trust {
        Trust::File(path) => Some(("ca".to_owned(), path.as_str())),
        // What the system trusts is read when a cluster is built and is not compared: an update of the operating system is
        // no reason to drain.
        Trust::System | Trust::Anybody => None,
    };
    let own = tls.client_certificate.iter().flat_map(|c| both(c, "client_certificate"));
    needed(own.chain(ca), field, FilePurpose::TowardsUpstream)
}

/// All files of a virtual cluster.
pub(crate) fn of_cluster(cluster: &VirtualCluster) -> Vec<Needed> {
    let gateways = cluster.gateways.iter().filter_map(|g| Some((g.tls.as_ref()?, field_of_gateway(&g.name))));
    let upstream = cluster.upstream.tls.iter().flat_map(|tls| of_upstream(tls, FIELD_OF_UPSTREAM));
    gateways.flat_map(|(tls, field)| of_clients(tls, &field)).chain(upstream).collect()
}

fn both<'a>(certificate: &'a CertificateFiles, field: &str) -> Vec<(String, &'a str)> {
    match certificate {
        CertificateFiles::Pem { chain, key } => vec![(format!("{field}.chain"), chain), (format!("{field}.key"), key)],
        CertificateFiles::Pkcs12 { store, password_file } => {
            let password = password_file.as_deref().map(|file| (format!("{field}.{PASSWORD_FILE}"), file));
            [(format!("{field}.{PKCS12}"), store.as_str())].into_iter().chain(password).collect()
        }
    }
}

fn needed<'a>(all: impl Iterator<Item = (String, &'a str)>, field: &str, purpose: FilePurpose) -> Vec<Needed> {
    all.map(|(inner, path)| Needed { field: format!("{field}.{inner}"), path: path.to_owned(), purpose }).collect()
}

/// What the files of one block held.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    files: &'a BTreeMap<String, FileContents>,
    field: &'a str,
}

/// A PKCS#12 file, and the file with its password.
#[derive(Clone, Copy)]
pub(super) struct Store<'a> {
    pub(super) file: File<'a>,
    pub(super) password: Option<File<'a>>,
}

/// What a file held.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) bytes: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Those of the block that is called `field`.
    pub fn new(files: &'a BTreeMap<String, FileContents>, field: &'a str) -> Self {
        Self { files, field }
    }

    /// The file that a field within the block names.
    pub(super) fn file(&self, field: &str, path: &'a str) -> Result<File<'a>, TlsError> {
        let unreadable = |why: &str| TlsError::Unreadable { path: path.to_owned(), why: why.to_owned() };
        let file = self.files.get(&format!("{}.{field}", self.field));
        match file.map(|file| &file.contents) {
            Some(Ok(secret)) => Ok(File { path, bytes: &secret.0 }),
            Some(Err(why)) => Err(unreadable(why)),
            None => Err(unreadable("nobody has read it")),
        }
    }
}
