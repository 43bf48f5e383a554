//! Floor 12: contiguous allocation: isolate a range, migrate its pages, test, take.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a range was not allocated |
//! | [`move_block`] | one block is migrated |
//! | [`empty`] | an isolated range is emptied, in bounded attempts |
//! | [`contig_range`] | the allocated range, and how it is freed |
//! | [`search`] | finds a place for a range |

pub(crate) mod contig_range;
pub(crate) mod empty;
pub(crate) mod error;
pub(crate) mod move_block;
pub(crate) mod search;
