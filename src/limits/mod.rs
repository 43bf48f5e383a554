//! Floor 4: arithmetic on page counts: what a zone keeps back, and how much a pcplist may hold.

pub(crate) mod pcp_limits;
pub(crate) mod watermarks;
