use super::account::account;
use super::*;
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
    ) {
        let found = AtGroup { pending: ranges(&pending), dead: ranges(&dead), ..AtGroup::default() };
        let books = account(queued, "search", &found, filtered, &[]);
        prop_assert_eq!(books.sum(), queued);
        prop_assert_eq!(books.filtered, filtered.min(queued - books.missing()));
        let held = |of: &[(u64, u64)], n: u64| of.iter().any(|(s, e)| (*s..*e).contains(&n));
        prop_assert_eq!(books.pending, (0..queued).filter(|n| held(&pending, *n)).count() as u64);
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
    };
    let mut lens = Vec::new();
    [10, 200, 120].iter().for_each(|len| crate::queue::put_varint(&mut lens, *len));
    assert_eq!(bytes_of(&run, Some(&lens), 1, 3), (1_010, 1_330));
    assert_eq!(bytes_of(&run, Some(&lens), 0, 2), (1_000, 1_210));
    assert_eq!(bytes_of(&run, Some(&lens[..1]), 1, 2), (1_010, 1_330), "what cannot be known counts");
}
