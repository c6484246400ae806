//! `cloud: {}`: what the cloud's metadata service says of the machine: `cloud.region`, `cloud.availability_zone`, `cloud.instance.*`,
//! `cloud.machine.type`, `cloud.account.id`, `cloud.project.id`, `cloud.provider`.
//!
//! The service is asked once, when an agent starts, and never by `check`, `test`, `try` or a dry run. Until it has answered events
//! go on without; where it does not answer it is asked again in the background. What an event has already stays.

mod metadata;
#[cfg(test)]
mod tests;

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};
use metadata::Provider;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long it waits before it asks again.
const AGAIN: [Duration; 4] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120), Duration::from_secs(600)];

/// What is known, shared by all users of the chain and by who asks.
#[derive(Debug, Default)]
struct Known {
    facts: OnceLock<Vec<(Path, String)>>,
    asked: AtomicBool,
}

/// See the module.
#[derive(Clone, Debug)]
struct Cloud {
    provider: Option<Provider>,
    endpoint: String,
    timeout: Duration,
    only: Option<Vec<Path>>,
    known: Arc<Known>,
}

impl Cloud {
    fn facts(&self, answer: Vec<(&'static str, String)>) -> Vec<(Path, String)> {
        let wanted = |path: &Path| self.only.as_ref().is_none_or(|only| only.iter().any(|name| path.is_within(name)));
        let paths = answer.into_iter().filter_map(|(name, value)| Some((Path::parse(name).ok()?, value)));
        paths.filter(|(path, _)| wanted(path)).collect()
    }

    fn ask(&self) -> Result<(), String> {
        let answer = metadata::ask(self.provider, &self.endpoint, self.timeout)?;
        let _ = self.known.facts.set(self.facts(answer));
        Ok(())
    }

    /// Asks until there is an answer.
    fn ask_again(self) {
        for pause in AGAIN.into_iter().chain(std::iter::repeat(AGAIN[AGAIN.len() - 1])) {
            std::thread::sleep(pause);
            // Nobody else has it any more: the chain is gone.
            if Arc::strong_count(&self.known) == 1 {
                return;
            }
            if self.ask().is_ok() {
                tracing::info!("cloud: the metadata service at {} has answered; events have its fields from now on", self.endpoint);
                return;
            }
        }
    }
}

impl Processor for Cloud {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let Some(facts) = self.known.facts.get() else { return Ok(Flow::On) };
        facts.iter().try_for_each(|(path, _)| event.free(path))?;
        for (path, value) in facts {
            if event.find(path).is_none() {
                let text = event.push(value);
                event.set(path, Value::Text(text))?;
            }
        }
        Ok(Flow::On)
    }

    fn prepare(&self) {
        if self.known.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        let begun = Instant::now();
        let Err(why) = self.ask() else { return };
        tracing::warn!(
            "cloud: the metadata service at {} does not answer ({why}, after {} ms); events go on without its fields, and it is asked again",
            self.endpoint,
            begun.elapsed().as_millis()
        );
        let again = self.clone();
        if let Err(e) = std::thread::Builder::new().name("cloud".into()).spawn(move || again.ask_again()) {
            tracing::warn!("cloud: cannot start a thread to ask again: {e}");
        }
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let providers = [("auto", None), ("aws", Some(Provider::Aws)), ("gcp", Some(Provider::Gcp)), ("azure", Some(Provider::Azure))];
    let provider = map.get("provider").map_or(Some(None), |f| f.one_of(&providers));
    let endpoint = map.get("endpoint").map_or(Some(metadata::ENDPOINT.to_string()), |field| {
        let expected = "`http://` and an IP address, such as `http://169.254.169.254`";
        let value = field.value(expected)?;
        let right = metadata::address(&value.text).is_some();
        if !right {
            field.report(field.is(&value).expected(expected));
        }
        right.then_some(value.text)
    });
    let range = Duration::from_millis(10)..=Duration::from_secs(30);
    let timeout = map.get("timeout").map_or(Some(Duration::from_secs(1)), |f| f.duration(range));
    let only = map.get("fields").map(|f| f.event_fields());
    Some(Box::new(Cloud { provider: provider?, endpoint: endpoint?, timeout: timeout?, only, known: Arc::default() }))
}
