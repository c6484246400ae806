//! `forebay groups` and `forebay redrive`.

use super::args::{GroupsArgs, GroupsCommand, RedriveArgs};
use super::{Told, ask, code, failed, foreign, moment, print, print_json, print_table};
use crate::admin::control::{Answer, Request};
use crate::admin::human::{Table, bytes, count, duration};
use crate::queue::{GroupInfo, Moved, Redriven, Reset};
use std::collections::BTreeSet;

/// Shows and moves groups; the exit code.
pub(in crate::cli) fn groups(args: &GroupsArgs) -> u8 {
    code(run(args))
}

fn run(args: &GroupsArgs) -> Result<u8, Told> {
    let dir = args.place.dir()?;
    let inventory = || match ask(&dir, &Request::Inventory)? {
        Answer::Inventory(inventory) => Ok(inventory.groups),
        _ => Err(foreign()),
    };
    Ok(match &args.command {
        GroupsCommand::List => show(&inventory()?, args.json, list),
        GroupsCommand::Describe { group } => {
            let all = inventory()?;
            let wanted: Vec<GroupInfo> = all.iter().filter(|g| group.as_ref().is_none_or(|name| *name == g.group)).cloned().collect();
            if let (Some(group), []) = (group, &wanted[..]) {
                let known: Vec<&str> = all.iter().map(|g| g.group.as_str()).collect();
                return Err(failed(format!("there is no group `{group}`; there are: {}", known.join(", "))));
            }
            show(&wanted, args.json, describe)
        }
        GroupsCommand::Reset(reset) => {
            let (topic, group) = (reset.topic.clone(), reset.group.clone());
            let wanted = Reset { group, to: reset.to.target(), topic, partition: reset.partition, dry_run: reset.dry_run };
            let Answer::Moved(moved) = ask(&dir, &Request::Reset(wanted))? else { return Err(foreign()) };
            if args.json { print_json(&moved) } else { print_table(&told_moves(&moved)) }
        }
        GroupsCommand::Delete { group, dry_run } => {
            let request = Request::Delete { group: group.clone(), dry_run: *dry_run };
            let Answer::Deleted(info) = ask(&dir, &request)? else { return Err(foreign()) };
            if args.json {
                return Ok(print_json(&info));
            }
            let lag = info.lag_events();
            let what = if *dry_run { "would be deleted; nothing was changed" } else { "is deleted" };
            let undelivered = if lag > 0 { format!("; {} events were not delivered to it", count(lag)) } else { String::new() };
            print(format!("group {group} {what}{undelivered}\n").as_bytes())
        }
    })
}

fn show(groups: &[GroupInfo], json: bool, text: impl Fn(&[GroupInfo]) -> String) -> u8 {
    if json { print_json(&groups) } else { print_table(&text(groups)) }
}

fn state(group: &GroupInfo) -> String {
    if group.active { "running" } else { "stopped" }.into()
}

fn list(groups: &[GroupInfo]) -> String {
    let mut table = Table::new(&["GROUP", "STATE", "TOPICS", "LAG", "LAG BYTES", "OLDEST", "IN FLIGHT"]);
    for group in groups {
        let topics: BTreeSet<&str> = group.partitions.iter().map(|p| p.topic.as_str()).collect();
        table.row(vec![
            group.group.clone(),
            state(group),
            topics.into_iter().collect::<Vec<_>>().join(","),
            count(group.lag_events()),
            bytes(group.partitions.iter().map(|p| p.lag_bytes).sum()),
            duration(group.partitions.iter().map(|p| p.lag_seconds).fold(0.0, f64::max)),
            count(group.partitions.iter().map(|p| p.in_flight).sum()),
        ]);
    }
    table.text()
}

fn describe(groups: &[GroupInfo]) -> String {
    let mut table = Table::new(&[
        "GROUP",
        "STATE",
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "END",
        "LAG",
        "LAG BYTES",
        "OLDEST",
        "IN FLIGHT",
        "ACKED ABOVE",
        "CHANGED",
    ]);
    for group in groups {
        for p in &group.partitions {
            table.row(vec![
                group.group.clone(),
                state(group),
                p.topic.clone(),
                p.partition.to_string(),
                p.committed.to_string(),
                p.end.to_string(),
                count(p.lag_events),
                bytes(p.lag_bytes),
                duration(p.lag_seconds),
                count(p.in_flight),
                count(p.acked_above),
                moment(Some(p.updated_ms)),
            ]);
        }
    }
    table.text()
}

fn told_moves(moved: &Moved) -> String {
    let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "FROM", "TO", "EVENTS"]);
    let (mut again, mut passed) = (0, 0);
    for m in &moved.moves {
        let (back, forward) = (m.from.saturating_sub(m.to), m.to.saturating_sub(m.from));
        (again, passed) = (again + back, passed + forward);
        let sign = if back > 0 { "-" } else { "+" };
        table.row(vec![
            moved.group.clone(),
            m.topic.clone(),
            m.partition.to_string(),
            m.from.to_string(),
            m.to.to_string(),
            format!("{sign}{}", count(back + forward)),
        ]);
    }
    let when = match (moved.dry_run, moved.active) {
        (true, _) => "this is what would be done; nothing was changed",
        (false, true) => "the running sink goes on there now",
        (false, false) => "the sink goes on there at its next start",
    };
    let mut text = table.text();
    text.push_str(&format!("{when}: {} events are shipped again, {} are passed over\n", count(again), count(passed)));
    text
}

/// Sends dead letters again; the exit code.
pub(in crate::cli) fn redrive(args: &RedriveArgs) -> u8 {
    code(redriven(args))
}

fn redriven(args: &RedriveArgs) -> Result<u8, Told> {
    let request = Request::Redrive { sink: args.sink.clone(), dry_run: args.dry_run };
    let Answer::Redriven(done) = ask(&args.place.dir()?, &request)? else { return Err(foreign()) };
    Ok(if args.json { print_json(&done) } else { print(told_redriven(&done).as_bytes()) })
}

fn told_redriven(done: &Redriven) -> String {
    let when = match (done.dry_run, done.active) {
        (true, _) => "would be sent again; nothing was changed",
        (false, true) => "are sent again now",
        (false, false) => "are sent again at the next start",
    };
    let mut text = format!("sink {}: {} refused events {when}\n", done.sink, count(done.events));
    if done.waiting > 0 {
        text.push_str(&format!("{} more are before it anyway\n", count(done.waiting)));
    }
    if done.gone > 0 {
        text.push_str(&format!(
            "{} are not retained in their topic any more: their originals are in `forebay read dead-letter`\n",
            count(done.gone)
        ));
    }
    text
}
