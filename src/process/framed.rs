//! Plain events between texts that are constant within a run: few large copies instead of many small ones.

use super::document::{Message, Template, digits};
use crate::queue::Event;

/// Room for the text between message and number, and the number.
const NUMBERED: usize = 64;
/// The most digits of a number.
const DIGITS: usize = 20;

/// What stands around the message and the number of each event of a run.
#[derive(Debug)]
pub(crate) struct Frame {
    before: Vec<u8>,
    numbered: [u8; NUMBERED],
    digits_at: usize,
    after: Vec<u8>,
    message: Message,
    by_offset: bool,
}

impl Default for Frame {
    fn default() -> Frame {
        let (before, after) = (Vec::new(), Vec::new());
        Frame { before, numbered: [0; NUMBERED], digits_at: 0, after, message: Message::Lossy, by_offset: false }
    }
}

impl Frame {
    /// Takes the texts of `template`, with `before` in front of them, and `end` in place of the brace that ends the document.
    /// `false` where events of the run are more than a message, or were changed before the queue.
    pub(crate) fn begin(&mut self, template: &Template, before: &[&[u8]], end: &[u8]) -> bool {
        let (head, middle, tail) = template.texts();
        if !template.is_plain() || template.is_processed() || middle.len() + DIGITS > NUMBERED {
            return false;
        }
        self.before.clear();
        before.iter().for_each(|text| self.before.extend_from_slice(text));
        self.before.extend_from_slice(head);
        self.digits_at = middle.len();
        self.numbered[..middle.len()].copy_from_slice(middle);
        self.after.clear();
        self.after.extend_from_slice(tail.strip_suffix(b"}").unwrap_or(tail));
        self.after.extend_from_slice(end);
        (self.message, self.by_offset) = (template.message(), template.by_offset());
        true
    }

    /// Appends an event with all around it.
    #[inline]
    pub(crate) fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        self.message.put(event.bytes, out);
        let number = if self.by_offset { event.offset } else { event.position };
        let end = self.digits_at + digits(number, &mut self.numbered[self.digits_at..]);
        out.extend_from_slice(&self.numbered[..end]);
        out.extend_from_slice(&self.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::document::Documents;
    use crate::queue::{Encoding, RunFlags, Text};
    use crate::sink::testing::batches;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_event_in_its_frame_is_the_document_with_what_was_put_around_it(
            lines in prop::collection::vec("[ -~é\\t\"\\\\]{0,300}", 1..5),
            flags in prop_oneof![
                Just(0),
                Just(RunFlags::UTF8),
                Just(RunFlags::UTF8 | RunFlags::NO_POSITION),
                Just(RunFlags::CUT),
                Just(Text { encoding: Encoding::named("latin1").unwrap(), ..Text::PLAIN }.flags()),
            ],
            before in "[a-z]{0,200}",
        ) {
            let lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            let (mut documents, mut frame) = (Documents::new("web-1"), Frame::default());
            for batch in batches(&lines, 2, flags) {
                for slice in batch.runs() {
                    let template = documents.template(&slice);
                    let framed = frame.begin(template, &[b"<", before.as_bytes()], b",1}\n");
                    prop_assert!(framed);
                    for event in slice.events {
                        let (mut framed, mut plain) = (Vec::new(), format!("<{before}").into_bytes());
                        frame.write(&event, &mut framed);
                        template.write(&event, &mut plain);
                        plain.pop();
                        plain.extend_from_slice(b",1}\n");
                        prop_assert_eq!(String::from_utf8(framed), String::from_utf8(plain));
                    }
                }
            }
        }

        #[test]
        fn numbers_are_written_as_they_are(number in any::<u64>(), shift in 0u32..64) {
            let mut text = [0; DIGITS];
            for number in [number >> shift, 0, 9, 10, 99, 100, u64::MAX] {
                let len = digits(number, &mut text);
                prop_assert_eq!(std::str::from_utf8(&text[..len]).unwrap(), number.to_string());
            }
        }
    }

    #[test]
    fn what_is_more_than_a_message_has_no_frame() {
        let (mut documents, mut frame) = (Documents::new("web-1"), Frame::default());
        let batch = batches(&[b"<13>hello".to_vec()], 1, RunFlags::SYSLOG | RunFlags::NO_POSITION).remove(0);
        let slice = batch.runs().next().unwrap();
        assert!(!frame.begin(documents.template(&slice), &[], b"}"));
    }
}
