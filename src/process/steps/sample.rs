//! `sample: {rate: 0.1}`: lets a part of the events through; the others are filtered.
//!
//! It decides by where an event stands (host, file, byte), so that a retry, a replay and another process decide the same. With `key`
//! it decides by the values of these fields, so that all events of a trace stay together, on all hosts.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Keeps the decision independent of others that are made by the same number.
const SEED: u64 = 0x5a3d_0001;

/// See the module.
#[derive(Clone, Debug)]
struct Sample {
    key: Vec<Path>,
    /// Events with a smaller number go on.
    below: u64,
}

impl Processor for Sample {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        // Without the fields of the key an event stands for itself.
        let keyed = self.key.iter().any(|path| event.find(path).is_some());
        let number = if keyed { event.digest(&self.key, SEED) } else { xxh3_64_with_seed(&event.origin.to_le_bytes(), SEED) };
        Ok(if number < self.below { Flow::On } else { Flow::Drop })
    }

    fn needs_origin(&self) -> bool {
        true
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let key = map.get("key").map(|f| f.event_fields()).unwrap_or_default();
    let expected = "a part such as `0.1` or `10%`, more than 0 and less than 1";
    let field = map.require("rate", expected)?;
    let value = field.value(expected)?;
    let text = value.text.trim();
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent.trim_end(), 100.0));
    match number.parse::<f64>().map(|rate| rate / scale) {
        // The cast saturates, so no rate lets nothing or all through.
        Ok(rate) if rate > 0.0 && rate < 1.0 => Some(Box::new(Sample { key, below: (rate * 2f64.powi(64)) as u64 })),
        _ => {
            field.report(field.is(&value).expected(expected));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{Lines, wrong};

    #[test]
    fn a_part_goes_on_and_always_the_same() {
        let went = || {
            let mut lines = Lines::new("[{set: {fields: {log.offset: 0}}}, {sample: {rate: 10%}}]");
            (0..5000).map(|n| lines.at(&format!("{n}"), n, 0).starts_with('{')).collect::<Vec<_>>()
        };
        let (first, again) = (went(), went());
        assert_eq!(first, again);
        let part = first.iter().filter(|went| **went).count();
        assert!((400..600).contains(&part), "{part}");
    }

    #[test]
    fn events_of_a_key_stay_together() {
        let mut lines = Lines::new("[{json: {}}, {sample: {rate: 0.5, key: trace.id}}]");
        for trace in 0..50 {
            let line = format!(r#"{{"trace":{{"id":"{trace}"}}}}"#);
            let went: Vec<bool> = (0..3).map(|n| lines.at(&line, trace * 3 + n, 0).starts_with('{')).collect();
            assert!(went.iter().all(|w| *w == went[0]), "{trace}");
        }
        for rate in ["0", "1", "x", "-5%", "nan", "100%"] {
            assert!(wrong(&format!("[{{sample: {{rate: '{rate}'}}}}]")).contains("a part such as"), "{rate}");
        }
    }
}
