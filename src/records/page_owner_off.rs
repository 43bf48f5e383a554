//! The site of each block, without the feature `page_owner`: nothing, in no memory.

#![expect(unsafe_code, reason = "the function of the same name is unsafe with the feature")]

use core::marker::PhantomData;

use crate::base::Site;
use crate::records::extents::Extents;
use crate::records::frame_index::FrameIndex;
use crate::records::site_cell::SiteCell;

/// The sites of all frames: none.
#[derive(Debug)]
pub(crate) struct PageOwners<'m>(PhantomData<&'m [SiteCell]>);

impl<'m> PageOwners<'m> {
    pub(crate) fn new(_: &'m [SiteCell], _: Extents<'m>) -> Self {
        Self(PhantomData)
    }

    /// # Safety
    ///
    /// None here.
    #[inline(always)]
    pub(crate) unsafe fn set_boot(&self, _: FrameIndex, _: Site) {}

    #[inline(always)]
    pub(crate) fn set(&self, _: FrameIndex, _: Site) {}

    #[inline(always)]
    pub(crate) fn mark_old(&self, _: FrameIndex) {}

    #[inline(always)]
    pub(crate) fn last(&self, _: FrameIndex) -> Site {
        Site::UNKNOWN
    }
}
