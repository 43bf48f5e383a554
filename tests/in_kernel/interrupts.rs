//! That an interrupt leaves no trace in what it interrupted.
//!
//! Each case puts something where a careless handler would overwrite it, waits in assembly for a
//! few timer interrupts whose hook does its best to overwrite it, and looks again.

#![expect(unsafe_code, reason = "assembly, to be certain of what is in registers")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::arch::{percpu, tick};
use crate::smp;
use crate::testing::{Outcome, cases, check, check_eq};
use crate::time;

cases!(Plain:
    sse_registers_survive,
    the_sse_control_register_survives,
    general_registers_survive,
    the_red_zone_survives,
    handlers_have_a_stack_of_their_own,
    handlers_start_with_the_direction_flag_clear,
);

/// Interrupts to wait for.
const TICKS: u64 = 5;

/// Runs `body` on every CPU, with `hook` called by each tick, and counts the CPUs where it fails.
fn disturbed(hook: fn(), body: impl Fn(&AtomicU64) -> bool + Sync) -> Outcome {
    let before = tick::set_hook(Some(hook));
    let failures = AtomicUsize::new(0);
    smp::run_on_all(|_| {
        if !body(&percpu::own().ticks) {
            failures.fetch_add(1, Ordering::Relaxed);
        }
    });
    tick::set_hook(before);
    check_eq(failures.into_inner(), 0)
}

/// Changes every register that a function may change.
fn overwrite() {
    // SAFETY: changes nothing that is not declared.
    unsafe {
        asm!(
            "pcmpeqd xmm0, xmm0",
            "pcmpeqd xmm1, xmm1",
            "pcmpeqd xmm2, xmm2",
            "pcmpeqd xmm3, xmm3",
            "pcmpeqd xmm4, xmm4",
            "pcmpeqd xmm5, xmm5",
            "pcmpeqd xmm6, xmm6",
            "pcmpeqd xmm7, xmm7",
            "pcmpeqd xmm8, xmm8",
            "pcmpeqd xmm9, xmm9",
            "pcmpeqd xmm10, xmm10",
            "pcmpeqd xmm11, xmm11",
            "pcmpeqd xmm12, xmm12",
            "pcmpeqd xmm13, xmm13",
            "pcmpeqd xmm14, xmm14",
            "pcmpeqd xmm15, xmm15",
            "mov rax, -1",
            "mov rcx, -1",
            "mov rdx, -1",
            "mov rsi, -1",
            "mov rdi, -1",
            "mov r8, -1",
            "mov r9, -1",
            "mov r10, -1",
            "mov r11, -1",
            clobber_abi("C"),
            options(nomem, nostack),
        );
    }
}

fn sse_registers_survive() -> Outcome {
    disturbed(overwrite, |ticks| {
        let different: u64;
        // SAFETY: only reads the counter; the registers are declared.
        unsafe {
            asm!(
                // xmmN = N + 1 in both halves.
                "mov eax, 1", "movq xmm0, rax", "punpcklqdq xmm0, xmm0",
                "movdqa xmm1, xmm0", "paddq xmm1, xmm0",
                "movdqa xmm2, xmm1", "paddq xmm2, xmm0",
                "movdqa xmm3, xmm2", "paddq xmm3, xmm0",
                "movdqa xmm4, xmm3", "paddq xmm4, xmm0",
                "movdqa xmm15, xmm4", "paddq xmm15, xmm0",
                "mov rcx, [{ticks}]",
                "add rcx, {count}",
                "2: pause",
                "cmp [{ticks}], rcx",
                "jb 2b",
                // The differences must still be 1: 15 - 4, 4 - 3, and so on, less xmm0.
                "psubq xmm15, xmm4", "psubq xmm4, xmm3", "psubq xmm3, xmm2", "psubq xmm2, xmm1",
                "psubq xmm1, xmm0",
                "movdqa xmm5, xmm15", "por xmm5, xmm4", "por xmm5, xmm3", "por xmm5, xmm2", "por xmm5, xmm1",
                "por xmm5, xmm0",
                "pand xmm15, xmm4", "pand xmm15, xmm3", "pand xmm15, xmm2", "pand xmm15, xmm1", "pand xmm15, xmm0",
                // All ones in both: or = and = 1 in each half.
                "pxor xmm5, xmm15",
                "movq rax, xmm5", "punpckhqdq xmm5, xmm5", "movq rcx, xmm5", "or rax, rcx",
                "movq rcx, xmm15", "xor rcx, 1", "or rax, rcx",
                ticks = in(reg) ticks.as_ptr(),
                count = const TICKS,
                out("rax") different,
                out("rcx") _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm15") _,
                options(nostack),
            );
        }
        different == 0
    })
}

fn the_sse_control_register_survives() -> Outcome {
    fn change() {
        // SAFETY: what is loaded is the value after reset, which is what compiled code expects.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &0x1f80_u32, options(nostack, readonly)) };
    }
    disturbed(change, |ticks| {
        let (before, during): (u32, u32) = (0x1f80, 0x7f80); // rounds towards zero in between
        let mut after: u32 = 0;
        // SAFETY: only reads the counter and writes `after`; the control register is put back.
        unsafe {
            asm!(
                "ldmxcsr [{during}]",
                "mov rcx, [{ticks}]",
                "add rcx, {count}",
                "2: pause",
                "cmp [{ticks}], rcx",
                "jb 2b",
                "stmxcsr [{after}]",
                "ldmxcsr [{before}]",
                during = in(reg) &during,
                before = in(reg) &before,
                after = in(reg) &mut after,
                ticks = in(reg) ticks.as_ptr(),
                count = const TICKS,
                out("rcx") _,
                options(nostack),
            );
        }
        after == during
    })
}

fn general_registers_survive() -> Outcome {
    disturbed(overwrite, |ticks| {
        let (mut a, mut c, mut d, mut si) = (1_u64, 2_u64, 3_u64, 4_u64);
        let (mut r8, mut r9, mut r10, mut r11) = (5_u64, 6_u64, 7_u64, 8_u64);
        let (mut r12, mut r13, mut r14) = (9_u64, 10_u64, 11_u64);
        // SAFETY: only reads the counter; the registers are declared.
        unsafe {
            asm!(
                "mov r15, [rdi]",
                "add r15, {count}",
                "2: pause",
                "cmp [rdi], r15",
                "jb 2b",
                count = const TICKS,
                in("rdi") ticks.as_ptr(),
                inout("rax") a, inout("rcx") c, inout("rdx") d, inout("rsi") si,
                inout("r8") r8, inout("r9") r9, inout("r10") r10, inout("r11") r11,
                inout("r12") r12, inout("r13") r13, inout("r14") r14,
                out("r15") _,
                options(nostack),
            );
        }
        [a, c, d, si, r8, r9, r10, r11, r12, r13, r14] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    })
}

fn the_red_zone_survives() -> Outcome {
    disturbed(overwrite, |ticks| {
        let sum: u64;
        // SAFETY: writes below the stack pointer only, where nothing is kept: without `nostack` the
        // compiler keeps nothing there across assembly.
        unsafe {
            asm!(
                "mov ecx, 16",
                "3: neg rcx",
                "mov [rsp + rcx * 8], rcx",
                "neg rcx",
                "loop 3b",
                "mov rcx, [{ticks}]",
                "add rcx, {count}",
                "2: pause",
                "cmp [{ticks}], rcx",
                "jb 2b",
                "xor eax, eax",
                "mov ecx, 16",
                "4: neg rcx",
                "sub rax, [rsp + rcx * 8]",
                "neg rcx",
                "loop 4b",
                ticks = in(reg) ticks.as_ptr(),
                count = const TICKS,
                out("rax") sum,
                out("rcx") _,
            );
        }
        sum == (1..=16).sum()
    })
}

fn handlers_have_a_stack_of_their_own() -> Outcome {
    static STACK: AtomicU64 = AtomicU64::new(0);
    fn look() {
        if smp::current() == pageblock::CpuId::BOOT {
            let local = 0_u8;
            STACK.store((&raw const local).addr() as u64, Ordering::Relaxed);
        }
    }
    STACK.store(0, Ordering::Relaxed);
    let before = tick::set_hook(Some(look));
    time::wait_us(50_000);
    tick::set_hook(before);

    let local = 0_u8;
    let own = (&raw const local).addr() as u64;
    let handler = STACK.load(Ordering::Relaxed);
    check(handler != 0, format_args!("no tick in 50 ms"))?;
    // The stacks are smaller than this, and apart.
    check(own.abs_diff(handler) > 16 * 1024, format_args!("task at {own:#x}, handler at {handler:#x}"))
}

fn handlers_start_with_the_direction_flag_clear() -> Outcome {
    const DIRECTION: u64 = 1 << 10;
    static SET: AtomicUsize = AtomicUsize::new(0);
    fn look() {
        if x86_64::registers::rflags::read_raw() & DIRECTION != 0 {
            SET.fetch_add(1, Ordering::Relaxed);
        }
    }
    SET.store(0, Ordering::Relaxed);
    disturbed(look, |ticks| {
        let flags: u64;
        // SAFETY: only reads the counter; the direction flag is put back.
        unsafe {
            asm!(
                "std",
                "mov rcx, [{ticks}]",
                "add rcx, {count}",
                "2: pause",
                "cmp [{ticks}], rcx",
                "jb 2b",
                "pushfq",
                "pop {flags}",
                "cld",
                ticks = in(reg) ticks.as_ptr(),
                count = const TICKS,
                flags = out(reg) flags,
                out("rcx") _,
            );
        }
        flags & DIRECTION != 0
    })?;
    check_eq(SET.load(Ordering::Relaxed), 0)
}
