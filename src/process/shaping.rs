//! The way of a sink's events into documents: by the template alone, or through the sink's chain.

use super::chain::{Chain, Verdict};
use super::document::Template;
use super::event::{Document, Id, Path, Value};
use crate::queue::Event;
use std::collections::BTreeMap;

/// What a chain keeps out of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Indices of the events that are filtered, ascending.
    pub(crate) filtered: Vec<u32>,
    /// How many were filtered by which processor.
    pub(crate) by: BTreeMap<String, u64>,
    /// Indices of the events that go to the dead letters, ascending, and why.
    pub(crate) dead: Vec<(u32, String)>,
    /// How often a processor failed at an event that is sent all the same.
    pub(crate) failed: u64,
}

/// A chain and what it works with.
pub(super) struct Through {
    pub(super) chain: Chain,
    /// A document of the run without its message and number.
    base: Document,
    pub(super) document: Document,
    rendered: Vec<u8>,
    left_out: LeftOut,
    pub(super) message: Path,
    numbers: [Path; 2],
    /// Where message and number stand in the base, and so in each document that begins as it.
    places: Option<(Id, Id)>,
    /// A member that the encoder writes itself.
    reserved: Option<Path>,
}

/// See the module. Without a chain it is but the template.
#[derive(Default)]
pub(crate) struct Shaping(Option<Box<Through>>);

impl Shaping {
    /// Sends all through `chain` from now on.
    pub(crate) fn through(&mut self, chain: Chain) {
        self.0 = Some(Box::new(Through::new(chain)));
    }

    /// Whether there is a chain.
    pub(crate) fn has_chain(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves the member `name` of the document to the encoder.
    pub(crate) fn reserve(&mut self, name: &str) {
        if let Some(through) = &mut self.0 {
            through.reserved = Path::parse(name).ok();
        }
    }

    /// Begins a run of events that were appended at `append_ms`.
    #[inline]
    pub(crate) fn begin(&mut self, template: &Template, append_ms: u64) {
        if let Some(through) = &mut self.0 {
            through.begin(template, append_ms);
        }
    }

    /// Appends the document of `event`, the batch's `index`th; `false`, and nothing appended, where the chain keeps it out.
    #[inline]
    pub(crate) fn write(&mut self, template: &Template, event: &Event<'_>, index: usize, out: &mut Vec<u8>) -> bool {
        match &mut self.0 {
            None => {
                template.write(event, out);
                true
            }
            Some(through) => through.write(template, event, index as u32, out),
        }
    }

    /// What was kept out since this was asked before.
    pub(crate) fn left_out(&mut self) -> LeftOut {
        self.0.as_mut().map(|through| std::mem::take(&mut through.left_out)).unwrap_or_default()
    }
}

impl Through {
    pub(super) fn new(chain: Chain) -> Through {
        let path = |name| Path::parse(name).expect("a right name");
        Through {
            chain,
            base: Document::default(),
            document: Document::default(),
            rendered: Vec::new(),
            left_out: LeftOut::default(),
            message: path("message"),
            numbers: [path("log.offset"), path("event.sequence")],
            places: None,
            reserved: None,
        }
    }

    pub(super) fn begin(&mut self, template: &Template, append_ms: u64) {
        self.base.append_ms = append_ms;
        if template.is_plain() {
            self.rendered.clear();
            template.write(&Event::as_read(0, 0, b"", b""), &mut self.rendered);
            let json = std::str::from_utf8(&self.rendered).unwrap_or_default();
            // The template's own text is always an object; the event would be sent without its facts otherwise.
            let _ = self.base.begin_with(json, append_ms);
            let number = &self.numbers[usize::from(template.by_offset())];
            self.places = self.base.find(&self.message).zip(self.base.find(number));
        }
    }

    /// Makes the document that `event` is before the chain.
    pub(super) fn fill(&mut self, template: &Template, event: &Event<'_>) {
        let document = &mut self.document;
        if template.is_plain() && !event.stored.is_document() {
            document.begin(&self.base);
            let text = document.push_with(|text| template.put_text(event, text)).clean(template.is_clean(event));
            let number = i64::try_from(template.number(event)).unwrap_or(i64::MAX);
            if let Some((message_at, number_at)) = self.places {
                document.set_value(message_at, Value::Text(text));
                document.set_value(number_at, Value::Int(number));
            }
        } else {
            self.rendered.clear();
            template.write(event, &mut self.rendered);
            let json = std::str::from_utf8(&self.rendered).unwrap_or_default();
            let _ = document.begin_with(json, self.base.append_ms);
        }
    }

    fn write(&mut self, template: &Template, event: &Event<'_>, index: u32, out: &mut Vec<u8>) -> bool {
        self.fill(template, event);
        let document = &mut self.document;
        match self.chain.run(document, &mut self.left_out.failed) {
            Verdict::Send => {
                if let Some(reserved) = &self.reserved {
                    document.remove(reserved);
                }
                document.render(out);
                return true;
            }
            Verdict::Filtered(step) => {
                self.left_out.filtered.push(index);
                let name = self.chain.step(step);
                match self.left_out.by.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(self.left_out.by.insert(name.to_string(), 1)),
                }
            }
            Verdict::DeadLetter(why) => self.left_out.dead.push((index, why)),
        }
        false
    }
}
