//! What only few of the followed files have at a time: those that are open, and those to which something has happened. With
//! a hundred thousand files, the room for it would be half of all.

use super::lines::Rules;
use super::marks::Marks;
use super::tracked::Former;
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

/// See the module.
#[derive(Debug)]
pub(crate) struct Aside {
    /// What an open file held at some of the positions up to which it was read; that of others stands in the stream's
    /// record: see [`super::tracked::Tracked::known_marks`].
    pub(crate) marks: Marks,
    /// How its lines are found, once its first bytes have told; of an open file.
    pub(crate) rules: Option<Rules>,
    /// Size at the turn before: in this one, the bytes may turn out to be those of another generation.
    pub(crate) size_before: u64,
    /// When it was last seen to grow, or was opened.
    pub(crate) grown: Option<Instant>,
    /// When it wants to be looked at even without a hint.
    pub(crate) deadline: Option<Instant>,
    /// Since when it has another name than its path, or none.
    pub(crate) moved: Option<Instant>,
    /// The kind of the last failure, said once.
    pub(crate) failed: Option<io::ErrorKind>,
    /// Draining: read to here and no further.
    pub(crate) drain_end: Option<u64>,
    /// Set by a truncation until the tailer has looked for a copy.
    pub(crate) former: Option<Box<Former>>,
    /// Shape of the suffix and birth of the oldest known copy that rotation by copy and truncate made of it.
    pub(crate) copies: Option<Box<(Vec<u8>, i64)>>,
    /// The watch on the target of the link by which it is followed.
    pub(crate) link_watch: Option<i32>,
}

const NOTHING: Aside = Aside {
    marks: Marks::NONE,
    rules: None,
    size_before: 0,
    grown: None,
    deadline: None,
    moved: None,
    failed: None,
    drain_end: None,
    former: None,
    copies: None,
    link_watch: None,
};
static OF_MOST: Aside = NOTHING;

/// [`Aside`], which takes memory once something of it is written to.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Option<Box<Aside>>);

impl Deref for Seldom {
    type Target = Aside;

    fn deref(&self) -> &Aside {
        self.0.as_deref().unwrap_or(&OF_MOST)
    }
}

impl DerefMut for Seldom {
    fn deref_mut(&mut self) -> &mut Aside {
        self.0.get_or_insert_with(|| Box::new(NOTHING))
    }
}

impl Seldom {
    /// The file is not open any more: gives back the memory, unless something is left to remember.
    pub(crate) fn closed(&mut self) {
        let Some(aside) = self.0.as_deref_mut() else { return };
        (aside.marks, aside.rules) = (Marks::NONE, None);
        let Aside { marks: _, rules: _, size_before: _, grown: _, deadline, moved, failed, drain_end, former, copies, link_watch } = aside;
        let nothing = deadline.is_none()
            && moved.is_none()
            && failed.is_none()
            && drain_end.is_none()
            && former.is_none()
            && copies.is_none()
            && link_watch.is_none();
        if nothing {
            self.0 = None;
        }
    }

    /// Takes the deadline, without a memory for it.
    pub(crate) fn take_deadline(&mut self) -> Option<Instant> {
        self.0.as_deref_mut()?.deadline.take()
    }

    /// Sets the deadline, or that there is none.
    pub(crate) fn set_deadline(&mut self, deadline: Option<Instant>) {
        if deadline != self.deadline {
            self.deadline = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_to_which_nothing_happens_has_no_memory_for_it() {
        let mut seldom = Seldom::default();
        seldom.set_deadline(None);
        assert!(seldom.take_deadline().is_none() && seldom.marks == Marks::NONE && seldom.0.is_none());
        seldom.size_before = 7;
        seldom.deadline = Some(Instant::now());
        seldom.closed();
        assert!(seldom.deadline.is_some(), "it is to be looked at");
        assert!(seldom.take_deadline().is_some());
        seldom.closed();
        assert!(seldom.0.is_none());
    }
}
