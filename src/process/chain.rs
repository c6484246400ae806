//! A chain of processors, as a sink's `process:` has it, compiled.
//!
//! An event goes through the processors in their order, past those whose `when` does not hold. A processor that fails has
//! changed nothing; what happens then is its `on_error`:
//!
//! - `keep` (the default): the event is tagged and goes on through the rest of the chain, so that a `redact` behind a failed
//!   `json` still does its work. `tags` gets `_forebay_failure`, and `error.message` says which processor failed and why.
//! - `drop`: it is left out, and counted as filtered.
//! - `dead_letter`: it goes to the dead-letter topic with its original bytes.
//!
//! To build a processor: a file in `steps` with a type that is a [`Processor`], a `decode` for its options, and a line in
//! `steps::ALL`.

use super::condition::Condition;
use super::event::{Document, Failure, Origin, Path, Value};
use std::fmt;

/// The tag of an event at which a processor has failed.
pub(crate) const FAILED: &str = "_forebay_failure";

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It goes on.
    On,
    /// It is left out.
    Drop,
}

/// One kind of processor with its options. Each sink has its own, so that state may be kept.
pub(crate) trait Processor: CloneProcessor + fmt::Debug + Send + Sync {
    /// Works on `event`. One that fails must not have changed any field.
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure>;

    /// An agent that will use it starts: what it has to ask for is asked for now, within seconds. Never called on the way of an
    /// event, nor by commands that send nothing.
    fn prepare(&self) {}

    /// Whether it asks for [`Document::origin`].
    fn needs_origin(&self) -> bool {
        false
    }
}

/// `Clone`, for a boxed one.
pub(crate) trait CloneProcessor {
    fn boxed(&self) -> Box<dyn Processor>;
}

impl<T: Processor + Clone + 'static> CloneProcessor for T {
    fn boxed(&self) -> Box<dyn Processor> {
        Box::new(self.clone())
    }
}

/// What happens when a processor fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum OnError {
    #[default]
    Keep,
    Drop,
    DeadLetter,
}

/// A processor at its place in a chain.
#[derive(Debug)]
pub(crate) struct Step {
    /// Such as `json (1)`: what and the how manieth.
    pub(crate) name: String,
    pub(crate) when: Option<Condition>,
    pub(crate) on_error: OnError,
    pub(crate) processor: Box<dyn Processor>,
}

impl Clone for Step {
    fn clone(&self) -> Step {
        Step { name: self.name.clone(), when: self.when.clone(), on_error: self.on_error, processor: self.processor.boxed() }
    }
}

/// See the module. Two are the same when they are configured in the same words.
#[derive(Clone, Debug)]
pub struct Chain {
    steps: Vec<Step>,
    /// The sink's own `when`: only events for which it holds behind the last step are the sink's.
    route: Option<Condition>,
    /// Paths that a failure writes.
    tags: Path,
    message: Path,
    /// Where a processor asks for it: taken at the beginning, since others may change what it is made of.
    origin: Option<Origin>,
    version: u32,
}

impl PartialEq for Chain {
    fn eq(&self, other: &Chain) -> bool {
        self.version == other.version
    }
}

impl Eq for Chain {}

/// What a chain decides of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is sent.
    Send,
    /// It is left out, by the step of this number.
    Filtered(usize),
    /// It goes to the dead letters, for this reason.
    DeadLetter(String),
}

impl Chain {
    /// A chain whose configuration has this hash.
    pub(crate) fn new(steps: Vec<Step>, hash: u64) -> Chain {
        let path = |name| Path::parse(name).expect("a right name");
        let origin = steps.iter().any(|step| step.processor.needs_origin()).then(Origin::default);
        Chain { origin, steps, route: None, tags: path("tags"), message: path("error.message"), version: (hash as u32).max(1) }
    }

    /// The same for a sink that takes only events for which `when` holds behind the last step; `hash` is that of its text.
    pub(crate) fn routed(mut self, when: Condition, hash: u64) -> Chain {
        self.version = (self.version.rotate_left(1) ^ hash as u32).max(1);
        self.route = Some(when);
        self
    }

    /// Part of the batch IDs: other processing gives other bytes. Never 0.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Sends an event through; counts into `failed` what `on_error: keep` lets go on.
    pub(crate) fn run(&mut self, event: &mut Document, failed: &mut u64) -> Verdict {
        if let Some(origin) = &self.origin {
            event.origin = origin.of(event);
        }
        for (number, step) in self.steps.iter_mut().enumerate() {
            if step.when.as_ref().is_some_and(|when| !when.holds(event)) {
                continue;
            }
            match (step.processor.apply(event), step.on_error) {
                (Ok(Flow::On), _) => {}
                (Ok(Flow::Drop), _) | (Err(_), OnError::Drop) => return Verdict::Filtered(number),
                (Err(failure), OnError::DeadLetter) => return Verdict::DeadLetter(format!("{}: {}", step.name, failure.0)),
                (Err(failure), OnError::Keep) => {
                    *failed += 1;
                    event.add_tag(&self.tags, FAILED);
                    if event.find(&self.message).is_none() {
                        let text = event.push_with(|text| {
                            text.push_str(&step.name);
                            text.push_str(": ");
                            text.push_str(&failure.0);
                        });
                        // Where `error` is no object, the tag must do.
                        let _ = event.set(&self.message, Value::Text(text));
                    }
                }
            }
        }
        match &self.route {
            Some(route) if !route.holds(event) => Verdict::Filtered(self.steps.len()),
            _ => Verdict::Send,
        }
    }

    /// Sends an event through as if the chain were one processor: it fails with the first step that fails, here with the
    /// number of that step, unless that step drops what it fails at. What was changed before is not put back.
    pub(crate) fn attempt(&mut self, event: &mut Document) -> Result<Flow, (usize, Failure)> {
        for (number, step) in self.steps.iter_mut().enumerate() {
            if step.when.as_ref().is_some_and(|when| !when.holds(event)) {
                continue;
            }
            match (step.processor.apply(event), step.on_error) {
                (Ok(Flow::On), _) => {}
                (Ok(Flow::Drop), _) | (Err(_), OnError::Drop) => return Ok(Flow::Drop),
                (Err(failure), _) => return Err((number, failure)),
            }
        }
        Ok(Flow::On)
    }

    /// Lets each processor ask for what it has to ask for.
    pub(crate) fn prepare(&self) {
        self.steps.iter().for_each(|step| step.processor.prepare());
    }

    /// The first step that sends what it fails at to the dead letters.
    pub(crate) fn dead_letters(&self) -> Option<&str> {
        self.steps.iter().find(|step| step.on_error == OnError::DeadLetter).map(|step| step.name.as_str())
    }

    /// The name of a step, for a message.
    pub(crate) fn step(&self, number: usize) -> &str {
        self.steps.get(number).map_or("when", |step| &step.name)
    }
}
