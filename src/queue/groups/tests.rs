use super::super::disk::StdDisk;
use super::*;

fn key() -> Key {
    ("search".into(), "logs".into(), 0)
}

#[test]
fn in_flight_ranges_and_offsets_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(StdDisk);
    {
        let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
        groups.join(&key(), None, 10, 1).unwrap();
        assert!(groups.begin(&key(), 0, 10, 19, 2).unwrap());
        assert!(groups.begin(&key(), 0, 20, 29, 3).unwrap());
        groups.ack(&key(), 0, (20, 29), &[], 4).unwrap();
    }
    let (groups, skipped) = Groups::open(disk, dir.path()).unwrap();
    assert_eq!(skipped, 0);
    let state = groups.join(&key(), None, 0, 5).unwrap();
    assert_eq!((state.committed, state.in_flight.get(&10)), (10, Some(&19)));
    assert_eq!(state.acked.get(&20), Some(&30));
    let renamed = ("archive".into(), "logs".into(), 0);
    assert_eq!(groups.join(&renamed, Some("search"), 0, 6).unwrap().committed, 10, "a renamed sink inherits");
}

#[test]
fn what_was_begun_before_a_reset_moves_nothing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(StdDisk);
    let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
    groups.join(&key(), None, 0, 1).unwrap();
    assert!(groups.begin(&key(), 0, 0, 9, 2).unwrap());
    groups.reset(&[(key(), 5)], false, 3).unwrap();
    assert!(!groups.begin(&key(), 0, 10, 19, 4).unwrap(), "it is from the time before");
    groups.ack(&key(), 0, (0, 9), &[], 4).unwrap();
    let change = groups.changed(&key(), 0);
    let (state, generation) = change.reset.unwrap();
    assert_eq!((state.committed, state.in_flight.len(), generation), (5, 0, 1));
    assert!(groups.begin(&key(), 1, 5, 9, 5).unwrap());
    groups.ack(&key(), 1, (5, 9), &[], 6).unwrap();
    drop(groups);
    let (groups, _) = Groups::open(disk, dir.path()).unwrap();
    assert_eq!(groups.state(&key()).unwrap().committed, 10);
}

#[test]
fn a_redriven_range_survives_a_restart_holds_retention_and_goes_when_it_is_acked() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(StdDisk);
    let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
    groups.join(&key(), None, 100, 1).unwrap();
    groups.redrive(&[(key(), Again::Events(7, 9))], &[]).unwrap();
    assert_eq!(groups.changed(&key(), 0).again, [Again::Events(7, 9)]);
    assert!(groups.changed(&key(), 0).again.is_empty(), "told once");
    drop(groups);
    let (groups, _) = Groups::open(disk, dir.path()).unwrap();
    assert_eq!(groups.low_water("logs", 0, 1), Some(7));
    groups.ack(&key(), 0, (7, 9), &[], 2).unwrap();
    assert_eq!(groups.state(&key()).unwrap(), GroupState { committed: 100, updated_ms: 2, ..GroupState::default() });
}

#[test]
fn an_overwrite_lasts_until_the_commit_has_passed_what_was_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(StdDisk);
    let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
    groups.join(&key(), None, 0, 1).unwrap();
    groups.ack(&key(), 0, (0, 9), &[], 2).unwrap();
    assert!(groups.begin(&key(), 0, 20, 29, 2).unwrap(), "it may have arrived");
    groups.redrive(&[(key(), Again::Events(1, 7)), (key(), Again::Letters(3, 4))], &[(key(), 5)]).unwrap();
    groups.reset(&[(key(), 4)], true, 77).unwrap();
    let moved = |state: GroupState| (state.committed, state.overwrite_until, state.overwrite_ms, state.redriven_until);
    drop(groups);
    let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
    let state = groups.state(&key()).unwrap();
    assert_eq!((moved(state.clone()), state.in_flight.len()), ((4, 30, 77, 5), 0));
    assert_eq!((state.again, state.letters), (BTreeMap::from([(1, 3)]), BTreeMap::from([(3, 4)])), "redriven still");
    groups.reset(&[(key(), 2)], true, 88).unwrap();
    assert_eq!(groups.state(&key()).unwrap().overwrite_until, 30, "from before");
    groups.ack(&key(), 0, (2, 29), &[], 90).unwrap();
    assert_eq!(groups.state(&key()).unwrap().overwrite_until, 30, "it is from the time before the reset");
    groups.ack(&key(), 1, (10, 40), &[], 90).unwrap();
    assert_eq!(groups.state(&key()).unwrap().overwrite_until, 30, "below it something is missing");
    groups.ack(&key(), 1, (2, 9), &[], 91).unwrap();
    assert_eq!(moved(groups.state(&key()).unwrap()), (41, 0, 0, 5));
    groups.reset(&[(key(), 60)], true, 99).unwrap();
    assert_eq!(groups.state(&key()).unwrap().overwrite_until, 0, "there is nothing to overwrite");
    assert_eq!((groups.low_water(DEAD_LETTER_TOPIC, 0, 99), groups.high_water(DEAD_LETTER_TOPIC, 0)), (Some(3), 5));
    groups.ack_letters(&key(), 3, 4, 100).unwrap();
    assert_eq!(groups.low_water(DEAD_LETTER_TOPIC, 0, 100), None);
}

#[test]
fn journals_of_earlier_programs_are_read_and_names_are_remembered() {
    let state = GroupState { committed: 7, acked: BTreeMap::from([(9, 12)]), ..GroupState::default() };
    let bytes = encode(&key(), &state);
    let dir = tempfile::tempdir().unwrap();
    let open_without = |last: usize| {
        let content = &bytes[12..bytes.len() - last];
        let old = [&bytes[..4], &(content.len() as u32).to_le_bytes(), &crc32c::crc32c(content).to_le_bytes(), content].concat();
        std::fs::write(dir.path().join("journal"), old).unwrap();
        Groups::open(Arc::new(StdDisk), dir.path()).unwrap()
    };
    // A number came later, and before it three numbers and two empty lists.
    let (groups, skipped) = open_without(8);
    assert_eq!((skipped, groups.state(&key())), (0, Some(state.clone())));
    drop(groups);
    let (groups, skipped) = open_without(40);
    assert_eq!((skipped, groups.state(&key())), (0, Some(state)));
    for (name, before) in [("find", "search"), ("found", "find"), ("found", "found")] {
        groups.join(&(name.into(), "logs".into(), 0), Some(before), 0, 1).unwrap();
    }
    let found = groups.state(&("found".into(), "logs".into(), 0)).unwrap();
    assert_eq!((found.committed, found.earlier), (7, BTreeSet::from(["find".into(), "search".into()])));
}
