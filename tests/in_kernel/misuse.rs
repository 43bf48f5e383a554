//! Wrong calls of the allocator, each with its error, and no damage.

use pageblock::{AllocError, AllocRequest, FreeError, Geometry, Order, Pfn, X86_64};

use super::memory::{frame_of, leaves_no_trace, order};
use crate::memory::allocator;
use crate::testing::{Outcome, cases, check_eq, fail};

cases!(Plain:
    double_free_is_refused,
    the_wrong_order_is_refused,
    the_middle_of_a_block_is_refused,
    foreign_frames_are_refused,
    orders_above_the_largest_are_refused,
);

/// Allocates a block, has `misuse` free it wrongly, checks the answer, and frees it.
fn refused(
    of: Order,
    misuse: impl FnOnce(Pfn) -> Result<(), FreeError>,
    expected: impl FnOnce(&FreeError) -> bool,
) -> Outcome {
    leaves_no_trace(|| {
        let head = allocator().alloc_pages(AllocRequest::unmovable().order(of))?;
        match misuse(head) {
            Err(error) if expected(&error) => {}
            other => return Err(fail(format_args!("{other:?}"))),
        }
        Ok(allocator().free_pages(head, of)?)
    })
}

fn double_free_is_refused() -> Outcome {
    leaves_no_trace(|| {
        for of in [0, 3, 9].map(order) {
            let head = allocator().alloc_pages(AllocRequest::unmovable().order(of))?;
            allocator().free_pages(head, of)?;
            check_eq(allocator().free_pages(head, of), Err(FreeError::DoubleFree { pfn: head }))?;
        }
        Ok(())
    })
}

fn the_wrong_order_is_refused() -> Outcome {
    refused(
        order(3),
        |head| allocator().free_pages(head, order(2)),
        |error| matches!(error, FreeError::WrongOrder { allocated, .. } if *allocated == order(3)),
    )
}

fn the_middle_of_a_block_is_refused() -> Outcome {
    refused(
        order(3),
        |head| allocator().free_pages(frame_of(head, 2), order(1)),
        |error| matches!(error, FreeError::NotHead { pfn, head } if *pfn == frame_of(*head, 2)),
    )?;
    refused(
        order(3),
        |head| allocator().free_pages(frame_of(head, 1), order(1)),
        |error| matches!(error, FreeError::Unaligned { .. }),
    )
}

fn foreign_frames_are_refused() -> Outcome {
    leaves_no_trace(|| {
        let beyond = allocator().span().end();
        check_eq(allocator().free_pages(beyond, Order::ZERO), Err(FreeError::Foreign { pfn: beyond }))
    })
}

fn orders_above_the_largest_are_refused() -> Outcome {
    leaves_no_trace(|| {
        let above = order(X86_64::MAX_ORDER.get() + 1);
        match allocator().alloc_pages(AllocRequest::unmovable().order(above)) {
            Err(AllocError::OrderTooLarge { .. }) => {}
            other => return Err(fail(format_args!("{other:?}"))),
        }
        match allocator().free_pages(Pfn::new(0), above) {
            Err(FreeError::OrderTooLarge { .. }) => Ok(()),
            other => Err(fail(format_args!("{other:?}"))),
        }
    })
}
