use super::*;
use crate::queue::tests::sim::SimDisk;
use proptest::prelude::*;

fn stream(number: u64) -> LostStream {
    LostStream { number, key: format!("{number:032x}"), generation: 0, source: "app".into(), path: "/var/log/app.log".into() }
}

fn part(number: u64, start: u64, end: u64, events: Option<u64>) -> LostPart {
    LostPart { stream: stream(number), span: Span { events, ..Span::new(start, end) }, bytes: 0, wanted: true, why: String::new() }
}

fn loss(offsets: Range<u64>, parts: Vec<LostPart>) -> Loss {
    Loss { cause: Cause::Damaged, topic: "logs".into(), partition: 0, offsets, at_ms: 1000, parts, had: Vec::new() }
}

fn open(disk: &SimDisk) -> Losses {
    let (losses, damaged) = Losses::open(Arc::new(disk.clone()), Path::new("/sim")).unwrap();
    assert_eq!(damaged, 0);
    losses
}

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/sim")).unwrap();
    disk
}

#[test]
fn a_loss_is_durable_and_adding_it_again_changes_nothing() {
    let disk = disk();
    let one = loss(10..20, vec![part(1, 100, 200, Some(7)), part(2, 0, 50, Some(3))]);
    assert_eq!(open(&disk).add(std::slice::from_ref(&one)).unwrap(), 10);
    let losses = open(&disk);
    let before = losses.all();
    assert_eq!(losses.add(&[one]).unwrap(), 0);
    assert_eq!(losses.add(&[loss(12..15, vec![part(1, 0, 999, None)])]).unwrap(), 0);
    assert_eq!(losses.all(), before);
    assert_eq!(losses.totals()[&Cause::Damaged], LossTotals { events: 10, bytes: 150, ..Default::default() });
    assert_eq!(losses.offsets("logs", 0), [(10, 20)]);
    assert_eq!(losses.wanted().len(), 2);
}

#[test]
fn what_was_read_again_is_settled_and_stays_so() {
    let disk = disk();
    let losses = open(&disk);
    let one = loss(10..20, vec![part(1, 100, 160, Some(6)), part(1, 160, 200, Some(4))]);
    losses.add(std::slice::from_ref(&one)).unwrap();
    assert_eq!(losses.wanted()[0].spans.len(), 2, "boundaries of blocks are kept");
    losses.settle(&[Settled { stream: 1, bytes: 100..160, outcome: Ok(6) }], 2000).unwrap();
    losses.settle(&[Settled { stream: 1, bytes: 160..200, outcome: Err("the file is gone".into()) }], 3000).unwrap();
    let losses = open(&disk);
    assert!(!losses.any_wanted());
    let states: Vec<_> = losses.all().iter().map(|e| (e.state, e.events, e.bytes, e.why.clone())).collect();
    assert_eq!(states, [(LossState::ReadAgain, 6, 60, String::new()), (LossState::Lost, 4, 40, "the file is gone".into())]);
    assert_eq!(losses.add(&[one]).unwrap(), 0, "the same damage is found at every start");
    assert!(!losses.any_wanted());
    // But what was read again can be damaged in its turn.
    assert_eq!(losses.add(&[loss(90..96, vec![part(1, 100, 160, Some(6))])]).unwrap(), 6);
    assert!(losses.any_wanted());
    let totals = LossTotals { events: 16, bytes: 160, read_again_events: 6, read_again_bytes: 60, gone_events: 4, gone_bytes: 40 };
    assert_eq!(losses.totals()[&Cause::Damaged], totals);
}

#[test]
fn what_never_had_an_offset_is_known_by_its_bytes() {
    let disk = disk();
    let losses = open(&disk);
    let dropped = |start, end, events| {
        let part = LostPart { wanted: false, ..part(1, start, end, Some(events)) };
        Loss { cause: Cause::DroppedNewest, ..loss(0..0, vec![part]) }
    };
    assert_eq!(losses.add(&[dropped(0, 100, 10), dropped(100, 200, 5)]).unwrap(), 15);
    assert_eq!(losses.add(&[dropped(0, 100, 10)]).unwrap(), 0);
    let all = losses.all();
    assert_eq!((all.len(), &all[0].spans[..]), (1, &[Span { events: Some(15), ..Span::new(0, 200) }][..]));
}

#[test]
fn a_disk_that_fails_leaves_the_ledger_as_it_was() {
    let disk = disk();
    let losses = open(&disk);
    losses.add(&[loss(0..5, vec![part(1, 0, 10, None)])]).unwrap();
    disk.capacity(Some(0));
    let (before, more) = (losses.all(), loss(5..9, vec![part(1, 10, 20, None)]));
    assert!(losses.add(std::slice::from_ref(&more)).is_err());
    assert_eq!(losses.all(), before);
    disk.capacity(None);
    assert_eq!(losses.add(&[more]).unwrap(), 4);
}

#[test]
fn the_ledger_stays_small_and_the_sums_hold_all() {
    let disk = disk();
    let losses = open(&disk);
    let many: Vec<Loss> =
        (0..4_000).map(|i| loss(i * 10..i * 10 + 5, vec![LostPart { wanted: i < 10, ..part(i, 0, 7, Some(5)) }])).collect();
    assert_eq!(losses.add(&many).unwrap(), 20_000);
    assert!(losses.all().len() < 3_500);
    assert_eq!(losses.wanted().len(), 10);
    assert_eq!(open(&disk).totals()[&Cause::Damaged].events, 20_000);
}

#[test]
fn a_newer_ledger_is_refused() {
    let disk = disk();
    let text = "{\"version\":2}";
    disk.replace(Path::new("/sim/losses"), format!("{:08x} {text}\n", crc32c::crc32c(text.as_bytes())).as_bytes()).unwrap();
    let e = Losses::open(Arc::new(disk), Path::new("/sim")).unwrap_err();
    assert_eq!(e.to_string(), "/sim/losses has version 2, which is newer than this program understands; nothing was changed");
}

proptest! {
    #[test]
    fn a_flipped_bit_costs_at_most_one_line(bit: usize) {
        let disk = disk();
        let losses = open(&disk);
        losses.add(&[loss(0..5, vec![part(1, 0, 10, None), part(2, 5, 9, Some(2))]), loss(9..12, vec![])]).unwrap();
        let path = Path::new("/sim/losses");
        let mut bytes = disk.read(path).unwrap();
        let lines = losses.all().len();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.replace(path, &bytes).unwrap();
        let (damaged, count) = Losses::open(Arc::new(disk), Path::new("/sim")).unwrap();
        // A newline that is none any more joins two.
        prop_assert!((1..=2).contains(&count));
        prop_assert!(damaged.all().len() + 2 >= lines);
        prop_assert!(damaged.totals()[&Cause::Damaged].events >= 2);
    }

    #[test]
    fn in_whatever_order_it_is_found_it_is_the_same(order in Just((0u64..12).collect::<Vec<_>>()).prop_shuffle(), again in prop::collection::vec(0u64..12, 0..12)) {
        let disk = disk();
        let losses = open(&disk);
        let piece = |i: u64| loss(i * 3..i * 3 + 3, vec![LostPart { wanted: false, ..part(i % 2, i * 10, i * 10 + 20, Some(3)) }]);
        let found: u64 = order.iter().chain(&again).map(|i| losses.add(&[piece(*i)]).unwrap()).sum();
        prop_assert_eq!(found, 36);
        let all = open(&disk).all();
        prop_assert_eq!(all.len(), 2);
        for entry in all {
            let first = entry.stream.unwrap().number * 10;
            prop_assert_eq!((entry.events, entry.bytes), (18, 120));
            prop_assert_eq!(entry.spans, vec![Span { events: Some(18), ..Span::new(first, first + 120) }]);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = file::decode(&bytes);
    }
}

#[test]
fn what_a_group_had_is_kept_apart_and_what_was_never_read_is_on_record() {
    let disk = disk();
    let losses = open(&disk);
    let gone = |start: u64, end, had: &[&str]| Loss {
        cause: Cause::DroppedOldest,
        had: had.iter().map(|h| h.to_string()).collect(),
        ..loss(start..end, vec![LostPart { wanted: false, ..part(1, start * 10, end * 10, Some(end - start)) }])
    };
    losses.add(&[gone(0, 5, &["files", "search"]), gone(5, 8, &["files"]), gone(8, 9, &["files"])]).unwrap();
    let unread = |path: &str, bytes: Range<u64>| LostUnread {
        cause: Cause::DeletedUnread,
        stream: None,
        file: FileIdentity::default(),
        generation: 0,
        source: "app".into(),
        topic: "logs".into(),
        path: path.into(),
        bytes,
        why: "deleted".into(),
    };
    for _ in 0..2 {
        losses.add(&[unread("/a", 0..100).loss(1), unread("/b", 0..100).loss(1)]).unwrap();
    }
    let all = open(&disk).all();
    let of = |cause| all.iter().filter(|e| e.cause == cause).map(|e| (e.had.len(), e.bytes)).collect::<Vec<_>>();
    let mut dropped = of(Cause::DroppedOldest);
    dropped.sort_unstable();
    assert_eq!(dropped, [(1, 40), (2, 50)]);
    assert_eq!(of(Cause::DeletedUnread), [(0, 100), (0, 100)], "two files, each once");
    assert_eq!(open(&disk).totals()[&Cause::DeletedUnread].gone_bytes, 200);
}
