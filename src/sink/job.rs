//! One batch in flight: sent, retried, split, its refused events dead-lettered, and acked.

mod doubt;

use super::RetryOptions;
use super::client::{Client, Outcome, Rejection, Request, item_range};
use super::dead_letter::dead_letters;
use super::gate::{Gate, backoff};
use super::stats::{Stats, thousands};
use super::transport::without_values;
use super::window::{Slot, Window};
use crate::process::shaping::LeftOut;
use crate::queue::{Acker, AppendError, Batch, DeadLetters};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// About so many bytes ask a receiver whether it is there again.
const PROBE: usize = 64 << 10;
/// Smallest body that a sink works with, bytes.
const SMALLEST_BODY: usize = 64 << 10;
/// So many events with one and the same fault and not one that arrives: that is no fault of the events.
const SUSPICIOUS: usize = 8;
/// So many more refusals, all over the batch, before a suspicion is a certainty.
const FRUITLESS: u32 = 64;

/// What all batches of a sink share.
pub(crate) struct Shared {
    pub name: String,
    pub scope: String,
    pub retry: RetryOptions,
    pub stats: Stats,
    pub gate: Gate,
    pub client: Box<dyn Client>,
    pub acker: Arc<dyn Acker>,
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Bodies are cut to this many bytes; a 413 lowers it.
    pub body_cap: AtomicUsize,
    /// All bodies together have so many bytes.
    pub body_memory: usize,
    pub window: Arc<Window>,
    /// The target has refused to replace documents: what is to replace them is sent as if it were new.
    pub no_overwrite: AtomicBool,
    /// It was said that events may be doubled.
    pub told_doubled: AtomicBool,
}

impl Shared {
    /// Bytes that a body may have now: those in flight and the one that is being encoded share the memory.
    pub fn body_limit(&self) -> usize {
        let share = self.body_memory / (self.window.limit() as usize + 1);
        self.body_cap.load(Relaxed).min(share).max(SMALLEST_BODY)
    }
}

/// A batch on its way.
pub(crate) struct Job {
    pub shared: Arc<Shared>,
    /// Number of the batch since the start, from 1.
    pub number: u64,
    pub batch: Batch,
    pub body: Bytes,
    pub compressed: Option<Bytes>,
    pub items: Vec<u32>,
    /// What the sink's chain keeps out: these items are empty.
    pub left_out: LeftOut,
    /// It is to overwrite, but the target takes no replacements: its body creates only.
    pub creates_only: bool,
    pub slot: Slot,
    /// The batch was as large as it may be: there is more to send than slots to send it in.
    pub full: bool,
}

/// A body and which items of the batch it holds.
#[derive(Clone)]
struct Chunk {
    key: String,
    /// Indices in the batch, ascending.
    items: Vec<u32>,
    /// Made when it is sent for the first time.
    body: Option<Bytes>,
    attempts: u32,
    doubts: doubt::Doubts,
}

/// What came of a batch so far.
#[derive(Default)]
struct Tally {
    accepted: usize,
    already_there: usize,
    rejected: Vec<Rejection>,
    /// Refusals since nothing but refusals was seen.
    fruitless: u32,
}

/// The batch cannot be finished now; the queue remembers it.
struct GivenUp;

impl Job {
    /// Sends until every event has arrived or is a durable dead letter, then acks.
    pub async fn run(mut self) {
        let Ok(mut tally) = self.deliver().await else { return };
        let dead = std::mem::take(&mut self.left_out.dead).into_iter();
        tally.rejected.extend(dead.map(|(item, reason)| Rejection {
            item: item as usize,
            status: 422,
            kind: "process_failed".into(),
            reason,
        }));
        tally.rejected.sort_by_key(|r| r.item);
        let mut refused_bytes = 0;
        let refused = tally.rejected.len() as u64;
        if !tally.rejected.is_empty() {
            match self.bury(tally.rejected).await {
                Ok(bytes) => refused_bytes = bytes,
                Err(GivenUp) => return,
            }
        }
        let (stats, filtered) = (&self.shared.stats, self.filtered_by_stream());
        let filtered_bytes: u64 = filtered.iter().map(|(_, bytes)| bytes).sum();
        Stats::add(&stats.delivered_events, tally.accepted as u64);
        Stats::add(&stats.delivered_bytes, (self.batch.bytes.saturating_sub(refused_bytes) as u64).saturating_sub(filtered_bytes));
        Stats::add(&stats.filtered, self.left_out.filtered.len() as u64);
        Stats::add(&stats.process_failures, self.left_out.failed);
        self.tell_left_out();
        Stats::add(&stats.already_there, tally.already_there as u64);
        Stats::add(&stats.dead_lettered, refused);
        *stats.last_batch.lock().unwrap_or_else(|e| e.into_inner()) = self.batch.id.to_string();
        self.shared.acker.ack_without(&self.batch.id, &filtered);
        self.recovered();
    }

    /// Counts, and says, what was filtered by which processor.
    fn tell_left_out(&self) {
        let mut by = self.shared.stats.filtered_by.lock().unwrap_or_else(|e| e.into_inner());
        for (step, events) in &self.left_out.by {
            match by.get_mut(step) {
                Some(count) => *count += events,
                None => drop(by.insert(step.clone(), *events)),
            }
            tracing::debug!("sink {}: {} events of batch {} filtered by {step}", self.shared.name, thousands(*events), self.batch.id);
        }
    }

    /// Bytes of what was left out, by the number of the stream.
    fn filtered_by_stream(&self) -> Vec<(u64, u64)> {
        if self.left_out.filtered.is_empty() {
            return Vec::new();
        }
        let mut rest = self.left_out.filtered.iter().peekable();
        let (mut sums, mut item) = (BTreeMap::<u64, u64>::new(), 0);
        for slice in self.batch.runs() {
            let stream = slice.run.stream.id;
            for event in slice.events {
                if rest.next_if_eq(&&item).is_some() {
                    *sums.entry(stream).or_default() += event.covers;
                }
                item += 1;
            }
        }
        sums.into_iter().collect()
    }

    /// The items that are to be sent.
    fn live(&self) -> Vec<u32> {
        let kept_out = |item: &u32| {
            self.left_out.filtered.binary_search(item).is_ok() || self.left_out.dead.binary_search_by_key(item, |(i, _)| *i).is_ok()
        };
        let all = 0..self.items.len() as u32;
        if self.left_out.filtered.is_empty() && self.left_out.dead.is_empty() {
            all.collect()
        } else {
            all.filter(|i| !kept_out(i)).collect()
        }
    }

    async fn deliver(&mut self) -> Result<Tally, GivenUp> {
        if self.left_out.filtered.len() + self.left_out.dead.len() == self.items.len() {
            return Ok(Tally::default());
        }
        loop {
            if self.batch.id.overwrites() && !self.creates_only && self.shared.no_overwrite.load(Relaxed) {
                self.create_only().await;
            }
            let whole = Chunk {
                key: self.batch.id.to_string(),
                items: self.live(),
                body: Some(self.wire()),
                attempts: 0,
                doubts: doubt::Doubts::of(self.batch.sent_before),
            };
            if let Some(tally) = self.deliver_once(whole).await? {
                return Ok(tally);
            }
        }
    }

    /// Makes a body that replaces nothing.
    async fn create_only(&mut self) {
        let (shared, body, items) = (self.shared.clone(), self.body.clone(), self.items.clone());
        let encode = move || {
            let (mut out, mut ends) = (Vec::with_capacity(body.len() + items.len()), Vec::with_capacity(items.len()));
            shared.client.without_overwrite(&body, &items, &mut out, &mut ends);
            let compressed = shared.client.compress(&out).map(Bytes::from);
            (Bytes::from(out), compressed, ends)
        };
        match tokio::task::spawn_blocking(encode).await {
            Ok((body, compressed, items)) => (self.body, self.compressed, self.items, self.creates_only) = (body, compressed, items, true),
            // Only at the end of the process; the queue remembers the batch.
            Err(error) => tracing::error!("sink {}: encoding was interrupted: {error}", self.shared.name),
        }
    }

    /// Says once, loudly, that an overwrite does not do what it was asked for.
    fn told_no_overwrite(&self, reason: &str) {
        if !self.shared.no_overwrite.swap(true, Relaxed) {
            tracing::error!(
                "sink {}: the target takes no replacements ({reason}), so that `groups reset --overwrite` cannot do what was asked for: its \
                 events are sent as new ones; what is indexed already stays as it is, what is missing is added, nothing is lost. To store all \
                 of it anew, add a sink with a new target: it begins at the earliest retained record",
                self.shared.name
            );
        }
    }

    fn wire(&self) -> Bytes {
        self.compressed.as_ref().unwrap_or(&self.body).clone()
    }

    /// `None` if the whole batch was refused in a way that is not its events' fault: then all begins again.
    async fn deliver_once(&self, whole: Chunk) -> Result<Option<Tally>, GivenUp> {
        let stats = &self.shared.stats;
        let (mut tally, mut work) = (Tally::default(), vec![whole]);
        while let Some(mut chunk) = tally.next(&mut work) {
            if tally.fruitless > FRUITLESS {
                break;
            }
            let guard = self.shared.gate.admit().await;
            if chunk.doubts.open {
                match self.settle(chunk, &mut tally).await {
                    Some(rest) if rest.doubts.open => {
                        work.push(rest);
                        continue;
                    }
                    Some(rest) => chunk = rest,
                    None => continue,
                }
            }
            if guard.is_some() {
                chunk = self.probe(chunk, &mut work);
            }
            Stats::add(&stats.sent, 1);
            if chunk.attempts > 0 {
                Stats::add(&stats.retried, 1);
            }
            chunk.attempts = chunk.attempts.saturating_add(1);
            let body = self.body_of(&mut chunk).await;
            let (doubt, recognised) = (AtomicBool::new(false), AtomicBool::new(false));
            let request = Request {
                key: &chunk.key,
                body,
                items: chunk.items.len(),
                doubt: &doubt,
                recognised: chunk.doubts.unsettled.is_some().then_some(&recognised),
            };
            let (sent, bytes) = (Instant::now(), request.body.len());
            let outcome = self.shared.client.send(request).await;
            self.noted(&outcome, sent, bytes);
            chunk.doubts.sent(doubt.into_inner(), recognised.into_inner());
            match outcome {
                Outcome::Delivered { already_there } => {
                    self.shared.gate.opened();
                    work.extend(self.second_chance(&mut tally));
                    tally.accepted += chunk.items.len();
                    tally.already_there += already_there;
                    self.count_doubled(&chunk, chunk.items.len() - already_there);
                    self.recovered();
                }
                Outcome::Retry { reason, after } => {
                    self.failed(false, &reason, after);
                    work.push(chunk);
                }
                Outcome::Hold { reason } => {
                    self.failed(true, &reason, None);
                    work.push(chunk);
                }
                Outcome::TakesNoOverwrite { reason } => {
                    self.shared.gate.opened();
                    if !self.batch.id.overwrites() || self.creates_only {
                        // It says so of a request that replaces nothing.
                        self.failed(true, &reason, None);
                        work.push(chunk);
                        continue;
                    }
                    self.told_no_overwrite(&reason);
                    return Ok(None);
                }
                Outcome::TooLarge { reason } => {
                    self.shared.gate.opened();
                    Stats::add(&stats.refused, 1);
                    if let [item] = chunk.items[..] {
                        let size = item_range(&self.items, item as usize).len();
                        let reason = format!("too large for the receiver: {} bytes encoded: {reason}", thousands(size as u64));
                        tally.reject(item, 413, "too_large", reason);
                    } else {
                        let raw: usize = chunk.items.iter().map(|i| item_range(&self.items, *i as usize).len()).sum();
                        self.shared.body_cap.fetch_min((raw / 2).max(SMALLEST_BODY), Relaxed);
                        self.split(chunk, &mut work);
                    }
                }
                Outcome::Refused { status, reason } => {
                    self.shared.gate.opened();
                    Stats::add(&stats.refused, 1);
                    if let [item] = chunk.items[..] {
                        tally.reject(item, status, "request_refused", reason);
                    } else {
                        self.split(chunk, &mut work);
                    }
                }
                Outcome::RefusedUnnamed { refused, reason } => {
                    self.shared.gate.opened();
                    Stats::add(&stats.refused, 1);
                    let count = chunk.items.len();
                    tally.accepted += count.saturating_sub(refused);
                    let reason = format!("the receiver refused {refused} of {count} events and does not say which: {reason}");
                    chunk.items.iter().for_each(|item| tally.reject(*item, 200, "partial_success", reason.clone()));
                }
                Outcome::Partial { already_there, retry, hold, reason, rejected } => {
                    let arrived = chunk.items.len().saturating_sub(retry.len() + rejected.len());
                    if arrived > 0 {
                        work.extend(self.second_chance(&mut tally));
                    }
                    tally.accepted += arrived;
                    tally.already_there += already_there;
                    self.count_doubled(&chunk, arrived.saturating_sub(already_there));
                    for rejection in rejected {
                        let item = chunk.items.get(rejection.item).copied().unwrap_or(0);
                        tally.rejected.push(Rejection { item: item as usize, ..rejection });
                    }
                    if retry.is_empty() {
                        self.shared.gate.opened();
                        self.recovered();
                    } else if arrived == 0 {
                        // Nothing comes through: that is an outage like any other.
                        self.failed(hold, &reason, None);
                        work.push(self.part(&chunk, &retry));
                    } else {
                        self.shared.gate.opened();
                        drop(guard);
                        let wait = backoff(&self.shared.retry, chunk.attempts, hold, None);
                        self.say(hold, &reason, wait);
                        tokio::time::sleep(wait).await;
                        work.push(self.part(&chunk, &retry));
                    }
                }
            }
        }
        if let Some(reason) = tally.all_alike() {
            self.failed(true, &reason, None);
            return Ok(None);
        }
        tally.rejected.sort_by_key(|r| r.item);
        Ok(Some(tally))
    }

    /// What a receiver that was down is asked with: a small part of the chunk where it does not matter how events are
    /// grouped, so that one that has just come up, or is pressed, is not met with megabytes.
    fn probe(&self, chunk: Chunk, work: &mut Vec<Chunk>) -> Chunk {
        let mut bytes = 0;
        let few = chunk.items.iter().take_while(|i| {
            bytes += item_range(&self.items, **i as usize).len();
            bytes <= PROBE
        });
        let (few, count) = (few.count().max(1), chunk.items.len());
        if !self.shared.client.names_items() || self.shared.gate.failures() < 2 || few * 2 > count {
            return chunk;
        }
        let rest = self.part(&chunk, &(few..count).collect::<Vec<_>>());
        let probe = self.part(&chunk, &(0..few).collect::<Vec<_>>());
        work.push(rest);
        probe
    }

    /// Tells the window how the receiver bears what it gets.
    fn noted(&self, outcome: &Outcome, sent: Instant, bytes: usize) {
        let window = &self.shared.window;
        match outcome {
            Outcome::Retry { .. } => window.pressed(sent),
            Outcome::Partial { retry, hold: false, .. } if !retry.is_empty() => window.pressed(sent),
            Outcome::Delivered { .. } | Outcome::Partial { .. } => window.delivered(bytes, self.full && self.slot.waited()),
            _ => {}
        }
    }

    /// Closes the gate for all batches.
    fn failed(&self, hold: bool, reason: &str, after: Option<Duration>) {
        let wait = self.shared.gate.failed(&self.shared.retry, hold, after);
        self.say(hold, reason, wait);
    }

    fn say(&self, hold: bool, reason: &str, wait: Duration) {
        if !self.shared.stats.troubled(self.number, hold, reason) {
            return;
        }
        let (sink, lag, secs) = (&self.shared.name, thousands(self.shared.acker.lag_events()), wait.as_secs_f64());
        let batch = &self.batch.id;
        if hold {
            tracing::error!(
                "sink {sink} is held: {reason}; kept in the queue, nothing is dropped; {lag} events waiting; next try of batch {batch} in {secs:.1} s"
            );
        } else {
            tracing::warn!("sink {sink}: {reason}; kept in the queue; {lag} events waiting; next try of batch {batch} in {secs:.1} s");
        }
    }

    fn recovered(&self) {
        // A blip that nobody was told of is not worth a line.
        if let Some(after) = self.shared.stats.recovered(self.number).filter(|after| *after >= Duration::from_secs(1)) {
            tracing::info!("sink {} delivers again, after {:.1} s of trouble", self.shared.name, after.as_secs_f64());
        }
    }

    /// When the first event arrives after many were refused: perhaps the receiver was mended meanwhile, so those
    /// that were refused before are sent once more.
    fn second_chance(&self, tally: &mut Tally) -> Option<Chunk> {
        if tally.accepted > 0 || tally.rejected.len() < SUSPICIOUS {
            return None;
        }
        let mut items: Vec<u32> = tally.rejected.drain(..).map(|r| r.item as u32).collect();
        items.sort_unstable();
        Some(self.chunk(items, 0))
    }

    /// Those items of `chunk` that `indices` names.
    fn part(&self, chunk: &Chunk, indices: &[usize]) -> Chunk {
        let items: Vec<u32> = indices.iter().filter_map(|i| chunk.items.get(*i).copied()).collect();
        if items.len() == chunk.items.len() {
            return Chunk { items, ..chunk.clone() };
        }
        Chunk { doubts: chunk.doubts.clone(), ..self.chunk(items, chunk.attempts) }
    }

    /// A chunk of these items of the batch, under a name that is the same at each retry.
    fn chunk(&self, items: Vec<u32>, attempts: u32) -> Chunk {
        let key = match items[..] {
            [first, .., last] if (last - first) as usize + 1 == items.len() => format!("{}/{first}-{last}", self.batch.id),
            [first] => format!("{}/{first}-{first}", self.batch.id),
            _ => format!(
                "{}/{:016x}",
                self.batch.id,
                xxhash_rust::xxh3::xxh3_64(&items.iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<_>>())
            ),
        };
        Chunk { key, items, body: None, attempts, doubts: doubt::Doubts::default() }
    }

    /// The body of a chunk, for this attempt and the next.
    async fn body_of(&self, chunk: &mut Chunk) -> Bytes {
        if let Some(body) = &chunk.body {
            return body.clone();
        }
        let (shared, body, all, wanted) = (self.shared.clone(), self.body.clone(), self.items.clone(), chunk.items.clone());
        let encode = move || {
            let mut out = Vec::with_capacity(wanted.iter().map(|i| item_range(&all, *i as usize).len()).sum());
            shared.client.pick(&body, &all, &wanted, &mut out);
            shared.client.compress(&out).unwrap_or(out)
        };
        // Copying and compressing megabytes is no work for a network thread.
        let body = tokio::task::spawn_blocking(encode).await.map(Bytes::from).unwrap_or_default();
        chunk.body.insert(body).clone()
    }

    fn split(&self, chunk: Chunk, work: &mut Vec<Chunk>) {
        let (count, half) = (chunk.items.len(), chunk.items.len() / 2);
        let second = self.part(&chunk, &(half..count).collect::<Vec<_>>());
        let first = self.part(&chunk, &(0..half).collect::<Vec<_>>());
        work.push(Chunk { attempts: 0, ..second });
        work.push(Chunk { attempts: 0, ..first });
    }

    /// Waits until all refused events are durable dead letters. Returns their bytes as read.
    async fn bury(&self, rejected: Vec<Rejection>) -> Result<usize, GivenUp> {
        let shared = &self.shared;
        if let Some(first) = rejected.first() {
            tracing::warn!(
                "sink {}: {} events refused for good, the first because of {} {}: {}; they go to the dead-letter topic with their original bytes",
                shared.name,
                thousands(rejected.len() as u64),
                first.status,
                first.kind,
                without_values(&first.reason)
            );
        }
        let mut failures = 0;
        loop {
            let (records, bytes) = dead_letters(&shared.scope, &shared.name, &self.batch, &rejected);
            let letters = shared.dead_letters.clone();
            match tokio::task::spawn_blocking(move || letters.put(records)).await {
                Ok(Ok(())) => return Ok(bytes),
                Ok(Err(AppendError::Closed)) => return Err(GivenUp),
                Ok(Err(error)) => {
                    failures += 1;
                    let wait = backoff(&shared.retry, failures, false, None);
                    self.say(false, &format!("the dead-letter topic does not take {} refused events: {error}", rejected.len()), wait);
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    tracing::error!("sink {}: storing dead letters was interrupted: {error}; the batch stays in the queue", shared.name);
                    return Err(GivenUp);
                }
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.shared.stats.recovered(self.number);
    }
}

impl Tally {
    /// The chunk to send next: from the front, so that events keep their order; but once the first events are all
    /// refused alike, from all over the batch, to see whether it is them.
    fn next(&mut self, work: &mut Vec<Chunk>) -> Option<Chunk> {
        if work.is_empty() || self.all_alike().is_none() {
            self.fruitless = 0;
            return work.pop();
        }
        self.fruitless += 1;
        Some(work.remove(0))
    }

    fn reject(&mut self, item: u32, status: u16, kind: &str, reason: String) {
        self.rejected.push(Rejection { item: item as usize, status, kind: kind.to_string(), reason });
    }

    /// The reason, if not one event has arrived and many were refused with the same one.
    fn all_alike(&self) -> Option<String> {
        let first = self.rejected.first()?;
        let shape = shape(&first.reason);
        let alike = |r: &Rejection| r.status == first.status && r.kind == first.kind && self::shape(&r.reason) == shape;
        (self.accepted == 0 && self.rejected.len() >= SUSPICIOUS && self.rejected.iter().all(alike)).then(|| {
            format!(
                "every event is refused with the same {} {}: {}: that looks like a setting of the receiver, not like a fault of {} events",
                first.status,
                first.kind,
                without_values(&first.reason),
                thousands(self.rejected.len() as u64)
            )
        })
    }
}

/// A reason without what differs from event to event: numbers and what stands in quotes or brackets.
fn shape(reason: &str) -> String {
    let (mut out, mut quoted) = (String::new(), false);
    for c in reason.chars() {
        match c {
            '\'' | '"' => quoted = !quoted,
            c if quoted || c.is_ascii_digit() => {}
            c => out.push(c),
        }
    }
    out
}
