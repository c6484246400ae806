//! Groups whose sink is not configured any more: what they hold back, and until when.

use super::groups::Groups;
use super::partition::Partition;
use crate::admin::human::{bytes, duration};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A group that no sink has joined since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentGroup {
    /// Its name: the former sink's.
    pub group: String,
    /// Bytes that could be deleted, as far as the other groups are concerned, but for this one.
    pub held_bytes: u64,
    /// How long it holds them still, ms; 0: it does not any more.
    pub left_ms: u64,
}

impl fmt::Display for AbsentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, held) = (&self.group, bytes(self.held_bytes));
        if self.left_ms == 0 {
            return write!(
                f,
                "group `{group}`, whose sink is not configured any more, has let go of its unread events after queue.retention.absent_groups: {held} that only it had not read may be deleted now"
            );
        }
        write!(
            f,
            "no sink is configured for group `{group}` any more: it holds back {held}, and lets go of them in {} (queue.retention.absent_groups), or at once with `forebay groups delete {group}`",
            duration(self.left_ms as f64 / 1000.0)
        )
    }
}

/// All absent groups, by name.
pub(crate) fn absent_groups(groups: &Groups, partitions: &[Arc<Partition>], now_ms: u64) -> Vec<AbsentGroup> {
    let until = groups.absent();
    let held = |group: &str| partitions.iter().map(|p| held_bytes(groups, p, group, now_ms)).sum();
    until
        .into_iter()
        .map(|(group, until)| AbsentGroup { held_bytes: held(&group), group: group.to_string(), left_ms: until.saturating_sub(now_ms) })
        .collect()
}

/// Bytes of whole segments that nobody but `group` has yet to read.
fn held_bytes(groups: &Groups, partition: &Partition, group: &str, now_ms: u64) -> u64 {
    let Some(low) = groups.low_of(group, &partition.topic, partition.number) else { return 0 };
    let others = groups.low_water_without(group, &partition.topic, partition.number, now_ms).unwrap_or_else(|| partition.visible());
    partition.segments().iter().filter(|s| s.end() > low.max(s.base) && s.end() <= others).map(|s| s.size()).sum()
}

/// Who keeps the queue full, for the end of a sentence: the group with most to read.
pub(crate) fn who_is_behind(groups: &Groups, partitions: &[Arc<Partition>], now_ms: u64) -> String {
    let absent = absent_groups(groups, partitions, now_ms).into_iter().filter(|a| a.left_ms > 0 && a.held_bytes > 0);
    if let Some(worst) = absent.max_by_key(|a| a.held_bytes) {
        return format!("; {worst}");
    }
    let unread = |group: &str| -> u64 {
        let places = partitions.iter().filter_map(|p| Some((p, groups.low_of(group, &p.topic, p.number)?)));
        places.flat_map(|(p, low)| p.segments().into_iter().filter(move |s| s.end() > low.max(s.base))).map(|s| s.size()).sum()
    };
    let worst = groups.joined().into_iter().map(|g| (unread(&g), g)).max();
    worst.filter(|(n, _)| *n > 0).map_or_else(String::new, |(n, group)| format!("; furthest behind is sink `{group}`, by {}", bytes(n)))
}

/// Says when an absent group lets go.
#[derive(Debug, Default)]
pub(crate) struct Watch(BTreeSet<String>);

impl Watch {
    /// Groups that have let go since the last look.
    pub(crate) fn look(&mut self, groups: &Groups, partitions: &[Arc<Partition>], now_ms: u64) -> Vec<AbsentGroup> {
        if groups.absent().is_empty() {
            return Vec::new();
        }
        let absent = absent_groups(groups, partitions, now_ms);
        let holding = absent.iter().filter(|a| a.left_ms > 0).map(|a| a.group.clone()).collect();
        let before = std::mem::replace(&mut self.0, holding);
        absent.into_iter().filter(|a| a.left_ms == 0 && before.contains(&a.group)).collect()
    }
}
