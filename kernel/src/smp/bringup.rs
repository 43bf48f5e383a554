//! Starts the CPUs that the firmware lists, one at a time: INIT, STARTUP, STARTUP.

#![expect(unsafe_code, reason = "hands a reference to another CPU through memory")]

use core::hint;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use bootloader_api::info::MemoryRegion;
use pageblock::CpuId;
use x86_64::instructions::interrupts;

use crate::arch::acpi::Processors;
use crate::arch::gdt::Tables;
use crate::arch::percpu::{self, cpu_count};
use crate::arch::stack::{self, Stack};
use crate::arch::{apic, idt, tick};
use crate::physical::early::EarlyMemory;
use crate::physical::root;
use crate::smp::trampoline::Trampoline;
use crate::smp::work;
use crate::time;

const STACK_BYTES: usize = 128 * 1024;
const AFTER_INIT_US: u64 = 10_000;
const AFTER_STARTUP_US: u64 = 200;
/// A CPU that has not started after this long ends the kernel.
const TIMEOUT_US: u64 = 5_000_000;

static LISTED: AtomicUsize = AtomicUsize::new(1);

/// The number of CPUs that the firmware lists, this one included.
pub(crate) fn listed() -> usize {
    LISTED.load(Ordering::Relaxed)
}

/// Starts every CPU but this one.
///
/// CPUs beyond [`MAX_CPUS`](percpu::MAX_CPUS) are logged and not started. Without usable memory
/// below 1 MiB, no CPU is started. A CPU that does not start in time is a panic.
pub(crate) fn start_others(processors: &Processors, regions: &[MemoryRegion], memory: &mut EarlyMemory) {
    let own = apic::id();
    percpu::own().apic_id.store(own, Ordering::Relaxed);
    LISTED.store(processors.apic_ids.len().max(1), Ordering::Relaxed);
    if processors.beyond_limit > 0 {
        log::warn!("{} more CPUs than this kernel can use", processors.beyond_limit);
    }
    let others = processors.apic_ids.iter().copied().filter(|&apic_id| apic_id != own);
    if others.clone().next().is_none() {
        return;
    }
    let Some(mut trampoline) = Trampoline::install(regions) else {
        log::warn!("no usable memory below 1 MiB: the other CPUs cannot be started");
        return;
    };
    for apic_id in others {
        start(apic_id, &mut trampoline, memory);
    }
}

fn start(apic_id: u32, trampoline: &mut Trampoline, memory: &mut EarlyMemory) {
    let running = cpu_count();
    let cpu = CpuId::new(running);
    percpu::of(cpu).apic_id.store(apic_id, Ordering::Relaxed);
    let tables = ptr::from_ref(Tables::new(memory)).expose_provenance();
    let stack = Stack::new(memory.bytes(STACK_BYTES));
    stack::watch(cpu, &stack);
    trampoline.prepare(main, cpu, tables, &stack);

    let started = || cpu_count() > running;
    apic::send_init(apic_id);
    time::wait_us(AFTER_INIT_US);
    apic::send_startup(apic_id, trampoline.startup_page());
    time::wait_us(AFTER_STARTUP_US);
    if !started() {
        apic::send_startup(apic_id, trampoline.startup_page());
    }
    let start = time::now_us();
    while !started() {
        // A panic, because a CPU that starts later would take the number of the next one.
        assert!(time::now_us() - start < TIMEOUT_US, "the CPU with APIC id {apic_id} does not start");
        hint::spin_loop();
    }
}

/// The first Rust function of every CPU but the boot CPU.
extern "C" fn main(cpu: u64, tables: u64) -> ! {
    root::activate();
    percpu::init_this_cpu(CpuId::new(cpu as usize));
    let tables: *const Tables = ptr::with_exposed_provenance(tables as usize);
    // SAFETY: `start` passed a table that it allocated for this CPU alone, and never frees.
    unsafe { &*tables }.load();
    idt::load();
    apic::init_this_cpu();
    tick::start_on_this_cpu();
    percpu::set_online();
    interrupts::enable();
    work::idle()
}
