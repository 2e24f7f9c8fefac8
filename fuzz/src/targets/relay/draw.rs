//! What is drawn: conversations in which nobody does anything wrong, and others.

use super::{PASSWORD, Step, USER};
use crate::{
    bend::{bent, bent_frame},
    dice::Dice,
    expected,
    invent::{self, Way},
};
use kroxy_core::{
    api::{Api, ApiKey, RequestTreatment, ResponseTreatment},
    relay::Leg,
};
use std::collections::VecDeque;

fn request(key: ApiKey, version: i16, id: i32, dice: &mut Dice) -> Option<(Vec<u8>, Vec<u8>)> {
    let body = invent::body(key, version, Way::Request, dice)?;
    Some((invent::frame(key, version, Way::Request, id, &body, dice), body))
}

/// A conversation in which nobody does anything wrong, and what each side has to receive.
pub(super) fn honest(dice: &mut Dice) -> Vec<Step> {
    let (mut steps, mut owed) = (Vec::new(), VecDeque::new());
    let (mut to_upstream, mut to_client) = (Vec::new(), Vec::new());
    for id in 0..=i32::try_from(dice.below(8)).expect("small") {
        let (api, version) = invent::api(dice);
        // After a handshake of version 0 come tokens; the answer to ApiVersions is not the other codec's to know.
        let is_special = api.key == ApiKey::SASL_HANDSHAKE && version == 0
            || api.request == RequestTreatment::Refuse
            || api.response_treatment(version) == ResponseTreatment::ApiVersions;
        if is_special {
            continue;
        }
        let Some((frame, body)) = request(api.key, version, id, dice) else { continue };
        let answered = expected::is_answered_by_upstream(api.key, version, &body).expect("it was encoded");
        if !answered && api.key != ApiKey::PRODUCE {
            continue; // the proxy answers it
        }
        if answered {
            let Some(body) = invent::body(api.key, version, Way::Response, dice) else { continue };
            let client_gets = expected::rewritten(api.key, version, &body).expect("it was encoded");
            let mut same_head = dice.clone();
            owed.push_back((
                invent::frame(api.key, version, Way::Response, id, &body, dice),
                invent::frame(api.key, version, Way::Response, id, &client_gets, &mut same_head),
            ));
        }
        to_upstream.extend_from_slice(&frame);
        steps.push(Step::Bytes(Leg::Client, frame));
        if steps.len() == 1 {
            steps.extend([Step::Resolved, Step::Connected]);
        }
        while dice.percent(50) {
            answer(&mut owed, &mut steps, &mut to_client);
        }
    }
    while !owed.is_empty() {
        answer(&mut owed, &mut steps, &mut to_client);
    }
    steps.extend([Step::Expect(Leg::Upstream, to_upstream), Step::Expect(Leg::Client, to_client)]);
    steps
}

fn answer(owed: &mut VecDeque<(Vec<u8>, Vec<u8>)>, steps: &mut Vec<Step>, to_client: &mut Vec<u8>) {
    if let Some((frame, client_gets)) = owed.pop_front() {
        steps.push(Step::Bytes(Leg::Upstream, frame));
        to_client.extend_from_slice(&client_gets);
    }
}

/// Frames of a client that wants to be let in, as it should or not.
fn logging_in(steps: &mut Vec<Step>, dice: &mut Dice) {
    let mechanism = *dice.one_of(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"]);
    let length = i16::try_from(mechanism.len()).expect("short").to_be_bytes();
    let version = i16::from(dice.percent(80));
    let handshake = [&length[..], mechanism.as_bytes()].concat();
    let token = match dice.below(5) {
        0 | 1 => format!("\0{USER}\0{PASSWORD}").into_bytes(),
        2 => format!("n,,n={USER},r=fuzz").into_bytes(),
        3 => format!("n,a={USER},\u{1}auth=Bearer e30.e30.e30\u{1}\u{1}").into_bytes(),
        _ => {
            let count = dice.below(60);
            dice.bytes(count)
        }
    };
    let token = if dice.percent(30) { bent(token, 0, dice) } else { token };
    let sized = [&u32::try_from(token.len()).expect("short").to_be_bytes()[..], &token].concat();
    for (key, body) in [(ApiKey::SASL_HANDSHAKE, handshake), (ApiKey::SASL_AUTHENTICATE, sized.clone())] {
        let id = i32::from(key.0);
        let frame = if version == 0 && key == ApiKey::SASL_AUTHENTICATE {
            sized.clone() // a token without a head
        } else {
            invent::frame(key, 1, Way::Request, id, &body, dice)
        };
        let mut frame = if dice.percent(10) { bent_frame(frame, dice) } else { frame };
        if key == ApiKey::SASL_HANDSHAKE && frame.len() > 7 {
            frame[7] = u8::from(version == 1);
        }
        steps.push(Step::Bytes(Leg::Client, frame));
    }
    steps.push(if dice.percent(90) { Step::Examined } else { Step::NotExamined });
}

/// Whatever may happen: good frames, bent ones, no frames, and events.
pub(super) fn hostile(admits: bool, logs_in: bool, dice: &mut Dice) -> Vec<Step> {
    let (mut steps, mut asked) = (Vec::new(), VecDeque::new());
    if admits && dice.percent(90) {
        logging_in(&mut steps, dice);
    }
    for id in 0..=i32::try_from(dice.below(14)).expect("small") {
        let step = match dice.below(100) {
            0..40 => {
                let (api, version) = match dice.below(10) {
                    0 => sasl(dice),
                    _ => invent::api(dice),
                };
                asked.push_back((api.key, version, id));
                let frame = request(api.key, version, id, dice).map_or_else(|| dice.bytes(40), |(frame, _)| frame);
                Step::Bytes(Leg::Client, if dice.percent(30) { bent_frame(frame, dice) } else { frame })
            }
            40..75 => {
                let (key, version, id) = asked.pop_front().unwrap_or((ApiKey::METADATA, 9, id));
                let body = invent::body(key, version, Way::Response, dice);
                let body = body.unwrap_or_else(|| dice.bytes(30));
                let frame = invent::frame(key, version, Way::Response, id, &body, dice);
                Step::Bytes(Leg::Upstream, if dice.percent(50) { bent_frame(frame, dice) } else { frame })
            }
            75..79 => {
                let count = dice.below(200);
                Step::Bytes(*dice.one_of(&[Leg::Client, Leg::Upstream]), dice.bytes(count))
            }
            79..82 => Step::Unresolved,
            82..85 => Step::Refused,
            85..86 => Step::Drain,
            86 if admits => {
                logging_in(&mut steps, dice);
                Step::Later(100)
            }
            86..88 if logs_in => Step::Secrets,
            86..88 => dice.one_of(&[Step::Drain, Step::NoSecrets, Step::NotExamined]).clone(),
            88..90 => Step::Eof(*dice.one_of(&[Leg::Client, Leg::Upstream])),
            90..92 => Step::Broke(*dice.one_of(&[Leg::Client, Leg::Upstream])),
            _ => Step::Later(*dice.one_of(&[1, 700, 6_000, 40_000])),
        };
        steps.push(step);
        if id == 0 && dice.percent(90) {
            steps.extend([Step::Resolved, Step::Connected]);
            steps.extend(logs_in.then_some(Step::Secrets));
        }
    }
    steps
}

fn sasl(dice: &mut Dice) -> (&'static Api, i16) {
    let key = *dice.one_of(&[ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE]);
    let api = Api::find(key).expect("it is known");
    (api, *dice.one_of(&[0, 1]))
}
