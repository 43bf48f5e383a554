//! The bootable kernel that tests the `pageblock` allocator.
//!
//! This file is the order of booting: the boot code calls [`kernel_main`], which sets up the CPUs
//! and the memory, and then runs the scenario or the test cases that the command line names.
//! Without the feature `image` it is a hosted program, so that `cargo check` and editors see the
//! whole kernel.
//!
//! Each folder imports only from the rows above it, and no two files import each other:
//!
//! | folder | what |
//! |---|---|
//! | `host_core` | the C functions that the host's precompiled `core` calls |
//! | `boot` | the boot code: from power-on to `kernel_main` |
//! | `sync` | a lock and a hook, which need nothing else |
//! | `time` | the clock |
//! | `physical` | physical memory before there is an allocator: direct map, early memory |
//! | `arch` | the CPU and the devices; exception and interrupt entry |
//! | `report` | the console on COM1, and the report of a panic |
//! | `smp` | the other CPUs: start-up, interprocessor calls, TLB shootdown |
//! | `memory` | the page allocator |
//! | `space` | address spaces with page tables, and migration |
//! | `devices` | PCI, virtio devices, the memory that they access |
//! | `jobs` | the background load: build-like jobs, a page cache, timer interrupts that allocate |
//! | `scenarios` | the experiments that a boot can run |
//! | `testing` | the registry and the runner of the in-kernel test cases |
//! | `cases` | the test cases themselves, in `tests/in_kernel` |
//! | `main` | the order of booting |

#![no_std]
#![cfg_attr(feature = "image", no_main)]
#![cfg_attr(
    not(feature = "image"),
    expect(dead_code, reason = "nothing calls `kernel_main` without the boot assembly")
)]

#[cfg(not(feature = "image"))]
extern crate std;

mod arch;
mod boot;
#[path = "../../tests/in_kernel/mod.rs"]
mod cases;
mod devices;
#[cfg(target_os = "linux")]
mod host_core;
mod jobs;
mod memory;
mod physical;
mod report;
mod scenarios;
mod smp;
mod space;
mod sync;
mod testing;
mod time;

use bootloader_api::BootInfo;
use pageblock::CpuId;
use pageblock_protocol::{BootConfig, ExitCode, Line, Scenario, Text, VERSION};
use x86_64::instructions::interrupts;

use crate::arch::stack::{self, Stack};
use crate::arch::{acpi, apic, gdt, idt, percpu, pic, qemu_exit, tick};
use crate::boot::cmdline;
use crate::memory::page_allocator::{self, Error};
use crate::physical::early::EarlyMemory;
use crate::physical::{direct_map, root};
use crate::smp::{bringup, ipi};

#[cfg(feature = "image")]
bootloader_api::entry_point!(kernel_main, config = &boot::config::BOOTLOADER_CONFIG);

#[cfg(feature = "plant-type-error")]
const _: u8 = "a type error";

/// The hosted build of this source: it exists to be checked, and cannot boot.
#[cfg(not(feature = "image"))]
fn main() -> std::process::ExitCode {
    std::eprintln!("This is the kernel as a hosted program. `cargo run -- cma` builds and boots its image.");
    std::process::ExitCode::FAILURE
}

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    percpu::init_this_cpu(CpuId::BOOT);
    report::init();
    let config = configure(boot_info);

    direct_map::init(boot_info.physical_memory_offset.into_option());
    let mut early = EarlyMemory::claim(boot_info).expect("usable memory");
    stack::watch(CpuId::BOOT, &Stack::of_boot(boot_info));
    gdt::Tables::new(&mut early).load();
    idt::load();
    root::init(&mut early);
    pic::mask_all();
    time::init();
    apic::init_this_cpu();
    ipi::init();
    tick::start_on_this_cpu();
    interrupts::enable();

    match acpi::processors(boot_info.rsdp_addr.into_option()) {
        Ok(found) => bringup::start_others(&found, &boot_info.memory_regions, &mut early),
        Err(error) => log::warn!("only the boot CPU is used: {error}"),
    }
    let benchmark = config.scenario == Scenario::Bench;
    let memory =
        page_allocator::init(boot_info, early, config.cma_mib, scenarios::tuning(&config), benchmark);
    space::init();
    let (cpus, memory_mib) = (smp::cpu_count() as u32, memory::managed_bytes() >> 20);
    report::line(Line::Hello { version: VERSION, cpus, memory_mib });

    let verdict = match (config.scenario, memory) {
        (Scenario::Cases, Ok(()) | Err(Error::Cma(_))) => testing::run(&config.cases),
        (Scenario::ListCases, _) => testing::list(),
        (_, Err(error)) => refuse(Text::new(format_args!("{error}"))),
        (_, Ok(())) => match scenarios::run(&config) {
            Ok(verdict) => verdict,
            Err(scenarios::Refused) => qemu_exit::exit(ExitCode::Refused),
        },
    };
    report::line(Line::Done(verdict));
    qemu_exit::exit(ExitCode::from(verdict))
}

/// Reads the command line.
fn configure(boot_info: &BootInfo) -> BootConfig<'static> {
    let line = cmdline::of(boot_info)
        .unwrap_or_else(|error| refuse(Text::new(format_args!("command line: {error}"))));
    BootConfig::parse(line).unwrap_or_else(|error| refuse(Text::new(format_args!("command line: {error}"))))
}

/// Ends the kernel because it cannot do what the command line asks for.
fn refuse(why: Text<'_>) -> ! {
    report::line(Line::Refused(why));
    qemu_exit::exit(ExitCode::Refused)
}
