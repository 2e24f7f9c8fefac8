//! Server-sent events, for a reader that comes back.

use crate::folder::Folder;
use crate::kroxy::{Clusters, Kroxy};
use serde_json::Value;
use std::io::{BufRead, BufReader};

/// The events of a stream that begins after `last_id`: each with its id.
fn stream(kroxy: &Kroxy, last_id: Option<&str>) -> impl Iterator<Item = (String, Value)> + use<> {
    let mut request = ureq::get(format!("http://{}/api/v1/events", kroxy.admin()));
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    let body = request.call().expect("served").into_body();
    let mut lines = BufReader::new(body.into_reader()).lines();
    std::iter::from_fn(move || {
        let (mut id, mut data) = (String::new(), None);
        loop {
            let line = lines.next()?.expect("readable");
            match line.split_once(": ") {
                Some(("id", value)) => id = value.to_owned(),
                Some(("data", value)) => data = serde_json::from_str(value).ok(),
                _ => {}
            }
            if let (true, Some(data)) = (line.is_empty(), data.take_if(|_| line.is_empty())) {
                return Some((id, data));
            }
        }
    })
}

#[test]
fn a_reader_that_comes_back_hears_what_it_has_missed_and_the_end() {
    let (folder, clusters) = (Folder::new(), Clusters::new(&["orders"]));
    let mut kroxy = Kroxy::serve(&folder.write("proxy.ron", &clusters.with("127.0.0.1:1", "")));
    let mut first = stream(&kroxy, None);
    assert_eq!(kroxy.ask(&["drain", "orders"]).code, 0);
    // The log says that the proxy is started before the event does, so that one may come first.
    let (id, event) = first.find(|(_, event)| event["event"] != "proxy_transition").expect("the drain");
    assert_eq!((&event["event"], &event["transition"]["to"]), (&"cluster_transition".into(), &"draining".into()));
    drop(first);
    let seen = event["seq"].as_u64().expect("a number");

    assert_eq!(kroxy.ask(&["retry", "orders"]).code, 0);
    kroxy.hear("serving");
    let states: Vec<_> = stream(&kroxy, Some(&id)).take(2).map(|(_, event)| event).collect();
    assert_eq!(states[0]["seq"], seen + 1);
    assert_eq!(states.iter().map(|e| &e["transition"]["to"]).collect::<Vec<_>>(), ["initializing", "serving"]);

    // The events of another process were other ones.
    let mut again = stream(&kroxy, Some("1-3"));
    let (_, missed) = again.next().expect("told at once");
    assert_eq!((&missed["event"], &missed["events"], &missed["seq"]), (&"missed".into(), &Value::Null, &0.into()));
    assert_eq!(again.next().expect("all that is kept").1["seq"], 1);

    kroxy.signal("TERM");
    let last = again.last().expect("the stream ends with the proxy");
    assert_eq!((&last.1["event"], &last.1["transition"]["to"]), (&"proxy_transition".into(), &"stopped".into()));
    assert_eq!(kroxy.ended(), 0);
}
