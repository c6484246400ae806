//! The count at the end: what was written against what was received.

use super::account::Account;
use super::writer::number;
use crate::admin::human::{Table, count};

/// What went wrong on purpose, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Lines that the app wrote.
    pub(super) written: u64,
    /// Of these, the ones that the receiver has.
    pub(super) delivered: u64,
    /// Of these, the ones that it has not.
    pub(super) lost: u64,
    /// Documents beyond the first for the same line.
    pub(super) doubled: u64,
    /// Documents that are no line of the app's: cut or changed.
    pub(super) changed: u64,
    /// Documents that came again and were recognised by their ID.
    pub(super) recognised: u64,
    /// Acknowledgements that were lost on purpose.
    pub(super) lost_acks: u64,
    /// `kill -9` on purpose.
    pub(super) kills: u64,
    /// Outages of the receiver on purpose.
    pub(super) outages: u64,
    /// Rotations of the log.
    pub(super) rotations: u64,
}

impl Tally {
    /// Counts the lines 1 to `written` in the account; the other figures stay 0.
    pub(super) fn count(account: &Account, written: u64) -> Tally {
        let mut tally = Tally { written, recognised: account.conflicts, lost_acks: account.lost_acks, ..Tally::default() };
        for (text, times) in account.lines() {
            match number(text).filter(|n| (1..=written).contains(n)) {
                Some(_) if *times > 0 => {
                    tally.delivered += 1;
                    tally.doubled += times - 1;
                }
                Some(_) => {}
                None => tally.changed += times,
            }
        }
        tally.lost = written - tally.delivered;
        tally
    }

    /// Whether each line is there exactly once.
    pub(super) fn exactly_once(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.changed == 0
    }

    /// The table for people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new(&["The count", "lines"]);
        let mut row = |name: &str, n: u64| table.row(vec![name.into(), count(n)]);
        row("written by the app", self.written);
        row("delivered", self.delivered);
        row("lost", self.lost);
        row("doubled", self.doubled);
        if self.changed > 0 {
            row("cut or changed", self.changed);
        }
        row("sent again, recognised by ID", self.recognised);
        let mut wrong = Table::new(&["What went wrong", "times"]);
        wrong.row(vec!["kill -9 of the agent".into(), count(self.kills)]);
        wrong.row(vec!["outages of the receiver".into(), count(self.outages)]);
        wrong.row(vec!["acknowledgements lost".into(), count(self.lost_acks)]);
        wrong.row(vec!["log rotated by rename".into(), count(self.rotations)]);
        format!("{}\n{}", wrong.text(), table.text())
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::ItemFaults;
    use super::super::writer::line;
    use super::*;

    fn account(messages: &[String]) -> Account {
        let mut account = Account::default();
        for (id, message) in messages.iter().enumerate() {
            let source = serde_json::json!({"message": message});
            let body = format!("{{\"create\":{{\"_id\":\"{id}\"}}}}\n{source}\n");
            assert_eq!(account.bulk("demo", body.as_bytes(), &ItemFaults::default()).0, 200);
        }
        account
    }

    #[test]
    fn sees_what_is_lost_doubled_and_changed() {
        let all = Tally::count(&account(&[line(1), line(2), line(3)]), 3);
        assert_eq!((all.delivered, all.exactly_once()), (3, true));
        let bad = Tally::count(&account(&[line(1), line(1), line(3), line(4), "order 0000".into()]), 3);
        assert_eq!((bad.delivered, bad.lost, bad.doubled, bad.changed), (2, 1, 1, 2));
        assert!(!bad.exactly_once());
        for one in [&[line(1)][..], &[line(1), line(2), line(2)], &[line(1), line(2), "x".into()]] {
            assert!(!Tally::count(&account(one), 2).exactly_once());
        }
    }

    #[test]
    fn the_table() {
        let tally = Tally {
            written: 125_000,
            delivered: 125_000,
            recognised: 8_192,
            lost_acks: 1,
            kills: 2,
            outages: 1,
            rotations: 8,
            ..Tally::default()
        };
        insta::assert_snapshot!(tally.table(), @r"
        What went wrong          times
        kill -9 of the agent         2
        outages of the receiver      1
        acknowledgements lost        1
        log rotated by rename        8

        The count                       lines
        written by the app            125,000
        delivered                     125,000
        lost                                0
        doubled                             0
        sent again, recognised by ID    8,192
        ");
    }
}
