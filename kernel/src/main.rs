//! The bootable kernel that proves the `pageblock` allocator.
//!
//! This file is the order of booting. `boot` leads here with a genuine `BootInfo`; `arch` is the
//! machine, `smp` its CPUs, `memory` its memory. What is then done is one of `scenarios`, or the test
//! cases, as the command line says; `report` says how it went to whoever listens on COM1.

#![no_std]
#![no_main]

mod arch;
mod boot;
#[path = "../../tests/in_kernel/mod.rs"]
mod cases;
#[cfg(target_os = "linux")]
mod host_core;
mod jobs;
mod memory;
mod oops;
mod platform;
mod report;
mod scenarios;
mod smp;
mod space;
mod testing;
mod time;

use bootloader_api::BootInfo;
use pageblock_protocol::{BootConfig, ExitCode, Line, Scenario, Text, Verdict};
use x86_64::instructions::interrupts;

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    smp::percpu::adopt(smp::CpuId::BOOT);
    report::init();
    let config = configure(boot_info);

    memory::adopt_mapping(boot_info.physical_memory_offset.into_option());
    let mut early = memory::early::EarlyMemory::claim(boot_info).expect("usable memory");
    smp::stack::watch(smp::CpuId::BOOT, &smp::stack::Stack::of_boot(boot_info));
    arch::gdt::Tables::new(&mut early).load();
    arch::idt::load();
    memory::root::init(&mut early);
    arch::pic::silence();
    time::init();
    arch::apic::init_this_cpu();
    arch::apic::start_timer(time::TICK_HZ);
    interrupts::enable();

    match arch::acpi::processors(boot_info.rsdp_addr.into_option()) {
        Ok(found) => smp::bringup::start_others(&found, &boot_info.memory_regions, &mut early),
        Err(error) => log::warn!("going on with one CPU: {error}"),
    }
    let memory = memory::allocator::init(boot_info, early, config.cma_mib, scenarios::tuning(&config));
    space::init();
    report::hello();

    let verdict = match (config.scenario, memory) {
        (Scenario::Cases, Ok(()) | Err(memory::allocator::Error::Cma(_))) => testing::run(&config.cases),
        (Scenario::ListCases, _) => testing::list(),
        (_, Err(error)) => refuse(Text::new(format_args!("{error}"))),
        (_, Ok(())) => run(&config),
    };
    report::line(Line::Done(verdict));
    arch::qemu_exit::exit(ExitCode::from(verdict))
}

/// What this boot is to do.
fn configure(boot_info: &BootInfo) -> BootConfig<'static> {
    let line = boot::cmdline::of(boot_info)
        .unwrap_or_else(|error| refuse(Text::new(format_args!("command line: {error}"))));
    BootConfig::parse(line).unwrap_or_else(|error| refuse(Text::new(format_args!("command line: {error}"))))
}

/// Runs the scenario, with the fault that it is to find.
fn run(config: &BootConfig<'_>) -> Verdict {
    if let Some(name) = config.fault
        && let Err(error) = memory::faults::switch_on(name)
    {
        refuse(Text::new(format_args!("{error}")));
    }
    match scenarios::run(config) {
        Ok(verdict) => verdict,
        Err(scenarios::Refused) => arch::qemu_exit::exit(ExitCode::Refused),
    }
}

/// Ends the kernel because it cannot do what it is asked.
fn refuse(why: Text<'_>) -> ! {
    report::line(Line::Refused(why));
    arch::qemu_exit::exit(ExitCode::Refused)
}
