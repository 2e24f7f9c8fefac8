//! What a change of TLS needs: towards clients it is for new handshakes, unless it takes back what connections that are
//! there were allowed; towards upstream they were made with what is no longer wanted.

use super::Differences;
use crate::{
    cluster::Change,
    config::tls::{CertificateFiles, ClientAuth, ClientTls, Trust, UpstreamTls},
    principal::MappingRules,
};

pub(super) fn compare_clients(found: &mut Differences, field: &str, old: Option<&ClientTls>, new: Option<&ClientTls>) {
    let (Some(old), Some(new)) = (old, new) else {
        // Whoever is connected in the clear is not to stay so, and the other way round clients have to be told.
        found.compare(field, Change::Drain, &old.is_some(), &new.is_some(), on);
        return;
    };
    let ClientTls { certificates, client_auth, principals, protocol, handshake_timeout } = old;
    let show = |all: &[CertificateFiles]| all.iter().map(certificate).collect::<Vec<_>>().join(", ");
    let certificates: &[_] = certificates;
    let now: &[_] = &new.certificates;
    found.compare(&format!("{field}.certificates"), Change::Live, &certificates, &now, |all| show(all));
    let same_demand = core::mem::discriminant(client_auth) == core::mem::discriminant(&new.client_auth);
    let change = if same_demand { Change::Live } else { Change::Drain };
    found.compare(&format!("{field}.client_auth"), change, client_auth, &new.client_auth, demand);
    let rules = format!("{field}.principal_mapping_rules");
    let show = |rules: &Option<MappingRules>| rules.as_ref().map_or("none".to_owned(), ToString::to_string);
    found.compare(&rules, Change::Live, principals, &new.principals, show);
    found.compare(&format!("{field}.protocol"), Change::Live, protocol, &new.protocol, ToString::to_string);
    let timeout = format!("{field}.handshake_timeout");
    found.compare(&timeout, Change::Live, handshake_timeout, &new.handshake_timeout, super::debug);
}

pub(super) fn compare_upstream(
    found: &mut Differences,
    field: &str,
    old: Option<&UpstreamTls>,
    new: Option<&UpstreamTls>,
) {
    let (Some(old), Some(new)) = (old, new) else {
        found.compare(field, Change::Drain, &old.is_some(), &new.is_some(), on);
        return;
    };
    let UpstreamTls { trust, client_certificate, server_name, protocol } = old;
    let show_trust = |trust: &Trust| match trust {
        Trust::System => "System".to_owned(),
        Trust::File(path) => path.clone(),
        Trust::Anybody => "insecure".to_owned(),
    };
    found.compare(&format!("{field}.ca"), Change::Drain, trust, &new.trust, show_trust);
    let shown = format!("{field}.client_certificate");
    let none = || "none".to_owned();
    let show = |files: &Option<CertificateFiles>| files.as_ref().map_or_else(none, certificate);
    found.compare(&shown, Change::Drain, client_certificate, &new.client_certificate, show);
    found.compare(&format!("{field}.server_name"), Change::Drain, server_name, &new.server_name, |name| {
        name.as_ref().map_or_else(none, |name| name.as_str().to_owned())
    });
    found.compare(&format!("{field}.protocol"), Change::Drain, protocol, &new.protocol, ToString::to_string);
}

fn on(there: &bool) -> String {
    if *there { "TLS" } else { "no TLS" }.to_owned()
}

fn certificate(files: &CertificateFiles) -> String {
    files.certificate().to_owned()
}

fn demand(auth: &ClientAuth) -> String {
    match auth {
        ClientAuth::None => "None".to_owned(),
        ClientAuth::Requested { ca } => format!("Requested by {ca}"),
        ClientAuth::Required { ca } => format!("Required by {ca}"),
    }
}
