//! Cases that end badly on purpose, each in its own way, so that the tests of the runner can see
//! every bad ending reported as what it is. They run only when they are named.

#![expect(unsafe_code, reason = "does what must not be done")]

use core::fmt;
use core::ptr;
use core::sync::atomic::Ordering;

use pageblock::CpuId;
use pageblock_protocol::{ExitCode, Line, Text};
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::instructions::{hlt, interrupts};
use x86_64::structures::DescriptorTablePointer;

use crate::arch::{percpu, qemu_exit, tick};
use crate::smp;
use crate::testing::{Outcome, cases, check, check_eq, skip};
use crate::{report, time};

cases!(Explicit:
    fails,
    fails_to_be_equal,
    skips,
    panics,
    panics_on_another_cpu,
    panics_in_an_interrupt,
    panics_while_printing,
    faults,
    faults_by_instruction,
    hangs,
    hangs_with_interrupts_masked,
    resets,
    exits,
    hangs_every_cpu,
    uses_its_stack_up,
);

/// An address that nothing is mapped at.
const NOWHERE: usize = 0x10;

fn fails() -> Outcome {
    check(1 + 1 == 3, format_args!("on purpose\nin two lines"))
}

fn fails_to_be_equal() -> Outcome {
    check_eq("found", "expected")
}

fn skips() -> Outcome {
    Err(skip(format_args!("on purpose")))
}

fn panics() -> Outcome {
    panic!("on purpose");
}

fn panics_on_another_cpu() -> Outcome {
    let last = CpuId::new(smp::cpu_count() - 1);
    smp::run_on_all(|cpu| assert!(cpu != last, "on purpose, on the last CPU"));
    Ok(())
}

fn panics_in_an_interrupt() -> Outcome {
    tick::set_hook(Some(|| panic!("on purpose, in an interrupt")));
    hang()
}

/// Dies with the lock of the serial port held and half a line printed.
fn panics_while_printing() -> Outcome {
    struct Explosive;
    impl fmt::Display for Explosive {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("on purpose, in the middle of a line");
        }
    }
    report::line(Line::Note(Text::new(format_args!("half a line and {Explosive}"))));
    Ok(())
}

fn faults() -> Outcome {
    let pointer: *const u8 = ptr::without_provenance(NOWHERE);
    // SAFETY: none: this must fault.
    let byte = unsafe { pointer.read_volatile() };
    check(false, format_args!("read {byte} where nothing is mapped"))
}

fn faults_by_instruction() -> Outcome {
    // SAFETY: none: this must fault.
    unsafe { core::arch::asm!("ud2") };
    Ok(())
}

fn hangs() -> Outcome {
    hang()
}

fn hangs_with_interrupts_masked() -> Outcome {
    interrupts::disable();
    hang()
}

fn hangs_every_cpu() -> Outcome {
    smp::run_on_all(|_| {
        let _: Outcome = hang();
    });
    Ok(())
}

fn uses_its_stack_up() -> Outcome {
    /// What a stack has, less what is left of it for a tick to see that it is used up.
    const ENOUGH: usize = (128 - 12) * 1024;
    /// Goes down the stack from `top`, and waits there.
    fn descend(top: usize) -> usize {
        let frame = core::hint::black_box([top; 32]);
        if top - (&raw const frame).addr() < ENOUGH {
            return descend(top) + frame[top % 32];
        }
        time::wait_us(1_000_000);
        frame[0]
    }
    let here = 0_u8;
    let sum = descend((&raw const here).addr());
    check(false, format_args!("nobody noticed: {sum}"))
}

/// Takes an exception with no table to find a handler in: a triple fault.
fn resets() -> Outcome {
    let nothing = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: none: this must fault.
    unsafe { lidt(&nothing) };
    faults()
}

/// Leaves with the code of success, but without a word.
fn exits() -> Outcome {
    qemu_exit::exit(ExitCode::Held)
}

fn hang() -> Outcome {
    // A condition that the compiler cannot see through.
    while percpu::own().ticks.load(Ordering::Relaxed) != u64::MAX {
        hlt();
    }
    Ok(())
}
