use super::*;
use crate::process::identity::{EventIds, checksum, queue_key};
use crate::queue::RunFlags;
use crate::sink::testing::{batches, lines};
use std::time::Instant;

fn options(index: &str) -> ElasticsearchOptions {
    ElasticsearchOptions { index: index.into(), ..ElasticsearchOptions::default() }
}

fn encoder(index: &str) -> BulkEncoder {
    BulkEncoder::new("search", "web-1", &options(index)).unwrap()
}

fn encode(batch: &Batch) -> (String, Vec<u32>) {
    let (mut out, mut items) = (Vec::new(), Vec::new());
    encoder("logs").encode(batch, &mut out, &mut items);
    (String::from_utf8(out).unwrap(), items)
}

#[test]
fn ids_come_from_the_position_or_without_one_from_the_place_in_the_queue() {
    let lines = lines(4);
    for (flags, key) in [(RunFlags::UTF8, 42), (RunFlags::UTF8 | RunFlags::NO_POSITION, queue_key(7, "logs", 0, 1))] {
        let batch = &batches(&lines, 2, flags)[1];
        let (body, items) = encode(batch);
        assert_eq!(items.len(), 2);
        assert_eq!(*items.last().unwrap() as usize, body.len());
        let position = if flags == RunFlags::UTF8 { 40 } else { 2 };
        let id = EventIds::new("search", key).id(position, checksum(&lines[2]));
        let action = format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n", std::str::from_utf8(&id).unwrap());
        assert!(body.starts_with(&action), "{body}");
    }
}

#[test]
fn a_batch_that_overwrites_differs_in_its_actions_alone() {
    use crate::queue::BatchKind;
    let all = batches(&lines(3), 3, RunFlags::UTF8);
    let kinds = [
        (BatchKind::Overwrite { asked_ms: 5 }, true),
        (BatchKind::Letters { overwrite: true }, true),
        (BatchKind::Letters { overwrite: false }, false),
        (BatchKind::Events, false),
    ];
    for index in ["logs", "logs-%Y"] {
        // One encoder, since a sink has both kinds in turn.
        let mut encoder = encoder(index);
        let mut encode = |kind| {
            let mut batch = all[0].clone();
            batch.id.kind = kind;
            let (mut out, mut items) = (Vec::new(), Vec::new());
            encoder.encode(&batch, &mut out, &mut items);
            String::from_utf8(out).unwrap()
        };
        let plain = encode(BatchKind::Events);
        assert!(plain.starts_with(r#"{"create":{"_i"#), "{plain}");
        for (kind, replaces) in kinds {
            let wanted = if replaces { plain.replace(r#"{"create":"#, r#"{"index":"#) } else { plain.clone() };
            assert_eq!(encode(kind), wanted, "{kind:?}");
        }
    }
}

/// Two batches of streams with these fields, one line each, appended on two days.
fn two_streams(fields: [&str; 2]) -> Vec<Batch> {
    use crate::queue::{Position, Stream, StreamSpec};
    let mut all = batches(&lines(2), 1, RunFlags::UTF8);
    for (n, (batch, fields)) in all.iter_mut().zip(fields).enumerate() {
        let spec = StreamSpec { key: 42, path: "/var/log/app.log".into(), fields: fields.into(), ..StreamSpec::default() };
        let mut record = (*batch.parts[0].batch).clone();
        record.append_ms += n as u64 * 86_400_000;
        record.runs[0].stream = Stream::new(n as u64 + 1, 0, spec, Position::default());
        batch.parts[0].batch = Arc::new(record);
    }
    all
}

fn bodies(options: &ElasticsearchOptions, batches: &[Batch]) -> String {
    let mut encoder = BulkEncoder::new("search", "web-1", options).unwrap();
    let (mut out, mut items) = (Vec::new(), Vec::new());
    batches.iter().for_each(|batch| encoder.encode(batch, &mut out, &mut items));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_target_by_fields_and_date_is_the_same_at_each_retry() {
    let all = two_streams([r#""service.name":"Shop""#, r#""tier":1"#]);
    let options = ElasticsearchOptions { routing: Some("{tier}".into()), ..options("logs-{service.name:none}-%Y.%m.%d") };
    let once = bodies(&options, &all);
    insta::assert_snapshot!(once, @r#"
    {"create":{"_index":"logs-shop-2026.03.09","_id":"XgkBepwxnftjk3YAAAAAAABd7AB2"}}
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"line 0 says \"hello\"","log":{"offset":0,"file":{"path":"/var/log/app.log"}},"host":{"name":"web-1"},"service":{"name":"Shop"}}
    {"create":{"_index":"logs-none-2026.03.10","routing":"1","_id":"XgkBepwxnftjk3YAAAAAABQJ61Uw"}}
    {"@timestamp":"2026-03-10T10:15:02.123Z","message":"line 1 says \"hello\"","log":{"offset":20,"file":{"path":"/var/log/app.log"}},"host":{"name":"web-1"},"tier":1}
    "#);
    // Whatever was encoded before: another day, another stream.
    let mixed = [all[1].clone(), all[0].clone(), all[1].clone()];
    let lines: Vec<&str> = once.lines().collect();
    assert_eq!(bodies(&options, &mixed), [2, 3, 0, 1, 2, 3].map(|n| format!("{}\n", lines[n])).concat());
}

#[test]
fn a_data_stream_has_its_members_in_each_document() {
    use crate::sink::elasticsearch::DataStreamOptions;
    let data_stream = Some(DataStreamOptions { dataset: "{service.name:generic}".into(), ..DataStreamOptions::default() });
    let options = ElasticsearchOptions { data_stream, include_batch_id: true, ..ElasticsearchOptions::default() };
    let fields =
        [r#""service.name":"My-Shop","data_stream.dataset":"other","data_stream.x":1"#, r#""forebay.batch_id":"no","data_stream":1"#];
    insta::assert_snapshot!(bodies(&options, &two_streams(fields)), @r#"
    {"create":{"_index":"logs-my_shop-default","_id":"XgkBepwxnftjk3YAAAAAAABd7AB2"}}
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"line 0 says \"hello\"","log":{"offset":0,"file":{"path":"/var/log/app.log"}},"data_stream":{"dataset":"my_shop","namespace":"default","type":"logs","x":1},"host":{"name":"web-1"},"service":{"name":"My-Shop"},"forebay":{"batch_id":"00000000000000000000000000000007-search-logs-0-1-0-0-00000000"}}
    {"create":{"_index":"logs-generic-default","_id":"XgkBepwxnftjk3YAAAAAABQJ61Uw"}}
    {"@timestamp":"2026-03-10T10:15:02.123Z","message":"line 1 says \"hello\"","log":{"offset":20,"file":{"path":"/var/log/app.log"}},"data_stream":{"dataset":"generic","namespace":"default","type":"logs"},"host":{"name":"web-1"},"forebay":{"batch_id":"00000000000000000000000000000007-search-logs-0-1-1-1-00000000"}}
    "#);
}

/// `cargo test --release --lib encode_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for a release build"]
fn encode_speed() {
    let clean = "2026-03-09 10:15:02.123 INFO  [http-nio-8080-exec-7] c.e.shop.checkout.OrderService - order 4711 placed by customer 1234567, 3 items, total 89.90 EUR, payment card, warehouse north, took 27 ms ok";
    let quoted = r#"{"time":"2026-03-09T10:15:02.123Z","level":"info","logger":"c.e.shop.checkout","msg":"order placed","order":4711,"customer":"1234567","items":3,"total":"89.90 EUR","path":"C:\\shop\\orders","ms":27}"#;
    for (name, line, flags) in [
        ("clean, flagged", clean, RunFlags::UTF8 | RunFlags::JSON_CLEAN),
        ("clean, scanned", clean, RunFlags::UTF8),
        ("quoted", quoted, RunFlags::UTF8),
        ("quoted, not known to be UTF-8", quoted, 0),
    ] {
        let batch = batches(&vec![line.as_bytes().to_vec(); 5000], 5000, flags).remove(0);
        let (mut out, mut items, mut encoder) = (Vec::new(), Vec::new(), encoder("logs"));
        let mut best = f64::MAX;
        for _ in 0..200 {
            out.clear();
            items.clear();
            let start = Instant::now();
            encoder.encode(&batch, &mut out, &mut items);
            best = best.min(start.elapsed().as_secs_f64());
        }
        assert_eq!(items.len(), 5000);
        let (raw, encoded) = (batch.bytes as f64 / best / 1e9, out.len() as f64 / best / 1e9);
        println!(
            "{name}: {raw:.2} GB/s of raw events ({} bytes each), {encoded:.2} GB/s of body, {:.0} ns an event",
            line.len(),
            best / 5000.0 * 1e9
        );
    }
}
