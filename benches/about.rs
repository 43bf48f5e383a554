//! The benchmarks are in `allocators/` and `scaling/`. `README.md` says how to run them.
