//! Floor 12: contiguous allocation: isolate a range, migrate its pages, test, take.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a range was not allocated |
//! | [`move_block`] | migrates one block |
//! | [`mod@evacuate`] | migrates all blocks of an isolated range, in a bounded number of attempts |
//! | [`contig_range`] | the handle of a contiguous allocation, and how one is freed |
//! | [`search`] | finds a place for a range |

mod contig_range;
mod error;
mod evacuate;
mod move_block;
mod search;

pub use contig_range::ContigRange;
pub(crate) use contig_range::free_contig;
pub use error::ContigError;
pub use evacuate::{ContigOptions, ContigStats};
pub(crate) use evacuate::{evacuate, take};
pub use search::ContigPlace;
pub(crate) use search::alloc_anywhere;
