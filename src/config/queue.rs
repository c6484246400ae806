//! `queue:`.

use super::decode::Field;
use super::limits;
use super::options::LimitOptions;
use super::units::show_size;
use crate::queue::{Acks, Compression, Intent, OnFull, QueueOptions};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Decodes `queue:` over the defaults, which keep to `limits` already.
pub(crate) fn queue(field: &Field<'_>, options: &mut QueueOptions, limits: &LimitOptions) {
    let Some(mut map) = field.map() else { return };
    let seconds = Duration::from_secs;
    let (segment, max) = (map.get("segment_bytes"), map.get("max_bytes"));
    if let Some(bytes) = max.as_ref().and_then(|f| f.size(4 * MIB..=1 << 49)) {
        options.max_bytes = bytes;
    }
    // Defaults must not stand in the way of a small queue.
    if segment.is_none() {
        options.segment_bytes = options.segment_bytes.min((options.max_bytes / 4).max(MIB));
    }
    if let Some(bytes) = segment.as_ref().and_then(|f| f.size(MIB..=4 << 30)) {
        options.segment_bytes = bytes;
    }
    let batch = map.get("batch_size");
    if batch.is_none() {
        options.batch_size = options.batch_size.min((options.segment_bytes / 4) as usize);
    }
    if let Some(bytes) = batch.as_ref().and_then(|f| f.size(4096..=64 * MIB)) {
        options.batch_size = bytes as usize;
    }
    if options.batch_size as u64 > options.segment_bytes / 4
        && let Some(at) = batch.as_ref().or(segment.as_ref())
    {
        at.wrong(
            "`queue.batch_size` is larger than a quarter of `queue.segment_bytes`",
            "a segment that holds at least four record batches",
        );
    }
    if let Some(time) = map.get("linger").and_then(|f| f.duration(Duration::ZERO..=seconds(10))) {
        options.linger = time;
    }
    if let Some(acks) = map.get("acks").and_then(|f| acks(&f)) {
        options.acks = acks;
    }
    if let Some(intent) = map.get("intent").and_then(|f| intent(&f)) {
        options.intent = intent;
    }
    if let Some(compression) = map.get("compression").and_then(|f| compression(&f)) {
        options.compression = compression;
    }
    if let Some(time) = map.get("sync_interval").and_then(|f| f.duration(Duration::from_millis(1)..=seconds(60))) {
        options.sync_interval = time;
    }
    let memory = map.get("buffer_memory");
    if let Some(bytes) = memory.as_ref().and_then(|f| f.size(4 * MIB..=64 << 30)) {
        options.buffer_memory = bytes as usize;
    }
    if let Some(at) = &memory {
        limits::check(limits, at, options);
    }
    if options.buffer_memory / 4 < options.batch_size
        && let Some(at) = memory.as_ref().or(batch.as_ref())
    {
        let limited = (limits.memory.is_some() && memory.is_none()).then(|| {
            let (batch, memory) = (show_size(options.buffer_memory as u64 / 4), show_size(options.buffer_memory as u64));
            format!("`limits.memory` leaves {memory} for `queue.buffer_memory`, so {batch} for a record batch")
        });
        let problem = at.problem("`queue.batch_size` is larger than a quarter of `queue.buffer_memory`");
        at.report(problem.expected("room for at least four record batches in memory").help_if(limited));
    }
    if let Some(time) = map.get("max_block").and_then(|f| f.duration(Duration::ZERO..=seconds(86_400))) {
        options.max_block = time;
    }
    if options.max_bytes / 4 < options.segment_bytes
        && let Some(at) = max.as_ref().or(segment.as_ref())
    {
        at.wrong(
            "`queue.max_bytes` is less than four times `queue.segment_bytes`",
            "room for at least four segments, since space is freed by whole segments",
        );
    }
    if let Some(bytes) = map.get("min_free_bytes").and_then(|f| f.size(0..=1 << 49)) {
        options.min_free_bytes = Some(bytes);
    }
    if let Some(policy) = map.get("on_full").and_then(|f| on_full(&f)) {
        options.on_full = policy;
    }
    if let Some(field) = map.get("retention")
        && let Some(mut kept) = field.map()
    {
        if let Some(bytes) = kept.get("bytes") {
            if let Some(size) = bytes.size(0..=1 << 49) {
                options.retention.bytes = size;
            }
            if options.retention.bytes > options.max_bytes {
                bytes.wrong("`queue.retention.bytes` is more than `queue.max_bytes`", "at most what the queue may hold");
            }
        }
        if let Some(age) = kept.get("age").and_then(|f| f.duration(Duration::ZERO..=seconds(3650 * 86_400))) {
            options.retention.age = age;
        }
        if let Some(field) = kept.get("dead_letters")
            && let Some(mut letters) = field.map()
        {
            if let Some(bytes) = letters.get("bytes").and_then(|f| f.size(MIB..=1 << 49)) {
                options.dead_letters.bytes = bytes;
            }
            if let Some(age) = letters.get("age").and_then(|f| f.duration(seconds(60)..=seconds(3650 * 86_400))) {
                options.dead_letters.age = age;
            }
            letters.finish(&[]);
        }
        // Not shorter: between a start and the last sink's joining every group is absent.
        if let Some(time) = kept.get("absent_groups").and_then(|f| f.duration(seconds(60)..=seconds(3650 * 86_400))) {
            options.absent_groups = time;
        }
        kept.finish(&[]);
    }
    // The default must not stand in the way of a small disk.
    options.retention.bytes = options.retention.bytes.min(options.max_bytes);
    if let Some(count) = map.get("partitions").and_then(|f| f.integer(1..=64)) {
        options.partitions = count as u32;
    }
    map.finish(&[]);
}

/// `acks:`; Kafka's own words are understood well enough to say what they are called here.
fn acks(field: &Field<'_>) -> Option<Acks> {
    let expected = "one of: `none`, `written`, `synced`";
    let value = field.value(expected)?;
    let kafka = match &*value.text {
        "none" => return Some(Acks::None),
        "written" => return Some(Acks::Written),
        "synced" => return Some(Acks::Synced),
        "0" => Some("none"),
        "1" => Some("written"),
        "all" | "-1" => Some("synced"),
        other => super::suggest::nearest(other, ["none", "written", "synced"]),
    };
    field.report(field.is(&value).expected(expected).help_if(kafka.map(|word| format!("did you mean `{word}`?"))));
    None
}

/// `intent:`, what a batch waits for before it is sent.
fn intent(field: &Field<'_>) -> Option<Intent> {
    let expected = "one of: `written`, `synced`";
    let value = field.value(expected)?;
    let meant = match &*value.text {
        "written" => return Some(Intent::Written),
        "synced" => return Some(Intent::Synced),
        other => super::suggest::nearest(other, ["written", "synced"]),
    };
    field.report(field.is(&value).expected(expected).help_if(meant.map(|word| format!("did you mean `{word}`?"))));
    None
}

/// `compression:`, by which record batches are stored.
fn compression(field: &Field<'_>) -> Option<Compression> {
    let expected = "one of: `none`, `lz4`, `zstd`";
    let value = field.value(expected)?;
    let meant = match &*value.text {
        "none" => return Some(Compression::None),
        "lz4" => return Some(Compression::Lz4),
        "zstd" => return Some(Compression::Zstd),
        "gzip" | "snappy" => Some("lz4"),
        other => super::suggest::nearest(other, ["none", "lz4", "zstd"]),
    };
    field.report(field.is(&value).expected(expected).help_if(meant.map(|word| format!("did you mean `{word}`?"))));
    None
}

/// `on_full:`, what happens when there is no room.
fn on_full(field: &Field<'_>) -> Option<OnFull> {
    let expected = "one of: `block`, `drop_oldest`, `drop_newest`";
    let value = field.value(expected)?;
    match &*value.text {
        "block" => return Some(OnFull::Block),
        "drop_oldest" => return Some(OnFull::DropOldest),
        "drop_newest" => return Some(OnFull::DropNewest),
        _ => {}
    }
    let meant = super::suggest::nearest(&value.text, ["block", "drop_oldest", "drop_newest"]);
    field.report(field.is(&value).expected(expected).help_if(meant.map(|word| format!("did you mean `{word}`?"))));
    None
}
