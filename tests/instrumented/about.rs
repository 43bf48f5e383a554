//! The tests of each fault and of each accounting design: see `tests`.
