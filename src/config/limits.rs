//! `limits:`, what the agent may use of its host.

use super::decode::Field;
use super::options::LimitOptions;
use super::units::show_size;
use crate::queue::QueueOptions;

const MIB: u64 = 1 << 20;
/// What the agent needs beside the memory that holds data: the program, its threads, what it knows of some thousand files.
const BESIDE: u64 = 16 * MIB;
/// Least memory for data.
const LEAST: u64 = 4 * MIB;

/// Decodes `limits:`, and lets the queue's defaults keep to it.
pub(crate) fn limits(field: &Field<'_>, options: &mut QueueOptions) -> LimitOptions {
    let Some(mut map) = field.map() else { return LimitOptions::default() };
    let memory = map.get("memory").and_then(|f| f.size(BESIDE + LEAST..=1 << 40));
    let cpu = map.get("cpu").and_then(|f| cpu(&f));
    map.finish(&[]);
    if let Some(memory) = memory {
        options.buffer_memory = options.buffer_memory.min(usize::try_from(memory - BESIDE).unwrap_or(usize::MAX));
        options.batch_size = options.batch_size.min(options.buffer_memory / 4);
    }
    options.cpu = cpu;
    LimitOptions { memory, cpu }
}

/// What `queue:` says must fit: `buffer_memory` is the value of `queue.buffer_memory`, where there is one.
pub(crate) fn check(limits: &LimitOptions, buffer_memory: &Field<'_>, options: &QueueOptions) {
    let Some(memory) = limits.memory else { return };
    if options.buffer_memory as u64 > memory - BESIDE {
        let (room, beside) = (show_size(memory - BESIDE), show_size(BESIDE));
        buffer_memory.report(
            buffer_memory
                .problem("`queue.buffer_memory` does not fit into `limits.memory`")
                .expected(format!("at most {room}, since the agent itself takes up to {beside} of the {}", show_size(memory)))
                .help("without `queue.buffer_memory`, it follows from `limits.memory`"),
        );
    }
}

/// Thousandths of a processor, of `0.5`, `2` or `500m`.
fn cpu(field: &Field<'_>) -> Option<u32> {
    let expected = "a number of processors from 0.01 to 1024, such as `0.5`, `2` or `500m`";
    let value = field.value(expected)?;
    let found = thousandths(value.text.trim()).filter(|n| (10..=1_024_000).contains(n));
    if found.is_none() {
        let percent = value.text.trim().strip_suffix('%').and_then(|n| n.trim().parse::<u32>().ok()).filter(|n| (1..=102_400).contains(n));
        field.report(field.is(&value).expected(expected).help_if(percent.map(|n| format!("{n} % of a processor is `{n}0m`"))));
    }
    found
}

fn thousandths(text: &str) -> Option<u32> {
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if let Some(thousandths) = text.strip_suffix('m') {
        return thousandths.parse().ok().filter(|_| digits(thousandths));
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(part) || part.is_empty() || part.len() > 3 {
        return None;
    }
    let part = part.parse::<u32>().ok()? * 10u32.pow(3 - part.len() as u32);
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_written_in_two_ways() {
        for (text, want) in [("1", 1000), ("0.5", 500), ("2.25", 2250), ("0.125", 125), ("500m", 500), ("10m", 10)] {
            assert_eq!(thousandths(text), Some(want), "{text}");
        }
        for wrong in ["", ".", "m", "-1", "1e3", "0.", "0.1234", "50%", "+1", "+5m", "1.5m", "99999999999", "9999999"] {
            assert_eq!(thousandths(wrong), None, "{wrong}");
        }
    }
}
