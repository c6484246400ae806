//! `forebay topics`.

use super::args::{TopicsArgs, TopicsCommand};
use super::{Told, ask, code, failed, foreign, moment, print_json, print_table};
use crate::admin::control::{Answer, Request};
use crate::admin::human::{Table, bytes, count, duration};
use crate::queue::{Inventory, TopicPlace};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Shows topics; the exit code.
pub(in crate::cli) fn topics(args: &TopicsArgs) -> u8 {
    code(run(args))
}

fn run(args: &TopicsArgs) -> Result<u8, Told> {
    let Answer::Inventory(inventory) = ask(&args.place, &Request::Inventory)? else { return Err(foreign()) };
    Ok(match &args.command {
        TopicsCommand::List if args.json => print_json(&list_json(&inventory)),
        TopicsCommand::List => print_table(&list(&inventory)),
        TopicsCommand::Describe { topic } => {
            let places: Vec<&TopicPlace> =
                inventory.topics.iter().filter(|t| topic.as_ref().is_none_or(|wanted| *wanted == t.topic)).collect();
            if let (Some(topic), []) = (topic, &places[..]) {
                let known: Vec<&str> = by_topic(&inventory).into_keys().collect();
                return Err(failed(format!("there is no topic `{topic}`; there are: {}", known.join(", "))));
            }
            if args.json { print_json(&describe_json(&inventory, &places)) } else { print_table(&describe(&inventory, &places)) }
        }
    })
}

fn by_topic(inventory: &Inventory) -> BTreeMap<&str, Vec<&TopicPlace>> {
    let mut topics: BTreeMap<&str, Vec<&TopicPlace>> = BTreeMap::new();
    inventory.topics.iter().for_each(|t| topics.entry(&t.topic).or_default().push(t));
    topics
}

fn events(places: &[&TopicPlace]) -> u64 {
    places.iter().map(|p| p.end_offset.saturating_sub(p.first_offset)).sum()
}

fn list(inventory: &Inventory) -> String {
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "EVENTS", "BYTES", "OLDEST", "NEWEST"]);
    for (topic, places) in by_topic(inventory) {
        table.row(vec![
            topic.into(),
            count(places.len() as u64),
            count(events(&places)),
            bytes(places.iter().map(|p| p.bytes).sum()),
            moment(places.iter().filter_map(|p| p.oldest_ms).min()),
            moment(places.iter().filter_map(|p| p.newest_ms).max()),
        ]);
    }
    table.text()
}

fn list_json(inventory: &Inventory) -> Value {
    let topic = |(topic, places): (&str, Vec<&TopicPlace>)| {
        json!({
            "topic": topic,
            "partitions": places.len(),
            "events": events(&places),
            "bytes": places.iter().map(|p| p.bytes).sum::<u64>(),
            "oldest_ms": places.iter().filter_map(|p| p.oldest_ms).min(),
            "newest_ms": places.iter().filter_map(|p| p.newest_ms).max(),
        })
    };
    by_topic(inventory).into_iter().map(topic).collect()
}

fn describe(inventory: &Inventory, places: &[&TopicPlace]) -> String {
    let mut table = Table::new(&["TOPIC", "PARTITION", "FIRST", "END", "EVENTS", "BYTES", "SEGMENTS", "OLDEST", "NEWEST"]);
    for p in places {
        table.row(vec![
            p.topic.clone(),
            p.partition.to_string(),
            p.first_offset.to_string(),
            p.end_offset.to_string(),
            count(events(&[p])),
            bytes(p.bytes),
            count(p.segments),
            moment(p.oldest_ms),
            moment(p.newest_ms),
        ]);
    }
    let mut groups = Table::new(&["GROUP", "TOPIC", "PARTITION", "COMMITTED", "LAG", "OLDEST"]);
    let mut any = false;
    for group in &inventory.groups {
        for place in &group.partitions {
            if places.iter().any(|p| p.topic == place.topic && p.partition == place.partition) {
                any = true;
                groups.row(vec![
                    group.group.clone(),
                    place.topic.clone(),
                    place.partition.to_string(),
                    place.committed.to_string(),
                    count(place.lag_events),
                    duration(place.lag_seconds),
                ]);
            }
        }
    }
    if any { format!("{}\n{}", table.text(), groups.text()) } else { table.text() }
}

fn describe_json(inventory: &Inventory, places: &[&TopicPlace]) -> Value {
    let place = |p: &&TopicPlace| {
        let mut groups = serde_json::Map::new();
        for group in &inventory.groups {
            for own in group.partitions.iter().filter(|o| o.topic == p.topic && o.partition == p.partition) {
                let lag = json!({
                    "committed": own.committed, "lag_events": own.lag_events, "lag_bytes": own.lag_bytes, "lag_seconds": own.lag_seconds,
                });
                groups.insert(group.group.clone(), lag);
            }
        }
        let mut value = json!(p);
        value["groups"] = Value::Object(groups);
        value
    };
    places.iter().map(place).collect()
}
