//! Invariant I9: every allocated block knows where it was allocated, through splits and migrations.

use std::panic::Location;

use pageblock::{
    AllocRequest, ContigOptions, ContigPlace, Geometry, Mobility, NoMigration, Order, Pfn, PfnRange, Site,
};

use crate::support::{
    self, Easygoing, Machine, SetOnDrop, Threads, cma_area, mebibytes, normal, on_every_geometry, orders,
    part, scope, unit,
};

/// The lines of this file that have allocated pages, with the number of these.
fn lines<G: Geometry>(machine: &Machine<G>) -> Vec<(u32, usize)> {
    let census = machine.census_by_site::<16>();
    let mut lines: Vec<_> = census
        .rows()
        .map(|row| {
            let location = row.key.location().expect("every block has a site");
            assert!(location.file().ends_with("page_owner.rs"), "{location}");
            (location.line(), row.pages)
        })
        .collect();
    lines.sort_unstable();
    // I9: the sum equals the allocated pages, which the audit and a walk of all frames count.
    let verified = machine.verify().unwrap().total();
    let audited: usize = machine.audit().zones.iter().map(|zone| zone.allocated).sum();
    assert_eq!((census.pages(), census.pages()), (verified.allocated, audited));
    lines
}

/// The line of the caller.
#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

fn a_block_is_allocated_where_the_call_is<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    assert_eq!(lines(&machine), []);
    for order in orders::<G>() {
        for mobility in [Mobility::Unmovable, Mobility::Movable] {
            let request = AllocRequest::new(order, mobility);
            let (first, line) = (machine.alloc_pages(request).unwrap(), here());
            let mut two = [Pfn::new(0); 2];
            let (count, bulk_line) = (machine.alloc_bulk(request, &mut two), here());
            assert_eq!(count, 2);
            assert_eq!(lines(&machine), [(line, order.pages()), (bulk_line, 2 * order.pages())]);
            for pfn in [first, two[0], two[1]] {
                machine.free_pages(pfn, order).unwrap();
            }
            assert_eq!(lines(&machine), [], "cached or free");
            // From the list, as it was left.
            let (again, line) = (machine.alloc_pages(request).unwrap(), here());
            assert_eq!(lines(&machine), [(line, order.pages())]);
            machine.free_pages(again, order).unwrap();
        }
    }
    machine.drain_all();
    assert_eq!(lines(&machine), []);
}

fn handles_and_ranges_are_allocated_where_the_call_is<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let (block, line) = (machine.alloc(AllocRequest::unmovable()).unwrap(), here());
    assert_eq!(lines(&machine), [(line, 1)]);
    drop(block);
    let (exact, line) = (machine.alloc_exact(3, AllocRequest::unmovable()).unwrap(), here());
    assert_eq!(lines(&machine), [(line, 3)]);
    drop(exact);
    let (wanted, options) = (part::<G>(unit::<G>() + 1, unit::<G>()), ContigOptions::default());
    let (range, line) = (machine.alloc_contig(wanted, &NoMigration, options).unwrap(), here());
    assert_eq!(lines(&machine), [(line, unit::<G>())]);
    // The rest of a block of which a part is freed keeps its site.
    let freed = PfnRange::with_len(wanted.start().checked_add(unit::<G>() / 2).unwrap(), 1);
    let _rest = range.into_raw();
    machine.free_contig(freed).unwrap();
    assert_eq!(lines(&machine), [(line, unit::<G>() - 1)]);
    for rest in [PfnRange::new(wanted.start(), freed.start()), PfnRange::new(freed.end(), wanted.end())] {
        machine.free_contig(rest).unwrap();
    }
    let place = ContigPlace::default();
    let (range, line) = (machine.alloc_contig_pages(2, place, &NoMigration, options).unwrap(), here());
    assert_eq!(lines(&machine), [(line, 2)]);
    drop(range);
    let area = cma_area(&machine, part::<G>(4 * unit::<G>(), unit::<G>()));
    let (range, line) = (area.alloc(&machine, 2, Order::ZERO, &Easygoing).unwrap(), here());
    assert_eq!(lines(&machine), [(line, 2)]);
    area.free(&machine, range).unwrap();
    assert_eq!(lines(&machine), []);
}

fn both_halves_of_a_split_keep_the_site<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let (whole, line) = (machine.alloc(AllocRequest::unmovable().order(G::MAX_ORDER)).unwrap(), here());
    let mut parts = vec![whole];
    for _ in 0..G::MAX_ORDER.get() {
        parts = parts.into_iter().flat_map(|part| <[_; 2]>::from(part.split().unwrap())).collect();
        assert_eq!(lines(&machine), [(line, G::MAX_ORDER.pages())]);
    }
    parts.truncate(1);
    assert_eq!(lines(&machine), [(line, 1)]);
    drop(parts);
    machine.drain_all();
    assert_eq!(lines(&machine), []);
}

fn a_migrated_block_keeps_the_site<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let pages = unit::<G>() / 2;
    let mut kept = vec![Pfn::new(0); pages];
    let (count, line) = (machine.alloc_bulk(AllocRequest::movable(), &mut kept), here());
    assert_eq!(count, pages);
    let range = G::PAGEBLOCK_ORDER.block(G::PAGEBLOCK_ORDER.align_down(kept[0]));
    let options = ContigOptions::default();
    let (contig, contig_line) = (machine.alloc_contig(range, &Easygoing, options).unwrap(), here());
    assert!(kept.iter().any(|pfn| range.contains(*pfn)), "something was migrated");
    assert_eq!(lines(&machine), [(line, pages), (contig_line, range.len())]);
    for block in machine.allocated_blocks().filter(|block| block.mobility.is_some()) {
        assert!(!range.contains(block.pfn));
        assert_eq!(block.site.location().unwrap().line(), line);
    }
    drop(contig);
    assert_eq!(lines(&machine), [(line, pages)]);
}

/// A wrapper that passes on its caller, and one that does not.
#[track_caller]
fn wrapped(machine: &Machine) -> Pfn {
    machine.alloc_pages(AllocRequest::unmovable()).unwrap()
}

fn hidden(machine: &Machine) -> (Pfn, u32) {
    (machine.alloc_pages(AllocRequest::unmovable()).unwrap(), here())
}

#[test]
fn a_wrapper_may_name_its_caller() {
    let machine = mebibytes(16).build();
    let (_, line) = (wrapped(&machine), here());
    let (_, inside) = hidden(&machine);
    let mut expected = [(line, 1), (inside, 1)];
    expected.sort_unstable();
    assert_eq!(lines(&machine), expected);
    let text = machine.census_by_site::<4>().to_string();
    assert!(text.contains(&format!("page_owner.rs:{line}:")), "{text}");
    let block = machine.allocated_blocks().next().unwrap().to_string();
    assert!(block.contains("allocated at ") && block.contains("page_owner.rs:"), "{block}");
}

#[test]
fn sites_without_a_row_are_in_the_sum() {
    let machine = mebibytes(16).build();
    let _one = machine.alloc(AllocRequest::unmovable()).unwrap();
    let _two = machine.alloc(AllocRequest::unmovable().order(Order::new(1))).unwrap();
    let census = machine.census_by_site::<1>();
    assert_eq!((census.rows().count(), census.others().pages, census.pages()), (1, 2, 3));
    assert!(census.rows().all(|row| row.key != Site::UNKNOWN));
}

/// I9 at every moment, while threads allocate, free, split and migrate.
#[test]
fn i8_holds_beside_everything_else() {
    let machine = mebibytes(64).cpus(4).no_reserve().build();
    let done = std::sync::atomic::AtomicBool::new(false);
    scope(|scope| {
        for cpu in 1..4 {
            let (machine, done) = (&machine, &done);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for order in [0, 3, 0, 9, 10, 1] {
                        let request = AllocRequest::movable().order(Order::new(order));
                        let blocks: Vec<_> =
                            (0..9).filter_map(|_| machine.alloc_pages(request).ok()).collect();
                        for pfn in blocks {
                            // Or it has been migrated, and is freed below.
                            let _ = machine.free_pages(pfn, Order::new(order));
                        }
                    }
                    drop(machine.alloc_exact(11, AllocRequest::unmovable()));
                    if cpu == 1 {
                        let range = support::range(2048, 3072 + 100);
                        drop(machine.alloc_contig(range, &Easygoing, ContigOptions::default()));
                    }
                }
            });
        }
        let _stop = SetOnDrop(&done);
        for _ in 0..60 {
            machine.verify().unwrap_or_else(|violation| panic!("{violation}"));
        }
    });
    lines_anywhere(&machine);
}

/// The sum by site equals the allocated pages, wherever they were allocated.
fn lines_anywhere(machine: &Machine) {
    assert_eq!(machine.census_by_site::<8>().pages(), machine.verify().unwrap().total().allocated);
}

on_every_geometry!(
    a_block_is_allocated_where_the_call_is,
    handles_and_ranges_are_allocated_where_the_call_is,
    both_halves_of_a_split_keep_the_site,
    a_migrated_block_keeps_the_site,
);
