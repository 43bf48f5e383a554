//! CPUs, time, and requests between CPUs.

use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, compiler_fence};

use pageblock::{CpuId, Platform as _};
use x86_64::instructions::interrupts::{self, without_interrupts};

use crate::arch::{percpu, tick};
use crate::memory::platform::ThisMachine;
use crate::smp::{self, MAX_CPUS, bringup, ipi};
use crate::testing::{Outcome, cases, check, check_eq, skip};
use crate::{report, time};

cases!(Plain:
    every_listed_cpu_runs,
    cpus_have_numbers_and_apics_of_their_own,
    a_task_runs_once_on_every_cpu,
    tasks_follow_each_other,
    tasks_run_with_interrupts_enabled,
    the_timer_ticks_on_every_cpu,
    the_tick_hook_runs_on_every_cpu_with_interrupts_masked,
    time_goes_on_and_never_back,
    cpus_agree_on_the_time,
    a_request_is_served_once_by_every_other_cpu,
    a_requests_arguments_arrive,
    requests_of_all_cpus_cross,
    requests_cross_while_interrupts_are_masked,
    what_was_written_before_a_request_is_seen_by_it,
    a_barrier_on_every_cpu_orders_stores_before_loads,
    masking_interrupts_nests,
    lines_of_different_cpus_do_not_mix,
);

/// A counter for each CPU.
struct PerCpuCount([AtomicUsize; MAX_CPUS]);

impl PerCpuCount {
    const fn new() -> Self {
        Self([const { AtomicUsize::new(0) }; MAX_CPUS])
    }

    fn add(&self, cpu: CpuId) {
        self.0[cpu.number()].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, cpu: CpuId) -> usize {
        self.0[cpu.number()].load(Ordering::Relaxed)
    }

    fn clear(&self) {
        self.0.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

fn needs_other_cpus() -> Outcome {
    if smp::cpu_count() == 1 { Err(skip(format_args!("only one CPU"))) } else { Ok(()) }
}

fn every_listed_cpu_runs() -> Outcome {
    check_eq(smp::cpu_count(), bringup::listed())
}

fn cpus_have_numbers_and_apics_of_their_own() -> Outcome {
    static NUMBERS: PerCpuCount = PerCpuCount::new();
    NUMBERS.clear();
    smp::run_on_all(|_| NUMBERS.add(smp::current()));
    for cpu in percpu::all() {
        check_eq(NUMBERS.get(cpu), 1)?;
        let apic = |cpu| percpu::of(cpu).apic_id.load(Ordering::Relaxed);
        let same = percpu::all().filter(|&other| apic(other) == apic(cpu)).count();
        check(same == 1, format_args!("{same} CPUs have the APIC of {cpu}"))?;
    }
    Ok(())
}

fn a_task_runs_once_on_every_cpu() -> Outcome {
    let runs = PerCpuCount::new();
    let elsewhere = AtomicUsize::new(0);
    smp::run_on_all(|cpu| {
        runs.add(cpu);
        if smp::current() != cpu {
            elsewhere.fetch_add(1, Ordering::Relaxed);
        }
    });
    check_eq(elsewhere.into_inner(), 0)?;
    percpu::all().try_for_each(|cpu| check_eq(runs.get(cpu), 1))
}

fn tasks_follow_each_other() -> Outcome {
    const TASKS: usize = 300;
    let runs = AtomicUsize::new(0);
    for done in 0..TASKS {
        smp::run_on_all(|_| {
            runs.fetch_add(1, Ordering::Relaxed);
        });
        check_eq(runs.load(Ordering::Relaxed), (done + 1) * smp::cpu_count())?;
    }
    Ok(())
}

fn tasks_run_with_interrupts_enabled() -> Outcome {
    let masked = AtomicUsize::new(0);
    smp::run_on_all(|_| {
        if !interrupts::are_enabled() {
            masked.fetch_add(1, Ordering::Relaxed);
        }
    });
    check_eq(masked.into_inner(), 0)
}

fn ticks_of(cpu: CpuId) -> u64 {
    percpu::of(cpu).ticks.load(Ordering::Relaxed)
}

/// Waits until every CPU has ticked that many times more.
fn wait_for_ticks(ticks: u64) -> Outcome {
    const PATIENCE_US: u64 = 5_000_000;
    let start = time::now_us();
    let mut before = [0; MAX_CPUS];
    percpu::all().for_each(|cpu| before[cpu.number()] = ticks_of(cpu));
    while let Some(late) = percpu::all().find(|&cpu| ticks_of(cpu) < before[cpu.number()] + ticks) {
        let waited = time::now_us() - start;
        check(waited < PATIENCE_US, format_args!("{late} did not tick {ticks} times in {waited} us"))?;
    }
    Ok(())
}

fn the_timer_ticks_on_every_cpu() -> Outcome {
    let start = time::now_us();
    let before = ticks_of(CpuId::BOOT);
    wait_for_ticks(25)?;
    // An emulator may be late, but never early for long.
    let us = time::now_us() - start;
    let ticks = ticks_of(CpuId::BOOT) - before;
    let most = us * u64::from(time::TICK_HZ) / 1_000_000 * 3 + 50;
    check(ticks <= most, format_args!("{ticks} ticks in {us} us"))
}

fn the_tick_hook_runs_on_every_cpu_with_interrupts_masked() -> Outcome {
    static RUNS: PerCpuCount = PerCpuCount::new();
    static ENABLED: AtomicUsize = AtomicUsize::new(0);
    fn hook() {
        RUNS.add(smp::current());
        if interrupts::are_enabled() {
            ENABLED.fetch_add(1, Ordering::Relaxed);
        }
    }
    RUNS.clear();
    let before = tick::set_hook(Some(hook));
    let ticked = wait_for_ticks(3);
    tick::set_hook(before);
    ticked?;
    check_eq(ENABLED.load(Ordering::Relaxed), 0)?;
    percpu::all().try_for_each(|cpu| check(RUNS.get(cpu) > 0, format_args!("never on {cpu}")))
}

fn time_goes_on_and_never_back() -> Outcome {
    let start = time::now_us();
    let mut last = start;
    for _ in 0..10_000 {
        let now = time::now_us();
        check(now >= last, format_args!("{now} us after {last} us"))?;
        last = now;
    }
    time::wait_us(2_000);
    check(time::now_us() >= start + 2_000, format_args!("waiting for 2 ms took less"))
}

/// One CPU's time, seen by another one through memory, is not in its future.
fn cpus_agree_on_the_time() -> Outcome {
    const TOLERANCE_US: u64 = 1_000;
    let latest = AtomicU64::new(0);
    let worst = AtomicU64::new(0);
    smp::run_on_all(|_| {
        for _ in 0..1_000 {
            let seen = latest.fetch_max(time::now_us(), Ordering::AcqRel);
            worst.fetch_max(seen.saturating_sub(time::now_us()), Ordering::Relaxed);
        }
    });
    let worst = worst.into_inner();
    check(worst <= TOLERANCE_US, format_args!("a CPU is {worst} us behind another"))
}

fn a_request_is_served_once_by_every_other_cpu() -> Outcome {
    static SERVED: PerCpuCount = PerCpuCount::new();
    fn serve(_: u64, _: u64) {
        SERVED.add(smp::current());
    }
    const REQUESTS: usize = 100;
    SERVED.clear();
    for _ in 0..REQUESTS {
        ipi::call_others(serve, 0, 0);
    }
    check_eq(SERVED.get(CpuId::BOOT), 0)?;
    percpu::all().skip(1).try_for_each(|cpu| check_eq(SERVED.get(cpu), REQUESTS))
}

fn a_requests_arguments_arrive() -> Outcome {
    static SUM: AtomicU64 = AtomicU64::new(0);
    fn serve(first: u64, second: u64) {
        SUM.fetch_add(first - second, Ordering::Relaxed);
    }
    needs_other_cpus()?;
    SUM.store(0, Ordering::Relaxed);
    ipi::call_others(serve, u64::MAX, u64::MAX - 7);
    check_eq(SUM.load(Ordering::Relaxed), 7 * (smp::cpu_count() as u64 - 1))
}

/// Has every CPU make so many requests at once, and counts those that were served.
fn cross(requests: usize, request: impl Fn(fn(u64, u64)) + Sync) -> Outcome {
    static SERVED: AtomicUsize = AtomicUsize::new(0);
    fn serve(_: u64, _: u64) {
        SERVED.fetch_add(1, Ordering::Relaxed);
    }
    needs_other_cpus()?;
    SERVED.store(0, Ordering::Relaxed);
    smp::run_on_all(|_| (0..requests).for_each(|_| request(serve)));
    let cpus = smp::cpu_count();
    check_eq(SERVED.load(Ordering::Relaxed), requests * cpus * (cpus - 1))
}

fn requests_of_all_cpus_cross() -> Outcome {
    cross(200, |serve| ipi::call_others(serve, 0, 0))
}

fn requests_cross_while_interrupts_are_masked() -> Outcome {
    // Few: a CPU with interrupts masked cannot sleep while it waits.
    cross(20, |serve| without_interrupts(|| ipi::call_others(serve, 0, 0)))
}

fn what_was_written_before_a_request_is_seen_by_it() -> Outcome {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    static SEEN: AtomicU64 = AtomicU64::new(0);
    fn serve(expected: u64, _: u64) {
        if WRITTEN.load(Ordering::Relaxed) == expected {
            SEEN.fetch_add(1, Ordering::Relaxed);
        }
    }
    SEEN.store(0, Ordering::Relaxed);
    let rounds = 500;
    for round in 1..=rounds {
        WRITTEN.store(round, Ordering::Relaxed);
        ipi::call_others(serve, round, 0);
        check_eq(SEEN.load(Ordering::Relaxed), round * (smp::cpu_count() as u64 - 1))?;
    }
    Ok(())
}

/// What lock-free pcplists need: an owner that stores "busy" and then loads "closed", both without
/// a fence, and a CPU that closes, has everybody execute a barrier, and waits for "busy" to clear,
/// are never both inside.
fn a_barrier_on_every_cpu_orders_stores_before_loads() -> Outcome {
    needs_other_cpus()?;
    // By time, not by rounds: those of a barrier that does nothing are short.
    const LONG_ENOUGH_US: u64 = 1_000_000;
    let closed = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let busy = AtomicBool::new(false);
    let inside = AtomicBool::new(false);
    let (intrusions, visits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    smp::run_on_all(|cpu| {
        if cpu == CpuId::BOOT {
            let end = time::now_us() + LONG_ENOUGH_US;
            while time::now_us() < end {
                closed.store(true, Ordering::Relaxed);
                ThisMachine.barrier_on_every_cpu();
                while busy.load(Ordering::Acquire) {
                    hint::spin_loop();
                }
                inside.store(true, Ordering::Relaxed);
                for _ in 0..100 {
                    hint::spin_loop();
                }
                inside.store(false, Ordering::Relaxed);
                let before = visits.load(Ordering::Relaxed);
                closed.store(false, Ordering::Release);
                // The owner comes by, if it is run at all just now.
                let patience = time::now_us() + 1_000;
                while visits.load(Ordering::Relaxed) == before && time::now_us() < patience {
                    hint::spin_loop();
                }
            }
            done.store(true, Ordering::Relaxed);
            return;
        }
        // One owner: where CPUs are emulated, more of them mostly wait for each other to be run.
        while cpu == CpuId::new(1) && !done.load(Ordering::Relaxed) {
            busy.store(true, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            if !closed.load(Ordering::Acquire) {
                // Long enough to be met.
                if (0..50).any(|_| inside.load(Ordering::Relaxed)) {
                    intrusions.fetch_add(1, Ordering::Relaxed);
                }
                visits.fetch_add(1, Ordering::Relaxed);
            }
            busy.store(false, Ordering::Release);
        }
    });
    check(visits.into_inner() > 0, format_args!("nobody was inside at all"))?;
    check_eq(intrusions.into_inner(), 0)
}

fn masking_interrupts_nests() -> Outcome {
    let inside = without_interrupts(|| {
        without_interrupts(|| ());
        interrupts::are_enabled()
    });
    check(!inside, format_args!("enabled by the end of the inner one"))?;
    check(interrupts::are_enabled(), format_args!("still masked afterwards"))
}

/// The launcher fails a boot whose protocol lines it cannot read, so the check is on the other
/// side.
fn lines_of_different_cpus_do_not_mix() -> Outcome {
    use pageblock_protocol::{Line, Text};
    smp::run_on_all(|cpu| {
        for index in 0..5 {
            report::line(Line::Note(Text::new(format_args!("line {index} of {cpu}"))));
        }
    });
    Ok(())
}
