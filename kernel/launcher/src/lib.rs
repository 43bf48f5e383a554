//! Builds the kernel, runs it on QEMU, watches it and reports.
//!
//! The binary tells one story per run ([`arguments`] say which); the kernel's
//! test driver and the tests of the runner itself use the same parts:
//!
//! | module | what it does |
//! |---|---|
//! | [`arguments`] | the command line and what it asks for |
//! | [`scenarios`] | the table of scenarios: what each needs and shows |
//! | [`image`] | builds the kernel for the best target that is installed |
//! | [`accel`] | decides between hardware and software virtualisation |
//! | [`qemu`] | finds QEMU and writes its command line |
//! | [`process`] | a child process that cannot outlive this one |
//! | [`rig`] | QEMU, image and acceleration together: what a boot needs |
//! | [`boot`] | one boot, watched until its end or its deadline |
//! | [`transcript`] | what the guest said |
//! | [`ending`] | how the boot ended, in one sentence |
//! | [`series`] | several boots that tell one story |
//! | [`judgement`] | what a scenario's run shows |
//! | [`cases`] | in-kernel test cases, with as many boots as they need |
//! | [`example`] | the small kernels of `examples/`, which speak no protocol |
//! | [`report`] | progress bar, table, JSON |
//! | [`status`] | the exit statuses |

pub mod accel;
pub mod arguments;
pub mod boot;
pub mod cases;
pub mod ending;
pub mod example;
pub mod image;
pub mod judgement;
pub mod process;
pub mod qemu;
pub mod report;
pub mod rig;
pub mod scenarios;
pub mod series;
pub mod status;
pub mod transcript;
