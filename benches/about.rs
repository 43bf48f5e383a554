//! The benchmarks are in `allocators/`; `README.md` says how to run them.
