//! `parse: NAME`, `parse: [NAME, …]`: a preset, or the first of several that fits; with options, `parse: {preset: NAME, …}`.
//!
//! A preset is a chain, and here one processor: where one of its steps fails, nothing of what the others did remains. With
//! `keep_original: true` the text that it took apart is kept in `event.original`. `zone` is where times are that say not where (UTC).

use crate::config::decode::Map;
use crate::config::presets::preset_in;
use crate::config::yaml::Kind;
use crate::process::chain::{Chain, Flow, Processor};
use crate::process::event::{Document, Failure, Path, Saved, Value};
use crate::process::presets;
use jiff::tz::TimeZone;

/// See the module.
#[derive(Clone, Debug)]
struct Parse {
    presets: Vec<(String, Chain)>,
    message: Path,
    /// `event.original`, where it is asked for.
    original: Option<Path>,
    saved: Saved,
}

impl Processor for Parse {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let text = event.text(&self.message)?;
        event.save(&mut self.saved);
        let last = self.presets.len() - 1;
        for (number, (name, chain)) in self.presets.iter_mut().enumerate() {
            match chain.attempt(event) {
                Ok(flow) => {
                    if let Some(original) = &self.original {
                        event.free(original).inspect_err(|_| event.restore(&self.saved))?;
                        event.set(original, Value::Text(text))?;
                    }
                    return Ok(flow);
                }
                Err((step, failure)) => {
                    event.restore(&self.saved);
                    if number == last {
                        let others = if last > 0 { ", and no other preset fits" } else { "" };
                        return Err(Failure::new(format!("{name}: {}: {}{others}", chain.step(step), failure.0)));
                    }
                }
            }
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let expected = "the name of a preset, or a list of them";
    // Without options the names stand at `parse` itself.
    let field = if map.peek("parse").is_some() { map.get("parse") } else { map.require("preset", expected) };
    let keep = map.flag("keep_original");
    let zone = match map.get("zone") {
        Some(field) => super::zone_of(&field)?,
        None => TimeZone::UTC,
    };
    let field = field?;
    let names = field.list(expected);
    if names.is_empty() && matches!(&field.node.kind, Kind::Seq(_)) {
        field.wrong(format!("`{}` names no preset", field.path), expected);
    }
    let mut found = Vec::new();
    for field in &names {
        let value = field.value("the name of a preset")?;
        let Some(text) = presets::text(&value.text) else {
            let help = presets::like(&value.text).unwrap_or("`forebay explain` lists the presets".to_string());
            field.report(field.is(&value).expected("the name of a preset").help(help));
            continue;
        };
        match preset_in(zone.clone(), &value.text, text) {
            Ok(preset) => found.push((preset.name, preset.chain)),
            // The project's tests compile each of them, so this is for those who changed one.
            Err(errors) => {
                field.report(field.problem(format!("the preset `{}` of this build is wrong", value.text)).note(errors.to_string()))
            }
        }
    }
    let path = |name| Path::parse(name).ok();
    let original = if keep { path("event.original") } else { None };
    (found.len() == names.len() && !found.is_empty()).then_some(())?;
    Some(Box::new(Parse { presets: found, message: path("message")?, original, saved: Saved::default() }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{chain, members, run, wrong};

    const LINE: &str = "I0309 10:15:02.123456       1 main.go:42] started";

    #[test]
    fn the_first_preset_that_fits_is_taken() {
        for options in ["k8s.klog", "[redis, k8s.klog]", "{preset: [redis, k8s.klog]}"] {
            let shown = run(&format!("[{{parse: {options}}}]"), LINE);
            assert!(shown.contains(r#""message":"started""#) && shown.contains(r#""level":"info""#), "{shown}");
            assert!(!shown.contains("event"), "{shown}");
        }
        let shown = members("[{parse: {preset: k8s.klog, keep_original: true}}]", LINE);
        assert!(shown.contains(&format!(r#""event":{{"original":"{LINE}"}}"#)), "{shown}");
    }

    #[test]
    fn times_that_say_not_where_are_in_the_zone() {
        let line = "1:M 09 Jul 2025 10:15:03.500 * Ready to accept connections tcp";
        let shown = run("[{parse: {preset: redis, zone: Europe/Berlin}}]", line);
        assert!(shown.contains(r#""@timestamp":"2025-07-09T08:15:03.500Z""#), "{shown}");
        assert!(wrong("[{parse: {preset: redis, zone: Mars}}]").contains("Europe/Berlin"));
    }

    #[test]
    fn one_that_does_not_fit_changes_nothing() {
        let shown = run("[{parse: [redis, k8s.klog]}]", "no such line");
        let want = r#"{"message":"no such line","log":{"offset":0},"tags":["_forebay_failure"],"error":{"message":"parse (1): k8s.klog: regex (1): no pattern matches, and no other preset fits"}}"#;
        assert_eq!(shown, want);
        assert_eq!(run("[{parse: {preset: redis, on_error: drop}}]", "x"), "filtered by parse (1)");
        // The level is read, but the time is none.
        let shown = run("[{parse: k8s.klog}]", "I9909 10:15:02.123456       1 main.go:42] started");
        assert!(shown.starts_with(r#"{"message":"I9909"#) && !shown.contains("level"), "{shown}");
    }

    #[test]
    fn mistakes_are_told_where_they_are() {
        let said = wrong("[{parse: [redis, k8s.klogs]}]");
        assert!(said.contains("`process.c[0].parse[1]` is `k8s.klogs`") && said.contains("did you mean `k8s.klog`?"), "{said}");
        assert!(wrong("[{parse: {}}]").contains("has no `preset`"));
        assert!(wrong("[{parse: []}]").contains("names no preset"));
        assert!(wrong("[{parse: {preset: redis, keep: true}}]").contains("unknown key `keep`"));
        assert_ne!(chain("[{parse: redis}]").version(), chain("[{parse: k8s.klog}]").version());
    }
}
