//! The table in `docs/protocol.md` is made from the table of APIs in the code: this test fails when it is stale.
//!
//! `UPDATE_DOCS=1 cargo test -p kroxy-core --test protocol` writes it anew, between its two marks; the rest of the page is
//! written by hand.

use kroxy_core::api::{APIS, Api, ApiKey, DrainTreatment, RequestTreatment, ResponseTreatment};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
const BEGIN: &str = "<!-- Made from core/src/api.rs by core/tests/protocol.rs; UPDATE_DOCS=1 makes it anew. -->\n";
const END: &str = "<!-- The end of what is made. -->\n";

fn table() -> String {
    let head = "| key | API | versions | request | response | in a drain |\n|---|---|---|---|---|---|\n".to_owned();
    head + &APIS.iter().map(row).collect::<String>()
}

fn row(api: &Api) -> String {
    let Api { key, name, min, max, .. } = api;
    let (request, response) = match api.request {
        RequestTreatment::Refuse => ("refused", "–".to_owned()),
        RequestTreatment::Relay => ("relayed", responses(api)),
        RequestTreatment::Produce => ("relayed, head and `acks` read", responses(api)),
        RequestTreatment::Frame => ("read whole", responses(api)),
    };
    format!("| {} | {name} | {} | {request} | {response} | {} |\n", key.0, range(*min, *max), in_a_drain(api))
}

fn in_a_drain(api: &Api) -> String {
    match api.drain {
        DrainTreatment::Serve if api.request == RequestTreatment::Refuse => "refused".to_owned(),
        DrainTreatment::Serve => "as usual".to_owned(),
        DrainTreatment::Execute => "executed".to_owned(),
        DrainTreatment::Reject(error) => error.name().to_owned(),
        DrainTreatment::Close => "closes".to_owned(),
    }
}

fn range(first: i16, last: i16) -> String {
    match last - first {
        ..0 => "none".to_owned(),
        0 => first.to_string(),
        1.. => format!("{first}–{last}"),
    }
}

/// What becomes of the responses: "relayed", or "3–9 relayed, 10–13 rewritten".
fn responses(api: &Api) -> String {
    let word = |version| match api.response_treatment(version) {
        ResponseTreatment::Relay => "relayed",
        ResponseTreatment::Rewrite => "**rewritten**",
        ResponseTreatment::Records => "**rewritten** when small, **masked** when large",
        ResponseTreatment::ApiVersions => "**intersected**",
    };
    let mut runs: Vec<(i16, i16, &str)> = Vec::new();
    for version in api.min..=api.max {
        match runs.last_mut() {
            Some((_, last, run)) if *run == word(version) => *last = version,
            Some(_) | None => runs.push((version, version, word(version))),
        }
    }
    match &runs[..] {
        [(_, _, only)] => (*only).to_owned(),
        runs => {
            let runs = runs.iter().map(|(first, last, run)| format!("{}: {run}", range(*first, *last)));
            runs.collect::<Vec<_>>().join("; ")
        }
    }
}

/// The page in three parts: before the table, the table, and behind it.
fn parts(page: &str) -> (&str, &str, &str) {
    let (before, rest) = page.split_once(BEGIN).expect("the page has the mark before the table");
    let (table, behind) = rest.split_once(END).expect("the page has the mark behind the table");
    (before, table, behind)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the page is a file; nothing of this is in the product")]
fn the_page_is_what_the_code_says() {
    let mut page = std::fs::read_to_string(PATH).expect("docs/protocol.md is there");
    if std::env::var("UPDATE_DOCS").is_ok() {
        let (before, _, behind) = parts(&page);
        page = [before, BEGIN, &table(), END, behind].concat();
        std::fs::write(PATH, &page).expect("docs can be written");
    }
    assert_eq!(parts(&page).1, table(), "stale: run UPDATE_DOCS=1 cargo test -p kroxy-core --test protocol");
}

#[test]
fn a_row_tells_versions_with_addresses_from_those_without() {
    let produce = Api::find(ApiKey::PRODUCE).expect("known");
    let expected = "| 0 | Produce | 3–13 | relayed, head and `acks` read | 3–9: relayed; 10–13: **rewritten** | \
                    NOT_LEADER_OR_FOLLOWER |\n";
    assert_eq!(row(produce), expected);
}
