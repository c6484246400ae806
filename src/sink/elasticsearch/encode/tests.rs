use super::*;
use crate::process::identity::{EventIds, checksum, queue_key};
use crate::queue::RunFlags;
use crate::sink::testing::{batches, lines};
use std::time::Instant;

fn encode(batch: &Batch) -> (String, Vec<u32>) {
    let (mut out, mut items) = (Vec::new(), Vec::new());
    BulkEncoder::new("search", "web-1", "logs").encode(batch, &mut out, &mut items);
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
        let mut encoder = BulkEncoder::new("search", "web-1", index);
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
        let (mut out, mut items, mut encoder) = (Vec::new(), Vec::new(), BulkEncoder::new("search", "web-1", "logs"));
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
