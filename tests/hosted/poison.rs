//! Poison, on machines whose memory exists: a write after free is found and the page named.

#![expect(unsafe_code, reason = "frames that exist are written")]

use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, ContigOptions, MemoryMap, MemoryUse, Metadata, NoMigration, NoNotifier, Order,
    PageAllocator, Pfn, PfnRange, ReportError, ReportOptions, SoftOffline, Tuning, X86_64,
};

use crate::support::{Machine, Owners, Threads, cached, cma_area, range, unchanged};

/// 8 MiB of memory that exists, from 16 MiB on, and where its first byte is.
struct Real {
    machine: Machine,
    start: *mut u8,
}

const FIRST: usize = 4096;
const FRAMES: usize = 2048;

impl Real {
    fn new(change: impl FnOnce(Tuning) -> Tuning) -> Self {
        let bytes = vec![0_u8; (FRAMES + 1) << 12].leak();
        let start = bytes.as_mut_ptr().wrapping_add(bytes.as_ptr().align_offset(4096));
        let offset = (start.expose_provenance() as u64).wrapping_sub((FIRST as u64) << 12);
        let mut map = MemoryMap::new();
        map.add_usable((FIRST as u64) << 12..((FIRST + FRAMES) as u64) << 12).unwrap();
        let layout = Metadata::<X86_64>::layout(&map, 1).unwrap();
        let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
        let metadata = Metadata::new(memory, &map, 1).unwrap();
        // SAFETY: all of the memory of the map is the buffer, which is leaked.
        let tuning = unsafe { change(Tuning::default().min_free_pages(0)).poison_at(offset) };
        Self { machine: PageAllocator::new(Threads, &map, metadata, tuning).unwrap(), start }
    }

    /// A byte of a frame.
    fn byte(&self, pfn: Pfn, offset: usize) -> *mut u8 {
        self.start.wrapping_add(((pfn.number() - FIRST) << 12) + offset)
    }

    fn write(&self, pfn: Pfn, offset: usize, value: u8) {
        // SAFETY: it is in the buffer, which only this thread uses.
        unsafe { self.byte(pfn, offset).write(value) };
    }

    fn read(&self, pfn: Pfn, offset: usize) -> u8 {
        // SAFETY: as above.
        unsafe { self.byte(pfn, offset).read() }
    }

    fn found(&self) -> u64 {
        self.machine.vmstat().machine.writes_after_free
    }
}

#[test]
fn a_write_after_free_is_found_and_the_page_named() {
    for order in 0..=10 {
        let real = Real::new(|tuning| tuning);
        let order = Order::new(order);
        let request = AllocRequest::unmovable().order(order);
        let pfn = real.machine.alloc_pages(request).unwrap();
        for frame in order.block(pfn).iter() {
            real.write(frame, 7, 1);
        }
        real.machine.free_pages(pfn, order).unwrap();
        let (again, line) = (real.machine.alloc_pages(request), line!());
        assert_eq!(again, Ok(pfn), "the same block again");
        assert_eq!((real.found(), real.machine.write_after_free()), (0, None), "written before it was freed");
        real.machine.free_pages(pfn, order).unwrap();
        let written = Pfn::new(pfn.number() + order.pages() / 2);
        real.write(written, 4095, 0xab);
        real.write(written, 1234, 0);
        while real.machine.alloc_pages(request).is_ok_and(|other| other != pfn) {}
        assert_eq!(real.found(), 1);
        let write = real.machine.write_after_free().unwrap();
        assert_eq!((write.pfn, write.offset, write.value), (written, 1234, 0));
        let text = write.to_string();
        assert!(text.contains("byte 1234 is 0x00"), "{text}");
        if cfg!(feature = "page_owner") && written == pfn {
            assert!(text.contains("last allocated at"), "{text}");
            assert_eq!(write.site.location().unwrap().line(), line, "{text}");
        }
    }
}

#[test]
fn pages_that_nobody_wrote_are_as_they_were_left() {
    let real = Real::new(|tuning| tuning.guard_below(Order::new(2)));
    let machine = &real.machine;
    let area = cma_area(machine, range(FIRST + 1024, FIRST + 1536));
    let owners = Owners::new();
    for word in 1..=300 {
        let order = Order::new((word % 3) as u8);
        if let Some(pfn) = owners.own(machine, word, order) {
            assert_eq!(real.read(pfn, 0), 0xaa);
            order.block(pfn).iter().for_each(|frame| real.write(frame, (word as usize * 13) % 4096, 0));
        }
    }
    let wanted = range(FIRST + 100, FIRST + 300);
    let contig = machine.alloc_contig(wanted, &owners, ContigOptions::default()).unwrap();
    wanted.iter().for_each(|frame| real.write(frame, 5, 5));
    drop(contig);
    let from_area = area.alloc(machine, 100, Order::ZERO, &owners).unwrap();
    from_area.iter().for_each(|frame| real.write(frame, 5, 5));
    area.free(machine, from_area).unwrap();
    let whole = range(FIRST + 1536, FIRST + 2048);
    let none = &NoNotifier;
    let (offline, _) = machine.offline(whole, &owners, none, ContigOptions::default()).unwrap();
    whole.iter().for_each(|frame| real.write(frame, 9, 9));
    machine.online(offline, none).unwrap();
    assert_eq!(cached(machine), 0, "nothing is cached");
    owners.free_all(machine);
    while machine.alloc_pages(AllocRequest::movable()).is_ok() {}
    assert_eq!(real.found(), 0, "{:?}", machine.write_after_free());
    machine.verify().unwrap();
}

#[test]
fn contiguous_ranges_are_looked_at_and_added_memory_is_filled() {
    let real = Real::new(|tuning| tuning);
    let machine = &real.machine;
    let wanted = range(FIRST + 10, FIRST + 700);
    real.write(Pfn::new(FIRST + 600), 0, 1);
    let contig = machine.alloc_contig(wanted, &NoMigration, ContigOptions::default()).unwrap();
    assert_eq!(machine.write_after_free().unwrap().pfn, Pfn::new(FIRST + 600));
    drop(contig);
    real.write(Pfn::new(FIRST + 600), 0, 1);
    real.write(Pfn::new(FIRST + 601), 0, 1);
    drop(machine.alloc_contig(wanted, &NoMigration, ContigOptions::default()).unwrap());
    assert_eq!(real.found(), 3);
    let given = PfnRange::with_len(Pfn::new(FIRST + 1000), 10);
    machine.reserve(given).unwrap();
    given.iter().for_each(|frame| real.write(frame, 5, 5));
    machine.add_memory(given, MemoryUse::Ordinary).unwrap();
    while machine.alloc_pages(AllocRequest::movable()).is_ok() {}
    assert_eq!(real.found(), 3);
}

#[test]
fn a_bad_frame_is_left_alone_and_the_rest_of_its_block_is_filled() {
    let real = Real::new(|tuning| tuning);
    let (machine, order) = (&real.machine, Order::new(2));
    let options = ContigOptions::default();
    let block = machine.alloc_pages(AllocRequest::unmovable().order(order)).unwrap();
    let wanted = range(FIRST + 1024, FIRST + 1028);
    let contig = machine.alloc_contig(wanted, &NoMigration, options).unwrap();
    let heads = [block, wanted.start()];
    for pfn in heads.into_iter().flat_map(|head| order.block(head).iter()) {
        real.write(pfn, 9, 1);
    }
    for head in heads {
        let result = machine.soft_offline_page(head.checked_add(1).unwrap(), &NoMigration, options).unwrap();
        assert!(matches!(result, SoftOffline::WhenFreed(_)), "{result:?}");
    }
    machine.free_pages(block, order).unwrap();
    drop(contig);
    let left = |head: Pfn| order.block(head).iter().map(|pfn| real.read(pfn, 9)).collect::<Vec<_>>();
    for head in heads {
        assert_eq!(left(head), [0xaa, 1, 0xaa, 0xaa]);
        let pageblock = PfnRange::with_len(Order::new(9).align_down(head), 512);
        let (offline, _) = machine.offline(pageblock, &NoMigration, &NoNotifier, options).unwrap();
        order.block(head).iter().for_each(|pfn| real.write(pfn, 9, 2));
        machine.online(offline, &NoNotifier).unwrap();
        assert_eq!(left(head), [0xaa, 2, 0xaa, 0xaa]);
    }
    while machine.alloc_pages(AllocRequest::movable()).is_ok() {}
    assert_eq!((real.found(), machine.meminfo().hwpoisoned), (0, 2));
}

#[test]
fn a_refused_free_writes_nothing() {
    let real = Real::new(|tuning| tuning);
    let machine = &real.machine;
    let pfn = machine.alloc_pages(AllocRequest::unmovable().order(Order::new(1))).unwrap();
    real.write(pfn, 0, 1);
    machine.free_pages(pfn, Order::ZERO).unwrap_err();
    assert_eq!(real.read(pfn, 0), 1);
    machine.free_pages(pfn, Order::new(1)).unwrap();
    assert_eq!(real.read(pfn, 0), 0xaa);
    assert_eq!(machine.alloc_pages(AllocRequest::unmovable()), Ok(pfn));
    real.write(pfn, 0, 2);
    machine.free_pages(pfn, Order::new(1)).unwrap_err();
    assert_eq!(real.read(pfn, 0), 2, "the second free of the old owner");
    assert_eq!(real.found(), 0);
}

/// The host would discard the pattern: a page that it gives back reads as zeros, as if it had been
/// written after it was freed.
#[test]
fn poisoned_memory_is_not_reported_to_the_host() {
    let real = Real::new(|tuning| tuning);
    let (machine, order) = (&real.machine, Order::new(10));
    let request = AllocRequest::movable().order(order);
    let blocks = [(); 2].map(|()| machine.alloc_pages(request).unwrap());
    for pfn in blocks {
        machine.free_pages(pfn, order).unwrap();
    }
    unchanged(machine, || {
        for options in [ReportOptions::default(), ReportOptions::default().blocks(1)] {
            let error = machine.report_free_pages(options).map(drop).unwrap_err();
            assert_eq!(error, ReportError::Poisoned);
            assert_eq!(error.to_string(), "the pattern in free pages would be discarded");
        }
    });
    assert_eq!((machine.meminfo().reporting, machine.meminfo().reported), (0, 0));
    // Nothing was told to a host, so that the pattern is whole.
    let again = [(); 2].map(|()| machine.alloc_pages(request).unwrap());
    assert_eq!(real.found(), 0);
    for pfn in again {
        machine.free_pages(pfn, order).unwrap();
    }
    machine.verify().unwrap();
}
