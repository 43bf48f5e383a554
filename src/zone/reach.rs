//! How far a request may go in a zone: to which mark, and whether into the atomic reserve.
//!
//! A request tries all its zones with one reach before it tries them with the next. So the atomic
//! reserve of a zone is kept for those who need it while another zone has other pages.

use crate::base::{AllocRequest, Depth, Order};
use crate::buddy::FromReserve;
use crate::limits::Mark;

/// How far a request may go in a zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reach {
    /// To what its depth leaves of the low mark.
    Low,
    /// To what its depth leaves of the min mark.
    Min,
    /// As `Min`, and into the atomic reserve if its depth is not [`Depth::Normal`].
    Reserve,
}

impl Reach {
    /// The mark that is checked.
    pub(super) const fn mark(self) -> Mark {
        match self {
            Self::Low => Mark::Low,
            Self::Min | Self::Reserve => Mark::Min,
        }
    }

    /// Whether the request may take pages with this reach that it may not take with `Min`.
    pub(crate) fn exceeds_min(self, request: &AllocRequest) -> bool {
        self.reserve_use(request) != Self::Min.reserve_use(request)
    }

    /// When a request with this reach takes pages of the atomic reserve. High-order atomic requests
    /// always take them first: the reserve is for them.
    pub(super) fn reserve_use(self, request: &AllocRequest) -> FromReserve {
        match request.depth {
            Depth::Normal => FromReserve::Never,
            Depth::Atomic if request.order > Order::ZERO => FromReserve::First,
            Depth::Atomic | Depth::Emergency if self == Self::Reserve => FromReserve::Last,
            Depth::Atomic | Depth::Emergency => FromReserve::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;
    use crate::base::{AllocRequest, Depth, Order};
    use crate::buddy::FromReserve;

    #[test]
    fn only_high_order_atomic_requests_take_the_reserve_before_other_pages() {
        for order in [0, 1, 9] {
            for depth in [Depth::Normal, Depth::Atomic, Depth::Emergency] {
                let request = AllocRequest::movable().order(Order::new(order)).depth(depth);
                let first = depth == Depth::Atomic && order > 0;
                for reach in [Reach::Low, Reach::Min] {
                    let expected = if first { FromReserve::First } else { FromReserve::Never };
                    assert_eq!(reach.reserve_use(&request), expected);
                }
                let expected = match depth {
                    Depth::Normal => FromReserve::Never,
                    _ if first => FromReserve::First,
                    _ => FromReserve::Last,
                };
                assert_eq!(Reach::Reserve.reserve_use(&request), expected);
                assert_eq!(Reach::Reserve.exceeds_min(&request), expected == FromReserve::Last);
            }
        }
    }
}
