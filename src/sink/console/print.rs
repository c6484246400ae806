//! Prints batches, each whole, so that lines of other writers never fall into the middle of one.

use crate::process::container::put_text;
use crate::process::flat::Flat;
use crate::queue::{Batch, Encoding, Format, Stored};
use crate::sink::client::{Client, Encoder, Outcome, Request, Sending};
use bytes::Bytes;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};

/// The message alone: the event's bytes as they were read, or as UTF-8 where they are in another encoding; of a container's
/// log, what the program wrote; of what a chain before the queue has made, its message.
pub(crate) struct TextEncoder;

impl Encoder for TextEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        for slice in batch.runs() {
            let (encoding, format) = (slice.run.flags.text().encoding, slice.run.flags.format());
            for event in slice.events {
                match encoding {
                    _ if event.stored.is_document() => out.extend_from_slice(Flat::of(event.bytes).message.as_bytes()),
                    _ if event.stored == Stored::Text => out.extend_from_slice(event.bytes),
                    _ if format != Format::Plain => put_text(format, &event, out),
                    Encoding::UTF8 => out.extend_from_slice(event.bytes),
                    other => other.decode(event.bytes, |text| out.extend_from_slice(text.as_bytes())),
                }
                out.push(b'\n');
                items.push(out.len() as u32);
            }
        }
    }
}

struct Output {
    to: Box<dyn Write + Send>,
    /// The batch that is partly written, and how much of it: a retry goes on there.
    partly: Option<(String, usize)>,
}

/// Writes to standard output.
pub(crate) struct ConsoleClient(Arc<Mutex<Output>>);

impl ConsoleClient {
    /// To standard output.
    pub fn stdout() -> ConsoleClient {
        Self::to(Box::new(std::io::stdout()))
    }

    /// To any writer.
    pub fn to(to: Box<dyn Write + Send>) -> ConsoleClient {
        ConsoleClient(Arc::new(Mutex::new(Output { to, partly: None })))
    }
}

impl Output {
    fn print(&mut self, key: String, body: &[u8]) -> Outcome {
        let mut done = self.partly.take().filter(|(partly, _)| *partly == key).map_or(0, |(_, done)| done);
        let result = loop {
            match body.get(done..) {
                None | Some([]) => break self.to.flush(),
                Some(rest) => match self.to.write(rest) {
                    Ok(0) => break Err(ErrorKind::WriteZero.into()),
                    Ok(n) => done += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => break Err(e),
                },
            }
        };
        match result {
            Ok(()) => Outcome::Delivered { already_there: 0 },
            Err(error) => {
                self.partly = Some((key, done));
                match error.kind() {
                    ErrorKind::BrokenPipe => Outcome::Hold { reason: "nobody reads standard output any more (broken pipe)".into() },
                    _ => Outcome::Retry { reason: format!("cannot write to standard output: {error}"), after: None },
                }
            }
        }
    }
}

impl Client for ConsoleClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        let (output, key, body): (_, _, Bytes) = (self.0.clone(), request.key.to_string(), request.body);
        // A terminal or pipe may block as long as it likes; that is no work for a network thread.
        let write = tokio::task::spawn_blocking(move || output.lock().unwrap_or_else(|e| e.into_inner()).print(key, &body));
        Box::pin(async move { write.await.unwrap_or_else(|_| Outcome::Retry { reason: "printing was interrupted".into(), after: None }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Text;
    use crate::sink::testing::batches;

    struct Limited(Arc<Mutex<Vec<u8>>>, usize, ErrorKind);

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let n = bytes.len().min(self.1);
            if n == 0 {
                self.1 = 100;
                return Err(self.2.into());
            }
            self.1 -= n;
            self.0.lock().unwrap().extend_from_slice(&bytes[..n]);
            Ok(n)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_encodings_are_printed_as_utf8() {
        let text = Text { encoding: Encoding::named("latin1").unwrap(), ..Text::PLAIN };
        let (mut out, mut items) = (Vec::new(), Vec::new());
        for (flags, line) in [(text.flags(), &b"caf\xe9"[..]), (0, b"raw \xff")] {
            TextEncoder.encode(&batches(&[line.to_vec()], 1, flags)[0], &mut out, &mut items);
        }
        assert_eq!(out, b"caf\xc3\xa9\nraw \xff\n");
        assert_eq!(items, [6, 12]);
    }

    #[test]
    fn what_a_program_wrote_is_printed_without_its_wrapping() {
        let (mut out, mut items) = (Vec::new(), Vec::new());
        let cri = b"2026-03-09T10:15:02.1Z stdout P on\n2026-03-09T10:15:02.2Z stdout F e\n2026-03-09T10:15:02.3Z stdout F two";
        let docker = br#"{"log":"caf\u00e9 \"x\"\n","stream":"stderr","time":"2026-03-09T10:15:02Z"}"#;
        for (format, line) in [(Format::Cri, &cri[..]), (Format::Docker, docker), (Format::Docker, b"no record")] {
            TextEncoder.encode(&batches(&[line.to_vec()], 1, format.flags())[0], &mut out, &mut items);
        }
        assert_eq!(String::from_utf8(out).unwrap(), "one\ntwo\ncafé \"x\"\nno record\n");
    }

    #[test]
    fn a_broken_pipe_holds_and_a_retry_goes_on_where_it_stopped() {
        let written = Arc::default();
        let client = ConsoleClient::to(Box::new(Limited(Arc::clone(&written), 5, ErrorKind::BrokenPipe)));
        let mut output = client.0.lock().unwrap();
        let Outcome::Hold { reason } = output.print("a".into(), b"one\ntwo\n") else { panic!("not held") };
        assert!(reason.contains("broken pipe"));
        assert_eq!(output.print("a".into(), b"one\ntwo\n"), Outcome::Delivered { already_there: 0 });
        assert_eq!(&*written.lock().unwrap(), b"one\ntwo\n");
    }
}
