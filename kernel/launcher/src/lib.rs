//! Builds the kernel, boots it on QEMU, watches it and reports.
//!
//! The binary does one [`run`] for each command line. The tests of the repository use the parts: the
//! in-kernel test cases run through [`cases`], whole scenarios through [`vm`] and [`scenario`].
//!
//! Each folder is a floor. A file imports only from floors below its own, and from files of its own
//! folder without a cycle. A `mod.rs` only declares modules and lists what is public.
//!
//! | floor | what it has | files, the lowest first |
//! |---|---|---|
//! | [`run`] | what the binary does | `failure`, `json_file`, `example`, `scenario` |
//! | [`report`] | progress bar, table, JSON, report of a failure | `numbers`, `run`, `table`, `list`, `json`, `live`, `post_mortem` |
//! | [`command_line`] | the command line and the run that it asks for | `arguments`, `plan`, `parse`, `options` |
//! | [`cases`] | in-kernel test cases, with as many boots as they take | `end`, `batch`, `runner` |
//! | [`scenario`] | the table of scenarios, and what a run of one shows | `spec`, `table`, `judgement` |
//! | [`vm`] | a virtual machine: QEMU, acceleration, kernel image | |
//! | [`guest`] | one boot: the guest's output, and how it ended | `transcript`, `ending`, `boot`, `series` |
//! | [`image`] | builds kernel images | `environment`, `build` |
//! | [`qemu`] | finds QEMU and builds its command line | `accel`, `machine`, `install`, `emulator` |
//! | [`host`] | child processes, Ctrl-C, exit statuses | `shell`, `process`, `interrupt`, `status` |

pub mod cases;
pub mod command_line;
pub mod guest;
pub mod host;
pub mod image;
pub mod qemu;
pub mod report;
pub mod run;
pub mod scenario;
pub mod vm;
