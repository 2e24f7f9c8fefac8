//! The clients of a virtual cluster: who they are in as many words as there is room for, and what they do in figures.

use kroxy_core::status::{ClientStatus, ClusterStatus};
use ratatui::text::{Line, Span};

use super::Section;
use super::sections::note;
use crate::format;
use crate::model::Model;
use crate::theme::Tone;
use crate::view::text::{left, right, width};

/// Columns of the terminal that the margin and the four figures take.
const FIGURES: usize = 3 + 6 + 7 + 8 + 8;

/// Columns that a text should have at least, if it wants them: with fewer it says too little to stand there.
const LEAST: usize = 16;

/// The busiest clients.
pub(super) fn clients(model: &Model, cluster: &ClusterStatus, columns: usize) -> Section {
    let style = |tone| model.theme.style(tone);
    let mut lines = Vec::new();
    if cluster.clients.is_empty() {
        lines.push(note(model, "none"));
    } else {
        let texts = texts(&cluster.clients, columns.saturating_sub(FIGURES));
        let titles = texts.iter().map(|text| text.cell(text.title)).collect::<Vec<_>>().join(" ");
        let of_figures = figures(["conns", "flight", "in", "out"].map(str::to_owned)).concat();
        lines.push(Line::styled(format!("   {titles}{of_figures}"), style(Tone::Faint)));
        for (n, client) in cluster.clients.iter().enumerate() {
            let mut line = Line::default();
            for (text, before) in texts.iter().zip(std::iter::once("   ").chain(std::iter::repeat(" "))) {
                line.push_span(Span::styled(format!("{before}{}", text.cell(&text.of[n])), style(text.tone)));
            }
            let [conns, flight, bytes_in, bytes_out] = figures([
                format::count(client.connections),
                format::count(client.in_flight),
                format::bytes(client.bytes_in as f64),
                format::bytes(client.bytes_out as f64),
            ]);
            line.push_span(Span::styled(format!("{conns}{flight}"), style(Tone::Plain)));
            line.push_span(Span::styled(bytes_in, style(Tone::In)));
            line.push_span(Span::styled(bytes_out, style(Tone::Out)));
            lines.push(line);
        }
    }
    let remark = "busiest first; bytes of their open connections".to_owned();
    Section { title: "clients", remark, lines }
}

fn figures([conns, flight, bytes_in, bytes_out]: [String; 4]) -> [String; 4] {
    [right(&conns, 6), right(&flight, 7), right(&bytes_in, 8), right(&bytes_out, 8)]
}

/// A text that is told of each client.
#[derive(Clone)]
struct Text {
    title: &'static str,
    tone: Tone,
    of: Vec<String>,
    /// Columns of the terminal: what it wants, and then what it gets.
    columns: usize,
}

impl Text {
    fn new(
        title: &'static str,
        tone: Tone,
        most: usize,
        clients: &[ClientStatus],
        of: fn(&ClientStatus) -> String,
    ) -> Self {
        let of: Vec<_> = clients.iter().map(of).collect();
        let longest = of.iter().map(|text| width(text)).max().unwrap_or(0);
        Self { title, tone, columns: longest.max(title.len()).min(most), of }
    }

    fn cell(&self, text: &str) -> String {
        left(text, self.columns)
    }
}

/// What is told in that many columns: mechanisms and load balancers only where everything else has its place, and what is missing first
/// where there is little room is what the client runs on, then where it is, then who it is.
fn texts(clients: &[ClientStatus], room: usize) -> Vec<Text> {
    let id = Text::new("client.id", Tone::Plain, 40, clients, id);
    let software = Text::new("software", Tone::Faint, 28, clients, software);
    let address = Text::new("address", Tone::Faint, 39, clients, |client| client.address.clone());
    let address_via = Text::new("address", Tone::Faint, 79, clients, address_via);
    let is_anybody_known = clients.iter().any(|client| client.principal.is_some());
    let known = |of| is_anybody_known.then(|| Text::new("principal", Tone::Plain, 40, clients, of));
    let (principal, principal_by) = (known(principal), known(principal_by));
    let told = |principal: &Option<Text>, others: &[&Text]| {
        std::iter::once(&id).chain(principal).chain(others.iter().copied()).cloned().collect::<Vec<_>>()
    };
    let told = [
        (told(&principal_by, &[&address_via, &software]), usize::MAX),
        (told(&principal_by, &[&address, &software]), usize::MAX),
        (told(&principal, &[&address, &software]), LEAST),
        (told(&principal, &[&address]), LEAST),
        (told(&principal, &[]), LEAST),
    ];
    let fits = |texts: &[Text], least: usize| {
        texts.iter().map(|text| text.columns.min(least)).sum::<usize>() + texts.len() - 1 <= room
    };
    let found = told.into_iter().find(|(texts, least)| fits(texts, *least));
    shared(found.map_or_else(|| vec![id], |(texts, _)| texts), room)
}

/// Gives each its part of the room. Whoever wants less than an equal part gets it, and the others share what is left.
fn shared(mut texts: Vec<Text>, room: usize) -> Vec<Text> {
    let mut left = room.saturating_sub(texts.len() - 1);
    let mut by_wish: Vec<_> = texts.iter_mut().collect();
    by_wish.sort_by_key(|text| text.columns);
    let all = by_wish.len();
    for (n, text) in by_wish.into_iter().enumerate() {
        text.columns = text.columns.min(left / (all - n));
        left -= text.columns;
    }
    texts
}

fn id(client: &ClientStatus) -> String {
    if client.client_id.is_empty() { "(no client.id)".to_owned() } else { client.client_id.clone() }
}

fn principal(client: &ClientStatus) -> String {
    client.principal.clone().unwrap_or_else(|| "-".to_owned())
}

fn principal_by(client: &ClientStatus) -> String {
    let principal = principal(client);
    client.sasl_mechanism.as_ref().map_or_else(|| principal.clone(), |mechanism| format!("{principal} by {mechanism}"))
}

fn address_via(client: &ClientStatus) -> String {
    let address = &client.address;
    client.via.as_ref().map_or_else(|| address.clone(), |via| format!("{address} via {via}"))
}

fn software(client: &ClientStatus) -> String {
    match (&client.software_name, &client.software_version) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        (Some(name), None) => name.clone(),
        (None, Some(version)) => version.clone(),
        (None, None) => "not said".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(clients: &[ClientStatus], columns: usize) -> Vec<&'static str> {
        texts(clients, columns - FIGURES).iter().map(|text| text.title).collect()
    }

    fn told(client: &ClientStatus, columns: usize) -> String {
        let texts = texts(std::slice::from_ref(client), columns - FIGURES);
        texts.iter().map(|text| text.cell(&text.of[0])).collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }

    fn client() -> ClientStatus {
        ClientStatus {
            client_id: "orders-api".into(),
            address: "10.4.10.4".into(),
            software_name: Some("apache-kafka-java".into()),
            software_version: Some("4.3.1".into()),
            ..ClientStatus::default()
        }
    }

    #[test]
    fn who_a_client_is_comes_before_what_it_runs_on() {
        let known = ClientStatus {
            via: Some("10.0.0.7".into()),
            principal: Some("orders".into()),
            sasl_mechanism: Some("SCRAM-SHA-512".into()),
            ..client()
        };
        let full = "orders-api orders by SCRAM-SHA-512 10.4.10.4 via 10.0.0.7 apache-kafka-java 4.3.1";
        assert_eq!(told(&known, 120), full);
        assert_eq!(told(&known, 110), full.replace(" via 10.0.0.7", ""));
        let narrow = "orders-api orders    10.4.10.4 apache-kafka-jav…";
        assert_eq!(told(&known, 80), narrow, "the column is as wide as its title");
        for (columns, are_told) in [(72, 3), (54, 2), (42, 1)] {
            let all = ["client.id", "principal", "address"];
            assert_eq!(titles(std::slice::from_ref(&known), columns), all[..are_told]);
        }
    }

    #[test]
    fn where_nobody_is_known_nothing_is_said_of_it() {
        assert_eq!(titles(&[client()], 80), ["client.id", "address", "software"]);
        let certified = ClientStatus { principal: Some("CN=orders".into()), ..client() };
        assert_eq!(told(&certified, 120), "orders-api CN=orders 10.4.10.4 apache-kafka-java 4.3.1");
        let texts = texts(&[certified, client()], 120);
        assert_eq!(texts[1].of, ["CN=orders", "-"]);
    }
}
