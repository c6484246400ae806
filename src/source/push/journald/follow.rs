//! The child process, and where it goes on.

use super::entries::{Entries, Entry};
use crate::queue::{RunFlags, Tail, put_varint};
use crate::source::push::JournaldOptions;
use crate::source::push::inlet::{Filled, Inlet, Owner};
use crate::source::push::lines::flags;
use crate::source::push::stopping::Stopping;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Between the end of a child and the next one: doubled each time, up to the second value.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A child that lived this long was well.
const WELL: Duration = Duration::from_secs(30);

/// What the queue remembers: up to which byte of the stream, and the cursor of the entry that ends there.
fn remembered(resume: &[u8]) -> Option<(u64, String)> {
    let (end, cursor) = std::str::from_utf8(resume).ok()?.split_once(' ')?;
    Some((end.parse().ok()?, cursor.to_string()))
}

/// How a child ended.
enum End {
    /// The agent stops.
    Stop,
    /// What was passed over is not what the queue holds.
    Differs,
    /// The child has ended; why, as far as is known.
    Gone(String),
}

struct Follower<'a> {
    owner: &'a Owner,
    options: &'a JournaldOptions,
    stopping: &'a Stopping,
    inlet: Inlet,
    /// Byte of the stream after the last entry that was handed over.
    end: u64,
    /// The last entry that was handed over, or the one to go on after.
    cursor: Option<String>,
    /// Ends and cursors of entries that may not be durable yet.
    pending: VecDeque<(u64, String)>,
    /// Bytes of entries after the cursor that the queue has, and what the last of them must look like.
    known: (u64, Tail),
}

/// Follows the journal until the stop.
pub(crate) fn follow(owner: &Owner, options: &JournaldOptions, stopping: &Stopping) {
    let inlet = owner.inlet("", &[], RunFlags::JOURNAL);
    let durable = inlet.stream().durable();
    let resume = remembered(&inlet.stream().spec().resume).filter(|(end, _)| *end <= durable.end);
    let (from, cursor) = resume.map_or((0, None), |(end, cursor)| (end, Some(cursor)));
    let mut follower = Follower {
        owner,
        options,
        stopping,
        inlet,
        end: durable.end,
        cursor,
        pending: VecDeque::new(),
        known: (durable.end - from, durable.tail),
    };
    follower.run();
}

impl Follower<'_> {
    fn stopped(&self) -> bool {
        self.stopping.is_draining()
    }

    fn run(&mut self) {
        let name = self.owner.options.name.clone();
        let mut backoff = BACKOFF.0;
        if self.options.start_at_end && self.cursor.is_none() && self.end == 0 {
            // The first record of the stream then says where it began.
            while !self.stopped() {
                match first_cursor(self.options) {
                    Ok(Some(cursor)) => {
                        self.inlet.set_resume(format!("0 {cursor}").into_bytes());
                        self.cursor = Some(cursor);
                        break;
                    }
                    // An empty journal begins at its end.
                    Ok(None) => break,
                    Err(why) => self.wait(&mut backoff, &why),
                }
            }
        }
        while !self.stopped() {
            let started = Instant::now();
            let end =
                self.child().unwrap_or_else(|e| End::Gone(format!("{} cannot be started: {e}", self.options.journalctl_path.display())));
            match end {
                End::Stop => return,
                End::Differs => {
                    tracing::warn!(
                        "source {name}: the journal does not hold what the queue has after its last cursor (it was vacuumed, or another \
                         journalctl exports it): up to {} bytes of entries are sent again under other IDs",
                        self.known.0
                    );
                    self.known = (0, Tail::default());
                }
                End::Gone(why) => {
                    if started.elapsed() > WELL {
                        backoff = BACKOFF.0;
                    }
                    self.wait(&mut backoff, &why);
                }
            }
        }
    }

    /// Says what happened and waits a while.
    fn wait(&self, backoff: &mut Duration, why: &str) {
        let text = format!("{why}; it is started again in {} s and goes on after the last entry that was taken", backoff.as_secs());
        self.owner.counters.set_error(&text);
        tracing::warn!("source {}: {text}", self.owner.options.name);
        let until = Instant::now() + *backoff;
        while Instant::now() < until && !self.stopped() {
            self.stopping.wait(until.saturating_duration_since(Instant::now()));
        }
        *backoff = (*backoff * 2).min(BACKOFF.1);
    }

    fn child(&mut self) -> io::Result<End> {
        let mut command = base(self.options);
        command.args(["--follow", "--no-tail"]);
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let mut child = Killed(command.spawn()?);
        let Some(mut out) = child.0.stdout.take() else { return Ok(End::Gone("journalctl has no output".into())) };
        let end = self.entries(&mut out);
        Ok(match end {
            Ok(Some(end)) => end,
            Ok(None) => End::Gone(child.why()),
            Err(error) => End::Gone(format!("journalctl cannot be read: {error}")),
        })
    }

    /// Reads entries; `None` at the child's end.
    fn entries(&mut self, out: &mut ChildStdout) -> io::Result<Option<End>> {
        let mut entries = Entries::new(self.owner.options.max_line_bytes);
        let mut known = Known::new(self.known);
        loop {
            if !self.stopping.readable(&*out)? || self.stopped() {
                return Ok(Some(End::Stop));
            }
            let n = match out.read(entries.room(READ)) {
                Ok(0) => return Ok(None),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut fresh = entries.read(n, &self.owner.counters);
            if known.left > 0 {
                let passed = fresh.iter().take_while(|entry| known.pass(entry)).count();
                if let Some(last) = passed.checked_sub(1) {
                    self.cursor = Some(String::from_utf8_lossy(&fresh[last].cursor).into_owned());
                }
                fresh.drain(..passed);
                if known.differs() || (known.left > 0 && !fresh.is_empty()) {
                    self.cursor = remembered(&self.inlet.stream().spec().resume).map(|(_, cursor)| cursor);
                    return Ok(Some(End::Differs));
                }
                if known.left == 0 {
                    self.known = (0, Tail::default());
                    // These are durable: the first events of this run take the cursor along.
                    self.pending.extend(self.cursor.clone().map(|cursor| (self.end, cursor)));
                }
            }
            if !fresh.is_empty() && !self.hand_over(&fresh) {
                return Ok(Some(End::Stop));
            }
        }
    }

    /// Notes the newest cursor whose entry is durable; it is stored with the next events.
    fn remember(&mut self) {
        let durable = self.inlet.stream().durable().end;
        let mut newest = None;
        while self.pending.front().is_some_and(|(end, _)| *end <= durable) {
            newest = self.pending.pop_front();
        }
        if let Some((end, cursor)) = newest {
            self.inlet.set_resume(format!("{end} {cursor}").into_bytes());
        }
    }

    /// Hands entries over. `false` when the agent stops before the queue has room: they are read again at the next start.
    fn hand_over(&mut self, entries: &[Entry]) -> bool {
        for part in entries.chunk_by(|a, b| !a.cut && !b.cut) {
            self.remember();
            let total = part.iter().map(|e| e.bytes.len()).sum();
            let Some(mut buffer) = self.owner.buffer(total, || self.stopped()) else { return false };
            let (mut lens, mut at) = (Vec::with_capacity(part.len() * 2), 0);
            for entry in part {
                buffer[at..at + entry.bytes.len()].copy_from_slice(&entry.bytes);
                at += entry.bytes.len();
                put_varint(&mut lens, entry.bytes.len() as u32);
            }
            let mut facts = flags(&buffer, 0);
            if part[0].cut {
                facts.0 |= RunFlags::CUT;
            }
            let filled = Filled { data: buffer.freeze(), lens: lens.into(), count: part.len() as u32, flags: facts };
            let Some(end) = self.inlet.append_patiently(filled, || self.stopped()) else { return false };
            self.end = end;
            let cursor = part.last().map(|e| String::from_utf8_lossy(&e.cursor).into_owned()).filter(|c| !c.is_empty());
            if let Some(cursor) = cursor {
                self.pending.push_back((end, cursor.clone()));
                self.cursor = Some(cursor);
            }
        }
        true
    }
}

/// Passes over entries that the queue has.
struct Known {
    left: u64,
    tail: Tail,
    last: Vec<u8>,
    over: bool,
}

impl Known {
    fn new((left, tail): (u64, Tail)) -> Known {
        Known { left, tail, last: Vec::new(), over: false }
    }

    /// Whether the entry belongs to what the queue has.
    fn pass(&mut self, entry: &Entry) -> bool {
        let len = entry.bytes.len() as u64;
        if self.left == 0 {
            return false;
        }
        if len > self.left {
            self.over = true;
            return false;
        }
        self.left -= len;
        self.last.extend_from_slice(&entry.bytes);
        let old = self.last.len().saturating_sub(Tail::MAX);
        self.last.drain(..old);
        true
    }

    /// Whether what was passed over is something else.
    fn differs(&self) -> bool {
        let len = self.tail.len as usize;
        self.over || (self.left == 0 && (len > self.last.len() || Tail::of(&self.last[self.last.len() - len..]) != self.tail))
    }
}

/// `journalctl` with what all calls share.
fn base(options: &JournaldOptions) -> Command {
    let mut command = Command::new(&options.journalctl_path);
    command.args(["--output=export", "--quiet", "--all", "--no-pager"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = &options.directory {
        command.arg("--directory").arg(directory);
    }
    for unit in &options.units {
        command.arg(format!("--unit={unit}"));
    }
    command
}

/// The cursor of the newest entry, where there is one.
fn first_cursor(options: &JournaldOptions) -> Result<Option<String>, String> {
    let output =
        base(options).arg("--lines=1").output().map_err(|e| format!("{} cannot be started: {e}", options.journalctl_path.display()))?;
    if !output.status.success() {
        return Err(format!("journalctl ended with {}{}", output.status, said(&output.stderr)));
    }
    let cursor = crate::process::journal::fields(&output.stdout).find(|(name, _)| *name == b"__CURSOR");
    Ok(cursor.map(|(_, cursor)| String::from_utf8_lossy(cursor).into_owned()))
}

/// The first line that a child said of itself (no log data is on its standard error).
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .find(|line| !line.trim().is_empty())
        .map(|line| format!(": {}", line.trim().chars().take(300).collect::<String>()))
        .unwrap_or_default()
}

/// A child that does not outlive its reader.
struct Killed(Child);

impl Killed {
    fn why(&mut self) -> String {
        let mut stderr = Vec::new();
        if let Some(pipe) = self.0.stderr.take() {
            // What cannot be read is not said.
            let _ = pipe.take(64 << 10).read_to_end(&mut stderr);
        }
        match self.0.wait() {
            Ok(status) => format!("journalctl ended with {status}{}", said(&stderr)),
            Err(error) => format!("journalctl ended: {error}"),
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8]) -> Entry {
        Entry { bytes: bytes.to_vec(), cursor: b"c".to_vec(), cut: false }
    }

    /// How passing over `entries` ends where the queue has `queued` after the cursor: how many are passed, and whether they differ.
    fn pass(queued: &[u8], entries: &[&[u8]]) -> (usize, bool) {
        let mut known = Known::new((queued.len() as u64, Tail::of(queued)));
        let passed = entries.iter().take_while(|bytes| known.pass(&entry(bytes))).count();
        (passed, known.differs())
    }

    #[test]
    fn what_the_queue_has_is_passed_over_where_it_is_the_same() {
        assert_eq!(pass(b"A=1\n\nA=2\n\n", &[b"A=1\n\n", b"A=2\n\n", b"A=3\n\n"]), (2, false));
        assert_eq!(pass(b"A=1\n\nA=2\n\n", &[b"A=1\n\n", b"A=9\n\n", b"A=3\n\n"]), (2, true), "another entry of the same length");
        assert_eq!(pass(b"A=1\n\n", &[b"A=12\n\n"]), (0, true), "a longer one");
        let long = [&[b'x'; 600][..], b"\n\n"].concat();
        assert_eq!(pass(&[&long[..], b"A=2\n\n"].concat(), &[&long, b"A=2\n\n"]), (2, false));
    }

    #[test]
    fn what_is_remembered_is_read_back() {
        assert_eq!(remembered(b"12 s=1;i=2"), Some((12, "s=1;i=2".into())));
        for other in [&b""[..], b"12", b"x s=1", b"\xff 1"] {
            assert_eq!(remembered(other), None);
        }
    }
}
