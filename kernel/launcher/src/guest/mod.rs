//! One boot of a guest: its serial output, line by line, and how it ended.
//!
//! Files, the lowest first: `samples`, `residency`, `transcript`, `ending`, `boot`, `series`.

pub(crate) mod boot;
pub(crate) mod ending;
pub(crate) mod residency;
pub(crate) mod samples;
pub(crate) mod series;
pub(crate) mod transcript;

pub use boot::{Limits, Listener, Outcome};
pub use ending::{Ending, Stop};
pub use residency::{Point, Purpose, Residency, resident_over_used};
pub use samples::{AuditSample, Samples};
pub use transcript::{Cell, Fatal, Hello, Row, Transcript};
