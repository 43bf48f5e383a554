//! What a program that looks at the library can see of a pageblock: its record and its isolation.
//!
//! In the model a pageblock is one frame; in the storm it is one block. So the states that the
//! records of both can be in are the same, and what a lock hold does to one pageblock can be looked
//! up among what the steps of the model do.

use crate::state::{FRAMES, Frame, Record, State, is_inside};

/// What a pageblock is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Seen {
    /// Free; isolated if the pageblock is.
    Free,
    Cached,
    Allocated,
    /// Being migrated, or the target.
    Migrating,
    /// A contiguous allocation.
    Contig,
}

/// Whether a pageblock is isolated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Isolation {
    No,
    /// It is, and pcplists may still have pages of it.
    Marked,
    /// It is, and all pcplists have been drained since.
    Drained,
}

pub(crate) type View = (Seen, Isolation);

/// A pageblock before and after.
pub(crate) type Change = (View, View);

fn seen(record: Record) -> Seen {
    match record {
        Record::Free | Record::Isolated => Seen::Free,
        Record::Cached(_) => Seen::Cached,
        Record::Allocated(_) => Seen::Allocated,
        Record::Pinned(_) | Record::FreedWhilePinned | Record::Target | Record::Moved => Seen::Migrating,
        Record::Taken => Seen::Contig,
    }
}

fn view(state: &State, frame: Frame) -> View {
    let isolation = match (state.isolated && is_inside(frame), state.is_drained()) {
        (false, _) => Isolation::No,
        (true, false) => Isolation::Marked,
        (true, true) => Isolation::Drained,
    };
    (seen(state.records[frame]), isolation)
}

/// What a step from `last` to `next` changes of each pageblock. The end of a drain is no change of
/// a record, and nobody else could see it.
pub(crate) fn changes(last: &State, next: &State) -> impl Iterator<Item = Change> {
    let both = (0..FRAMES).map(|frame| (view(last, frame), view(next, frame)));
    let drained = |(before, after): &Change| before.1 == Isolation::Marked && after.1 == Isolation::Drained;
    let all: Vec<Change> = both.filter(|change| change.0 != change.1 && !drained(change)).collect();
    all.into_iter()
}

/// The same change of a pageblock of which whoever looked did not know yet that it was drained.
pub(crate) fn if_drained((before, after): Change) -> Change {
    let drained = |(seen, isolation)| match isolation {
        Isolation::Marked => (seen, Isolation::Drained),
        other => (seen, other),
    };
    (drained(before), drained(after))
}
