//! Operators of Kafka: they create topics, alter and describe their configuration, and delete some of them again.

use super::{Client, kafka, lines::Lines};
use crate::{findings::Checker, ledger::Fate, limits};
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, TopicName,
        create_topics_request::CreatableTopic,
        describe_configs_request::DescribeConfigsResource,
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
    },
    protocol::StrBytes,
};
use std::{io, time::Duration};
use tokio::time::sleep;

/// The version of CreateTopics and DeleteTopics that is spoken.
const TOPICS: i16 = 5;
/// The version of the APIs of configurations that is spoken.
const CONFIGS: i16 = 1;
/// The kind of a resource that is a topic.
const TOPIC: i8 = 2;
/// The setting that is altered.
const SETTING: &str = "retention.ms";
/// How much rarer than records of a producer topics come.
const RARER: u64 = 10;

/// Works at its pace until the faults are over.
pub(super) async fn run(mut me: Client) {
    let mut lines = Lines::new(me.clone());
    let mut number = 0;
    while !me.is_finishing() {
        sleep(Duration::from_millis(me.load.pace_ms * RARER)).await;
        number += 1;
        let name = format!("{}-{number}", me.name);
        let fate = match create(&me, &mut lines, &name).await {
            Ok(0) => Fate::There,
            Ok(_) => Fate::Gone,
            Err(_) => Fate::Unknown,
        };
        me.history.ledger().topic(me.cluster, &name, fate);
        if fate != Fate::There {
            sleep(limits::RETRY_PAUSE).await;
            continue;
        }
        if let Err(e) = configure(&me, &mut lines, &name).await {
            me.note(format_args!("cannot configure {name}: {e}"));
        }
        if me.dice.per_mille(500) {
            let fate = match delete(&me, &mut lines, &name).await {
                Ok(0) => Fate::Gone,
                Ok(_) => Fate::There,
                Err(_) => Fate::Unknown,
            };
            me.history.ledger().topic(me.cluster, &name, fate);
        }
    }
    me.done();
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn timeout_ms() -> i32 {
    i32::try_from(limits::OPERATION.as_millis()).expect("a few seconds")
}

async fn create(me: &Client, lines: &mut Lines, name: &str) -> io::Result<i16> {
    let topic =
        CreatableTopic::default().with_name(TopicName(text(name))).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms());
    let answer = lines.ask(&me.bootstrap(), TOPICS, &request).await?;
    Ok(answer.topics.first().map_or(-1, |topic| topic.error_code))
}

async fn delete(me: &Client, lines: &mut Lines, name: &str) -> io::Result<i16> {
    let request =
        DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text(name))]).with_timeout_ms(timeout_ms());
    let answer = lines.ask(&me.bootstrap(), TOPICS, &request).await?;
    Ok(answer.responses.first().map_or(-1, |topic| topic.error_code))
}

/// Alters a setting, which has to be described as altered then.
async fn configure(me: &Client, lines: &mut Lines, name: &str) -> io::Result<()> {
    let wanted = format!("{}", 60_000 + name.len());
    let setting = AlterableConfig::default().with_name(text(SETTING)).with_value(Some(text(&wanted)));
    let topic = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(name))
        .with_configs(vec![setting]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![topic]);
    let altered = lines.ask(&me.bootstrap(), CONFIGS, &request).await?;
    if altered.responses.first().is_none_or(|topic| topic.error_code != 0) {
        return Ok(());
    }
    let topic = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(name))
        .with_configuration_keys(Some(vec![text(SETTING)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![topic]);
    let described = lines.ask(&me.bootstrap(), kafka::DESCRIBE_CONFIGS, &request).await?;
    let Some(topic) = described.results.first().filter(|topic| topic.error_code == 0) else { return Ok(()) };
    let shown = topic.configs.iter().find(|config| config.name.as_str() == SETTING).and_then(|c| c.value.clone());
    if shown.as_ref().map(StrBytes::as_str) != Some(wanted.as_str()) {
        let what = format!("{SETTING} of {name} was set to {wanted} and is shown as {shown:?}");
        me.history.accuse(Checker::Topics, what);
    }
    Ok(())
}
