//! Records that are in plugged memory, and leave the machine with it.

#![expect(unsafe_code, reason = "the records are in memory that the machine of numbers has not")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pageblock::{
    AllocRequest, ContigOptions, Depth, FrameKind, FreeError, Geometry, HandOverError, MemoryUse, NoNotifier,
    Order, Pfn, PfnRange, RangeError, RecordsError, X86_64,
};

use crate::sparse::{machine, usable};
use crate::support::{Easygoing, Machine, SetOnDrop, fill, on_every_geometry, unchanged, unit};

/// Memory outside the machine of numbers, as this program has it.
struct Window {
    frames: PfnRange,
    /// The virtual address of physical address 0.
    offset: u64,
}

impl Window {
    /// Pieces of 64 Ki frames each, far above the memory of boot.
    const PIECE: usize = 64 << 10;

    fn new(pieces: usize) -> Self {
        let frames = PfnRange::with_len(Pfn::new(1 << 30), pieces * Self::PIECE);
        let memory = vec![0_u8; (frames.len() + 1) * 4096].leak();
        let start = memory.as_mut_ptr().expose_provenance().next_multiple_of(4096) as u64;
        Self { frames, offset: start.wrapping_sub(frames.start().start_address()) }
    }

    fn piece(&self, number: usize) -> PfnRange {
        PfnRange::with_len(Pfn::new(self.frames.start().number() + number * Self::PIECE), Self::PIECE)
    }

    /// Makes the records of a piece in it, and adds its pageblocks that hold none of them. Returns
    /// these.
    fn plug<G: Geometry>(&self, machine: &Machine<G>, number: usize) -> PfnRange {
        let piece = self.piece(number);
        // SAFETY: the frames are in the buffer, and used by nothing else until they are reclaimed.
        let taken = unsafe { machine.add_records_at_offset(piece, self.offset) }.unwrap();
        let whole = PfnRange::new(piece.start(), G::PAGEBLOCK_ORDER.align_down(taken.start()));
        machine.add_memory(whole, MemoryUse::MovableOnly).unwrap();
        whole
    }

    /// Overwrites these frames, as other memory in their place would.
    fn overwrite(&self, frames: PfnRange) {
        let at = frames.start().start_address().wrapping_add(self.offset) as usize;
        // SAFETY: the frames are in the buffer, and the allocator has given them up.
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(at).write_bytes(0xa7, frames.len() * 4096) };
    }
}

/// Takes plugged memory offline, and makes it holes.
fn unplug<G: Geometry>(machine: &Machine<G>, plugged: PfnRange) {
    let (offline, _) = machine.offline(plugged, &Easygoing, &NoNotifier, ContigOptions::default()).unwrap();
    machine.remove_memory(offline.range()).unwrap();
}

fn small<G: Geometry>() -> Machine<G> {
    let start = G::DMA32_END;
    let end = Pfn::new(start.number() + 4 * unit::<G>());
    machine(&usable(&[(start.start_address(), end.start_address())]))
}

fn records_leave_with_their_memory<G: Geometry>() {
    let machine = small::<G>();
    let (boot, window) = (machine.free_count(), Window::new(2));
    for _ in 0..3 {
        let plugged = [0, 1].map(|number| window.plug(&machine, number));
        let pages = fill(&machine, AllocRequest::movable().depth(Depth::Emergency));
        assert_eq!(pages.len(), boot + plugged[0].len() + plugged[1].len());
        pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        for number in [1, 0] {
            let (piece, plugged) = (window.piece(number), plugged[number]);
            let remove = || unchanged(&machine, || machine.remove_records(piece).unwrap_err());
            assert_eq!(remove(), RecordsError::InUse { pfn: piece.start(), kind: FrameKind::Free });
            let (offline, _) =
                machine.offline(plugged, &Easygoing, &NoNotifier, ContigOptions::default()).unwrap();
            assert_eq!(remove(), RecordsError::InUse { pfn: piece.start(), kind: FrameKind::Offline });
            machine.remove_memory(offline.range()).unwrap();

            let removed = machine.remove_records(piece).unwrap();
            // SAFETY: no other thread uses the machine.
            let frames = unsafe { removed.reclaim() };
            assert!(frames.start() >= plugged.end() && frames.end() == piece.end(), "{frames}");
            window.overwrite(frames);
            machine.verify().unwrap();
            for pfn in [piece.start(), frames.start()] {
                assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(FreeError::Foreign { pfn }));
            }
            let error =
                unchanged(&machine, || machine.add_memory(plugged, MemoryUse::MovableOnly).unwrap_err());
            assert_eq!(error, HandOverError::Range(RangeError::Foreign { pfn: piece.start() }));
        }
        machine.drain_all();
        assert_eq!((machine.free_count(), machine.managed_count()), (boot, boot));
        assert!(machine.audit().is_exact());
    }
}

on_every_geometry!(records_leave_with_their_memory);

#[test]
fn records_are_removed_in_the_reverse_order_and_not_while_they_are_used() {
    let machine = small::<X86_64>();
    let window = Window::new(2);
    let [first, second] = [0, 1].map(|number| window.piece(number));
    let remove = |range| unchanged(&machine, || machine.remove_records(range).unwrap_err());
    let none = RecordsError::NotLast { range: first, last: None };
    assert_eq!(remove(first), none);
    assert!(none.to_string().contains("no records that were added"), "{none}");
    let plugged = [0, 1].map(|number| window.plug(&machine, number));
    assert_eq!(remove(first), RecordsError::NotLast { range: first, last: Some(second) });
    let part = PfnRange::with_len(second.start(), 1024);
    assert_eq!(remove(part), RecordsError::NotLast { range: part, last: Some(second) });
    unplug(&machine, plugged[0]);
    assert_eq!(remove(first), RecordsError::NotLast { range: first, last: Some(second) });
    unplug(&machine, plugged[1]);
    // A frame that the kernel has reserved itself stays with its record.
    let kept = PfnRange::with_len(Pfn::new(second.start().number() + 512), 512);
    machine.add_memory(kept, MemoryUse::Ordinary).unwrap();
    machine.reserve(kept).unwrap();
    assert_eq!(remove(second), RecordsError::InUse { pfn: kept.start(), kind: FrameKind::Reserved });
    machine.add_memory(kept, MemoryUse::Ordinary).unwrap();
    unplug(&machine, kept);
    // Two at once may cover the last.
    drop(machine.remove_records(window.frames).unwrap());
    drop(machine.remove_records(first).unwrap());
    assert_eq!(remove(first), none);
    machine.verify().unwrap();
}

/// As the kernel does it: the memory is overwritten when every thread has returned from the call
/// that it was in. Without that wait a thread reads the overwritten records.
#[test]
fn records_are_removed_while_other_cpus_use_the_allocator() {
    let machine = small::<X86_64>();
    let (boot, window) = (machine.free_count(), Window::new(1));
    let (piece, over) = (window.piece(0), AtomicBool::new(false));
    let calls = [const { AtomicUsize::new(0) }; 3];
    thread::scope(|scope| {
        let _over = SetOnDrop(&over);
        for own in &calls {
            let (machine, over) = (&machine, &over);
            scope.spawn(move || {
                let _over = SetOnDrop(over);
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    number += 1;
                    let guess = Pfn::new(piece.start().number() + number * 977 % piece.len());
                    assert!(machine.owner(guess, Order::new(9)).is_err());
                    assert!(machine.free_pages(guess, Order::new(9)).is_err());
                    // A movable page might migrate before it is freed.
                    if let Ok(pfn) = machine.alloc_pages(AllocRequest::unmovable()) {
                        machine.free_pages(pfn, Order::ZERO).unwrap();
                    }
                    own.store(number, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..50 {
            let plugged = window.plug(&machine, 0);
            unplug(&machine, plugged);
            let removed = machine.remove_records(piece).unwrap();
            // A thread that was in a call has begun another one.
            let before = calls.each_ref().map(|own| own.load(Ordering::SeqCst));
            let passed = |(own, before): (&AtomicUsize, usize)| own.load(Ordering::SeqCst) > before + 1;
            while !calls.iter().zip(before).all(passed) {
                assert!(!over.load(Ordering::Relaxed), "a thread has failed");
                thread::yield_now();
            }
            // SAFETY: every call that was running has returned, and was seen to.
            window.overwrite(unsafe { removed.reclaim() });
        }
    });
    machine.drain_all();
    assert_eq!(machine.free_count(), boot);
    machine.verify().unwrap();
}
