//! Floor 12: contiguous allocation: isolate a range, migrate its pages, test, take.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a range was not allocated |
//! | [`move_block`] | one block is migrated |
//! | [`evacuate`] | an isolated range is emptied, in bounded attempts |
//! | [`contig_range`] | the allocated range, and how it is freed |
//! | [`survey`] | where a range cannot lie, before anything is touched |
//! | [`search`] | finds a place for a range |

mod contig_range;
mod error;
mod evacuate;
mod move_block;
mod search;
mod survey;

pub use contig_range::ContigRange;
pub(crate) use contig_range::free_contig;
pub use error::ContigError;
pub use evacuate::{ContigOptions, ContigStats};
pub(crate) use evacuate::{evacuate, take};
pub use search::ContigPlace;
pub(crate) use search::alloc_anywhere;
pub(crate) use survey::{Blocked, Survey, behind};
