//! Floor 11: isolation: the free pages of a range are not counted as free and not allocated.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a range was not isolated |
//! | [`obstacle`] | which frame of a range cannot become free, and why |
//! | [`ledger`] | what an isolator records under other accounting designs |
//! | [`isolated_range`] | the protocol: isolate, test, take |

mod error;
mod isolated_range;
mod ledger;
mod obstacle;

pub use error::IsolateError;
pub(crate) use isolated_range::Purpose;
pub use isolated_range::{FreeRange, IsolatedRange};
#[cfg(feature = "designs")]
pub use ledger::InUse;
#[cfg(feature = "designs")]
pub(crate) use ledger::set_design;
pub(crate) use obstacle::obstacle_of;
