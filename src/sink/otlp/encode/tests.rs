use super::*;
use crate::queue::RunFlags;
use crate::sink::testing::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use proptest::prelude::*;

/// Three runs: two of one stream, one of another host's in between.
fn body() -> (Vec<u8>, Vec<u32>) {
    let mut batch = batches(&lines(9), 3, RunFlags::UTF8);
    let mut whole = batch.remove(0);
    whole.parts.extend(batch.into_iter().flat_map(|b| b.parts));
    let (mut body, mut items) = (Vec::new(), Vec::new());
    OtlpEncoder::new("search", "web-1").encode(&whole, &mut body, &mut items);
    (body, items)
}

/// Two groups in one body, as two streams make them.
fn two_groups() -> (Vec<u8>, Vec<u32>) {
    let (first, mut items) = body();
    let mut body = first.clone();
    items.extend(items.clone().iter().map(|end| end + first.len() as u32));
    body.extend_from_slice(&first);
    (body, items)
}

fn records(body: &[u8]) -> Vec<(Vec<KeyValue>, LogRecord)> {
    let request = ExportLogsServiceRequest::decode(body).unwrap();
    let all = request.resource_logs.into_iter().flat_map(|group| {
        let resource = group.resource.unwrap().attributes;
        group.scope_logs.into_iter().flat_map(|s| s.log_records).map(move |record| (resource.clone(), record))
    });
    all.collect()
}

#[test]
fn a_record_has_the_line_its_place_and_where_it_comes_from() {
    let (body, items) = body();
    let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
    assert_eq!((request.resource_logs.len(), items.len()), (1, 9));
    assert_eq!(request.resource_logs[0].scope_logs[0].scope.as_ref().unwrap().name, "forebay");
    let (resource, record) = records(&body).remove(1);
    let text = |attributes: &[KeyValue]| -> Vec<String> {
        attributes.iter().map(|a| format!("{}={:?}", a.key, a.value.as_ref().unwrap().value.as_ref().unwrap())).collect()
    };
    assert_eq!(text(&resource), [r#"host.name=StringValue("web-1")"#]);
    insta::assert_snapshot!(text(&record.attributes).join("\n"), @r#"
    log.file.path=StringValue("/var/log/app.log")
    log.offset=IntValue(20)
    log.record.uid=StringValue("XgkBepwxnftjk3YAAAAAABQJ61Uw")
    "#);
    assert_eq!(record.body.unwrap().value, Some(any_value::Value::StringValue("line 1 says \"hello\"".into())));
    assert_eq!((record.time_unix_nano, record.severity_number), (APPENDED * 1_000_000, 0));
}

#[test]
fn levels_have_their_numbers() {
    assert_eq!(["WARN", "emerg", "x"].map(severity), [SeverityNumber::Warn, SeverityNumber::Fatal, SeverityNumber::Unspecified]);
}

proptest! {
    #[test]
    fn any_choice_of_records_is_a_request_of_them(wanted in prop::collection::btree_set(0u32..18, 1..18)) {
        let (body, items) = two_groups();
        let (all, wanted): (_, Vec<u32>) = (records(&body), wanted.into_iter().collect());
        let mut out = Vec::new();
        pick(&body, &items, &wanted, &mut out);
        let expected: Vec<_> = wanted.iter().map(|i| all[*i as usize].clone()).collect();
        prop_assert_eq!(records(&out), expected);
    }
}
