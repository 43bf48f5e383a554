//! Random schedules of a larger machine, under shuttle: see `tests`.
