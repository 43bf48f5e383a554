//! The steps that make records for memory that the machine did not have at boot, and remove them.

use std::mem::MaybeUninit;

use pageblock::{FrameKind, Geometry, Pfn, PfnRange, Platform, RecordsError};

use super::reference::Truth;
use super::world::World;

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
    /// Makes records for `len` frames above all others, and for `below` frames that have some.
    pub(super) fn add_records(&mut self, below: usize, len: usize, too_small: bool) {
        // Their memory is leaked.
        if self.added.len() == 3 {
            return;
        }
        let (span, before) = (self.machine.span(), self.state());
        let start = Pfn::new(span.end().number() - below.min(span.len()));
        let range = PfnRange::with_len(start, below.min(span.len()) + len);
        let size = self.machine.records_layout(range).map(|layout| layout.size() + layout.align());
        let memory = vec![MaybeUninit::uninit(); if too_small { 1 } else { size.unwrap_or(0) }].leak();
        match self.machine.add_records(range, memory) {
            Ok(()) => {
                let now = self.machine.span();
                assert!(now.covers(range) && now.end() > span.end() && !too_small, "{range}: {now}");
                self.added.push(PfnRange::new(span.end(), now.end()));
                self.model.borrow_mut().set_span(now);
            }
            Err(error) => {
                let expected = match error {
                    RecordsError::Empty { .. } => range.is_empty(),
                    RecordsError::Recorded { pfn } => span.contains(pfn) && len == 0,
                    RecordsError::MemoryTooSmall { .. } => too_small,
                    _ => false,
                };
                assert!(expected, "{range}: {error}");
                assert_eq!((self.state(), self.machine.span()), (before, span), "{error}");
            }
        }
    }

    pub(super) fn remove_records(&mut self, range: PfnRange) {
        let (span, before) = (self.machine.span(), self.state());
        let last = self.added.last().copied();
        match self.machine.remove_records(range) {
            Ok(_removed) => {
                let last = self.added.pop().expect("no records were added");
                assert!(self.model.borrow().all(last, Truth::Out), "{last} is in use");
                let now = PfnRange::new(span.start(), last.start());
                assert_eq!(self.machine.span(), now);
                self.model.borrow_mut().set_span(now);
            }
            Err(RecordsError::InUse { pfn, kind }) => {
                let is_reserved = kind == FrameKind::Reserved;
                assert!(last.is_some_and(|last| last.contains(pfn)), "{pfn}");
                assert!(is_reserved || self.model.borrow().at(pfn) != Truth::Out, "{pfn} is a hole");
                assert_eq!(self.state(), before);
            }
            Err(RecordsError::NotLast { last: named, .. }) => {
                assert_eq!(named, last);
                assert_eq!(self.state(), before);
            }
            Err(error) => panic!("{range}: {error}"),
        }
    }
}
