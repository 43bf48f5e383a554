//! The protocol between owner-only pcplists, isolation and migration, on three CPUs.
//!
//! loom searches the library itself, with two threads. Three are too many for it, so this is a
//! model: each step has the name of the lock hold or of the access to the gate in the library that
//! it stands for, and is as atomic as that. The stores of a CPU go through a store buffer, as on
//! x86, so that the barrier on every CPU has something to do. stateright searches all states.
//!
//! A model proves nothing about code that differs from it. What it is good for is the argument: a
//! step of the protocol that is left out must make it fail.
//!
//! | file | what |
//! |---|---|
//! | `state` | the frames, the gates and what each CPU is doing |
//! | `steps` | the steps, and the protocol with one of them left out |
//! | `search` | the properties, and the searches |

#![cfg(test)]

mod search;
mod state;
mod steps;
