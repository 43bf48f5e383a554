//! Allocations that must fail.

use pageblock::{AllocError, AllocRequest, Mobility, Order, ZoneKind};

use super::{LIMIT, PAGE, machine};
use crate::support::{fill, unchanged};

#[test]
fn of_an_order_above_the_largest() {
    let machine = machine();
    for order in [7, 10, 63, 64, 255].map(Order::new) {
        let result = unchanged(&machine, || machine.alloc_pages(AllocRequest::movable().order(order)));
        assert_eq!(result, Err(AllocError::OrderTooLarge { order, max: LIMIT }));
    }
}

#[test]
fn of_more_than_there_is() {
    let machine = machine();
    fill(&machine, AllocRequest::reclaimable());
    let result = unchanged(&machine, || machine.alloc_pages(AllocRequest::reclaimable()));
    let (order, mobility) = (PAGE, Mobility::Reclaimable);
    assert_eq!(result, Err(AllocError::NoMemory { order, mobility, highest_zone: ZoneKind::Normal }));
}
