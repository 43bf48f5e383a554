//! The accounting designs that were discussed for Linux: how wrong each makes the free count.
//!
//! | module | what is measured |
//! |---|---|
//! | `drift` | the drift at each step of an isolation, on one thread |
//! | `watermark_stress` | requests below the min watermark, in an order that a seed decides |
//! | `thread_stress` | the drift in audits while threads own, free, isolate |

mod drift;
mod thread_stress;
mod watermark_stress;
