//! The blocks of a zone that are being reported to the host, and how far they are.

use crate::records::FreeList;

/// The batch of a zone.
#[derive(Debug)]
pub(crate) struct Reporting {
    /// Whether there is a batch.
    pub(super) open: bool,
    pub(super) ready: FreeList,
    pub(super) handed_over: FreeList,
    /// Blocks that were ever taken.
    pub(super) taken: usize,
}

/// What can be said of the batches of a zone without looking at their blocks. It changes whenever a
/// block leaves the lists or comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Progress {
    /// Blocks that the host has not been told of.
    ready: usize,
    /// Blocks that the host has not acknowledged.
    pub(crate) handed_over: usize,
    taken: usize,
}

impl Reporting {
    pub(super) const fn new() -> Self {
        Self { open: false, ready: FreeList::new(), handed_over: FreeList::new(), taken: 0 }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { ready: self.ready.len(), handed_over: self.handed_over.len(), taken: self.taken }
    }
}
