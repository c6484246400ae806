//! Against Python's own modules (`datetime`, `zoneinfo`, `csv`), which know nothing of us: it makes texts and says what they mean.
//! Where there is no `python3` with time zones the tests say that they are skipped.

use super::testing::chain;
use crate::process::chain::{Chain, Verdict};
use crate::process::event::{Document, Path, Value};
use std::collections::HashMap;
use std::io::Write;
use std::process::Command;

/// Prints `COUNT` lines of JSON: format, zone, text, when it was appended (ms), and the time that it means (ns); null: none.
const TIMES: &str = r#"
import json, random, sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
random.seed(int(sys.argv[1]))
WITH_ZONE = ["%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%z", "iso8601"]
WITHOUT = ["%Y-%m-%d %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%y%m%d %H%M%S", "%m/%d/%Y %I:%M:%S %p", "%d %B %Y %H:%M", "%Y%m%d", "%Y %j %H",
           "%H.%M %d.%m.%y", "%Y-%m-%d %H:%M:%S.%f", "iso8601"]
NO_YEAR = ["%b %d %H:%M:%S", "%m-%d %H:%M", "%d %b %H:%M:%S.%f", "%B %d, %H:%M"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
         "Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Asia/Tehran", "Antarctica/Troll"]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
def ns(time):
    d = time.astimezone(timezone.utc) - EPOCH
    return ((d.days * 86400 + d.seconds) * 1000000 + d.microseconds) * 1000
def near_a_change(zone):
    # Hours in which clocks go back or forward are what is hard.
    year, best = random.randrange(1980, 2037), None
    day = datetime(year, 1, 1)
    for n in range(365):
        a, b = [(day + timedelta(days=n + k)).replace(tzinfo=zone).utcoffset() for k in (0, 1)]
        if a != b and random.random() < 0.6:
            return day + timedelta(days=n, minutes=random.randrange(0, 1500), seconds=random.randrange(60))
    return day
for _ in range(int(sys.argv[2])):
    name = random.choice(ZONES)
    zone = ZoneInfo(name)
    civil = near_a_change(zone) if random.random() < 0.5 else datetime(1971, 1, 1) + timedelta(seconds=random.randrange(0, 2080000000))
    civil = civil.replace(microsecond=random.choice([0, random.randrange(1000000), random.randrange(1000) * 1000]))
    append = ns(civil.replace(tzinfo=zone)) // 1000000 + random.randrange(-10, 400) * 86400000 + random.randrange(86400000)
    append = max(append, 0)
    kind = random.randrange(3)
    if kind == 0:
        format = random.choice(WITH_ZONE)
        offset = timezone(timedelta(minutes=random.choice([0, 60, -300, 330, 345, -210, 840])))
        time = civil.replace(tzinfo=offset)
        text = time.isoformat() if format == "iso8601" else time.strftime(format)
        read = datetime.fromisoformat(text) if format == "iso8601" else datetime.strptime(text, format)
        want = ns(read)
    elif kind == 1:
        format = random.choice(WITHOUT)
        text = civil.isoformat(random.choice("T ")) if format == "iso8601" else civil.strftime(format)
        read = datetime.fromisoformat(text) if format == "iso8601" else datetime.strptime(text, format)
        want = ns(read.replace(tzinfo=zone))
    else:
        format = random.choice(NO_YEAR)
        text = civil.strftime(format)
        latest = datetime.fromtimestamp(append // 1000, timezone.utc) + timedelta(milliseconds=append % 1000, days=1)
        want = None
        this = latest.astimezone(zone).year
        for year in range(this, this - 9, -1):
            try:
                read = datetime.strptime(f"{year} {text}", f"%Y {format}").replace(tzinfo=zone)
            except ValueError:
                continue
            if read.astimezone(timezone.utc) <= latest:
                want = ns(read)
                break
    print(json.dumps([format, name, text, append, want]))
"#;

/// Prints lines of JSON: a row, its values.
const ROWS: &str = r#"
import csv, io, json, random, sys
random.seed(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    values = ["".join(random.choice('ab ,;"\'\n\r\té1') for _ in range(random.randrange(9))) for _ in range(4)]
    quote, separator = random.choice('"\''), random.choice(",;")
    out = io.StringIO()
    csv.writer(out, delimiter=separator, quotechar=quote, lineterminator="\r\n", quoting=random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerow(values)
    print(json.dumps([separator, quote, out.getvalue()[:-2], values]))
"#;

/// The lines that a program of Python prints; `None`, and it is said, where it cannot be had.
fn python(test: &str, program: &str, count: u32) -> Option<Vec<serde_json::Value>> {
    // `FOREBAY_PYTHON_SEED` makes others.
    let seed = std::env::var("FOREBAY_PYTHON_SEED").unwrap_or_else(|_| "8".into());
    let there = Command::new("python3").args(["-c", "import zoneinfo; zoneinfo.ZoneInfo('Australia/Lord_Howe')"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let text = format!("SKIPPED {test}: there is no python3 with time zones\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return None;
    }
    let output = Command::new("python3").args(["-c", program, &seed, &count.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), count as usize, "seed {seed}");
    Some(lines)
}

/// What a chain makes of a text that was appended at some time.
fn through(chain: &mut Chain, text: &str, append_ms: u64) -> serde_json::Value {
    let mut document = Document::default();
    document.begin_with("{\"message\":\"\"}", append_ms).unwrap();
    let message = document.push(text);
    document.set(&Path::parse("message").unwrap(), Value::Text(message)).unwrap();
    assert_eq!(chain.run(&mut document, &mut 0), Verdict::Send);
    let mut out = Vec::new();
    document.render(&mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn times_mean_what_python_says() {
    let Some(lines) = python("times_mean_what_python_says", TIMES, 4_000) else { return };
    let (mut chains, mut wrong) = (HashMap::<(String, String), Chain>::new(), Vec::new());
    for line in &lines {
        let text = |n: usize| line[n].as_str().unwrap().to_string();
        let chain = chains.entry((text(0), text(1))).or_insert_with(|| {
            chain(&format!("[{{timestamp: {{field: message, formats: ['{}'], zone: {}, target: t}}}}]", text(0), text(1)))
        });
        let made = through(chain, &text(2), line[3].as_u64().unwrap());
        let got = made["t"].as_str().map(|time| time.parse::<jiff::Timestamp>().unwrap().as_nanosecond());
        if got != line[4].as_i64().map(i128::from) {
            wrong.push(format!("{line}: {made}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn rows_are_what_python_has_written() {
    let Some(lines) = python("rows_are_what_python_has_written", ROWS, 2_000) else { return };
    let mut chains = HashMap::<(String, String), Chain>::new();
    for line in &lines {
        let text = |n: usize| line[n].as_str().unwrap().to_string();
        let chain = chains.entry((text(0), text(1))).or_insert_with(|| {
            let quote = if text(1) == "'" { "\"'\"".to_string() } else { format!("'{}'", text(1)) };
            chain(&format!("[{{csv: {{fields: [a, b, c, d], separator: '{}', quote: {quote}}}}}]", text(0)))
        });
        let made = through(chain, &text(2), 0);
        // An empty value without quotes is no field.
        let got: Vec<&str> = ["a", "b", "c", "d"].iter().map(|name| made[name].as_str().unwrap_or_default()).collect();
        let want: Vec<&str> = line[3].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
        assert_eq!(got, want, "{line}: {made}");
    }
}
