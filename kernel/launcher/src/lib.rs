//! Builds the kernel, runs it on QEMU, watches it and reports.
