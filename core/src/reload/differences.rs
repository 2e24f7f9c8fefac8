//! What differs between two configurations, and what each difference needs.
//!
//! Every struct is taken apart by name: a field that is new breaks the build here until somebody has decided what a
//! change of it needs.

mod sasl;
mod tls;

use core::fmt::{self, Write as _};
use std::path::PathBuf;

use super::{ClusterPlan, FieldChange, FilePurpose, Material, Plan, Present};
use crate::{
    cluster::{Change, RetryPolicy},
    config::{
        Admin, ClusterName, Config, Limits, Log, LogLevel, OnVirtualClusterFailure, Serve, Upstream, VirtualCluster,
    },
    gateway::{Gateway, GatewayKind, PortPerBroker},
    proxy_protocol::Version,
    status::ReloadAction,
};

/// The differences found so far, and the gentlest way to apply them all.
struct Differences {
    fields: Vec<FieldChange>,
    needs_drain: bool,
}

impl Differences {
    const fn none() -> Self {
        Self { fields: Vec::new(), needs_drain: false }
    }

    fn compare<T: PartialEq>(&mut self, field: &str, change: Change, old: &T, new: &T, show: impl Fn(&T) -> String) {
        if old != new {
            self.push(field.to_owned(), change, Some(show(old)), Some(show(new)));
        }
    }

    fn push(&mut self, field: String, change: Change, from: Option<String>, to: Option<String>) {
        self.needs_drain |= change == Change::Drain;
        self.fields.push(FieldChange { field, from, to });
    }
}

/// The part of a plan that is about the proxy itself.
pub(super) fn settings(old: &Config, new: &Config) -> Plan {
    let (mut live, mut refused) = (Differences::none(), Differences::none());
    let Admin { bind, token_file, tls } = old.admin();
    refused.compare("admin.bind", Change::Live, bind, &new.admin().bind, ToString::to_string);
    let show_file = |file: &Option<PathBuf>| file.as_ref().map_or("none".to_owned(), |file| file.display().to_string());
    refused.compare("admin.token_file", Change::Live, token_file, &new.admin().token_file, show_file);
    tls::compare_clients(&mut refused, "admin.tls", tls.as_ref(), new.admin().tls.as_ref());

    let OnVirtualClusterFailure { serve, retry } = old.on_virtual_cluster_failure();
    let OnVirtualClusterFailure { serve: new_serve, retry: new_retry } = new.on_virtual_cluster_failure();
    let show_serve = |serve: &Serve| match serve {
        Serve::None => "None".to_owned(),
        Serve::Remaining => "Remaining".to_owned(),
    };
    live.compare("on_virtual_cluster_failure.serve", Change::Live, &serve, &new_serve, show_serve);
    let RetryPolicy { max_retries, initial, cap } = retry;
    let field = |name: &str| format!("on_virtual_cluster_failure.retry.{name}");
    let show_retries = |max: &Option<u32>| max.map_or("Forever".to_owned(), |max| max.to_string());
    live.compare(&field("max_retries"), Change::Live, &max_retries, &new_retry.max_retries, show_retries);
    live.compare(&field("backoff.initial"), Change::Live, &initial, &new_retry.initial, debug);
    live.compare(&field("backoff.cap"), Change::Live, &cap, &new_retry.cap, debug);
    let Log { level } = old.log();
    let show_level = |level: &Option<LogLevel>| level.map_or("unset".to_owned(), |level| format!("{level:?}"));
    live.compare("log.level", Change::Live, &level, &new.log().level, show_level);
    live.compare("watch", Change::Live, &old.watch(), &new.watch(), ToString::to_string);
    let (held, now) = (old.max_unfinished_requests(), new.max_unfinished_requests());
    live.compare("max_unfinished_requests", Change::Live, &held, &now, |n| format!("{n} bytes"));
    Plan { settings: live.fields, refused: refused.fields, ..Plan::default() }
}

/// The part of a plan that is about a virtual cluster which is wanted.
pub(super) fn cluster(
    name: ClusterName,
    old: Option<&Present<'_>>,
    values: &VirtualCluster,
    material: &Material,
) -> ClusterPlan {
    let Some(old) = old else {
        return ClusterPlan { name, action: ReloadAction::Add, fields: Vec::new(), after: Vec::new() };
    };
    let mut found = Differences::none();
    compare_values(&mut found, old.values, values);
    compare_files(&mut found, old.material, material);
    if old.failed {
        found.push("it has failed and is tried again".to_owned(), Change::Drain, None, None);
    }
    let action = match (found.fields.is_empty(), found.needs_drain) {
        (true, _) => ReloadAction::Unchanged,
        (false, false) => ReloadAction::Live,
        (false, true) => ReloadAction::Drain,
    };
    ClusterPlan { name, action, fields: found.fields, after: Vec::new() }
}

fn compare_values(found: &mut Differences, old: &VirtualCluster, new: &VirtualCluster) {
    let VirtualCluster {
        name,
        upstream: Upstream { bootstrap_servers, connect_timeout, tls, proxy_protocol, sasl },
        gateways,
        sasl: client_sasl,
        drain_timeout,
        idle_timeout,
        first_request_timeout,
        unfinished_request_timeout,
        unread_response_timeout,
        limits,
    } = old;
    let upstream = &new.upstream;
    // The same cluster, spelled another way.
    found.compare("name", Change::Live, &name.as_str(), &new.name.as_str(), |n| (*n).to_owned());
    let servers = &upstream.bootstrap_servers;
    found.compare("upstream.bootstrap_servers", Change::Drain, bootstrap_servers, servers, |s| join(s.iter()));
    let field = "upstream.connect_timeout";
    found.compare(field, Change::Live, connect_timeout, &upstream.connect_timeout, debug);
    tls::compare_upstream(found, "upstream.tls", tls.as_ref(), upstream.tls.as_ref());
    let show = |version: &Option<Version>| version.map_or("none".to_owned(), |version| version.to_string());
    // What has been said in front of a connection cannot be taken back.
    found.compare("upstream.proxy_protocol", Change::Drain, proxy_protocol, &upstream.proxy_protocol, show);
    sasl::compare_upstream(found, sasl.as_ref(), upstream.sasl.as_ref());
    sasl::compare_clients(found, client_sasl.as_ref(), new.sasl.as_ref());
    found.compare("drain_timeout", Change::Live, drain_timeout, &new.drain_timeout, debug);
    let show = |d: &Option<core::time::Duration>| d.map_or("none".to_owned(), |d| format!("{d:?}"));
    found.compare("idle_timeout", Change::Live, idle_timeout, &new.idle_timeout, show);
    let field = "first_request_timeout";
    found.compare(field, Change::Live, first_request_timeout, &new.first_request_timeout, debug);
    let (old, field) = (unfinished_request_timeout, "unfinished_request_timeout");
    found.compare(field, Change::Live, old, &new.unfinished_request_timeout, debug);
    let (old, field) = (unread_response_timeout, "unread_response_timeout");
    found.compare(field, Change::Live, old, &new.unread_response_timeout, debug);
    compare_limits(found, limits, &new.limits);
    compare_gateways(found, gateways, &new.gateways);
}

/// All of it is for what comes next: who is there stays.
fn compare_limits(found: &mut Differences, old: &Limits, new: &Limits) {
    fn live<T: PartialEq>(found: &mut Differences, name: &str, old: &T, new: &T, show: impl Fn(&T) -> String) {
        found.compare(&format!("limits.{name}"), Change::Live, old, new, show);
    }
    let Limits {
        max_request_frame,
        max_connections,
        max_connections_per_address,
        max_connections_per_principal,
        max_connection_rate,
        max_connection_rate_per_address,
        max_request_rate,
        max_buffered,
    } = old;
    let many = |n: &Option<usize>| n.map_or("none".to_owned(), |n| n.to_string());
    let rate = |n: &Option<u32>| n.map_or("none".to_owned(), |n| format!("{n}/s"));
    live(found, "max_request_frame", max_request_frame, &new.max_request_frame, |n| format!("{n} bytes"));
    live(found, "max_connections", max_connections, &new.max_connections, ToString::to_string);
    let (old, to) = (max_connections_per_address, &new.max_connections_per_address);
    live(found, "max_connections_per_address", old, to, many);
    let (old, to) = (max_connections_per_principal, &new.max_connections_per_principal);
    live(found, "max_connections_per_principal", old, to, many);
    live(found, "max_connection_rate", max_connection_rate, &new.max_connection_rate, rate);
    let (old, to) = (max_connection_rate_per_address, &new.max_connection_rate_per_address);
    live(found, "max_connection_rate_per_address", old, to, rate);
    live(found, "max_request_rate", max_request_rate, &new.max_request_rate, rate);
    live(found, "max_buffered", max_buffered, &new.max_buffered, |n| format!("{n} bytes"));
}

fn compare_gateways(found: &mut Differences, old: &[Gateway], new: &[Gateway]) {
    for gateway in old {
        let field = format!("gateways.{}", gateway.name);
        match new.iter().find(|g| g.name == gateway.name) {
            // Clients that came in through it were told addresses which will not be there any more.
            None => found.push(field, Change::Drain, Some(show_gateway(gateway)), None),
            Some(now) => compare_gateway(found, &field, gateway, now),
        }
    }
    for gateway in new.iter().filter(|g| old.iter().all(|o| o.name != g.name)) {
        let field = format!("gateways.{}", gateway.name);
        found.push(field, Change::Live, None, Some(show_gateway(gateway)));
    }
}

fn compare_gateway(found: &mut Differences, field: &str, old: &Gateway, new: &Gateway) {
    let Gateway { name, kind, tls, proxy_protocol } = old;
    let name_field = format!("{field}.name");
    found.compare(&name_field, Change::Live, &name.as_str(), &new.name.as_str(), |n| (*n).to_owned());
    let change = match (kind, &new.kind) {
        (GatewayKind::PortPerBroker(old), GatewayKind::PortPerBroker(new)) if keeps_its_addresses(old, new) => {
            Change::Live
        }
        // Clients were told addresses that will not be there any more.
        (GatewayKind::PortPerBroker(_) | GatewayKind::Sni(_), GatewayKind::PortPerBroker(_) | GatewayKind::Sni(_)) => {
            Change::Drain
        }
    };
    if *kind != new.kind {
        found.push(field.to_owned(), change, Some(show_gateway(old)), Some(show_gateway(new)));
    }
    tls::compare_clients(found, &format!("{field}.tls"), tls.as_ref(), new.tls.as_ref());
    let same_demand = core::mem::discriminant(proxy_protocol) == core::mem::discriminant(&new.proxy_protocol);
    let change = match kind {
        GatewayKind::PortPerBroker(_) if same_demand => Change::Live,
        // Connections that are there came in another way; or others are at the same listener, which has one way for all.
        GatewayKind::PortPerBroker(_) | GatewayKind::Sni(_) => Change::Drain,
    };
    let field = format!("{field}.proxy_protocol");
    found.compare(&field, change, proxy_protocol, &new.proxy_protocol, ToString::to_string);
}

/// Whether every address that a client can have been told still leads to the same node.
fn keeps_its_addresses(old: &PortPerBroker, new: &PortPerBroker) -> bool {
    let same_place = old.bind() == new.bind() && old.advertised_host() == new.advertised_host();
    same_place && old.ports().all(|(port, route)| new.route_at(port) == Some(route))
}

fn compare_files(found: &mut Differences, old: &Material, new: &Material) {
    for (field, file) in &old.files {
        match new.files.get(field) {
            Some(now) if now == file => {}
            Some(_) => found.push(format!("contents of {field}"), change_of(file.purpose), None, None),
            // That the field no longer names a file is a change of the values as well; it counts once more here so that it
            // cannot be missed.
            None => found.push(format!("{field}: no longer there"), change_of(file.purpose), None, None),
        }
    }
    for (field, file) in new.files.iter().filter(|(field, _)| !old.files.contains_key(*field)) {
        found.push(format!("{field}: new"), change_of(file.purpose), None, None);
    }
}

const fn change_of(purpose: FilePurpose) -> Change {
    match purpose {
        FilePurpose::TowardsClients | FilePurpose::Sasl => Change::Live,
        FilePurpose::TowardsUpstream => Change::Drain,
    }
}

/// A warning where a removed cluster seems to come back under another name.
pub(super) fn rename_hint<'a>(
    removed: &VirtualCluster,
    mut added: impl Iterator<Item = &'a VirtualCluster>,
) -> Option<String> {
    let servers = &removed.upstream.bootstrap_servers;
    let alike = added.find(|a| a.upstream.bootstrap_servers == *servers)?;
    Some(format!(
        "{} looks like {} under another name: a name is an identity, so the one is stopped and the other is new, with \
         metrics, history and connections of its own",
        alike.name, removed.name
    ))
}

fn show_gateway(gateway: &Gateway) -> String {
    match &gateway.kind {
        GatewayKind::PortPerBroker(ports) => {
            let (bind, host) = (ports.bind(), ports.advertised_host());
            let mut text = format!("{host} at {bind}, bootstrap {}", ports.bootstrap_port());
            for range in ports.nodes() {
                let (first, last) = (range.ids.start(), range.ids.end());
                write!(text, ", nodes {first}..={last} from {}", range.first_port).expect("a string takes any text");
            }
            text
        }
        GatewayKind::Sni(sni) => sni.to_string(),
    }
}

fn join(all: impl Iterator<Item = impl fmt::Display>) -> String {
    all.map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

fn debug(value: &impl fmt::Debug) -> String {
    format!("{value:?}")
}
