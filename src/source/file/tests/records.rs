//! Records of containers' logs.

use super::super::fuzzing::reference_records;
use super::super::lines::Rules;
use super::super::multiline::Multi;
use super::rig::Rig;
use crate::queue::{Format, Text};
use crate::source::file::{FileFormat, Joining, LongLine, Multiline};
use proptest::prelude::*;
use std::time::Duration;

fn cri(stream: &str, tag: &str, text: &str) -> String {
    format!("2026-03-09T10:15:02.1Z {stream} {tag} {text}\n")
}

#[test]
fn a_line_without_its_last_record_waits_for_the_idle_flush_and_a_drain_leaves_it() {
    let mut rig = Rig::with(&["*.log"], |o| (o.format, o.idle_flush) = (FileFormat::Is(Format::Cri), Duration::from_secs(5)));
    let (first, second) = (cri("stdout", "P", "one "), cri("stdout", "F", "line"));
    rig.append("a.log", &first);
    rig.pass(Duration::from_secs(2));
    rig.expect(&[]);
    rig.append("a.log", &second);
    rig.settle();
    let whole = format!("{first}{}", second.trim_end());
    rig.expect(&[&whole]);
    rig.append("a.log", &first);
    rig.settle();
    rig.pass(Duration::from_secs(6));
    rig.expect(&[&whole, first.trim_end_matches('\n')]);
    rig.append("a.log", &first);
    rig.settle();
    let now = rig.now;
    rig.tailer().begin_drain(now);
    rig.pass(Duration::from_secs(8));
    assert!(rig.tailer().drained());
    rig.expect(&[&whole, first.trim_end_matches('\n')]);
}

#[test]
fn the_names_of_a_pod_come_from_the_first_path() {
    let mut rig = Rig::with(&["*/*/*.log"], |o| (o.format, o.kubernetes) = (FileFormat::Auto, true));
    std::fs::create_dir_all(rig.path("shop_cart_0b1e/app")).unwrap();
    rig.append("shop_cart_0b1e/app/0.log", cri("stdout", "F", "x"));
    rig.settle();
    assert!(rig.fake.specs().iter().all(|s| s.fields.contains(r#""kubernetes.pod.name":"cart""#)));
    let blocks = rig.fake.blocks.lock().unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].0.flags.format(), Format::Cri);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    /// For every choice of options, with positions and kills: what a reader of the whole file finds.
    #[test]
    fn joins_the_same_whatever_happens(
        records in prop::collection::vec((0..8u8, any::<bool>(), prop::sample::select(vec!["", "s", "c", "e", "x", "yyyyyyyyyyyyyyyyyyyyyy"])), 1..20),
        cuts in prop::collection::vec(1usize..90, 0..8),
        kills in prop::collection::vec(0usize..20, 0..4),
        multiline in prop::option::of((any::<bool>(), any::<bool>(), any::<bool>(), 1u32..8, prop::option::of(30usize..200))),
        max in 30usize..200,
    ) {
        let all: String = records.iter().map(|(odd, partial, text)| match odd {
            0 => format!("{text}\n"),
            1 | 2 => cri("stderr", if *partial { "P" } else { "F" }, text),
            _ => cri("stdout", if *partial { "P" } else { "F" }, text),
        }).collect();
        let pattern = |on: bool, pattern: &str| on.then(|| pattern.to_string());
        let multiline = multiline.map(|(start, proceed, end, max_lines, max_bytes)| Multiline {
            joining: Joining::Patterns { start: pattern(start, "^s"), proceed: pattern(proceed, "^c"), end: pattern(end, "e$") },
            max_lines,
            max_bytes,
            timeout: Duration::from_secs(1),
        });
        let mut rig = Rig::with(&["*.log"], |o| {
            (o.max_line_bytes, o.format, o.multiline) = (max, FileFormat::Is(Format::Cri), multiline.clone());
        });
        let mut at = 0;
        for (i, cut) in cuts.into_iter().enumerate() {
            let end = (at + cut).min(all.len());
            rig.append("a.log", &all[at..end]);
            rig.settle();
            if let Some(keep) = kills.get(i) {
                rig.kill(*keep);
                rig.start();
            }
            at = end;
        }
        rig.append("a.log", &all[at..]);
        rig.settle();
        let rules = Rules { text: Text::PLAIN, format: Format::Cri, max, long: LongLine::Cut };
        let multi = multiline.as_ref().map(|m| Multi::new("test", m).unwrap());
        let want: Vec<(u64, Vec<u8>)> = reference_records(all.as_bytes(), &rules, multi.as_ref())
            .into_iter()
            .map(|(at, mut bytes, _)| {
                bytes.truncate(bytes.len() - Text::PLAIN.delimiter(&bytes));
                (at, bytes)
            })
            .collect();
        let got: Vec<_> = rig.fake.events().into_iter().map(|e| (e.1, e.2)).collect();
        prop_assert_eq!(got, want);
    }
}
