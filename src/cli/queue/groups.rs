//! `forebay groups` and `forebay redrive`.

use super::args::{GroupsArgs, GroupsCommand, RedriveArgs};
use super::{Told, ask, code, failed, foreign, moment, print, print_json, print_table};
use crate::admin::control::{Answer, Request};
use crate::admin::human::{Table, bytes, count, duration};
use crate::queue::{GroupInfo, Move, Moved, Redriven, Reset};
use std::collections::BTreeSet;

/// Shows and moves groups; the exit code.
pub(in crate::cli) fn groups(args: &GroupsArgs) -> u8 {
    code(run(args))
}

fn run(args: &GroupsArgs) -> Result<u8, Told> {
    let inventory = || match ask(&args.place, &Request::Inventory)? {
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
            let wanted = Reset {
                group,
                to: reset.to.target(),
                topic,
                partition: reset.partition,
                overwrite: reset.overwrite,
                dry_run: reset.dry_run,
            };
            let Answer::Moved(moved) = ask(&args.place, &Request::Reset(wanted))? else { return Err(foreign()) };
            if args.json { print_json(&moved) } else { print_table(&told_moves(&moved, reset.overwrite)) }
        }
        GroupsCommand::Delete { group, dry_run } => {
            let request = Request::Delete { group: group.clone(), dry_run: *dry_run };
            let Answer::Deleted(info) = ask(&args.place, &request)? else { return Err(foreign()) };
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
    let state = if group.active { "running" } else { "stopped" };
    let overwrites = group.partitions.iter().any(|p| p.overwrite_until > 0);
    if overwrites { format!("{state}, overwriting") } else { state.into() }
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
    let overwrites = groups.iter().flat_map(|g| &g.partitions).any(|p| p.overwrite_until > 0);
    let mut head = vec![
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
    ];
    // Rare enough not to take room from the rest.
    head.extend(overwrites.then_some("OVERWRITES UP TO"));
    let mut table = Table::new(&head);
    for group in groups {
        for p in &group.partitions {
            let mut row = vec![
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
            ];
            let until = if p.overwrite_until > 0 { p.overwrite_until.to_string() } else { "-".into() };
            row.extend(overwrites.then_some(until));
            table.row(row);
        }
    }
    table.text()
}

fn told_moves(moved: &Moved, overwrite: bool) -> String {
    let overwrites: u64 = moved.moves.iter().map(Move::overwrites).sum();
    let mut head = vec!["GROUP", "TOPIC", "PARTITION", "FROM", "TO", "EVENTS"];
    let replaces = overwrites > 0 && moved.replaces != Some(false);
    head.extend(replaces.then_some("OVERWRITTEN"));
    let mut table = Table::new(&head);
    let (mut again, mut passed, mut ended) = (0, 0, String::new());
    for m in &moved.moves {
        if m.overwrite_ended > m.from {
            ended.push_str(&format!(
                "the overwrite of {}/{}, which had come to {} of {}, {} by this\n",
                m.topic,
                m.partition,
                m.from,
                m.overwrite_ended,
                if moved.dry_run { "would be ended" } else { "is ended" }
            ));
        }
        let (back, forward) = (m.from.saturating_sub(m.to), m.to.saturating_sub(m.from));
        (again, passed) = (again + back, passed + forward);
        let sign = if back > 0 { "-" } else { "+" };
        let mut row = vec![
            moved.group.clone(),
            m.topic.clone(),
            m.partition.to_string(),
            m.from.to_string(),
            m.to.to_string(),
            format!("{sign}{}", count(back + forward)),
        ];
        row.extend(replaces.then(|| count(m.overwrites())));
        table.row(row);
    }
    let when = match (moved.dry_run, moved.active) {
        (true, _) => "this is what would be done; nothing was changed",
        (false, true) => "the running sink goes on there now",
        (false, false) => "the sink goes on there at its next start",
    };
    let mut text = table.text();
    text.push_str(&format!("{when}: {} events are shipped again, {} are passed over\n", count(again), count(passed)));
    match (overwrites, moved.replaces) {
        (0, _) if overwrite => text.push_str("there is nothing to overwrite: the group has delivered nothing from there on\n"),
        (0, _) | (_, Some(false)) => {}
        (n, Some(true)) => text.push_str(&format!("{} of them replace what the sink's target has; no other sink is touched\n", count(n))),
        (n, None) => text.push_str(&format!("{} of them are to replace what the sink's target has\n", count(n))),
    }
    if let Some(note) = &moved.note {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&ended);
    text
}

/// Sends dead letters again; the exit code.
pub(in crate::cli) fn redrive(args: &RedriveArgs) -> u8 {
    code(redriven(args))
}

fn redriven(args: &RedriveArgs) -> Result<u8, Told> {
    let request = Request::Redrive { sink: args.sink.clone(), all: args.all, dry_run: args.dry_run };
    let Answer::Redriven(done) = ask(&args.place, &request)? else { return Err(foreign()) };
    Ok(if args.json { print_json(&done) } else { print(told_redriven(&done).as_bytes()) })
}

fn told_redriven(done: &Redriven) -> String {
    let when = match (done.dry_run, done.active) {
        (true, _) => "would be sent again; nothing was changed",
        (false, true) => "are sent again now",
        (false, false) => "are sent again at the next start",
    };
    if done.letters == 0 {
        return format!("sink {} has no dead letters: there is nothing to send again\n", done.sink);
    }
    let mut text = format!("sink {}: {} refused events {when}", done.sink, count(done.events));
    if done.from_letter > 0 {
        let (queue, letters) = (count(done.from_queue), count(done.from_letter));
        text.push_str(&format!(": {queue} from the queue, {letters} from their letters"));
    }
    text.push('\n');
    if done.waiting > 0 {
        text.push_str(&format!("{} more are before it anyway, or being sent by an earlier redrive\n", count(done.waiting)));
    }
    if done.earlier > 0 {
        text.push_str(&format!(
            "{} were sent by an earlier redrive and not refused since: left alone (--all sends them once more)\n",
            count(done.earlier)
        ));
    }
    for (reason, events) in &done.impossible {
        text.push_str(&format!("{} cannot be sent: {reason}; their letters stay in `forebay read dead-letter`\n", count(*events)));
    }
    text
}
