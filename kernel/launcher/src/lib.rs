//! Builds the kernel, boots it on QEMU, watches it and reports.
//!
//! The binary does one [`run`] for each command line. The tests of the repository use the parts:
//! in-kernel test cases run through [`cases`], whole scenarios through [`vm`] and [`scenario`].
//!
//! Each folder is a floor, the highest first:
//!
//! | floor | what it does |
//! |---|---|
//! | [`run`] | runs a scenario, or boots an example |
//! | [`report`] | prints the results, or the report of a failure |
//! | [`command_line`] | parses the command line into the plan of a run |
//! | [`cases`] | runs in-kernel test cases, with as many boots as they take |
//! | [`scenario`] | describes the scenarios, and judges what a run of one shows |
//! | [`vm`] | boots a kernel image on QEMU |
//! | [`balloon`] | watches how much memory the host holds for a guest |
//! | [`lent_memory`] | changes the size of a guest's memory device, and compares it with QEMU's |
//! | [`guest`] | records one boot: the guest's output, and how it ended |
//! | [`image`] | builds kernel images |
//! | [`disk`] | makes the file of a guest's disk, and checks it |
//! | [`qemu`] | finds QEMU and builds its command line |
//! | [`host`] | child processes, Ctrl-C, exit statuses |
//!
//! A file imports only from lower floors, and from lower files of its own folder. A `mod.rs` names
//! its files in that order; otherwise it only declares them and lists what is public.

pub mod balloon;
pub mod cases;
pub mod command_line;
pub mod disk;
pub mod guest;
pub mod host;
pub mod image;
pub mod lent_memory;
pub mod qemu;
pub mod report;
pub mod run;
pub mod scenario;
pub mod vm;
