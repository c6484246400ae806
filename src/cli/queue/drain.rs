//! `forebay drain`.

use super::args::DrainArgs;
use super::{Told, code, failed, foreign, print_json};
use crate::admin::control::{self, Answer, Request};
use crate::admin::human::{bytes, count};
use crate::agent::Draining;
use crate::cli::{OK, REMAINING, complain, print};
use crate::queue::{Held, View};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until all is delivered; the exit code.
pub(in crate::cli) fn drain(args: &DrainArgs) -> u8 {
    code(run(args))
}

fn run(args: &DrainArgs) -> Result<u8, Told> {
    let dir = args.place.dir()?;
    if View::held(&dir).map_err(failed)? == Held::Free {
        return Err(failed(format!("no agent runs on {}: there is nobody to read or ship; nothing was changed", dir.display())));
    }
    let until = Instant::now() + args.timeout;
    let terminal = io::stderr().is_terminal();
    let mut ticket = None;
    let last = loop {
        let draining = match control::ask(&dir, &Request::Drain { ticket }).map_err(failed)? {
            Answer::Draining(draining) => draining,
            Answer::Error(message) => return Err(failed(message)),
            _ => return Err(foreign()),
        };
        ticket = Some(draining.ticket);
        if terminal {
            let _ = write!(io::stderr(), "\r\x1b[K{}", progress(&draining));
        }
        if draining.is_done() || Instant::now() >= until {
            break draining;
        }
        std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
    };
    if terminal {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    if args.json && print_json(&last) != OK {
        return Ok(crate::cli::FAILED);
    }
    if last.is_done() {
        return Ok(if args.json { OK } else { print(b"drained: all that was in the files is delivered\n") });
    }
    for line in remaining(&last) {
        complain(&line);
    }
    Ok(REMAINING)
}

fn progress(draining: &Draining) -> String {
    if !draining.read {
        return format!("reading: {} to go", bytes(draining.unread.values().sum()));
    }
    let sinks: Vec<String> = draining.sinks.iter().map(|(name, s)| format!("{name} {} events", count(s.events))).collect();
    format!("shipping: {} to go", sinks.join(", "))
}

fn remaining(draining: &Draining) -> Vec<String> {
    let because = |reason: &str| if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !draining.read {
        let reason = because(&draining.reason);
        return vec![match draining.unread.values().sum() {
            0 => format!("the time is over before it was certain that nothing in files is left to read{reason}"),
            unread => format!("the time is over, and {} in files are not read and durable yet{reason}", bytes(unread)),
        }];
    }
    let line = |(name, s): (&String, &crate::agent::Undelivered)| {
        format!(
            "the time is over, and sink {name} ({}) has {} events to deliver{}; they are safe in the queue",
            s.state,
            count(s.events),
            because(&s.reason)
        )
    };
    draining.sinks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Undelivered;

    #[test]
    fn what_remains_is_said_with_its_reason() {
        let sink = Undelivered { events: 1_200, state: "held".into(), reason: "401 Unauthorized; nothing is dropped".into() };
        let shipping = Draining { read: true, sinks: [("search".to_string(), sink)].into(), ..Draining::default() };
        insta::assert_snapshot!(remaining(&shipping).join("\n"), @"the time is over, and sink search (held) has 1,200 events to deliver: 401 Unauthorized; nothing is dropped; they are safe in the queue");
        assert_eq!(progress(&shipping), "shipping: search 1,200 events to go");
        let reading = Draining { unread: [("app".to_string(), 2048)].into(), reason: "the queue is full".into(), ..Draining::default() };
        assert_eq!(remaining(&reading), ["the time is over, and 2.0 KiB in files are not read and durable yet: the queue is full"]);
        let unsure = Draining::default();
        assert_eq!(remaining(&unsure), ["the time is over before it was certain that nothing in files is left to read"]);
        assert!(!reading.is_done() && Draining { read: true, ..Draining::default() }.is_done());
    }
}
