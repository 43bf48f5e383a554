//! Floor 11: isolation: the free pages of a range leave the free count, and cannot be allocated.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a range was not isolated |
//! | [`obstacle`] | what keeps a range from becoming free |
//! | [`ledger`] | what an isolator remembers under other accounting designs |
//! | [`isolated_range`] | the protocol: isolate, test, take |

pub(crate) mod error;
pub(crate) mod isolated_range;
pub(crate) mod ledger;
pub(crate) mod obstacle;
