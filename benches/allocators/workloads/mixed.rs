//! W3: blocks of random orders, 0 to 9, come and go while half of memory is allocated.

use pageblock::{Mobility, Order, Pfn};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::arena::FRAMES;
use crate::peer::Peer;
use crate::roi::{roi_alloc, roi_free};
use crate::workloads::{Done, Steady, states};

/// Allocations and frees in a round.
const STEPS: usize = 8192;

/// What happens next, drawn before the time runs.
#[derive(Clone, Copy, Debug)]
struct Step {
    place: u32,
    order: Order,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Alloc,
    Free,
}

/// W3.
pub(crate) struct Mixed {
    /// Where blocks are kept.
    blocks: Vec<Option<Pfn>>,
    /// The places in `blocks` that are taken when the next step is drawn, with their orders.
    taken: Vec<(u32, Order)>,
    vacant: Vec<u32>,
    allocated: usize,
    steps: Vec<Step>,
    length: usize,
    random: SmallRng,
}

impl Mixed {
    /// Keeps allocating up to half of memory, and freeing from there: as many of one as of the other in the end.
    fn draw(&mut self) -> Step {
        if self.allocated < FRAMES / 2 {
            let order = Order::new(self.random.random_range(0..=9));
            let place = self.vacant.pop().unwrap_or_else(|| {
                self.blocks.push(None);
                self.blocks.len() as u32 - 1
            });
            self.taken.push((place, order));
            self.allocated += order.pages();
            Step { place, order, action: Action::Alloc }
        } else {
            let which = self.random.random_range(0..self.taken.len());
            let (place, order) = self.taken.swap_remove(which);
            self.vacant.push(place);
            self.allocated -= order.pages();
            Step { place, order, action: Action::Free }
        }
    }
}

impl<P: Peer> Steady<P> for Mixed {
    fn new(peer: &P) -> Self {
        let mut mixed = Self {
            blocks: Vec::new(),
            taken: Vec::new(),
            vacant: Vec::new(),
            allocated: 0,
            steps: Vec::new(),
            length: states::shortened::<P>(STEPS),
            random: states::random(4),
        };
        // Long enough for the holes to settle.
        for _ in 0..8 * STEPS {
            let Step { place, order, action } = mixed.draw();
            let block = &mut mixed.blocks[place as usize];
            match action {
                Action::Alloc => *block = peer.alloc(order, Mobility::Movable),
                Action::Free => {
                    if let Some(pfn) = block.take() {
                        peer.free(pfn, order);
                    }
                }
            }
        }
        mixed
    }

    fn prepare(&mut self) {
        self.steps.clear();
        for _ in 0..self.length {
            let step = self.draw();
            self.steps.push(step);
        }
    }

    fn round(&mut self, peer: &P) -> Done {
        let mut steps = 0;
        let mut failures = 0;
        for &Step { place, order, action } in &self.steps {
            let block = &mut self.blocks[place as usize];
            match action {
                Action::Alloc => {
                    *block = roi_alloc(peer, order, Mobility::Movable);
                    failures += u64::from(block.is_none());
                    steps += 1;
                }
                Action::Free => {
                    if let Some(pfn) = block.take() {
                        roi_free(peer, pfn, order);
                        steps += 1;
                    }
                }
            }
        }
        Done { pairs: steps / 2, failures }
    }
}
