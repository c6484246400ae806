use super::*;
use crate::queue::RunFlags;
use crate::sink::testing::*;
use proptest::prelude::*;
use serde_json::Value;

fn encoder(metadata: bool) -> LokiEncoder {
    let label = |name: &str, field: &str| (name.to_string(), field.to_string());
    LokiEncoder::new("web-1", &[label("host", "host.name"), label("service_name", "service.name")], metadata)
}

fn encode(metadata: bool) -> (Vec<u8>, Vec<u32>) {
    let (mut body, mut items) = (Vec::new(), Vec::new());
    encoder(metadata).encode(&batches(&lines(6), 6, RunFlags::UTF8)[0], &mut body, &mut items);
    (body, items)
}

/// Each entry with its labels.
fn entries(body: &[u8]) -> Vec<(Value, Value)> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let each = |s: &Value| s["values"].as_array().unwrap().iter().map(|v| (s["stream"].clone(), v.clone())).collect::<Vec<_>>();
    body["streams"].as_array().unwrap().iter().flat_map(each).collect()
}

#[test]
fn a_push_request() {
    let (body, _) = encode(true);
    let all = entries(&body);
    insta::assert_snapshot!(format!("{} {}", all[1].0, all[1].1), @r#"{"host":"web-1"} ["1773051302123000001","line 1 says \"hello\"",{"log_file_path":"/var/log/app.log","log_offset":"20"}]"#);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["streams"].as_array().unwrap().len(), 1);
    assert_eq!(entries(&encode(false).0)[0].1.as_array().unwrap().len(), 2);
}

#[test]
fn there_is_always_a_label_and_names_are_names() {
    let mut labels = Vec::new();
    LokiEncoder::put_labels(&[], &Flat::default(), &mut labels);
    assert_eq!(labels, br#"{"agent":"forebay"}"#);
    assert_eq!(metadata_name("1.log-x"), "_1_log_x");
}

#[test]
fn times_of_a_runtime_stay_and_others_become_distinct() {
    let entry = |time_ns| {
        let mut out = Vec::new();
        LokiEncoder::put_entry(&[], false, &Flat { time_ns, ..Flat::default() }, 2_000_017, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(entry(5_000_000), r#"["5000017",""]"#);
    assert_eq!(entry(5_000_001), r#"["5000001",""]"#);
}

/// Bodies of several streams: entries whose labels change now and then.
fn mixed() -> (Vec<u8>, Vec<u32>) {
    let (mut body, mut items, mut before) = (Vec::new(), Vec::new(), 9);
    for i in 0..12usize {
        let label = i / 3 % 2;
        if label == before {
            body.push(b',');
        } else {
            body.extend_from_slice(if i == 0 { OPEN } else { NEXT });
            // A label that holds what looks like the end of the labels.
            let text = format!(r#","values":[{label}"#);
            body.extend_from_slice(br#"{"stream":"#);
            put_member("l", &text, true, &mut body);
            body.push(b'}');
            body.extend_from_slice(VALUES);
            before = label;
        }
        body.extend_from_slice(format!(r#"["{i}","]}},{{"]"#).as_bytes());
        items.push(body.len() as u32);
    }
    body.extend_from_slice(CLOSE);
    (body, items)
}

proptest! {
    #[test]
    fn any_choice_of_entries_is_a_request_of_them(wanted in prop::collection::btree_set(0u32..12, 1..12)) {
        let (body, items) = mixed();
        let (all, wanted): (_, Vec<u32>) = (entries(&body), wanted.into_iter().collect());
        let mut out = Vec::new();
        pick(&body, &items, &wanted, &mut out);
        let expected: Vec<_> = wanted.iter().map(|i| all[*i as usize].clone()).collect();
        prop_assert_eq!(entries(&out), expected);
    }
}
