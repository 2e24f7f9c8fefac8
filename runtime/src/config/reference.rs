//! Keeps `docs/configuration.md` true: its reference is made of the raw types, their documentation and the hints.

use super::{hints, raw::RawConfig, syntax};
use serde_json::Value;
use std::{collections::BTreeSet, env, fmt::Write, fs, path::PathBuf};

const BEGIN: &str = "<!-- The reference: generated from the types. UPDATE_DOCS=1 cargo test -p runtime reference -->\n";
const END: &str = "<!-- The end of the reference. -->\n";

/// A field that the file may have.
struct Field {
    names: String,
    meaning: String,
    presence: Presence,
}

enum Presence {
    Required,
    /// A block whose fields all have defaults, or something that is absent unless set.
    Optional,
    Default(Value),
}

/// A struct of the file: its path, what it is, and its fields.
struct Block {
    names: String,
    meaning: String,
    fields: Vec<Field>,
}

/// What a `$ref`, a list or an `Option` is about.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    if let Some(to) = schema["$ref"].as_str() {
        return resolved(root.pointer(&to[1..]).expect("a reference within the schema"), root);
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let some = alternatives.iter().find(|alternative| alternative["type"] != "null");
        return resolved(some.expect("an option of something"), root);
    }
    match schema.get("items") {
        Some(items) if items.is_object() => resolved(items, root),
        _ => schema,
    }
}

fn text(schema: &Value) -> String {
    let description = schema["description"].as_str().expect("every field and block is documented");
    description.replace('\n', " ")
}

/// The struct at `names` and all within it, in the order of the hints, which is that of the types (JSON has none).
fn blocks(names: &str, schema: &Value, root: &Value, out: &mut Vec<Block>) {
    let at = out.len();
    out.push(Block { names: names.to_owned(), meaning: text(schema), fields: Vec::new() });
    let required: BTreeSet<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().expect("a struct has fields");
    let full = |name: &String| if names.is_empty() { name.clone() } else { format!("{names}.{name}") };
    let mut fields: Vec<_> = fields.iter().map(|(name, field)| (full(name), name, field)).collect();
    fields.sort_by_key(|(names, ..)| hints::RIGHT.iter().position(|(hinted, _)| hinted == names));
    for (names, name, field) in fields {
        let presence = match field.get("default") {
            _ if required.contains(name.as_str()) => Presence::Required,
            Some(Value::Null) | None => Presence::Optional,
            Some(default) => Presence::Default(default.clone()),
        };
        out[at].fields.push(Field { names: names.clone(), meaning: text(field), presence });
        let inner = resolved(field, root);
        if inner.get("properties").is_some() {
            blocks(&names, inner, root, out);
        }
    }
}

fn all_blocks() -> Vec<Block> {
    let schema = Value::from(schemars::schema_for!(RawConfig));
    let mut out = Vec::new();
    blocks("", &schema, &schema, &mut out);
    out
}

/// As RON writes it: a name of an enum has no quotes.
fn shown(default: &Value) -> String {
    fn ron(value: &Value) -> String {
        match (value.as_str(), value.as_array()) {
            (Some(name @ ("None" | "Off" | "Remaining" | "Tls12" | "Tls13")), _) => name.to_owned(),
            (None, Some(all)) => format!("[{}]", all.iter().map(ron).collect::<Vec<_>>().join(", ")),
            (Some(_) | None, _) => value.to_string(),
        }
    }
    format!("`{}`", ron(default))
}

fn reference() -> String {
    let mut out = String::new();
    for Block { names, meaning, fields } in all_blocks() {
        let heading = if names.is_empty() { "The file".to_owned() } else { format!("`{names}`") };
        write!(out, "### {heading}\n\n{meaning}\n\n| field | value | unless set | meaning |\n|---|---|---|---|\n")
            .expect("a string takes whatever is written to it");
        for Field { names, meaning, presence } in fields {
            let name = names.rsplit('.').next().unwrap_or_default();
            let right = hints::right(&names).unwrap_or_else(|| panic!("no hint for {names}"));
            let presence = match presence {
                Presence::Required => "required".to_owned(),
                Presence::Optional => "–".to_owned(),
                Presence::Default(default) => shown(&default),
            };
            writeln!(out, "| `{name}` | {right} | {presence} | {meaning} |")
                .expect("a string takes whatever is written to it");
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_reference_in_the_documentation_is_that_of_the_types() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let document = fs::read_to_string(&path).expect("the documentation is there");
    let (before, rest) = document.split_once(BEGIN).expect("the reference begins");
    let (written, after) = rest.split_once(END).expect("the reference ends");
    let wanted = format!("\n{}", reference());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("writable");
        return;
    }
    assert!(written == wanted, "docs/configuration.md is stale: UPDATE_DOCS=1 cargo test -p runtime reference");
}

#[test]
fn every_field_has_a_hint_and_no_hint_is_for_a_field_that_is_not_there() {
    let fields: BTreeSet<_> =
        all_blocks().into_iter().flat_map(|block| block.fields).map(|field| field.names).collect();
    let hints: BTreeSet<_> =
        hints::RIGHT.iter().map(|(names, _)| (*names).to_owned()).filter(|n| !n.is_empty()).collect();
    assert_eq!(hints, fields);
}

/// The schema and serde read the same attributes; this is whether they understand them alike.
#[test]
fn the_fields_of_the_reference_are_those_that_are_read() {
    for Block { names, fields, .. } in all_blocks() {
        let mut text = "stray: ()".to_owned();
        for name in names.split('.').rev().filter(|name| !name.is_empty()) {
            let is_list = matches!(name, "virtual_clusters" | "gateways" | "nodes" | "certificates");
            text = if is_list { format!("{name}: [({text})]") } else { format!("{name}: ({text})") };
        }
        let problem = syntax::read(&format!("({text})")).expect_err("there is no stray field");
        let mut known: Vec<_> = fields.iter().map(|field| field.names.rsplit('.').next().unwrap_or_default()).collect();
        known.sort_unstable();
        let help = problem.help().expect("the names of all fields");
        let (_, listed) = help.rsplit_once("are ").expect("a list of names");
        let mut listed: Vec<_> = listed.split(", ").map(|name| name.trim_matches('`')).collect();
        listed.sort_unstable();
        assert_eq!(listed, known, "in {names}: {help}");
    }
}

/// What the documentation shows is what it says.
#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let document = fs::read_to_string(&path).expect("the documentation is there");
    let examples: Vec<_> = document.split("```ron\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        if let Err(invalid) = super::parse_str("docs/configuration.md", example) {
            panic!("{}", invalid.report(false));
        }
    }
}
