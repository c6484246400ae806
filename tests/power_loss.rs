//! Power losses for real: the log and the queue on one ext4 in an image file, of which copies are made at moments in
//! which nothing was unmounted or synced. Each copy is mounted (its journal is replayed), so that both the log and the
//! queue are as a power cut would leave them, and the log may be shorter than the queue remembers. The agent starts on
//! it, the application writes on, and each line of the copy's log is indexed under exactly one ID.

mod common;

use common::machine::{Mount, skipped};
use common::{Bench, elasticsearch_sink, lines};
use forebay::demo::receiver::Receiver;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

const COPIES: usize = 5;

/// Line → IDs under which it is indexed.
type Index = HashMap<String, HashSet<String>>;

fn add(index: &mut Index, receiver: &Receiver) {
    receiver.account(|a| {
        for (id, document) in a.documents() {
            index.entry(document.message.clone()).or_default().insert(id.clone());
        }
        assert_eq!((a.collisions, a.without_id), (0, 0));
    });
}

/// A copy of the image in which nothing was written meanwhile.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    loop {
        let text = |p: &std::path::Path| p.to_str().expect("UTF-8").to_string();
        common::machine::run(&["cp", "--reflink=never", "--sparse=always", &text(from), &text(to)]).expect("a copy");
        if common::machine::run(&["cmp", "-s", &text(from), &text(to)]).is_ok() {
            return;
        }
    }
}

fn power_losses(name: &str, queue: &str) {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let (image, disk) = (bench.path("image"), bench.path("disk"));
    let mount = match Mount::image(&image, Some(96 << 20), &disk) {
        Ok(mount) => mount,
        Err(why) => return skipped(name, &why),
    };
    let folders = |make: bool| {
        let bind = |of: &str| {
            if make {
                fs::create_dir(disk.join(of)).unwrap();
            }
            Mount::bind(&disk.join(of), &bench.path(of)).unwrap()
        };
        [bind("logs"), bind("state")]
    };
    let binds = folders(true);
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", queue);
    let (mut written, mut before, mut agent) = (0, Vec::new(), bench.start());
    for n in 0..COPIES {
        // In pieces, each with time to be synced by nobody but the agent: the log itself never is.
        for _ in 0..8 {
            bench.append("app.log", lines(written..written + 700));
            written += 700;
            std::thread::sleep(Duration::from_millis(15));
        }
        agent.wait_for("some of it is shipped", || receiver.account(|a| a.documents().len() >= written as usize / 2));
        // Stopped, not ended: what it was about to do is never done on the copy.
        agent.pause(true);
        copy(&image, &bench.path(&format!("copy-{n}")));
        let mut index = Index::new();
        add(&mut index, &receiver);
        before.push(index);
        agent.pause(false);
    }
    agent.kill();
    drop(binds);
    drop(mount);
    let mut shorter = 0;
    for (n, mut index) in before.into_iter().enumerate() {
        let _mount = Mount::image(&bench.path(&format!("copy-{n}")), None, &disk).unwrap();
        let _binds = folders(false);
        let receiver = Receiver::start().unwrap();
        bench.pipeline(&elasticsearch_sink(&receiver.url()), "", queue);
        let log = || fs::read_to_string(bench.log("app.log")).unwrap_or_default();
        let had: HashSet<String> = log().lines().map(str::to_string).collect();
        shorter += usize::from(index.keys().any(|line| !had.contains(line)));
        // The application goes on where its file ends: at a line that was torn, as one does.
        let torn = log().chars().last().is_some_and(|c| c != '\n');
        bench.append("app.log", if torn { "\n" } else { "" });
        bench.append("app.log", (0..1_000).map(|i| format!("after the power came back, copy {n}, line {i}\n")).collect::<String>());
        let mut agent = bench.start();
        let expected: HashSet<String> = log().lines().map(str::to_string).collect();
        agent.wait_for("all of the copy's log is shipped", || {
            receiver.account(|a| expected.iter().all(|l| index.contains_key(l) || a.lines().contains_key(l)))
        });
        assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
        add(&mut index, &receiver);
        let wrong: Vec<_> = expected.iter().filter(|l| index.get(*l).is_none_or(|ids| ids.len() != 1)).take(3).collect();
        assert!(wrong.is_empty(), "copy {n}: not under exactly one ID: {wrong:?}; the agent's log:\n{}", agent.log());
        assert!(!agent.log().contains(" ERROR "), "copy {n}: {}", agent.log());
    }
    println!("{name}: {COPIES} power losses, after {shorter} of which the log was shorter than what had been shipped; lost 0, doubled 0");
}

#[test]
fn a_power_loss_of_log_and_queue_together_loses_and_doubles_nothing() {
    power_losses("a_power_loss_of_log_and_queue_together_loses_and_doubles_nothing", "");
}

#[test]
fn nor_with_acks_written() {
    power_losses("nor_with_acks_written", "queue: {acks: written}");
}
