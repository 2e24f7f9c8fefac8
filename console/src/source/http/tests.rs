//! Against a server of one answer: what goes over the wire, and what becomes of what comes back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;

use super::*;

/// Answers every request with what `answer` makes of its first line; tells what it was asked.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (asked, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let lines: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .map(|line| line.to_lowercase())
                .collect();
            let Some(first) = lines.first() else { continue };
            let text = answer(first);
            if asked.send(lines).is_err() || stream.write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn api(url: &str, authorization: Option<&str>) -> (Api, Receiver<Msg>) {
    let (news, came) = sync_channel(64);
    let mut access = Access::new(None, None, None).expect("nothing to read");
    access.authorization = authorization.map(str::to_owned);
    (Api { access, url: url.to_owned(), proxy: 3, news }, came)
}

fn outcome_of(status: &'static str, body: &'static str) -> Outcome {
    let (url, _requests) = serve(move |_| answer(status, body));
    api(&url, None).0.act(&Action::Shutdown)
}

#[test]
fn a_status_is_asked_for_with_the_token() {
    let (url, requests) = serve(|_| answer("200 OK", r#"{"version":"0.1.0","at_unix_ms":7}"#));
    let (api, _came) = api(&url, Some("Bearer s3cret"));
    assert_eq!(api.status().map(|status| (status.version, status.at_unix_ms)), Ok(("0.1.0".to_owned(), 7)));
    let request = requests.recv().expect("it was asked");
    assert_eq!(request[0], "get /api/v1/status http/1.1");
    assert!(request.contains(&"authorization: bearer s3cret".to_owned()), "{request:?}");
}

#[test]
fn a_missing_token_is_named() {
    let (url, _requests) = serve(|_| answer("401 Unauthorized", ""));
    let why = api(&url, None).0.status().expect_err("it was declined");
    assert!(why.contains("--token-file"), "{why}");
}

#[test]
fn who_is_not_let_in_reads_why() {
    let wants = r#"{"error":"the admin API wants a client certificate"}"#;
    let (url, _requests) = serve(move |_| answer("403 Forbidden", wants));
    let (api, _messages) = api(&url, None);
    let why = api.status().expect_err("it declines");
    assert!(why.ends_with(": the admin API wants a client certificate"), "{why}");
}

#[test]
fn nobody_there_is_a_refused_connection() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}", gone.expect("loopback has a free port"));
    assert_eq!(api(&url, None).0.status(), Err("connection refused".to_owned()));
}

#[test]
fn a_redirect_is_not_followed_with_the_token() {
    let (elsewhere, asked_elsewhere) = serve(|_| answer("200 OK", "{}"));
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let (url, _requests) = serve(move |_| redirect.clone());
    assert!(api(&url, Some("Bearer s3cret")).0.status().is_err());
    assert!(asked_elsewhere.try_recv().is_err());
}

#[test]
fn an_action_goes_to_its_path() {
    let (url, requests) = serve(|_| answer("202 Accepted", "{}"));
    let (api, _came) = api(&url, None);
    for (action, line) in [
        (Action::Drain("a/b é".into()), "post /api/v1/clusters/a%2fb%20%c3%a9/drain http/1.1"),
        (Action::Retry("orders".into()), "post /api/v1/clusters/orders/retry http/1.1"),
        (Action::Plan, "post /api/v1/reload?dry_run=true http/1.1"),
        (Action::Reload, "post /api/v1/reload http/1.1"),
        (Action::Shutdown, "post /api/v1/shutdown http/1.1"),
    ] {
        assert_eq!(api.act(&action), Outcome::Done { report: None, text: String::new() });
        assert_eq!(requests.recv().expect("it was asked")[0], line);
    }
}

#[test]
fn answers_become_outcomes() {
    assert_eq!(outcome_of("405 Method Not Allowed", ""), Outcome::NotOffered);
    assert_eq!(outcome_of("404 Not Found", ""), Outcome::NotOffered);
    let refused = |status, text: &str| Outcome::Refused { status, report: None, text: text.to_owned() };
    assert_eq!(outcome_of("404 Not Found", r#"{"error":"no such cluster"}"#), refused(404, "no such cluster"));
    assert_eq!(outcome_of("409 Conflict", "busy\n"), refused(409, "busy"));
    let rejected = r#"{"outcome":"rejected","errors":["line 3: no such field"]}"#;
    let Outcome::Refused { status: 422, report: Some(report), .. } = outcome_of("422 Unprocessable", rejected) else {
        panic!("a report came");
    };
    assert_eq!(report.errors, ["line 3: no such field"]);
}

#[test]
fn a_plan_is_read_as_one() {
    let body = r#"{"virtual_clusters":[{"name":"orders","action":"drain","fields":[{"field":"upstream","from":null,"to":"a"}],
        "after":[]}],"settings":[],"refused":[],"warnings":[]}"#;
    let (url, _requests) = serve(move |_| answer("200 OK", body));
    let Outcome::Planned(plan) = api(&url, None).0.act(&Action::Plan) else { panic!("a plan came") };
    assert_eq!(plan.virtual_clusters[0].fields[0].field, "upstream");
}

#[test]
fn no_answer_to_an_action_leaves_open_what_happened() {
    let (url, _requests) = serve(|_| String::new());
    assert!(matches!(api(&url, None).0.act(&Action::Reload), Outcome::NoAnswer(_)));
}

#[test]
fn events_come_one_by_one_and_the_last_id_is_remembered() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let body = ": hello\n\nid: 4\nevent: log\ndata: {\"seq\":4,\"event\":\"eclipse\"}\n\nid: 5\ndata: nonsense\n\n";
    let (url, requests) = serve(move |_| format!("{head}{body}"));
    let (api, came) = api(&url, None);
    let mut last_id = "3".to_owned();
    let ended = api.stream(&mut last_id).unwrap_or(EventsFeed::NotOffered);
    assert!(matches!(ended, EventsFeed::Lost(_)), "a stream that ends is lost, not over");
    assert_eq!(last_id, "5");
    assert!(requests.recv().expect("it was asked").contains(&"last-event-id: 3".to_owned()));
    let seen: Vec<_> = came.try_iter().collect();
    assert!(matches!(&seen[0], Msg::News { proxy: 3, news: News::Events(EventsFeed::Live) }));
    assert!(matches!(&seen[1], Msg::News { news: News::Event(event), .. } if event.seq == 4));
    assert!(matches!(&seen[2], Msg::News { news: News::Event(event), .. }
        if event.seq == 5 && event.severity() == Severity::Warn));
}

#[test]
fn a_proxy_without_events_is_known_as_one() {
    let (url, _requests) = serve(|_| answer("404 Not Found", ""));
    let ended = api(&url, None).0.stream(&mut String::new()).unwrap_or(EventsFeed::Connecting);
    assert_eq!(ended, EventsFeed::NotOffered);
}

#[test]
fn a_source_polls_and_polls_at_once_when_asked_to() {
    let (url, requests) =
        serve(|line| if line.contains("/status") { answer("200 OK", "{}") } else { answer("404 Not Found", "") });
    let (news, came) = sync_channel(64);
    let access = Access::new(None, None, None).expect("nothing to read");
    let source = Source::start(access, url, 0, news).expect("threads can be started");
    let status = || came.iter().find(|msg| matches!(msg, Msg::News { news: News::Status(_), .. }));
    assert!(status().is_some());
    source.refresh();
    assert!(status().is_some());
    drop(source);
    assert!(requests.iter().take(2).count() == 2);
}

#[test]
fn a_token_in_clear_text_is_noticed() {
    let mut access = Access::new(None, None, None).expect("nothing to read");
    assert!(!access.exposes_token_to("http://10.0.0.1:9190"), "there is none");
    access.authorization = Some("Bearer x".into());
    for (url, exposed) in [
        ("http://10.0.0.1:9190", true),
        ("https://10.0.0.1:9190", false),
        ("http://127.0.0.1:9190", false),
        ("http://[::1]:9190", false),
        ("http://localhost:9190", false),
    ] {
        assert_eq!(access.exposes_token_to(url), exposed, "{url}");
    }
}
