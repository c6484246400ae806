//! The ledger as text: a line is the CRC32C of what follows (eight hexadecimal digits), a space, and a JSON object
//! with one member that says what it is.

use super::merge::{Hole, Ledger};
use super::{Cause, LossEntry, LossState, LossTotals};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the file that this program writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Version(u32),
    Totals(BTreeMap<Cause, LossTotals>),
    Offsets(Hole),
    Entry(LossEntry),
}

pub(super) fn encode(ledger: &Ledger) -> Vec<u8> {
    let head = [Line::Version(VERSION), Line::Totals(ledger.totals.clone())];
    let holes = ledger.holes.iter().cloned().map(Line::Offsets);
    let entries = ledger.entries.iter().cloned().map(Line::Entry);
    let mut out = Vec::new();
    for line in head.into_iter().chain(holes).chain(entries) {
        // Plain data with string keys: there is nothing in it that JSON could not hold.
        let Ok(text) = serde_json::to_string(&line) else { continue };
        out.extend_from_slice(format!("{:08x} {text}\n", crc32c::crc32c(text.as_bytes())).as_bytes());
    }
    out
}

/// Reads what is sound, and counts the lines that are not.
///
/// # Errors
/// The version, where it is newer than [`VERSION`].
pub(super) fn decode(bytes: &[u8]) -> Result<(Ledger, usize), u32> {
    let (mut ledger, mut damaged, mut summed) = (Ledger::default(), 0, false);
    for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        match sound(line) {
            Some(Line::Version(version)) if version > VERSION => return Err(version),
            Some(Line::Version(_)) => {}
            Some(Line::Totals(totals)) => (ledger.totals, summed) = (totals, true),
            Some(Line::Offsets(hole)) => ledger.holes.push(hole),
            Some(Line::Entry(entry)) => ledger.entries.push(entry),
            None => damaged += 1,
        }
    }
    if !summed && damaged > 0 {
        // The sums went with the damage: what the entries tell is the least that was lost.
        for entry in &ledger.entries {
            let totals = ledger.totals.entry(entry.cause).or_default();
            (totals.events, totals.bytes) = (totals.events + entry.events, totals.bytes + entry.bytes);
            match entry.state {
                LossState::ReadAgain => {
                    totals.read_again_events += entry.events;
                    totals.read_again_bytes += entry.bytes;
                }
                LossState::Lost => {
                    totals.gone_events += entry.events;
                    totals.gone_bytes += entry.bytes;
                }
                LossState::Wanted => {}
            }
        }
    }
    Ok((ledger, damaged))
}

fn sound(line: &[u8]) -> Option<Line> {
    let (crc, text) = (line.get(..8)?, line.get(9..)?);
    // As text, so that no bit of it is without meaning.
    let same = crc == format!("{:08x}", crc32c::crc32c(text)).as_bytes() && line.get(8) == Some(&b' ');
    same.then(|| serde_json::from_slice(text).ok())?
}
