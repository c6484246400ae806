use super::account::account;
use super::*;
use crate::queue::Stored;
use proptest::prelude::*;

fn ranges(of: &[(u64, u64)]) -> Ranges {
    let mut ranges = Ranges::new();
    of.iter().for_each(|(s, e)| insert(&mut ranges, *s, *e));
    ranges
}

proptest! {
    #[test]
    fn what_is_queued_is_the_sum_of_what_became_of_it(
        pending in prop::collection::vec((0u64..100, 0u64..120), 0..6),
        dead in prop::collection::vec((0u64..100, 0u64..120), 0..6),
        queued in 0u64..110,
        filtered in 0u64..130,
        before in 0u64..60,
        gaps in 0u64..60,
    ) {
        let found = AtGroup { pending: ranges(&pending), dead: ranges(&dead), gaps, ..AtGroup::default() };
        let books = account(queued, "search", &found, (before, filtered), &[]);
        prop_assert_eq!(books.sum(), queued);
        prop_assert!(books.filtered <= before.max(gaps) + filtered);
        if gaps == 0 && before == 0 {
            prop_assert_eq!(books.filtered, filtered.min(queued - books.missing()));
        }
        let held = |of: &[(u64, u64)], n: u64| of.iter().any(|(s, e)| (*s..*e).contains(&n));
        let open = (0..queued).filter(|n| held(&pending, *n)).count() as u64;
        prop_assert_eq!(books.pending, open - gaps.min(open));
        prop_assert_eq!(books.dead_lettered, (0..queued).filter(|n| held(&dead, *n) && !held(&pending, *n)).count() as u64);
    }

    #[test]
    fn what_is_open_is_what_is_not_acked(
        committed in 0u64..40,
        acked in prop::collection::vec((41u64..60, 1u64..8), 0..4),
        (first, len) in (0u64..60, 0u64..20),
    ) {
        let acked = ranges(&acked.iter().map(|(s, n)| (*s, s + n)).collect::<Vec<_>>());
        let state = GroupState { committed, acked: acked.iter().copied().collect(), ..GroupState::default() };
        let place = Place { index: 0, name: "search", state: &state, seen: 0 };
        let is_open = |o: u64| o >= committed && !acked.iter().any(|(s, e)| (*s..*e).contains(&o));
        let open = place.open(first, first + len);
        for offset in 0..90 {
            let listed = open.iter().any(|(s, e)| (*s..*e).contains(&offset));
            prop_assert_eq!(listed, (first..first + len).contains(&offset) && is_open(offset), "{}", offset);
        }
    }
}

#[test]
fn an_ack_inside_a_run_ends_at_the_byte_of_an_event() {
    let run = RunEntry {
        stream: 1,
        source_start: 1_000,
        source_end: 1_330,
        count: 3,
        lens_len: 4,
        data_len: 330,
        flags: 0,
        tail_len: 0,
        tail_crc: 0,
        filtered: Vec::new(),
    };
    let mut lens = Vec::new();
    [10, 200, 120].iter().for_each(|len| crate::queue::put_varint(&mut lens, *len));
    assert_eq!(bytes_of(&run, Some(&lens), 1, 3), (1_010, 1_330, 0));
    assert_eq!(bytes_of(&run, Some(&lens), 0, 2), (1_000, 1_210, 0));
    assert_eq!(bytes_of(&run, Some(&lens[..1]), 1, 2), (1_010, 1_330, 0), "what cannot be known counts");
}

#[test]
fn what_was_filtered_between_events_is_no_part_of_what_is_open() {
    let mut lens = Vec::new();
    // 30 bytes filtered, an event of 10, 50 filtered, one of 40 that is stored in 900; 20 filtered behind.
    Stored::AsRead.put_lens(30, 10, 10, &mut lens);
    Stored::Document.put_lens(50, 40, 900, &mut lens);
    let run = RunEntry {
        stream: 1,
        source_start: 1_000,
        source_end: 1_150,
        count: 2,
        lens_len: lens.len() as u32,
        data_len: 910,
        flags: RunFlags::PROCESSED,
        tail_len: 0,
        tail_crc: 0,
        filtered: Vec::new(),
    };
    assert_eq!(bytes_of(&run, Some(&lens), 0, 2), (1_000, 1_150, 100));
    assert_eq!(bytes_of(&run, Some(&lens), 0, 1), (1_000, 1_040, 30));
    assert_eq!(bytes_of(&run, Some(&lens), 1, 2), (1_040, 1_150, 70));
    assert_eq!(bytes_of(&run, None, 1, 2), (1_000, 1_150, 0), "what cannot be known counts");
    let found = AtGroup { pending: ranges(&[(1_040, 1_150)]), gaps: 70, ..AtGroup::default() };
    let books = account(1_150, "search", &found, (100, 5), &[]);
    assert_eq!((books.pending, books.filtered, books.acknowledged), (40, 105, 1_005));
}
