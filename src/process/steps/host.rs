//! `host: {}`: the machine: `host.name`, `host.hostname`, `host.id`, `host.architecture`, `host.ip`, `host.mac`, `host.os.*`; and, where
//! the firmware tells, `cloud.provider`, `cloud.machine.type`, `cloud.instance.id`.
//!
//! It is looked at once, when the configuration is read. What an event has already stays.

mod machine;

pub(super) use machine::provider;

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Constant, Document, Failure, Path};

/// See the module.
#[derive(Clone, Debug)]
struct Host(Vec<(Path, Constant)>);

impl Processor for Host {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        self.0.iter().try_for_each(|(path, _)| event.free(path))?;
        for (path, constant) in &self.0 {
            if event.find(path).is_none() {
                let value = event.constant(constant);
                event.set(path, value)?;
            }
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let only = map.get("fields").map(|f| f.event_fields());
    let mut fields = Vec::new();
    for (name, constant) in machine::facts(std::path::Path::new("/")) {
        let path = Path::parse(name).ok()?;
        if only.as_ref().is_none_or(|only| only.iter().any(|wanted| path.is_within(wanted))) {
            fields.push((path, constant));
        }
    }
    Some(Box::new(Host(fields)))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::members;

    #[test]
    fn the_machine_is_in_each_event() {
        let shown = members("[{host: {}}, {keep: {fields: host}}]", "x");
        for name in ["\"name\":", "\"architecture\":", "\"kernel\":", "\"type\":\"linux\""] {
            assert!(shown.contains(name), "{shown}");
        }
        let named =
            members("[{set: {fields: {host.name: mine}}}, {host: {fields: [host.name, host.architecture]}}, {keep: {fields: host}}]", "x");
        assert!(named.starts_with(r#""log":{"offset":0},"host":{"name":"mine","architecture":""#) && !named.contains("kernel"), "{named}");
    }
}
