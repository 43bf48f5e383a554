//! The races of the library, each searched by loom on a small machine.
//!
//! A search tries every schedule, or every one with few preemptions. [`model`] has the machine and
//! the search; each other file is one race.
#![cfg(test)]

mod atomic_takes_cached;
mod audit_against_alloc_and_free;
mod bad_frame_against_free;
mod claim_against_isolate;
mod cma_area_against_use;
mod exchange_against_isolate;
mod free_against_isolate;
mod merge_against_isolate;
mod migration_against_free;
mod model;
mod owner_only_pcplists;
mod pin_against_free;
mod records_against_use;
mod report_against_alloc;
mod spill_against_isolate;
mod two_isolators;
mod undo_against_alloc_and_free;
mod zones_cross_their_marks;
