//! Documents of events that are more than a message: syslog messages and journal entries.
//!
//! They are taken apart here, behind the queue, so that the queue holds what was sent. Fields of the source win over what
//! is found in an event (`host.hostname: x` in the configuration is what the operator wants to see), and no name stands
//! in a document twice.

use super::escape::{escape_into, escape_lossy_into};
use super::journal;
use super::syslog::{Syslog, parameters};
use super::timestamp::{TIMESTAMP_LEN, parse_rfc3339, rfc3339};
use crate::queue::{Event, RunFlags};
use serde_json::{Map, Value};

/// Objects of ECS that hold what is found in an event.
const OBJECTS: [&str; 6] = ["event", "log", "host", "process", "systemd", "journald"];
const EVENT: usize = 0;
const LOG: usize = 1;
const HOST: usize = 2;
const PROCESS: usize = 3;
const SYSTEMD: usize = 4;
const JOURNALD: usize = 5;

/// One object as the fields of the source leave it.
#[derive(Debug, Default)]
struct Base {
    /// Names that are taken.
    names: Vec<String>,
    /// Rendered members, each after a comma.
    members: Vec<u8>,
    /// A plain value stands where the object would.
    blocked: bool,
}

/// What is constant in the documents of a run of such events.
#[derive(Debug)]
pub(super) struct Shaped {
    bases: [Base; OBJECTS.len()],
    rest: Vec<u8>,
    journal: bool,
}

/// The members of one object of one document.
struct Members<'a> {
    base: &'a Base,
    out: &'a mut Vec<u8>,
    utf8: bool,
}

impl Members<'_> {
    fn name(&mut self, name: &str) -> bool {
        if self.base.names.iter().any(|taken| taken == name) {
            return false;
        }
        self.out.extend_from_slice(b",\"");
        escape_into(name.as_bytes(), self.out);
        self.out.extend_from_slice(b"\":");
        true
    }

    fn string(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        escape(bytes, self.utf8, self.out);
        self.out.push(b'"');
    }

    /// A text that is there.
    fn text(&mut self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() && self.name(name) {
            self.string(bytes);
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        if self.name(name) {
            super::document::put_number(number, self.out);
        }
    }

    /// An object within.
    fn object(&mut self, name: &str, fill: impl FnOnce(&mut Members<'_>)) {
        if self.name(name) {
            self.out.push(b'{');
            let at = self.out.len();
            let free = Base::default();
            fill(&mut Members { base: &free, out: self.out, utf8: self.utf8 });
            close(self.out, at);
        }
    }
}

/// Ends an object whose members begin at `at`, each with a comma.
fn close(out: &mut Vec<u8>, at: usize) {
    if out.get(at) == Some(&b',') {
        out.remove(at);
    }
    out.push(b'}');
}

fn escape(bytes: &[u8], utf8: bool, out: &mut Vec<u8>) {
    if utf8 { escape_into(bytes, out) } else { escape_lossy_into(bytes, out) }
}

/// A whole number of at most ten digits.
fn whole(bytes: &[u8]) -> Option<u64> {
    ((1..=10).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit))
        .then(|| bytes.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

impl Shaped {
    /// For runs with these flags, where they say that there is more than a message; `root` is what fields and host give.
    pub(super) fn new(flags: RunFlags, root: &Map<String, Value>) -> Option<Box<Shaped>> {
        if !flags.has(RunFlags::SYSLOG) && !flags.has(RunFlags::JOURNAL) {
            return None;
        }
        let mut rest = root.clone();
        let bases = OBJECTS.map(|name| match rest.get(name) {
            Some(Value::Object(members)) => {
                let mut base = Base { names: members.keys().cloned().collect(), ..Base::default() };
                super::document::put_members(members, &mut base.members);
                rest.remove(name);
                base
            }
            Some(_) => Base { blocked: true, ..Base::default() },
            None => Base::default(),
        });
        let mut rendered = Vec::new();
        super::document::put_members(&rest, &mut rendered);
        Some(Box::new(Shaped { bases, rest: rendered, journal: flags.has(RunFlags::JOURNAL) }))
    }

    /// Appends the document of `event`, which was appended to the queue at `appended`.
    pub(super) fn write(&self, event: &Event<'_>, appended: &[u8], utf8: bool, out: &mut Vec<u8>) {
        if self.journal { self.entry(event, appended, out) } else { self.message(event, appended, utf8, out) }
    }

    fn head(time: &[u8], message: &[u8], utf8: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"@timestamp":""#);
        out.extend_from_slice(time);
        out.extend_from_slice(br#"","message":""#);
        escape(message, utf8, out);
        out.push(b'"');
    }

    fn put(&self, object: usize, utf8: bool, out: &mut Vec<u8>, fill: impl FnOnce(&mut Members<'_>)) {
        let base = &self.bases[object];
        if base.blocked {
            return;
        }
        let from = out.len();
        out.extend_from_slice(b",\"");
        out.extend_from_slice(OBJECTS[object].as_bytes());
        out.extend_from_slice(b"\":{");
        let at = out.len();
        fill(&mut Members { base, out, utf8 });
        out.extend_from_slice(&base.members);
        if out.len() == at {
            out.truncate(from);
        } else {
            close(out, at);
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rest);
        out.push(b'}');
    }

    fn message(&self, event: &Event<'_>, appended: &[u8], utf8: bool, out: &mut Vec<u8>) {
        let parsed = Syslog::parse(event.bytes);
        // A stamp of RFC 3164 has neither year nor zone: when it came is the better guess.
        let sent = sent(parsed.timestamp);
        Self::head(sent.as_ref().map_or(appended, |t| &t[..]), parsed.message, utf8, out);
        self.put(EVENT, utf8, out, |m| m.number("sequence", event.offset));
        self.put(LOG, utf8, out, |m| m.object("syslog", |m| syslog_members(&parsed, m)));
        self.put(HOST, utf8, out, |m| m.text("hostname", parsed.host));
        self.put(PROCESS, utf8, out, |m| {
            m.text("name", parsed.app);
            if let Some(pid) = whole(parsed.procid) {
                m.number("pid", pid);
            }
        });
        for object in [SYSTEMD, JOURNALD] {
            self.put(object, utf8, out, |_| {});
        }
        self.end(out);
    }

    fn entry(&self, event: &Event<'_>, appended: &[u8], out: &mut Vec<u8>) {
        // `raw`: the blank line at the end is not a line's delimiter.
        let mut fields: Vec<(&[u8], &[u8])> = journal::fields(event.raw).collect();
        fields.sort_by_key(|(name, _)| *name);
        let get = |name: &[u8]| {
            let at = fields.partition_point(|(n, _)| *n < name);
            fields.get(at).filter(|(n, _)| *n == name).map_or(&[][..], |(_, value)| *value)
        };
        let micros = std::str::from_utf8(get(b"__REALTIME_TIMESTAMP")).ok().and_then(|t| t.parse::<u64>().ok());
        let time = micros.map(|us| rfc3339(us / 1000));
        Self::head(time.as_ref().map_or(appended, |t| &t[..]), get(b"MESSAGE"), false, out);
        self.put(EVENT, false, out, |m| m.number("sequence", event.offset));
        self.put(LOG, false, out, |m| {
            m.object("syslog", |m| {
                let priority = whole(get(b"PRIORITY")).filter(|p| *p < 8);
                let facility = whole(get(b"SYSLOG_FACILITY")).filter(|f| *f < 24);
                let both = (facility.unwrap_or(1) << 3 | priority.unwrap_or(6)) as u8;
                let known = Syslog { priority: Some(both), ..Syslog::default() };
                if let (Some(_), Some(severity)) = (priority, known.severity()) {
                    named(m, "severity", severity);
                }
                if let (Some(_), Some(facility)) = (facility, known.facility()) {
                    named(m, "facility", facility);
                }
                m.text("appname", get(b"SYSLOG_IDENTIFIER"));
                m.text("procid", get(b"SYSLOG_PID"));
            });
        });
        self.put(HOST, false, out, |m| m.text("hostname", get(b"_HOSTNAME")));
        self.put(PROCESS, false, out, |m| {
            m.text("name", get(b"_COMM"));
            if let Some(pid) = whole(get(b"_PID")) {
                m.number("pid", pid);
            }
        });
        self.put(SYSTEMD, false, out, |m| m.text("unit", get(b"_SYSTEMD_UNIT")));
        self.put(JOURNALD, false, out, |m| {
            // What stands elsewhere in the document, and the cursor, which means something only where the journal is.
            const ELSEWHERE: [&[u8]; 10] = [
                b"MESSAGE",
                b"_HOSTNAME",
                b"_COMM",
                b"_PID",
                b"PRIORITY",
                b"SYSLOG_FACILITY",
                b"SYSLOG_IDENTIFIER",
                b"_SYSTEMD_UNIT",
                b"SYSLOG_PID",
                b"__CURSOR",
            ];
            let others = fields.iter().filter(|(name, _)| !name.is_empty() && !ELSEWHERE.contains(name));
            let mut others: Vec<(String, &[u8])> =
                others.map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), *value)).collect();
            others.sort_by(|a, b| a.0.cmp(&b.0));
            for group in others.chunk_by(|a, b| a.0 == b.0) {
                if !m.name(&group[0].0) {
                    continue;
                }
                // The journal keeps several values under one name.
                let several = group.len() > 1;
                for (n, (_, value)) in group.iter().enumerate() {
                    if several {
                        m.out.push(if n == 0 { b'[' } else { b',' });
                    }
                    m.string(value);
                }
                if several {
                    m.out.push(b']');
                }
            }
        });
        self.end(out);
    }
}

/// The time of an RFC 3339 stamp.
fn sent(stamp: &[u8]) -> Option<[u8; TIMESTAMP_LEN]> {
    if stamp.get(4) != Some(&b'-') {
        return None;
    }
    parse_rfc3339(std::str::from_utf8(stamp).ok()?).map(rfc3339)
}

fn named(m: &mut Members<'_>, what: &str, (code, name): (u8, &str)) {
    m.object(what, |m| {
        m.number("code", code.into());
        m.text("name", name.as_bytes());
    });
}

fn syslog_members(parsed: &Syslog<'_>, m: &mut Members<'_>) {
    if let Some(priority) = parsed.priority {
        m.number("priority", priority.into());
    }
    if let Some(facility) = parsed.facility() {
        named(m, "facility", facility);
    }
    if let Some(severity) = parsed.severity() {
        named(m, "severity", severity);
    }
    if parsed.version > 0 {
        m.text("version", parsed.version.to_string().as_bytes());
    }
    m.text("hostname", parsed.host);
    m.text("appname", parsed.app);
    m.text("procid", parsed.procid);
    m.text("msgid", parsed.msgid);
    if !parsed.structured.is_empty() && m.name("structured_data") {
        m.out.extend_from_slice(structured(parsed.structured).to_string().as_bytes());
    }
}

/// Elements by ID, their parameters by name; what comes twice is a list.
fn structured(text: &[u8]) -> Value {
    let mut elements: Map<String, Value> = Map::new();
    for (id, name, value) in parameters(text) {
        if id.is_empty() || name.is_empty() {
            continue;
        }
        let plain = String::from_utf8_lossy(value).replace("\\\"", "\"").replace("\\]", "]").replace("\\\\", "\\");
        let element = elements.entry(String::from_utf8_lossy(id).into_owned()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(members) = element else { continue };
        match members.entry(String::from_utf8_lossy(name).into_owned()).or_insert(Value::Null) {
            Value::Array(list) => list.push(plain.into()),
            slot @ Value::Null => *slot = plain.into(),
            slot => *slot = Value::Array(vec![slot.take(), plain.into()]),
        }
    }
    Value::Object(elements)
}

#[cfg(test)]
mod tests {
    use super::super::document::Documents;
    use super::*;
    use crate::queue::{Events, Run, RunSlice, Stream, StreamSpec, Tail, put_varint};
    use proptest::prelude::*;

    fn documents(fields: &str, flags: u32, events: &[&[u8]]) -> Vec<String> {
        let (mut lens, mut data) = (Vec::new(), Vec::new());
        for event in events {
            put_varint(&mut lens, event.len() as u32);
            data.extend_from_slice(event);
        }
        let utf8 = if std::str::from_utf8(&data).is_ok() { RunFlags::UTF8 } else { 0 };
        let run = Run {
            stream: Stream::new(1, 0, StreamSpec { fields: fields.into(), ..StreamSpec::default() }, Default::default()),
            source_start: 0,
            source_end: data.len() as u64,
            count: events.len() as u32,
            flags: RunFlags(flags | utf8 | RunFlags::NO_POSITION),
            tail: Tail::default(),
            lens: lens.into(),
            data: data.into(),
            filtered: Vec::new(),
        };
        let slice = RunSlice { run: &run, append_ms: 1_773_051_302_123, epoch: 1, events: Events::new(&run, 7, 0, run.count) };
        let mut all = Documents::new("web-1");
        let template = all.template(&slice);
        let document = |event: Event<'_>| {
            let mut out = Vec::new();
            template.write(&event, &mut out);
            String::from_utf8(out).unwrap()
        };
        slice.events.map(document).collect()
    }

    #[test]
    fn syslog_messages_have_their_fields() {
        let got = documents(
            "\"service.name\":\"shop\",\"source.ip\":\"10.0.0.7\"",
            RunFlags::SYSLOG,
            &[
                b"<165>1 2026-03-09T11:15:03.5+01:00 web-7 su 8710 ID47 [a@1 x=\"1\" x=\"q\\\"\"] it \"failed\"",
                b"<30>Oct 11 22:14:15 web sshd[x1]: ok\n",
                b"what is this",
            ],
        );
        insta::assert_snapshot!(got.join("\n"), @r#"
        {"@timestamp":"2026-03-09T10:15:03.500Z","message":"it \"failed\"","event":{"sequence":7},"log":{"syslog":{"priority":165,"facility":{"code":20,"name":"local4"},"severity":{"code":5,"name":"notice"},"version":"1","hostname":"web-7","appname":"su","procid":"8710","msgid":"ID47","structured_data":{"a@1":{"x":["1","q\""]}}}},"host":{"hostname":"web-7","name":"web-1"},"process":{"name":"su","pid":8710},"service":{"name":"shop"},"source":{"ip":"10.0.0.7"}}
        {"@timestamp":"2026-03-09T10:15:02.123Z","message":"ok","event":{"sequence":8},"log":{"syslog":{"priority":30,"facility":{"code":3,"name":"daemon"},"severity":{"code":6,"name":"info"},"hostname":"web","appname":"sshd","procid":"x1"}},"host":{"hostname":"web","name":"web-1"},"process":{"name":"sshd"},"service":{"name":"shop"},"source":{"ip":"10.0.0.7"}}
        {"@timestamp":"2026-03-09T10:15:02.123Z","message":"what is this","event":{"sequence":9},"log":{"syslog":{}},"host":{"name":"web-1"},"service":{"name":"shop"},"source":{"ip":"10.0.0.7"}}
        "#);
    }

    #[test]
    fn journal_entries_have_their_fields() {
        let mut entry = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1773051303123456\nPRIORITY=3\nSYSLOG_IDENTIFIER=cron\n_HOSTNAME=web\n_PID=7\n_COMM=crond\n_SYSTEMD_UNIT=cron.service\nTAG=a\nTAG=b\nMESSAGE\n".to_vec();
        entry.extend_from_slice(&9u64.to_le_bytes());
        entry.extend_from_slice(b"two\nlines\n\n");
        insta::assert_snapshot!(documents("", RunFlags::JOURNAL, &[&entry])[0], @r#"{"@timestamp":"2026-03-09T10:15:03.123Z","message":"two\nlines","event":{"sequence":7},"log":{"syslog":{"severity":{"code":3,"name":"err"},"appname":"cron"}},"host":{"hostname":"web","name":"web-1"},"process":{"name":"crond","pid":7},"systemd":{"unit":"cron.service"},"journald":{"__realtime_timestamp":"1773051303123456","tag":["a","b"]}}"#);
    }

    proptest! {
        #[test]
        fn any_event_is_a_document_in_which_no_name_stands_twice(
            event in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"<1>- [x y=\"\\]A=\n:".to_vec())], 1..100), journal: bool,
            fields in prop::sample::select(vec!["", "\"host.hostname\":\"x\",\"process\":\"p\",\"log.syslog\":1,\"journald.a\":2", "\"event.kind\":\"e\",\"systemd.unit\":\"u\""]),
        ) {
            let flag = if journal { RunFlags::JOURNAL } else { RunFlags::SYSLOG };
            let mut raw = b"<13>1 - host app 7 - - ".to_vec();
            raw.extend_from_slice(&event);
            for event in [&event, &raw] {
                let document = &documents(fields, flag, &[event])[0];
                // The length survives only where no name is there twice.
                let value: Value = serde_json::from_str(document).unwrap();
                let names = |v: &Value| v.to_string().matches("\":").count();
                prop_assert_eq!(names(&value), document.matches("\":").count(), "{}", document);
                prop_assert_eq!(&value["event"]["sequence"], &Value::from(7));
            }
        }
    }
}
