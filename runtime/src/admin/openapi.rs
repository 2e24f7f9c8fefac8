//! Keeps `docs/openapi.json` true: its schemas are made of the types, its paths are those that are served, and real answers
//! are what it says.

use super::{
    Api, Guard, router,
    routes::{self, Done, Refusal},
};
use crate::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Proxy, Source},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use kroxy_core::{
    config::Admin,
    reload::Plan,
    status::{Event, ReloadReport, Status},
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, env, fs, path::PathBuf};
use tokio::sync::watch;

/// One path: method, path, what it is for, its parameters, and its answers.
type Described = (&'static str, &'static str, &'static str, Value, Vec<(u16, &'static str, Value)>);

fn schema(name: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } })
}

fn text(kind: &str) -> Value {
    json!({ kind: { "schema": { "type": "string" } } })
}

fn query(name: &str, what: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": what, "schema": schema })
}

fn probes() -> Vec<Described> {
    let require = query("require", "What has to serve.", &json!({ "enum": ["all", "any"], "default": "all" }));
    let cluster = query("cluster", "Only this virtual cluster.", &json!({ "type": "string" }));
    vec![
        ("get", "/livez", "Whether the process answers.", json!([]), vec![(200, "It does.", text("text/plain"))]),
        (
            "get",
            "/readyz",
            "Whether the proxy is started and its virtual clusters serve.",
            json!([require, cluster]),
            vec![
                (200, "Ready.", text("text/plain")),
                (400, "The query makes no sense.", schema("Refusal")),
                (404, "There is no such virtual cluster.", schema("Refusal")),
                (503, "Not ready: what is missing, a line each.", text("text/plain")),
            ],
        ),
        (
            "get",
            "/metrics",
            "Metrics for Prometheus.",
            json!([]),
            vec![(200, "The metrics.", text("text/plain; version=0.0.4"))],
        ),
    ]
}

fn views() -> Vec<Described> {
    let last = json!({ "name": "Last-Event-ID", "in": "header", "required": false, "schema": { "type": "string" },
        "description": "The id of the last event that was heard: those after it come first." });
    let description = json!({ "application/json": { "schema": { "type": "object" } } });
    let events = json!({ "text/event-stream": { "schema": { "$ref": "#/components/schemas/Event" } } });
    vec![
        ("get", "/api/v1/openapi.json", "This description.", json!([]), vec![(200, "The description.", description)]),
        ("get", "/api/v1/status", "Everything that can be seen.", json!([]), vec![(200, "It.", schema("Status"))]),
        (
            "get",
            "/api/v1/events",
            "What happens, as server-sent events whose data is an Event each. Ends with the proxy.",
            json!([last]),
            vec![(200, "The events.", events)],
        ),
    ]
}

fn commands() -> Vec<Described> {
    let name = json!([{ "name": "name", "in": "path", "required": true, "schema": { "type": "string" },
        "description": "The name of a virtual cluster, in any case." }]);
    let cluster = |done: &'static str, not_now: &'static str| {
        vec![
            (200, done, schema("Done")),
            (404, "There is no such virtual cluster.", schema("Refusal")),
            (409, not_now, schema("Refusal")),
        ]
    };
    let dry_run = query("dry_run", "Only say what would be done.", &json!({ "type": "boolean", "default": false }));
    let called = query("name", "What messages call the text.", &json!({ "type": "string" }));
    let either = |a: &str, b: &str| {
        let of = |name| json!({ "$ref": format!("#/components/schemas/{name}") });
        json!({ "application/json": { "schema": { "oneOf": [of(a), of(b)] } } })
    };
    vec![
        (
            "post",
            "/api/v1/clusters/{name}/drain",
            "Takes clients off a virtual cluster; it stays drained until it is retried.",
            name.clone(),
            cluster("The drain has begun.", "It does not serve."),
        ),
        (
            "post",
            "/api/v1/clusters/{name}/retry",
            "Brings a failed or drained virtual cluster back.",
            name,
            cluster("The attempt has begun.", "It neither failed nor was drained."),
        ),
        (
            "post",
            "/api/v1/reload",
            "Reads the configuration file again and puts it in force. Answers when that is over.",
            json!([dry_run]),
            vec![
                (200, "How it went; with dry_run, what would be done.", either("ReloadReport", "Plan")),
                (400, "The query makes no sense.", schema("Refusal")),
                (409, "Another reload is running, or the proxy is not.", either("ReloadReport", "Refusal")),
                (422, "The configuration is not accepted.", either("ReloadReport", "Refusal")),
            ],
        ),
        (
            "post",
            "/api/v1/plan",
            "Says what a reload would do if the configuration file held the text that is posted.",
            json!([called]),
            vec![
                (200, "What would be done.", schema("Plan")),
                (400, "The query makes no sense.", schema("Refusal")),
                (408, "The text has not come in time.", schema("Refusal")),
                (413, "No configuration is that long.", schema("Refusal")),
                (422, "The configuration is invalid: a line for each thing that is wrong.", schema("Refusal")),
            ],
        ),
        (
            "post",
            "/api/v1/shutdown",
            "Stops the proxy gracefully.",
            json!([]),
            vec![(202, "It is stopping.", schema("Done"))],
        ),
    ]
}

fn paths() -> Value {
    let mut paths = Map::new();
    for (method, path, what, parameters, answers) in probes().into_iter().chain(views()).chain(commands()) {
        let mut answers: Map<_, _> = answers
            .into_iter()
            .map(|(code, what, content)| (code.to_string(), json!({ "description": what, "content": content })))
            .collect();
        let mut operation = json!({ "summary": what, "parameters": parameters });
        if path == "/livez" || path == "/readyz" {
            operation["security"] = json!([{}]);
        } else {
            for (code, what) in [
                ("401", "The token is missing or wrong."),
                ("403", "A web page asks, or a host name that is not the machine's own."),
                ("503", "The token file cannot be read."),
            ] {
                answers.insert(code.to_owned(), json!({ "description": what, "content": schema("Refusal") }));
            }
        }
        if path == "/api/v1/plan" {
            operation["requestBody"] = json!({ "required": true, "content": text("text/plain") });
        }
        operation["responses"] = Value::Object(answers);
        paths.insert(path.to_owned(), json!({ method: operation }));
    }
    Value::Object(paths)
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<Status>();
    generator.subschema_for::<Event>();
    generator.subschema_for::<Plan>();
    generator.subschema_for::<ReloadReport>();
    generator.subschema_for::<Done>();
    generator.subschema_for::<Refusal>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The admin API of kroxy",
            "version": kroxy_core::status::API_VERSION.to_string(),
            "description": "Watches and steers one proxy. docs/operations.md says how to use it.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9190" }],
        "security": [{}, { "token": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": generator.take_definitions(true),
        },
    })
}

#[test]
fn the_description_is_that_of_the_types() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let wanted = serde_json::to_string_pretty(&document()).expect("serializable") + "\n";
    assert!(!wanted.contains("[`"), "links of rustdoc lead nowhere in a description of the API");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).expect("writable");
        return;
    }
    let written = fs::read_to_string(&path).expect("the description is there");
    assert!(written == wanted, "docs/openapi.json is stale: UPDATE_DOCS=1 cargo test -p runtime description");
}

#[test]
fn what_is_described_is_what_is_served() {
    let served: BTreeSet<_> =
        routes::all::<OsNet>().into_iter().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    let document = document();
    let paths = document["paths"].as_object().expect("paths").iter();
    let described: BTreeSet<_> = paths
        .flat_map(|(path, operations)| {
            operations.as_object().expect("operations").keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    assert_eq!(described, served);
}

/// The admin API of a proxy, without a socket.
struct Served {
    proxy: Proxy<OsNet>,
    router: Router,
    document: Value,
}

impl Served {
    fn new() -> Self {
        let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config/two-clusters.ron");
        let config = config::load(&fixture).expect("valid");
        let proxy = Proxy::new(load::loaded(config), Source::file(fixture), OsNet, Clock::system(), 1);
        let (_, stop) = watch::channel(false);
        let guard = Guard::new(&Admin::default()).expect("nothing to read");
        Self { router: router(Api { proxy: proxy.clone(), stop }, guard), proxy, document: document() }
    }

    /// Asks, and sees that the answer is one of those that are described.
    async fn ask(&self, method: &str, described: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let question = Request::builder().method(method.to_uppercase().as_str()).uri(path);
        let question = question.body(Body::from(body.to_owned())).expect("a question");
        let answer = TowerToHyperService::new(self.router.clone()).call(question).await.expect("it always answers");
        let status = answer.status();
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let body = to_bytes(answer.into_body(), usize::MAX).await.expect("all of it");
        let operation = &self.document["paths"][described][method];
        let content = &operation["responses"][status.as_str()]["content"];
        let content = content.as_object().unwrap_or_else(|| panic!("{method} {path}: {status} is not described"));
        let (described, wanted) = content.iter().next().expect("a kind of content");
        assert!(kind.starts_with(described.as_str()), "{method} {path}: {kind} instead of {described}");
        if kind != "application/json" {
            return (status, Value::Null);
        }
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        let schema = json!({ "allOf": [wanted["schema"]], "components": self.document["components"] });
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let wrong: Vec<_> = validator.iter_errors(&answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{method} {path}: {wrong:?}");
        (status, answer)
    }
}

#[tokio::test]
async fn real_answers_are_as_described() {
    let served = Served::new();
    let status = "/api/v1/status";
    let (_, shown) = served.ask("get", status, status, "").await;
    assert_eq!(shown["proxy"]["state"], "new");
    assert!(served.ask("get", "/readyz", "/readyz", "").await.0 == StatusCode::SERVICE_UNAVAILABLE);
    for path in ["/livez", "/metrics", "/api/v1/openapi.json"] {
        assert_eq!(served.ask("get", path, path, "").await.0, StatusCode::OK, "{path}");
    }
    let bad = served.ask("get", "/readyz", "/readyz?require=most", "").await;
    assert_eq!(bad.0, StatusCode::BAD_REQUEST);
    assert_eq!(served.ask("get", "/readyz", "/readyz?cluster=x", "").await.0, StatusCode::NOT_FOUND);
    let plan = "/api/v1/plan";
    let (code, refused) = served.ask("post", plan, "/api/v1/plan?name=new.ron", "(").await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused["error"].as_str().expect("words").starts_with("new.ron:1:"), "{refused}");
    let reload = "/api/v1/reload";
    assert_eq!(served.ask("post", reload, "/api/v1/reload?dry_run=true", "").await.0, StatusCode::OK);
    served.proxy.shutdown("the test is over");
    let (_, shown) = served.ask("get", status, status, "").await;
    assert_eq!(shown["proxy"]["state"], "stopped");
}

/// Every field has one value at least, so that a schema that leaves any out is seen.
#[test]
fn a_schema_describes_every_field_that_is_written() {
    let document = document();
    let schema = |name: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
        jsonschema::validator_for(&schema).expect("a schema")
    };
    let status = serde_json::to_value(Status::default()).expect("serializable");
    assert!(schema("Status").is_valid(&status));
    let fields = status.as_object().expect("an object").keys();
    for field in fields {
        let mut without = status.clone();
        without.as_object_mut().expect("an object").remove(field);
        assert!(!schema("Status").is_valid(&without), "{field} is always there");
    }
    assert!(schema("Event").is_valid(&serde_json::to_value(Event::default()).expect("serializable")));
    assert!(schema("Plan").is_valid(&serde_json::to_value(Plan::default()).expect("serializable")));
}
