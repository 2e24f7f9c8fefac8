//! The form of a recording: JSON lines, each saying what came, when and from whom.
//!
//! A status is written as what has changed since the last one of the same proxy (a JSON merge patch, RFC 7396), with
//! the virtual clusters as an object by name, so that an hour is megabytes rather than gigabytes and a person can read
//! what happened.

use kroxy_core::status::Event;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Labels and addresses of the proxies.
    pub(crate) proxies: Vec<(String, String)>,
    /// When it was begun, by the console's clock.
    pub(crate) begun_unix_ms: u64,
}

/// Every other line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Take {
    /// Milliseconds since the recording was begun.
    pub(crate) at_ms: u64,
    /// The number of the proxy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) proxy: usize,
    /// What came.
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// What has changed in the status.
    Status(Value),
    /// An event.
    Event(Box<Event>),
    /// No answer, and why.
    Silent(String),
    /// The event stream: `live`, `not_offered` or why it was lost.
    Events(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(proxy: &usize) -> bool {
    *proxy == 0
}

/// A status with its virtual clusters by name.
pub(crate) fn by_name(mut status: Value) -> Value {
    if let Some(Value::Array(clusters)) = status.get_mut("virtual_clusters").map(Value::take) {
        let named = clusters.into_iter().map(|cluster| {
            let name = cluster.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            (name, cluster)
        });
        status["virtual_clusters"] = Value::Object(named.collect());
    }
    status
}

/// The way back.
pub(crate) fn in_a_row(mut status: Value) -> Value {
    if let Some(Value::Object(clusters)) = status.get_mut("virtual_clusters").map(Value::take) {
        status["virtual_clusters"] = clusters.into_iter().map(|(_, cluster)| cluster).collect();
    }
    status
}

/// What makes `then` into `now`; absent where they are equal.
pub(crate) fn difference(then: &Value, now: &Value) -> Option<Value> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let mut patch = Map::new();
            for (name, value) in now {
                match then.get(name) {
                    None => drop(patch.insert(name.clone(), value.clone())),
                    Some(before) => {
                        if let Some(changed) = difference(before, value) {
                            patch.insert(name.clone(), changed);
                        }
                    }
                }
            }
            for name in then.keys().filter(|name| !now.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (then, now) => (then != now).then(|| now.clone()),
    }
}

/// Makes the change that `patch` describes.
pub(crate) fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            apply(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_written_and_read_back() {
        let then = json!({"a": 1, "b": {"c": [1, 2], "d": 4}, "gone": true});
        let now = json!({"a": 1, "b": {"c": [1, 3], "d": 4}, "new": "x"});
        let patch = difference(&then, &now).expect("they differ");
        assert_eq!(patch, json!({"b": {"c": [1, 3]}, "gone": null, "new": "x"}));
        let mut read = then;
        apply(&mut read, &patch);
        assert_eq!(read, now);
    }

    #[test]
    fn virtual_clusters_are_told_apart_by_name() {
        let status = json!({"virtual_clusters": [{"name": "a", "in_flight": 1}, {"name": "b"}]});
        let named = by_name(status.clone());
        assert_eq!(named["virtual_clusters"]["a"]["in_flight"], json!(1));
        assert_eq!(in_a_row(named), status);
    }
}
