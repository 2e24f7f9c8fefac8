//! What a change of SASL needs: what a client or the proxy proves itself with is for the next exchange, and connections that are
//! there stay who they are until then. Where the parts are cast anew, nobody may stay who it was.

use super::Differences;
use crate::{
    cluster::Change,
    config::sasl::{ClientSasl, KeySource, TokenIssuer, UpstreamSasl},
};
use core::time::Duration;

pub(super) fn compare_clients(found: &mut Differences, old: Option<&ClientSasl>, new: Option<&ClientSasl>) {
    let (Some(old), Some(new)) = (old, new) else {
        found.compare("sasl", Change::Drain, &old.is_some(), &new.is_some(), at_the_proxy);
        return;
    };
    let ClientSasl { mechanisms, credentials, oauth, session_max, failure_delay, authentication_timeout } = old;
    let (mechanisms, now): (&[_], &[_]) = (mechanisms, &new.mechanisms);
    found.compare("sasl.mechanisms", Change::Live, &mechanisms, &now, |all| super::join(all.iter()));
    let show = |file: &Option<String>| file.clone().unwrap_or_else(|| "none".to_owned());
    found.compare("sasl.credentials", Change::Live, credentials, &new.credentials, show);
    found.compare("sasl.oauth", Change::Live, oauth, &new.oauth, show_issuer);
    let show = |d: &Option<Duration>| d.map_or("none".to_owned(), |d| format!("{d:?}"));
    found.compare("sasl.session_max", Change::Live, session_max, &new.session_max, show);
    found.compare("sasl.failure_delay", Change::Live, failure_delay, &new.failure_delay, super::debug);
    let (old, field) = (authentication_timeout, "sasl.authentication_timeout");
    found.compare(field, Change::Live, old, &new.authentication_timeout, super::debug);
}

pub(super) fn compare_upstream(found: &mut Differences, old: Option<&UpstreamSasl>, new: Option<&UpstreamSasl>) {
    let show = |sasl: &Option<&UpstreamSasl>| {
        sasl.map_or("none".to_owned(), |sasl| format!("{} with {}", sasl.user(), sasl.mechanism()))
    };
    let same_user = old.map(UpstreamSasl::user) == new.map(UpstreamSasl::user);
    let same_mechanism = old.map(UpstreamSasl::mechanism) == new.map(UpstreamSasl::mechanism);
    // Upstream takes nobody for another one on the same connection (KIP-368).
    let change = if same_user && same_mechanism { Change::Live } else { Change::Drain };
    found.compare("upstream.sasl", change, &old, &new, show);
}

fn at_the_proxy(there: &bool) -> String {
    if *there { "at the proxy" } else { "passes" }.to_owned()
}

fn show_issuer(issuer: &Option<TokenIssuer>) -> String {
    let Some(TokenIssuer { keys, issuer, audiences, principal_claim }) = issuer else { return "none".to_owned() };
    let keys = match keys {
        KeySource::File(path) => path.clone(),
        KeySource::Fetched { from, .. } => from.url.to_string(),
    };
    format!("{principal_claim} of {issuer} for {}, keys in {keys}", super::join(audiences.iter()))
}
