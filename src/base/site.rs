//! Where in the kernel's source a block was allocated.

use core::fmt;
use core::panic::Location;

/// The place in the source of the call that allocated a block (`page_owner` in Linux, which keeps a
/// stack trace). Known with the feature `page_owner`; without it this is zero-sized and knows
/// nothing.
///
/// It is the place of the call to a method of this crate. A function with the attribute
/// `#[track_caller]` passes on the place of its own call, so that the wrappers of a kernel can name
/// their callers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Site(#[cfg(feature = "page_owner")] Option<&'static Location<'static>>);

impl Site {
    /// No place is known.
    pub const UNKNOWN: Self = Self(
        #[cfg(feature = "page_owner")]
        None,
    );

    /// The place of the call of the function that calls this, if that is `#[track_caller]` with the
    /// feature.
    #[inline(always)]
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub(crate) const fn caller() -> Self {
        Self(
            #[cfg(feature = "page_owner")]
            Some(Location::caller()),
        )
    }

    #[cfg(feature = "page_owner")]
    pub(crate) const fn new(location: Option<&'static Location<'static>>) -> Self {
        Self(location)
    }

    /// File, line and column; `None` if no place is known.
    #[must_use]
    pub const fn location(self) -> Option<&'static Location<'static>> {
        #[cfg(feature = "page_owner")]
        return self.0;
        #[cfg(not(feature = "page_owner"))]
        None
    }

    /// The end of a message about a frame: where its block was last allocated, if that is known.
    pub(crate) const fn last_allocated(self) -> LastAllocated {
        LastAllocated(self)
    }
}

/// Prints where a block was last allocated, after a space and in parentheses; nothing if that is
/// not known.
pub(crate) struct LastAllocated(Site);

impl fmt::Display for LastAllocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.location().map_or(Ok(()), |location| write!(f, " (last allocated at {location})"))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location() {
            Some(location) => location.fmt(f),
            None => f.write_str("an unknown place"),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({self})")
    }
}
