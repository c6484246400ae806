//! `timestamp: {field: …, formats: […]}`: reads a time, into `@timestamp` unless `target` names another field.
//!
//! Formats, tried in their order: `iso8601` (with or without a zone), `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` (a number or
//! text, with a fraction or without), or one of strptime such as `%d/%b/%Y:%H:%M:%S %z`. A time without a zone is in `zone`
//! (UTC). A format without a year, such as syslog's `%b %e %H:%M:%S`, gets the latest year with which the time is at most a day
//! later than the event was appended.

use crate::config::decode::{Field, Map};
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};
use crate::process::timestamp::{read_access_log, read_rfc3339};
use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// The time of access logs, which has a reader of its own.
const ACCESS_LOG: &str = "%d/%b/%Y:%H:%M:%S %z";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    Iso,
    /// Digits that a second has behind the point.
    Epoch(u32),
    /// A format of strptime, and whether it has a year.
    Pattern(String, bool),
}

/// See the module.
#[derive(Clone, Debug)]
struct Time {
    field: Path,
    target: Path,
    formats: Vec<Format>,
    zone: TimeZone,
    remove_source: bool,
}

/// Nanoseconds of a decimal number of seconds, or of parts of it with so many digits.
pub(super) fn epoch(text: &str, digits: u32) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let right = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !right(whole) || !right(fraction) {
        return None;
    }
    let scale = 10i64.checked_pow(9 - digits)?;
    let places = (9 - digits) as usize;
    let mut below = 0;
    for n in 0..places {
        below = below * 10 + i64::from(fraction.as_bytes().get(n).map_or(0, |b| b - b'0'));
    }
    let ns = whole.parse::<i64>().ok()?.checked_mul(scale)?.checked_add(below)?;
    Some(if negative { -ns } else { ns })
}

fn nanos(time: Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond()).ok()
}

impl Time {
    fn civil(&self, time: DateTime) -> Option<Timestamp> {
        self.zone.to_timestamp(time).ok()
    }

    fn read(&self, format: &Format, text: &str, append_ms: u64) -> Option<i64> {
        match format {
            Format::Epoch(digits) => epoch(text, *digits),
            Format::Iso => match read_rfc3339(text.as_bytes()) {
                Some(ns) => Some(ns),
                None => nanos(text.parse::<Timestamp>().ok().or_else(|| self.civil(text.parse().ok()?))?),
            },
            Format::Pattern(pattern, year) => {
                if pattern == ACCESS_LOG
                    && let Some(ns) = read_access_log(text.as_bytes())
                {
                    return Some(ns);
                }
                let mut parsed = BrokenDownTime::parse(pattern, text).ok()?;
                if *year {
                    return nanos(self.moment(&parsed)?);
                }
                let latest = Timestamp::from_millisecond(i64::try_from(append_ms).ok()?).ok()? + SignedDuration::from_hours(24);
                let this = self.zone.to_datetime(latest).year();
                // Eight years, since 29 February may be that far away.
                (0..=8)
                    .find_map(|back| {
                        parsed.set_year(Some(this - back)).ok()?;
                        self.moment(&parsed).filter(|time| *time <= latest)
                    })
                    .and_then(nanos)
            }
        }
    }

    fn moment(&self, parsed: &BrokenDownTime) -> Option<Timestamp> {
        // A mistake costs an allocation, so a time that says not where is not asked where it is.
        let placed = parsed.offset().is_some() || parsed.iana_time_zone().is_some() || parsed.timestamp().is_some();
        let here = || self.civil(parsed.to_datetime().ok()?);
        if placed { parsed.to_timestamp().ok().or_else(here) } else { here() }
    }
}

impl Processor for Time {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let value = event.get(&self.field).ok_or_else(|| Failure::new(format!("there is no field {}", self.field)))?;
        let ns = match value {
            Value::Time(ns) => Some(ns),
            Value::Text(span) | Value::Number(span) => {
                let text = event.str(span).trim();
                self.formats.iter().find_map(|format| self.read(format, text, event.append_ms))
            }
            Value::Int(n) => self.formats.iter().find_map(|format| match format {
                Format::Epoch(digits) => 10i64.checked_pow(9 - digits).and_then(|scale| n.checked_mul(scale)),
                _ => None,
            }),
            _ => None,
        };
        let ns = ns.ok_or_else(|| Failure::new(format!("the field {} is no time of any of the formats", self.field)))?;
        event.free(&self.target)?;
        if self.remove_source {
            event.remove(&self.field);
        }
        event.set(&self.target, Value::Time(ns))?;
        Ok(Flow::On)
    }
}

fn format(field: &Field<'_>) -> Option<Format> {
    let expected = "`iso8601`, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`, or a format such as `%d/%b/%Y:%H:%M:%S %z`";
    let value = field.value(expected)?;
    Some(match &*value.text {
        "iso8601" => Format::Iso,
        "epoch_s" => Format::Epoch(0),
        "epoch_ms" => Format::Epoch(3),
        "epoch_us" => Format::Epoch(6),
        "epoch_ns" => Format::Epoch(9),
        text if text.contains('%') => {
            if let Err(why) = strtime::format(text, &Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC)) {
                field.report(field.is(&value).expected(expected).help(why.to_string()));
                return None;
            }
            let year = ["%Y", "%y", "%G", "%g", "%C", "%F", "%D", "%c", "%s"].iter().any(|d| text.contains(d));
            Format::Pattern(text.to_string(), year)
        }
        _ => {
            let letters = ["yyyy", "HH", "mm:ss", "dd"].iter().any(|letters| value.text.contains(letters));
            let help = "letters as Java and Logstash have them are written %Y (yyyy), %m (MM), %d (dd), %b (MMM), %H (HH), %M (mm), %S (ss), %f (SSS), %z (Z)";
            field.report(field.is(&value).expected(expected).help_if(letters.then(|| help.to_string())));
            return None;
        }
    })
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let (field, target) = (map.require("field", "the field that holds the time"), map.field_or("target", "@timestamp"));
    let (zone, remove_source) = (map.get("zone"), map.flag("remove_source"));
    let formats = map.require("formats", "a format of time, or a list of them");
    let zone = match zone {
        None => map.zone(),
        Some(field) => super::zone_of(&field)?,
    };
    let formats = formats?.list("a format of time, or a list of them");
    let read: Vec<Format> = formats.iter().filter_map(format).collect();
    (read.len() == formats.len() && !read.is_empty()).then_some(())?;
    Some(Box::new(Time { field: field?.event_field()?, target: target?, formats: read, zone, remove_source }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

    /// The time of a line that was appended at 2026-01-02T03:04:05Z.
    fn time(options: &str, line: &str) -> String {
        let shown = run(&format!("[{{timestamp: {{field: message, target: t, {options}}}}}]"), line);
        shown.split_once(r#""t":""#).map_or(shown.clone(), |(_, t)| t.trim_end_matches(['"', '}']).to_string())
    }

    #[test]
    fn formats_are_read() {
        for (options, line, want) in [
            ("formats: iso8601", "2026-03-09T10:15:02.123456789+01:00", "2026-03-09T09:15:02.123456789Z"),
            ("formats: iso8601", "2026-03-09 10:15:02", "2026-03-09T10:15:02.000Z"),
            ("formats: iso8601, zone: Europe/Berlin", "2026-07-09T10:15:02", "2026-07-09T08:15:02.000Z"),
            ("formats: epoch_s", "1.5", "1970-01-01T00:00:01.500Z"),
            ("formats: epoch_ms", "1773051302123", "2026-03-09T10:15:02.123Z"),
            ("formats: [iso8601, epoch_us]", "1773051302123456", "2026-03-09T10:15:02.123456Z"),
            ("formats: epoch_ns", "1773051302123456789", "2026-03-09T10:15:02.123456789Z"),
            ("formats: '%d/%b/%Y:%H:%M:%S %z'", "09/Mar/2026:10:15:02 -0500", "2026-03-09T15:15:02.000Z"),
            ("formats: '%b %e %H:%M:%S'", "Dec 31 23:59:59", "2025-12-31T23:59:59.000Z"),
            ("formats: '%b %e %H:%M:%S'", "Jan  2 03:04:05", "2026-01-02T03:04:05.000Z"),
            ("formats: '%b %e %H:%M:%S'", "Jan  3 03:04:04", "2026-01-03T03:04:04.000Z"),
            ("formats: '%b %e %H:%M:%S'", "Jan  4 03:04:05", "2025-01-04T03:04:05.000Z"),
            ("formats: '%b %e %H:%M:%S'", "Feb 29 00:00:00", "2024-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(time(options, line), want, "{options} {line}");
        }
        assert!(time("formats: iso8601", "soon").contains("timestamp (1): the field message is no time of any of the formats"));
        assert!(
            members("[{json: {}}, {timestamp: {field: ts, formats: epoch_s, remove_source: true}}]", r#"{"ts":1}"#)
                .ends_with(r#""@timestamp":"1970-01-01T00:00:01.000Z""#)
        );
        assert!(wrong("[{timestamp: {field: a, formats: iso, zone: Mars}}]").contains("Europe/Berlin"));
    }
}
