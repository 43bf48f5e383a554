//! The bootable kernel that proves the `pageblock` allocator.
//!
//! This file is the order of booting. `boot` leads here with a genuine `BootInfo`; `arch` is the
//! machine, `smp` its CPUs, `memory` its memory. What is then done is one of `scenarios`, or the test
//! cases, as the command line says; `report` says how it went to whoever listens on COM1.

#![no_std]
#![no_main]

#![allow(unsafe_code)]
mod arch;
mod boot;
#[cfg(target_os = "linux")]
mod host_core;
mod memory;
mod oops;
mod report;
mod smp;
mod time;

use bootloader_api::BootInfo;
use pageblock_protocol::{ExitCode, Line};

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    smp::percpu::adopt(smp::CpuId::BOOT);
    report::init();
    memory::adopt_mapping(boot_info.physical_memory_offset.into_option());
    let mut early = unsafe { memory::early::EarlyMemory::new(&boot_info.memory_regions) }.expect("no memory");
    arch::gdt::Tables::new(&mut early).load();
    arch::idt::load();
    memory::root::init(&mut early);
    arch::pic::silence();
    time::init();
    log::info!("tsc {} Hz", time::tsc_hz());
    for r in boot_info.memory_regions.iter() { log::info!("{:x?}", r); }
    log::info!("command line {:?}", boot::cmdline::get());
    arch::apic::init_this_cpu();
    arch::apic::start_timer(time::TICK_HZ);
    x86_64::instructions::interrupts::enable();
    let processors = match arch::acpi::processors(boot_info.rsdp_addr.into_option()) { Ok(p) => p, Err(e) => panic!("{e}") };
    smp::bringup::start_others(&processors, &boot_info.memory_regions, &mut early);
    report::line(Line::Hello { version: pageblock_protocol::VERSION, cpus: smp::cpu_count() as u32, memory_mib: 0 });
    smp::run_on_all(|cpu| { smp::shootdown::flush_all(); log::info!("hello from {cpu}, ticks {}", smp::percpu::own().ticks.load(core::sync::atomic::Ordering::Relaxed)) });
    arch::qemu_exit::exit(ExitCode::Held)
}
