//! Memory that changes hands after construction: frames kept out by then, memory handed over late.

use crate::buddy::{Buddy, Taken};
use crate::error::RangeError;
use crate::frame::state::{FrameKind, FrameState};
use crate::geometry::Geometry;
use crate::isolate::{NotFree, reason_for};
use crate::migratetype::FreeKind;
use crate::page_allocator::PageAllocator;
use crate::pfn::PfnRange;
use crate::platform::Platform;

/// Why frames did not change hands. None of them has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandOverError {
    /// The range is empty, reaches over a zone, or over the span that the metadata covers.
    Range(RangeError),
    /// A frame to be reserved is not free.
    NotFree(NotFree),
    /// A frame to be added is managed already.
    Managed {
        /// The first such frame.
        pfn: crate::pfn::Pfn,
        /// What it is.
        kind: FrameKind,
    },
}

impl core::fmt::Display for HandOverError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::NotFree(error) => error.fmt(f),
            Self::Managed { pfn, kind } => write!(f, "{pfn} is managed already: it is {kind}"),
        }
    }
}

impl core::error::Error for HandOverError {}

impl From<RangeError> for HandOverError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Takes free frames out of the allocator for good: for early boot, when something turns out to live there.
    ///
    /// Any CPU; not from interrupt handlers (it drains). Holds the zone's lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::NotFree`].
    pub fn reserve(&self, range: PfnRange) -> Result<(), HandOverError> {
        let zone = self.zone_of_range(range)?;
        self.drain_zone(zone);
        self.in_zone(zone, |inner| {
            inner.buddy.list_all_of(self.mem(), range);
            let listed = |kind| matches!(kind, FreeKind::Listed(_));
            if let Some(blocked) = Buddy::find_blocked(self.mem(), range, listed) {
                return Err(HandOverError::NotFree(NotFree {
                    pfn: blocked.pfn,
                    reason: reason_for(blocked.state),
                }));
            }
            inner.buddy.carve(self.mem(), range, Taken::Reserved);
            self.mem().frames.fill(range, FrameState::RESERVED);
            inner.buddy.release_guards_beside(self.mem(), range);
            inner.present -= range.len();
            Ok(())
        })?;
        self.recalculate();
        Ok(())
    }

    /// Hands memory over that was a hole in the map or reserved: what the bootloader no longer needs, for instance. It must
    /// lie within the span that the metadata was made for.
    ///
    /// Any CPU; not from interrupt handlers. Holds the zone's lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::Managed`].
    pub fn add_memory(&self, range: PfnRange) -> Result<(), HandOverError> {
        let zone = self.zone_of_span(range)?;
        self.in_zone(zone, |inner| {
            for pfn in range.iter() {
                let kind = self.mem().frames.state(pfn).kind();
                if !matches!(kind, FrameKind::Hole | FrameKind::Reserved) {
                    return Err(HandOverError::Managed { pfn, kind });
                }
            }
            inner.present += range.len();
            self.mem().frames.fill(range, FrameState::TAIL);
            inner.buddy.add(self.mem(), range);
            Ok(())
        })?;
        self.recalculate();
        Ok(())
    }
}
