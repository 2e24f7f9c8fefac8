//! OAUTHBEARER in each mode: kroxy logs in to Kafka with tokens of its own, lets clients in by theirs, or passes them on. Kafka reads
//! the keys of the same issuer, and both sides end sessions after seconds.

use crate::credentials::demand_renewed;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tests::cluster::{Cluster, Listener};
use tests::configuration::Configuration;
use tests::issuer::{ISSUER, Issuer};
use tests::library::{Library, Load, demand};
use tests::process::{run, wait_until};
use tests::proxy::Proxy;
use tests::{Mode, Turn, admin, asked_for, scratch};

/// Seconds for which a token holds.
const LIFE: u64 = 16;

/// For how long kroxy and Kafka believe anybody (KIP-368). Clients renew it with the last 5 to 15 % of this time before them, which has to be
/// enough on a machine that is busy.
const SESSION_MS: u64 = 6_000;

/// How long records flow, in seconds: tokens and sessions end several times meanwhile.
const FLOWING: u64 = 20;

/// Whose tokens are for kroxy is nobody to Kafka, and the other way round.
const FOR_KAFKA: &str = "kafka";
const FOR_KROXY: &str = "kroxy";

/// What a virtual cluster does with SASL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// Clients prove to kroxy who they are, and kroxy to Kafka who it is.
    Swapped,
    /// Kafka judges the tokens of clients.
    Passed,
    /// Nobody asks clients, and kroxy logs in.
    Own,
}

impl Tokens {
    const ALL: [Self; 3] = [Self::Swapped, Self::Passed, Self::Own];

    const fn name(self) -> &'static str {
        match self {
            Self::Swapped => "swapped",
            Self::Passed => "passed",
            Self::Own => "own",
        }
    }

    /// Whom a client shows its tokens.
    const fn audience(self) -> Option<&'static str> {
        match self {
            Self::Swapped => Some(FOR_KROXY),
            Self::Passed => Some(FOR_KAFKA),
            Self::Own => None,
        }
    }
}

/// A broker that believes the issuer, and nobody for longer than a session.
fn kafka<'turn>(turn: &'turn Turn, issuer: &Issuer) -> Cluster<'turn> {
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearer";
    let keys = issuer.keys();
    let settings = [
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        format!("listener.name.sasl.oauthbearer.sasl.jaas.config={oauth}LoginModule required;"),
        format!("listener.name.sasl.oauthbearer.sasl.server.callback.handler.class={oauth}ValidatorCallbackHandler"),
        format!("sasl.oauthbearer.jwks.endpoint.url={keys}"),
        format!("sasl.oauthbearer.expected.issuer={ISSUER}"),
        format!("sasl.oauthbearer.expected.audience={FOR_KAFKA}"),
        format!("connections.max.reauth.ms={SESSION_MS}"),
    ];
    let allowed = format!("--java=-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}");
    let options = ["--sasl", &allowed].into_iter().chain(settings.iter().flat_map(|setting| ["-c", setting]));
    Cluster::start(turn, 1, &options.collect::<Vec<_>>())
}

/// kroxy with a virtual cluster for each mode.
fn kroxy(story: &str, issuer: &Issuer, cluster: &Cluster<'_>) -> (Proxy, Configuration) {
    fs::write(scratch(story).join("secret"), "kroxy-secret\n").expect("cargo's output folder is writable");
    let mut configured = Configuration::new(&Tokens::ALL.map(Tokens::name), &cluster.bootstrap(Listener::Sasl));
    for (tokens, of) in Tokens::ALL.into_iter().zip(&mut configured.clusters) {
        if tokens == Tokens::Swapped {
            of.more = format!(
                r#"sasl: (mechanisms: ["OAUTHBEARER"], session_max: "{SESSION_MS}ms", oauth: (keys: Url("{}"), issuer: "{ISSUER}",
                audiences: ["{FOR_KROXY}"])),"#,
                issuer.keys()
            );
        }
        if tokens != Tokens::Passed {
            of.upstream_more = format!(
                r#"sasl: (mechanism: "OAUTHBEARER", oauth: (endpoint: "{}", client_id: "kroxy", client_secret_file: "secret"))"#,
                issuer.endpoint(FOR_KAFKA)
            );
        }
    }
    (Proxy::serve(story, &configured), configured)
}

/// Java sends records for a while, and reads them.
fn java(story: &str, issuer: &Issuer, cluster: &Cluster<'_>, tokens: Tokens, bootstrap: &str) {
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearer";
    let endpoint = issuer.endpoint(tokens.audience().expect("clients have tokens"));
    let settings = scratch(story).join(format!("{}.properties", tokens.name()));
    let text = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.jaas.config={oauth}LoginModule required;\n\
         sasl.login.callback.handler.class={oauth}LoginCallbackHandler\nsasl.oauthbearer.token.endpoint.url={endpoint}\n\
         sasl.oauthbearer.client.credentials.client.id=alice\n\
         sasl.oauthbearer.client.credentials.client.secret=alice-secret\n"
    );
    fs::write(&settings, text).expect("cargo's output folder is writable");
    let common = format!("--bootstrap-server {bootstrap} --topic java-{}", tokens.name());
    let records = FLOWING * 200;
    for (tool, more, wanted) in [
        ("producer-perf-test", "--record-size 100 --throughput 200", format!("{records} records sent")),
        ("consumer-perf-test", "--group java", format!(", {records},")),
    ] {
        let mut command: Command = cluster.script("kafka");
        command.arg(tool).args(format!("{common} --num-records {records} {more}").split(' '));
        command.arg("--command-config").arg(&settings);
        command.env("JAVA_TOOL_OPTIONS", format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={endpoint}"));
        let said = run(Duration::from_secs(120), &command).demand(tool);
        assert!(said.contains(&wanted), "{said}");
    }
}

/// Whom kroxy takes the clients of a virtual cluster for, and by what.
fn known_as(tokens: Tokens) -> Vec<(String, String)> {
    let status = admin::status();
    let clusters = status["virtual_clusters"].as_array().expect("a list");
    let cluster = clusters.iter().find(|cluster| cluster["name"] == tokens.name()).expect("it is configured");
    let upstream = &cluster["upstream"];
    let own = (tokens != Tokens::Passed).then_some(("kroxy", "OAUTHBEARER"));
    assert_eq!(upstream["user"].as_str().zip(upstream["sasl_mechanism"].as_str()), own, "{upstream}");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let clients = cluster["clients"].as_array().expect("a list").iter();
    clients.map(|client| (text(&client["principal"]), text(&client["sasl_mechanism"]))).collect()
}

#[test]
fn tokens_are_swapped_passed_or_of_kroxy_alone_and_end_again_and_again_while_records_flow() {
    let story = "tokens";
    let Some(turn) = asked_for(story).filter(|turn| turn.mode == Mode::Proxied) else { return };
    let issuer = Issuer::new(LIFE);
    let cluster = kafka(&turn, &issuer);
    let (proxy, configured) = kroxy(story, &issuer, &cluster);
    let at = |tokens: Tokens| configured.clusters[tokens as usize].bootstrap();
    let load = |tokens: Tokens, library| {
        let load = Load::new(library, "idempotent").with("--records", 300).with("--seconds", FLOWING);
        match tokens.audience() {
            Some(audience) => load
                .with("--sasl", "OAUTHBEARER")
                .with("--token-endpoint", issuer.endpoint(audience))
                .start(&at(tokens)),
            None => load.start(&at(tokens)),
        }
    };
    let loads =
        Tokens::ALL.into_iter().flat_map(|tokens| Library::STEADFAST.map(|library| load(tokens, library))).collect();
    thread::scope(|scope| {
        for tokens in [Tokens::Swapped, Tokens::Passed] {
            let (issuer, cluster, at) = (&issuer, &cluster, at(tokens));
            scope.spawn(move || java(story, issuer, cluster, tokens, &at));
            wait_until("kroxy knows alice by her token", Duration::from_secs(60), || {
                known_as(tokens).contains(&("alice".to_owned(), "OAUTHBEARER".to_owned()))
            });
        }
        demand(loads);
    });
    assert!(known_as(Tokens::Own).iter().all(|(principal, _)| principal.is_empty()), "nobody has said who it is");
    demand_renewals(&issuer);
    let log = proxy.log();
    for secret in ["-secret", "eyJ"] {
        assert!(!log.contains(secret), "{log}"); // each token begins like this
    }
}

/// Tokens and sessions have ended and begun again, and nobody was closed for that.
fn demand_renewals(issuer: &Issuer) {
    for tokens in [Tokens::Swapped, Tokens::Own] {
        demand_renewed(tokens.name(), "kroxy_sasl_logins_total", "upstream_closed");
    }
    demand_renewed(Tokens::Swapped.name(), "kroxy_sasl_authentications_total", "session_expired");
    let given = issuer.given("kroxy", FOR_KAFKA);
    assert!((4..20).contains(&given), "{given} tokens: one serves all connections of a virtual cluster, until it ends");
    for audience in [FOR_KAFKA, FOR_KROXY] {
        assert!(
            issuer.given("alice", audience) > Library::STEADFAST.len(),
            "clients renew their tokens for {audience}"
        );
    }
    for cause in ["upstream_login_failed", "authentication_failed", "authentication_unavailable", "upstream_misbehaved"]
    {
        assert!(admin::metric("kroxy_disconnects_total", &[("cause", cause)]) < 1.0, "{cause}");
    }
    assert!(admin::metric("kroxy_sasl_refused_total", &[]) < 1.0);
}
