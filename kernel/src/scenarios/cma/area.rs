//! The CMA area of this boot: reserved once, when somebody first needs it.

use pageblock::{CmaArea, CmaError, ZoneKind};
use spin::{Mutex, MutexGuard, Once};

use crate::memory::allocator::allocator;

/// The largest area there can be: 4 GiB.
const MAX_PAGES: usize = 1 << 20;

static BITMAP: Mutex<[u64; MAX_PAGES / 64]> = Mutex::new([0; MAX_PAGES / 64]);
static AREA: Once<CmaArea<'static>> = Once::new();

/// The area, of `pages` pages if this is the first call.
pub(crate) fn reserve(pages: usize) -> Result<&'static CmaArea<'static>, CmaError> {
    AREA.try_call_once(|| {
        let Some(bitmap) = BITMAP.try_lock() else {
            // A call before failed with the bitmap in hand, and so does this one.
            return Err(CmaError::BitmapTooSmall { given: 0, needed: CmaArea::bitmap_words(pages) });
        };
        CmaArea::reserve(allocator(), pages, ZoneKind::Normal, MutexGuard::leak(bitmap).as_mut_slice())
    })
}
