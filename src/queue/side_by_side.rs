//! Syncs the files of several partitions side by side: a disk makes what many ask for durable together, in hardly more time than
//! it takes for one.
//!
//! The threads stay: partitions are synced some hundred times a second, and to start a thread each time costs more than the call.

use super::disk::DiskFile;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// At most so many at once. Sixteen files of a quarter of a megabyte took 8.4 to 13 ms one after the other on ext4 with a journal, 4.4 to
/// 7.4 ms by fours, and 3.2 to 4.6 ms all at once; without a journal 5.5, 4 to 5.4, and 3.2 to 3.8 ms. But each thread more costs
/// processor time, of which an agent has less than of patience.
const MOST: usize = 4;

/// What one partition has to sync, in order.
pub(crate) type Files = Vec<Arc<dyn DiskFile>>;

/// The sync thread, and those that help it.
#[derive(Debug, Default)]
pub(crate) struct SideBySide {
    lanes: Vec<Lane>,
}

/// A thread that syncs what it is given.
#[derive(Debug)]
struct Lane {
    files: Sender<Files>,
    outcomes: Receiver<io::Result<()>>,
}

impl Lane {
    fn start() -> io::Result<Lane> {
        let (files, given) = channel::<Files>();
        let (outcome, outcomes) = channel();
        std::thread::Builder::new().name("queue-sync-side".into()).spawn(move || {
            for files in given {
                if outcome.send(sync(&files)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Lane { files, outcomes })
    }
}

impl SideBySide {
    /// Syncs all `parts`; `synced` is told how each has ended, by its place among them, as soon as that is known and nothing that
    /// comes before it in a lane is open.
    pub(crate) fn sync<'a>(&mut self, parts: impl IntoIterator<Item = &'a Files>, mut synced: impl FnMut(usize, io::Result<()>)) {
        let parts: Vec<&Files> = parts.into_iter().collect();
        while self.lanes.len() + 1 < parts.len().min(MOST) {
            match Lane::start() {
                Ok(lane) => self.lanes.push(lane),
                // The system has no more threads: those that are there do it, each some more.
                Err(_) => break,
            }
        }
        // The last lane is this thread's own; it begins when the others have what they are to do.
        let lane_of = |part: usize| part % (self.lanes.len() + 1);
        for (at, files) in parts.iter().enumerate() {
            if let Some(lane) = self.lanes.get(lane_of(at)) {
                // One that has died is found out below.
                let _ = lane.files.send((*files).clone());
            }
        }
        let own = parts.iter().enumerate().filter(|(at, _)| lane_of(*at) == self.lanes.len());
        own.for_each(|(at, files)| synced(at, sync(files)));
        let mut died = false;
        for at in 0..parts.len() {
            if let Some(lane) = self.lanes.get(lane_of(at)) {
                let outcome = lane.outcomes.recv();
                died |= outcome.is_err();
                synced(at, outcome.unwrap_or_else(|_| Err(io::Error::other("the thread that synced it died"))));
            }
        }
        if died {
            // What is not answered yet must not be taken for the answer to something else.
            self.lanes.clear();
        }
    }
}

fn sync(files: &Files) -> io::Result<()> {
    files.iter().try_for_each(|f| {
        f.sync()?;
        // Synced, and yet gone when the process ends: as good as not synced.
        if f.is_linked()? {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its file was deleted by somebody else; sinks read on in it until this process ends",
            ))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread::ThreadId;

    /// A file whose sync does what it is told, and notes which thread it was.
    #[derive(Debug)]
    struct Told(fn() -> io::Result<()>, Mutex<Vec<ThreadId>>);

    impl DiskFile for Told {
        fn write_all_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }
        fn sync(&self) -> io::Result<()> {
            self.1.lock().unwrap().push(std::thread::current().id());
            self.0()
        }
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }
    }

    fn told(what: fn() -> io::Result<()>) -> Arc<Told> {
        Arc::new(Told(what, Mutex::default()))
    }

    fn parts(files: &[Arc<Told>]) -> Vec<Files> {
        files.iter().map(|file| vec![file.clone() as Arc<dyn DiskFile>]).collect()
    }

    #[test]
    fn each_part_is_synced_once_a_round_and_gets_its_own_outcome() {
        let files: Vec<Arc<Told>> =
            (0..40).map(|at| if at % 7 == 3 { told(|| Err(io::Error::other("no"))) } else { told(|| Ok(())) }).collect();
        let (parts, mut side) = (parts(&files), SideBySide::default());
        for round in 1..=3 {
            let mut outcomes = [None; 40];
            side.sync(&parts, |at, outcome| assert!(outcomes[at].replace(outcome.is_ok()).is_none()));
            assert!(outcomes.iter().enumerate().all(|(at, ok)| *ok == Some(at % 7 != 3)), "{outcomes:?}");
            assert!(files.iter().all(|file| file.1.lock().unwrap().len() == round));
        }
        assert_eq!(side.lanes.len() + 1, MOST);
        let threads: std::collections::HashSet<ThreadId> = files.iter().flat_map(|file| file.1.lock().unwrap().clone()).collect();
        assert_eq!(threads.len(), MOST, "the threads stay");
    }

    #[test]
    fn one_alone_needs_no_thread() {
        let (file, mut side) = (told(|| Ok(())), SideBySide::default());
        side.sync(&parts(std::slice::from_ref(&file)), |_, outcome| outcome.unwrap());
        assert_eq!((side.lanes.len(), &file.1.lock().unwrap()[..]), (0, &[std::thread::current().id()][..]));
        side.sync(&[], |_, _| panic!("there is none"));
    }

    #[test]
    fn a_thread_that_dies_is_an_error_of_what_it_had_and_the_next_round_has_another() {
        let dies = told(|| panic!("for the test"));
        let files = [dies, told(|| Ok(())), told(|| Ok(()))];
        let mut side = SideBySide::default();
        let mut outcomes = [const { None }; 3];
        side.sync(&parts(&files), |at, outcome| outcomes[at] = Some(outcome.map_err(|e| e.to_string())));
        assert_eq!(outcomes, [Some(Err("the thread that synced it died".into())), Some(Ok(())), Some(Ok(()))]);
        let sound = [told(|| Ok(())), told(|| Ok(())), told(|| Ok(()))];
        let mut well = 0;
        side.sync(&parts(&sound), |_, outcome| well += u32::from(outcome.is_ok()));
        assert_eq!(well, 3);
    }
}
