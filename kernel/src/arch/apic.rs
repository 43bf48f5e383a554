//! The local interrupt controller (APIC) of this CPU: interprocessor interrupts and the timer.
//!
//! It runs in x2APIC mode (registers are MSRs) if the CPU has it, and in xAPIC mode (registers in
//! memory) otherwise. All CPUs must use the same mode, so each calls [`init_this_cpu`].

#![expect(unsafe_code, reason = "device registers")]

use core::arch::x86_64::__cpuid;

use spin::Once;
use x86_64::PhysAddr;
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

use crate::arch::trap::{self, Vector};
use crate::physical::phys_to_virt;
use crate::time;

/// A register, by its offset in xAPIC mode.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Register {
    Id = 0x20,
    TaskPriority = 0x80,
    EndOfInterrupt = 0xb0,
    Spurious = 0xf0,
    /// The lower half of the interrupt command; in x2APIC mode the whole of it.
    Command = 0x300,
    CommandHigh = 0x310,
    LvtTimer = 0x320,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    LvtError = 0x370,
    TimerInitial = 0x380,
    TimerCurrent = 0x390,
    TimerDivide = 0x3e0,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// xAPIC mode, with the address at which the registers are mapped.
    Memory(usize),
    /// x2APIC mode.
    Msr,
}

static MODE: Once<Mode> = Once::new();

const SOFTWARE_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const LVT_PERIODIC: u32 = 1 << 17;
const DELIVERY_PENDING: u32 = 1 << 12;
const DELIVER_INIT: u32 = 0b101 << 8;
const DELIVER_STARTUP: u32 = 0b110 << 8;
const LEVEL_ASSERT: u32 = 1 << 14;
const DIVIDE_BY_1: u32 = 0b1011;

/// Enables the APIC of this CPU, with all its local interrupt sources masked.
pub(crate) fn init_this_cpu() {
    trap::register(Vector::Spurious, || ());
    let (frame, flags) = ApicBase::read();
    let mode = *MODE.call_once(|| {
        let has_x2apic = __cpuid(1).ecx & (1 << 21) != 0;
        if has_x2apic {
            Mode::Msr
        } else {
            // The page table says cacheable, but the MTRRs say uncacheable and take precedence.
            Mode::Memory(phys_to_virt(PhysAddr::new(frame.start_address().as_u64())).as_u64() as usize)
        }
    });
    let flags = match mode {
        Mode::Memory(_) => flags | ApicBaseFlags::LAPIC_ENABLE,
        Mode::Msr => flags | ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE,
    };
    // SAFETY: the registers stay where they are.
    unsafe { ApicBase::write(frame, flags) };

    write(Register::TaskPriority, 0);
    for source in [Register::LvtTimer, Register::LvtLint0, Register::LvtLint1, Register::LvtError] {
        write(source, LVT_MASKED);
    }
    write(Register::Spurious, SOFTWARE_ENABLE | u32::from(Vector::Spurious.number()));
}

/// The id of this CPU's APIC.
pub(crate) fn id() -> u32 {
    match mode() {
        Mode::Memory(_) => read(Register::Id) >> 24,
        Mode::Msr => read(Register::Id),
    }
}

/// Tells the APIC that the current interrupt has been handled.
pub(crate) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// Sends an interrupt to the CPU with that APIC id.
pub(crate) fn send(apic_id: u32, vector: Vector) {
    command(apic_id, LEVEL_ASSERT | u32::from(vector.number()));
}

/// Resets the CPU with that APIC id, which then waits for [`send_startup`].
pub(crate) fn send_init(apic_id: u32) {
    command(apic_id, LEVEL_ASSERT | DELIVER_INIT);
}

/// Starts the CPU with that APIC id in real mode, at the start of a page below 1 MiB.
pub(crate) fn send_startup(apic_id: u32, page: u8) {
    command(apic_id, LEVEL_ASSERT | DELIVER_STARTUP | u32::from(page));
}

/// Starts the periodic timer interrupt on this CPU.
pub(crate) fn start_timer(hz: u32) {
    static TIMER_HZ: Once<u64> = Once::new();
    let timer_hz = *TIMER_HZ.call_once(measure_timer_hz);
    let count = (timer_hz / u64::from(hz)).clamp(1, u64::from(u32::MAX)) as u32;
    write(Register::TimerDivide, DIVIDE_BY_1);
    write(Register::LvtTimer, LVT_PERIODIC | u32::from(Vector::Timer.number()));
    write(Register::TimerInitial, count);
}

/// The frequency of the timer, measured against the TSC.
fn measure_timer_hz() -> u64 {
    const MEASURE_US: u64 = 5_000;
    write(Register::TimerDivide, DIVIDE_BY_1);
    write(Register::LvtTimer, LVT_MASKED);
    write(Register::TimerInitial, u32::MAX);
    let before = time::tsc();
    time::wait_us(MEASURE_US);
    let counted = u32::MAX - read(Register::TimerCurrent);
    let cycles = time::tsc() - before;
    write(Register::TimerInitial, 0);
    (u128::from(counted) * u128::from(time::tsc_hz()) / u128::from(cycles)) as u64
}

fn command(apic_id: u32, low: u32) {
    match mode() {
        // Masked, because a handler that sends between the two writes would mix up two commands.
        Mode::Memory(_) => without_interrupts(|| {
            write(Register::CommandHigh, apic_id << 24);
            write(Register::Command, low);
            while read(Register::Command) & DELIVERY_PENDING != 0 {
                core::hint::spin_loop();
            }
        }),
        Mode::Msr => {
            let whole = u64::from(apic_id) << 32 | u64::from(low);
            // SAFETY: sends an interrupt that its receiver has a handler for.
            unsafe { msr(Register::Command).write(whole) };
        }
    }
}

fn mode() -> Mode {
    *MODE.get().expect("the local APIC is used before its initialisation")
}

fn msr(register: Register) -> Msr {
    Msr::new(0x800 + (register as u32 >> 4))
}

fn read(register: Register) -> u32 {
    match mode() {
        // SAFETY: the registers are mapped there, and reading one has no side effect.
        Mode::Memory(base) => unsafe { at(base, register).read_volatile() },
        // SAFETY: the MSR exists in this mode.
        Mode::Msr => unsafe { msr(register).read() as u32 },
    }
}

fn write(register: Register, value: u32) {
    match mode() {
        // SAFETY: the registers are mapped there, and only this module writes them.
        Mode::Memory(base) => unsafe { at(base, register).write_volatile(value) },
        // SAFETY: as above.
        Mode::Msr => unsafe { msr(register).write(u64::from(value)) },
    }
}

fn at(base: usize, register: Register) -> *mut u32 {
    core::ptr::with_exposed_provenance_mut(base + register as usize)
}
