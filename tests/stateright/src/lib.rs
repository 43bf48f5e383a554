//! The protocol between owner-only pcplists, isolation and migration, on three CPUs.
//!
//! loom searches the library itself, with two threads. Three are too many for it, so this is a
//! model: each step has the name of the lock hold or of the access to the gate in the library that
//! it stands for, and is as atomic as that. The stores of a CPU go through a store buffer, as on
//! x86, so that the barrier on every CPU has something to do. stateright searches all states.
//!
//! A model proves nothing about code that differs from it. What it is good for is the argument: a
//! step of the protocol that is left out must make it fail. That the library does what the steps do
//! is tested: each lock hold of a storm must change a pageblock as a step does.
//!
//! | file | what |
//! |---|---|
//! | `state` | the frames, the gates and what each CPU is doing |
//! | `steps` | the steps, and the protocol with one of them left out |
//! | `search` | the properties, and the searches |
//! | `view` | what can be seen of a pageblock, in the model and in the library |
//! | `looker` | looks at the library's machine before and after each lock hold |
//! | `storm` | threads that run the library, each lock hold of which must be a step of the model |

#![cfg(test)]

mod looker;
mod search;
mod state;
mod steps;
mod storm;
#[expect(dead_code, unused_imports, unused_macros, reason = "the hosted tests use the rest")]
#[path = "../../hosted/support/mod.rs"]
mod support;
mod view;
