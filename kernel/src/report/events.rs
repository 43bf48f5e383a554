//! The last events of the allocator on each CPU, which are reported once, when something goes
//! wrong.
//!
//! There are events only with the feature `trace`; `events_off` is for kernels without it.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heapless::HistoryBuf;
use pageblock::{PageAllocator, Platform, Trace, TraceEvent};
use pageblock_protocol::{Line, Text};
use spin::Mutex;
use x86_64::instructions::interrupts::without_interrupts;

use crate::arch::percpu::{self, MAX_CPUS};
use crate::time;

/// The number of events that are kept for each CPU: so many of the frequent kinds, and of the
/// others.
const KEPT: usize = 256;
/// How many of these are reported when something goes wrong.
const LAST: usize = 32;

/// The events of one CPU, with their times in microseconds. Only that CPU adds to it.
type Ring = Mutex<HistoryBuf<(u64, TraceEvent), KEPT>>;

/// Of each CPU: the events of the frequent kinds, and those of the others, which they do not
/// displace.
static RINGS: [[Ring; 2]; MAX_CPUS] = [const { [const { Mutex::new(HistoryBuf::new()) }; 2] }; MAX_CPUS];
static COUNTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// Whether the events have been reported, after which no more are kept.
static REPORTED: AtomicBool = AtomicBool::new(false);
/// Whether all events that are kept are reported, and not only the last ones.
static ALL: AtomicBool = AtomicBool::new(false);

/// Keeps the events that it receives.
struct Keeper;

/// Has the events kept from now on.
pub(crate) fn keep<P: Platform>(allocator: &PageAllocator<'_, P>) {
    allocator.set_trace(Some(&Keeper));
}

/// Has the events kept from now on, and all of them reported.
pub(crate) fn keep_all<P: Platform>(allocator: &PageAllocator<'_, P>) {
    ALL.store(true, Ordering::Relaxed);
    keep(allocator);
}

/// Whether there is an event of this kind for every few allocations.
fn is_frequent(event: &TraceEvent) -> bool {
    use TraceEvent::{PcpReturn, Refill, ZoneAlloc, ZoneFree};
    matches!(event, ZoneAlloc { .. } | ZoneFree { .. } | Refill { .. } | PcpReturn { .. })
}

impl Trace for Keeper {
    fn event(&self, event: TraceEvent) {
        // Some events come with interrupts enabled, and a handler has events, too.
        without_interrupts(|| {
            let cpu = percpu::current().number();
            COUNTS[cpu].fetch_add(1, Ordering::Relaxed);
            if !REPORTED.load(Ordering::Relaxed)
                && let Some(mut ring) = RINGS[cpu][usize::from(is_frequent(&event))].try_lock()
            {
                ring.write((time::now_us(), event));
            }
        });
    }
}

/// The number of events since boot.
pub(crate) fn count() -> u64 {
    COUNTS.iter().map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Reports the last events of all CPUs with that function, the first time that it is called.
pub(crate) fn report(print: fn(Line<'_>)) {
    if !REPORTED.swap(true, Ordering::Relaxed) {
        let rings = (0..).zip(&RINGS).flat_map(|(cpu, rings)| rings.iter().map(move |ring| (cpu, ring)));
        for (cpu, ring) in rings {
            // No wait: a CPU that stopped in the middle of an event does not keep the others back.
            let Some(ring) = ring.try_lock() else { continue };
            let shown = if ALL.load(Ordering::Relaxed) { KEPT } else { LAST };
            for (at_us, event) in ring.oldest_ordered().skip(ring.len().saturating_sub(shown)) {
                print(Line::Event { cpu, at_us: *at_us, text: Text::new(format_args!("{event:?}")) });
            }
        }
    }
}
