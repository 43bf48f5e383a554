//! Stress tests: real threads, each of which is a CPU, on one allocator.
//!
//! | module | what is stressed |
//! |---|---|
//! | `all_operations` | every operation at once, with an owner for each frame |
//! | `watermarks` | the min watermark, with isolations that take free pages away |
//! | `parallel_isolation` | isolations in different areas, in one area, in one pageblock |
//! | `reporting` | a host that discards what it is told of, while memory is short |
//! | `owner_only_pcplists` | pcplists without a lock, drained by another CPU |

mod all_operations;
#[cfg(target_os = "linux")]
mod owner_only_pcplists;
mod parallel_isolation;
mod reporting;
mod watermarks;
