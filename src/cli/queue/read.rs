//! `forebay read`.

use super::args::ReadArgs;
use super::{Told, code, failed, moment};
use crate::cli::{FAILED, OK, complain};
use crate::queue::{Encoding, Event, Part, Reader, RunFlags, RunSlice, Stored, View};
use crate::sink::base64;
use serde_json::{Map, Value, json};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How often a followed topic is looked at: the files have no reader that could be woken.
const LOOK: Duration = Duration::from_millis(100);

/// Prints records; the exit code.
pub(in crate::cli) fn read(args: &ReadArgs) -> u8 {
    code(run(args))
}

fn run(args: &ReadArgs) -> Result<u8, Told> {
    let view = View::open(&args.place.dir()?).map_err(failed)?;
    let mut readers = view.readers(&args.topic, args.partition, args.from).map_err(failed)?;
    if readers.is_empty() {
        let known = view.topics().join(", ");
        return Err(failed(match args.partition {
            Some(n) if view.topics().contains(&args.topic) => format!("topic `{}` has no partition {n}", args.topic),
            _ if known.is_empty() => format!("there is no topic `{}`: the queue is empty", args.topic),
            _ => format!("there is no topic `{}`; there are: {known}", args.topic),
        }));
    }
    let stdout = io::stdout();
    let form = match (args.json, stdout.is_terminal()) {
        (true, _) => Form::Json,
        (false, true) => Form::Terminal,
        (false, false) => Form::Raw,
    };
    let mut out = Printer { out: io::BufWriter::with_capacity(64 << 10, stdout.lock()), form, left: args.count.unwrap_or(u64::MAX) };
    match print_all(&mut readers, &mut out, args.follow) {
        Ok(()) => {}
        // A closed pipe is the reader's choice.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(OK),
        Err(e) => return Err(failed(format!("cannot go on reading: {e}"))),
    }
    let skipped: u64 = readers.iter().map(Reader::skipped).sum();
    if skipped > 0 {
        complain(&format!("{skipped} events could not be read: they are damaged or were removed meanwhile; `forebay verify` tells where"));
        return Ok(FAILED);
    }
    Ok(OK)
}

/// Prints the partitions' batches in the order in which they were appended.
fn print_all(readers: &mut [Reader], out: &mut Printer<impl Write>, follow: bool) -> io::Result<()> {
    let mut heads: Vec<Option<Part>> = readers.iter().map(|_| None).collect();
    while out.left > 0 {
        for (head, reader) in heads.iter_mut().zip(readers.iter_mut()) {
            if head.is_none() {
                *head = reader.read()?;
            }
        }
        let oldest = (0..heads.len()).filter_map(|i| Some((heads[i].as_ref()?.batch.append_ms, i))).min();
        match oldest.and_then(|(_, i)| Some((heads[i].take()?, &readers[i]))) {
            Some((part, reader)) => out.part(&part, reader)?,
            None if follow => {
                out.out.flush()?;
                std::thread::sleep(LOOK);
            }
            None => break,
        }
    }
    out.out.flush()
}

#[derive(Clone, Copy)]
enum Form {
    Raw,
    /// Control characters could do things to a terminal.
    Terminal,
    Json,
}

struct Printer<W: Write> {
    out: W,
    form: Form,
    left: u64,
}

impl<W: Write> Printer<W> {
    fn part(&mut self, part: &Part, reader: &Reader) -> io::Result<()> {
        let mut scratch = String::new();
        for run in part.runs() {
            for event in run.events.clone() {
                let encoding = encoding_of(&event, &run);
                if self.left == 0 {
                    return Ok(());
                }
                self.left -= 1;
                match self.form {
                    Form::Raw => self.out.write_all(event.bytes)?,
                    Form::Terminal => harmless(encoding.text(event.bytes, &mut scratch), &mut self.out)?,
                    Form::Json => serde_json::to_writer(&mut self.out, &document(&event, &run, reader)).map_err(io::Error::from)?,
                }
                self.out.write_all(b"\n")?;
            }
        }
        Ok(())
    }
}

/// What a chain before the queue has made is UTF-8.
fn encoding_of(event: &Event<'_>, run: &RunSlice<'_>) -> Encoding {
    if event.stored == Stored::AsRead { run.run.flags.text().encoding } else { Encoding::UTF8 }
}

fn harmless(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    for c in String::from_utf8_lossy(bytes).chars() {
        if c.is_control() && c != '\t' { write!(out, "\\x{:02x}", u32::from(c))? } else { write!(out, "{c}")? }
    }
    Ok(())
}

fn document(event: &Event<'_>, run: &RunSlice<'_>, reader: &Reader) -> Value {
    let spec = run.run.stream.spec();
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| record.insert(name.to_string(), value);
    put("topic", json!(reader.topic()));
    put("partition", json!(reader.partition()));
    put("offset", json!(event.offset));
    put("time", json!(moment(Some(run.append_ms))));
    if !spec.path.as_os_str().is_empty() {
        put("path", json!(spec.path.to_string_lossy()));
    }
    if !run.run.flags.has(RunFlags::NO_POSITION) {
        put("position", json!(event.position));
    }
    let (encoding, mut scratch) = (encoding_of(event, run), String::new());
    if event.stored.is_document()
        && let Ok(document) = serde_json::from_slice::<Value>(event.bytes)
    {
        put("document", document);
        return Value::Object(record);
    }
    match std::str::from_utf8(encoding.text(event.bytes, &mut scratch)) {
        Ok(text) => put("message", json!(text)),
        Err(_) => put("message_base64", json!(base64(event.bytes))),
    };
    if encoding != Encoding::UTF8 {
        put("encoding", json!(encoding.name()));
    }
    Value::Object(record)
}
