//! Models of the races of the pageblock library, under loom: see `tests`.
