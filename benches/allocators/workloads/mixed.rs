//! W3: blocks of random orders, 0 to 9, are allocated and freed while half of memory is allocated.

use pageblock::{Mobility, Order, Pfn};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::arena::FRAMES;
use crate::counted::{counted_alloc, counted_free};
use crate::peer::Peer;
use crate::workloads::states;
use crate::workloads::steady::{Done, Steady};

/// The number of allocations and frees in a round.
const STEPS: usize = 8192;

/// An allocation or a free. Steps are drawn before the clock starts.
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
    /// The allocated blocks.
    blocks: Vec<Option<Pfn>>,
    /// The indices of `blocks` that are in use when the next step is drawn, with their orders.
    taken: Vec<(u32, Order)>,
    vacant: Vec<u32>,
    allocated: usize,
    steps: Vec<Step>,
    length: usize,
    random: SmallRng,
}

impl Mixed {
    /// Draws an allocation if less than half of memory is allocated, and else a free.
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
        // Enough steps for the sizes of the free blocks to reach an equilibrium.
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
                    *block = counted_alloc(peer, order, Mobility::Movable);
                    failures += u64::from(block.is_none());
                    steps += 1;
                }
                Action::Free => {
                    if let Some(pfn) = block.take() {
                        counted_free(peer, pfn, order);
                        steps += 1;
                    }
                }
            }
        }
        Done { pairs: steps / 2, failures }
    }
}
