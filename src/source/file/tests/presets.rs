//! The presets on samples: each file of `samples/` holds events as they stand in logs, `%%` between them.

use super::super::fuzzing::read_in_portions;
use super::super::lines::Rules;
use super::super::multiline::Multi;
use super::rig::Rig;
use crate::queue::{Format, Text};
use crate::source::file::{Joining, LongLine, Multiline, Preset};
use std::time::Duration;

const SAMPLES: [(Preset, &str); 6] = [
    (Preset::Auto, include_str!("samples/auto.txt")),
    (Preset::Java, include_str!("samples/java.txt")),
    (Preset::Python, include_str!("samples/python.txt")),
    (Preset::Go, include_str!("samples/go.txt")),
    (Preset::Ruby, include_str!("samples/ruby.txt")),
    (Preset::Dotnet, include_str!("samples/dotnet.txt")),
];

fn preset(preset: Preset) -> Multiline {
    Multiline { joining: Joining::Preset(preset), max_lines: 1000, max_bytes: None, timeout: Duration::from_secs(1) }
}

#[test]
fn samples_become_the_events_that_they_are() {
    for (name, samples) in SAMPLES {
        let want: Vec<&str> = samples.split("%%\n").collect();
        assert!(want.len() >= 12);
        let all = want.concat();
        let multi = Multi::new("test", &preset(name)).unwrap();
        let rules = Rules { text: Text::PLAIN, format: Format::Plain, max: 1 << 20, long: LongLine::Cut };
        // The last one is open: nothing has ended it.
        let mut found = read_in_portions(all.as_bytes(), &[], &rules, Some(&multi));
        let end = found.last().map_or(0, |(at, bytes, _)| *at as usize + bytes.len());
        found.push((end as u64, all.as_bytes()[end..].to_vec(), false));
        let got: Vec<String> = found.iter().map(|(_, bytes, _)| String::from_utf8_lossy(bytes).into_owned()).collect();
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "{name:?}");
        }
        assert_eq!(got.len(), want.len(), "{name:?}");
        // A growing file, looked at every few bytes.
        for step in [1, 7, 100] {
            let sizes: Vec<usize> = (0..all.len()).step_by(step).collect();
            let mut again = read_in_portions(all.as_bytes(), &sizes, &rules, Some(&multi));
            again.push(found[found.len() - 1].clone());
            assert!(again == found, "{name:?} in steps of {step}");
        }
        // CR LF changes nothing.
        let crlf = all.replace('\n', "\r\n");
        let found = read_in_portions(crlf.as_bytes(), &[], &rules, Some(&multi));
        let got: Vec<String> = found.iter().map(|(_, bytes, _)| String::from_utf8_lossy(bytes).replace("\r\n", "\n")).collect();
        assert_eq!(got, want[..want.len() - 1], "{name:?} with CR LF");
    }
}

#[test]
fn the_sample_log_of_the_java_pipeline_is_31_events() {
    let sample = include_bytes!("../../../../pipelines/sample-logs/shop-java.log");
    let mut rig = Rig::with(&["*.log"], |o| o.multiline = Some(preset(Preset::Java)));
    rig.append("a.log", sample);
    rig.pass(Duration::from_secs(4));
    let lines = rig.fake.lines();
    assert!(lines.iter().all(|line| line.starts_with("2026-")));
    assert_eq!((lines.len(), lines.iter().map(|l| l.lines().count() - 1).sum::<usize>()), (31, 10));
}

#[test]
fn samples_survive_reads_and_kills() {
    for (name, samples) in SAMPLES {
        let want: Vec<&str> = samples.split("%%\n").map(|s| s.strip_suffix('\n').unwrap()).collect();
        let all = samples.replace("%%\n", "");
        let mut rig = Rig::with(&["*.log"], |o| o.multiline = Some(preset(name)));
        for (n, portion) in all.as_bytes().chunks(211).enumerate() {
            rig.append("a.log", portion);
            rig.settle();
            if n % 5 == 4 {
                rig.kill(rig.fake.len() * 2 / 3);
                rig.start();
                rig.settle();
            }
        }
        rig.pass(Duration::from_secs(4));
        rig.expect(&want);
        let mut at = 0;
        for ((_, position, _), want) in rig.fake.events().iter().zip(&want) {
            assert_eq!(*position, at);
            at += want.len() as u64 + 1;
        }
    }
}
