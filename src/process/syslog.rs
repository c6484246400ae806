//! Syslog messages: RFC 5424, RFC 3164, and what devices make of them.
//!
//! Lenient, because nothing else is of use: what is not understood stays in the message. No input is an error, none makes
//! it slow: each byte is looked at a bounded number of times. All parts are slices of the message.

/// A message, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syslog<'a> {
    /// `<PRI>`: facility times eight plus severity; `None` where there is none.
    pub priority: Option<u8>,
    /// Version of the header: 1 for RFC 5424, else 0.
    pub version: u32,
    /// The timestamp as it was sent; empty where there is none (`-`).
    pub timestamp: &'a [u8],
    /// Host name or address.
    pub host: &'a [u8],
    /// Application (RFC 3164: the tag).
    pub app: &'a [u8],
    /// Process ID.
    pub procid: &'a [u8],
    /// Message ID.
    pub msgid: &'a [u8],
    /// Structured data as it was sent, with its brackets.
    pub structured: &'a [u8],
    /// The message without its header.
    pub message: &'a [u8],
}

/// Names of the facilities.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Names of the severities, as `logger` knows them.
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Most characters of names, so that a sentence with a colon is not taken for an application.
const MOST_HOST: usize = 255;
const MOST_APP: usize = 48;

impl<'a> Syslog<'a> {
    /// Takes a message apart. Anything is a message: what has no header is all text.
    pub fn parse(raw: &'a [u8]) -> Syslog<'a> {
        let (priority, rest) = match take_priority(raw) {
            Some((priority, rest)) => (Some(priority), rest),
            None => (None, raw),
        };
        // Only with a priority: `1 …` may begin any text.
        if priority.is_some()
            && let Some(parsed) = rfc5424(rest)
        {
            return Syslog { priority, ..parsed };
        }
        Syslog { priority, ..rfc3164(rest) }
    }

    /// Number and name of the facility.
    pub fn facility(&self) -> Option<(u8, &'static str)> {
        let code = self.priority? >> 3;
        Some((code, FACILITIES.get(usize::from(code))?))
    }

    /// Number and name of the severity.
    pub fn severity(&self) -> Option<(u8, &'static str)> {
        let code = self.priority? & 7;
        Some((code, SEVERITIES[usize::from(code)]))
    }
}

/// `<0>` to `<191>`.
fn take_priority(raw: &[u8]) -> Option<(u8, &[u8])> {
    let rest = raw.strip_prefix(b"<")?;
    let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    let number = rest[..digits].iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    let rest = rest[digits..].strip_prefix(b">")?;
    ((1..=3).contains(&digits) && number < 192).then_some((number as u8, rest))
}

/// The bytes up to the next blank, and what follows the blank.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

fn nil(value: &[u8]) -> &[u8] {
    if value == b"-" { &[] } else { value }
}

/// `1 TIMESTAMP HOST APP PROCID MSGID SD MSG`.
fn rfc5424(rest: &[u8]) -> Option<Syslog<'_>> {
    let rest = rest.strip_prefix(b"1 ")?;
    let (timestamp, rest) = word(rest);
    if timestamp != b"-" && !is_rfc3339(timestamp) {
        return None;
    }
    let (host, rest) = word(rest);
    let (app, rest) = word(rest);
    let (procid, rest) = word(rest);
    let (msgid, rest) = word(rest);
    if [host, app, procid, msgid].iter().any(|w| w.is_empty()) {
        return None;
    }
    let (structured, rest) = structured(rest);
    let message = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(Syslog {
        priority: None,
        version: 1,
        timestamp: nil(timestamp),
        host: nil(host),
        app: nil(app),
        procid: nil(procid),
        msgid: nil(msgid),
        structured,
        message: message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message),
    })
}

/// Elements `[id name="value"]…` or `-`. What is not well formed is part of the message.
fn structured(text: &[u8]) -> (&[u8], &[u8]) {
    if text == b"-" || text.starts_with(b"- ") {
        return (&[], &text[1..]);
    }
    let mut at = 0;
    while text.get(at) == Some(&b'[') {
        match element(&text[at..]) {
            Some(len) => at += len,
            None => break,
        }
    }
    // `[x]y` is text that begins with a bracket.
    match text.get(at) {
        None | Some(b' ') => text.split_at(at),
        Some(_) => (&[], text),
    }
}

/// Length of the element that `text` begins with.
fn element(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (i, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return (i > 1).then_some(i + 1),
            _ => {}
        }
    }
    None
}

/// The names and values of structured data; values with their escapes.
pub fn parameters(structured: &[u8]) -> Vec<(&[u8], &[u8], &[u8])> {
    let (mut found, mut rest) = (Vec::new(), structured);
    while let Some(len) = rest.first().filter(|b| **b == b'[').and_then(|_| element(rest)) {
        let inside = &rest[1..len - 1];
        let (id, mut pairs) = word(inside);
        while let Some(equals) = memchr::memchr(b'=', pairs) {
            let name = pairs[..equals].trim_ascii();
            let Some(value) = pairs[equals + 1..].strip_prefix(b"\"") else { break };
            let mut escaped = false;
            let end = value.iter().position(|b| {
                let end = *b == b'"' && !escaped;
                escaped = *b == b'\\' && !escaped;
                end
            });
            let Some(end) = end else { break };
            found.push((id, name, &value[..end]));
            pairs = &value[end + 1..];
        }
        rest = &rest[len..];
    }
    found
}

/// `Mmm dd hh:mm:ss HOST TAG[PID]: MSG`, with anything missing.
fn rfc3164(rest: &[u8]) -> Syslog<'_> {
    let mut parsed = Syslog { message: rest, ..Syslog::default() };
    let (timestamp, after) = match stamp_len(rest) {
        Some(len) => (&rest[..len], &rest[len..]),
        None => (&rest[..0], rest),
    };
    let mut after = after;
    if !timestamp.is_empty() {
        parsed.timestamp = timestamp;
        after = after.strip_prefix(b" ").unwrap_or(after);
        // A word that ends in a colon is the tag already: local programs send no host.
        let (host, behind) = word(after);
        if !host.is_empty() && host.len() <= MOST_HOST && !host.ends_with(b":") && !host.contains(&b'[') && !behind.is_empty() {
            parsed.host = host;
            after = behind;
        }
        parsed.message = after;
    }
    if let Some((app, procid, message)) = tag(after)
        && (!timestamp.is_empty() || !procid.is_empty())
    {
        (parsed.app, parsed.procid, parsed.message) = (app, procid, message);
    }
    parsed
}

/// `TAG: ` or `TAG[PID]: `.
fn tag(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = text.iter().take(MOST_APP + 1).position(|b| matches!(b, b':' | b'[' | b' '))?;
    let app = &text[..end];
    if app.is_empty() || app.iter().any(|b| !b.is_ascii_graphic()) {
        return None;
    }
    let (procid, rest) = match text[end] {
        b'[' => {
            let inside = &text[end + 1..];
            let close = inside.iter().take(129).position(|b| *b == b']')?;
            (&inside[..close], inside[close + 1..].strip_prefix(b":")?)
        }
        b':' => (&text[..0], &text[end + 1..]),
        _ => return None,
    };
    Some((app, procid, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// Length of a timestamp at the front: `Mmm dd hh:mm:ss` (also with a year or a fraction), or RFC 3339.
fn stamp_len(text: &[u8]) -> Option<usize> {
    const MONTHS: [&[u8]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let (first, _) = word(text);
    if is_rfc3339(first) {
        return Some(first.len());
    }
    if text.len() < 15 || !MONTHS.contains(&&text[..3]) || text[3] != b' ' || text[6] != b' ' {
        return None;
    }
    let day = matches!(text[4], b' ' | b'0'..=b'3') && text[5].is_ascii_digit();
    // Cisco and others put the year between day and time.
    let with_year = text[7..11].iter().all(u8::is_ascii_digit) && text[11] == b' ';
    let at = if with_year { 12 } else { 7 };
    let time = text.get(at..at + 8)?;
    if !day || !is_time(time) {
        return None;
    }
    let mut end = at + 8;
    if text.get(end) == Some(&b'.') {
        let digits = text[end + 1..].iter().take(9).take_while(|b| b.is_ascii_digit()).count();
        end += if digits > 0 { 1 + digits } else { 0 };
    }
    // Some end it with a colon.
    matches!(text.get(end), None | Some(b' ' | b':')).then_some(end)
}

fn is_time(text: &[u8]) -> bool {
    text.len() == 8 && text.iter().enumerate().all(|(i, b)| if i == 2 || i == 5 { *b == b':' } else { b.is_ascii_digit() })
}

/// `2026-03-09T10:15:02[.123][Z|+02:00]`, by form.
fn is_rfc3339(text: &[u8]) -> bool {
    if !(20..=35).contains(&text.len()) || text[4] != b'-' || text[7] != b'-' || !matches!(text[10], b'T' | b't') {
        return false;
    }
    let digits = |range: std::ops::Range<usize>| text[range].iter().all(u8::is_ascii_digit);
    if !(digits(0..4) && digits(5..7) && digits(8..10) && is_time(&text[11..19])) {
        return false;
    }
    let mut rest = &text[19..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let n = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 || n > 9 {
            return false;
        }
        rest = &fraction[n..];
    }
    match rest {
        b"Z" | b"z" => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
