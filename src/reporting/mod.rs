//! Floor 13: free page reporting: which free memory the host may take back.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a batch was not taken |
//! | [`options`] | how large the blocks and the batch are |
//! | [`batch`] | the batch: blocks that are off the free lists while the host is told of them |

mod batch;
mod error;
mod options;

pub use batch::ReportBatch;
pub use error::ReportError;
pub use options::ReportOptions;
