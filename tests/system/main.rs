//! The system tests: packages are built, kernels are built and booted under QEMU.
//!
//! They need `cargo` and QEMU at run time, and are not in the published package.
//!
//! | module | what is tested |
//! |---|---|
//! | `experiment` | the main experiment, without and with a fault, and under the other designs |
//! | `scenarios` | the other scenarios on small machines |
//! | `disk` | a disk that is missing, or that changes behind the guest, is noticed |
//! | `soak` | the scenario that does everything at once, as it is and with a mistake |
//! | `display` | the map of memory on the display has the colours of known pageblocks |
//! | `examples` | the examples boot; so does a kernel made from the README alone |
//! | `runner` | the runner of the in-kernel cases reports every bad end of a case as what it is |
//! | `kernel_image` | the image keeps the rules of both ways of booting it |
//! | `instruments` | the image without faults and designs has no function of either |
//! | `floors` | the sources have no import cycle, and import from lower floors only |
//! | `columns` | lines of comments and Markdown have at most 100 columns |
//! | `unsafe_code` | the guide's table of unsafe code has every file that has any |
//! | `kernel_is_checked` | a plain `cargo check` of the workspace reports errors in the kernel |
//! | `package` | what is in the published package, and that it builds alone |
//! | `licences` | every dependency has a licence that allows its use |
//!
//! The library beside this file, `boots.rs`, has the images, each of which is built once, and what
//! a boot needs.

mod columns;
mod disk;
mod display;
mod examples;
mod experiment;
mod floors;
mod instruments;
mod kernel_image;
mod kernel_is_checked;
mod licences;
mod package;
mod runner;
mod scenarios;
mod soak;
mod unsafe_code;

/// The root of the repository.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
