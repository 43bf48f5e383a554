//! The steps on blocks: requests of every kind, and frees, right and wrong.

use pageblock::{
    AllocRequest, Depth, FrameKind, FreeError, Geometry, Mark, Mobility, Order, Pfn, PfnRange, Platform,
    ZoneFigures, ZoneKind,
};

use super::reference::{Block, Reference, Truth};
use super::steps::cut;
use super::world::World;

/// The fewest aligned blocks that cover a range, in ascending order.
fn aligned_blocks<G: Geometry>(range: PfnRange) -> impl Iterator<Item = (Pfn, Order)> {
    let mut rest = range;
    std::iter::from_fn(move || {
        let fits = |order: &Order| order.is_aligned(rest.start()) && order.pages() <= rest.len();
        let order = (0..=G::MAX_ORDER.get()).rev().map(Order::new).find(fits)?;
        let pfn = rest.start();
        rest = PfnRange::new(order.block(pfn).end(), rest.end());
        Some((pfn, order))
    })
}

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
    /// One of the blocks, and its owner word.
    fn block(&self, number: u16) -> Option<(u64, Block)> {
        let model = self.model.borrow();
        let mut blocks = model.blocks.iter();
        let (word, block) = blocks.nth(usize::from(number) % model.blocks.len().max(1))?;
        Some((*word, *block))
    }

    /// The allocator gave out a block, which must be one that it may give out.
    fn admit(&mut self, word: u64, block: Block, highest: ZoneKind) {
        let Block { pfn, order, mobility } = block;
        let mut model = self.model.borrow_mut();
        let frames = order.block(pfn);
        assert!(order.is_aligned(pfn) && Reference::zone::<G>(pfn) <= highest, "{block:?} is in a high zone");
        assert!(frames.iter().all(|pfn| !model.is_isolated::<G>(pfn)), "{pfn} is isolated");
        let for_movable = frames.iter().any(|pfn| model.is_for_movable::<G>(pfn));
        assert!(mobility == Mobility::Movable || !for_movable, "{pfn} is for movable pages only");
        assert_eq!(self.machine.owner(pfn, order), Ok(word));
        model.change(frames, Truth::Pool, Truth::Owned(word));
        model.blocks.insert(word, block);
        self.write(frames);
    }

    /// A block that the model has with another owner word, or with none, gets a word of its own.
    fn rename(&mut self, block: Block, from: Truth) {
        self.words += 1;
        let mut model = self.model.borrow_mut();
        self.machine.set_owner(block.pfn, block.order, self.words).unwrap();
        model.change(block.order.block(block.pfn), from, Truth::Owned(self.words));
        model.blocks.insert(self.words, block);
    }

    pub(super) fn alloc(&mut self, order: Order, mobility: Mobility, highest: ZoneKind, depth: Depth) {
        self.words += 1;
        let word = self.words;
        let before = self.machine.zoneinfo();
        let request = AllocRequest::new(order, mobility).highest_zone(highest).depth(depth).owner(word);
        let Ok(pfn) = self.machine.alloc_pages(request) else {
            let no_reserves = |zone: &ZoneFigures| {
                zone.watermarks.get(Mark::Min) == 0 && zone.lowmem_reserve_movable == [0; ZoneKind::COUNT]
            };
            // What is on other lists is drained and merged for all but atomic requests; guards
            // stay.
            let complete = order <= G::PAGEBLOCK_ORDER.min(G::MAX_ORDER)
                && depth != Depth::Atomic
                && !self.keeps_frames_back();
            if complete && before.zones.iter().all(no_reserves) {
                let room = self.model.borrow().has_room::<G>(order, mobility, highest);
                assert!(!room, "there was room for {request:?}");
            }
            return;
        };
        self.admit(word, Block { pfn, order, mobility }, highest);
        let zone = Reference::zone::<G>(pfn) as usize;
        let (was, is) = (before.zones[zone], self.machine.zoneinfo().zones[zone]);
        let reserve =
            if mobility == Mobility::Movable { was.lowmem_reserve_movable } else { was.lowmem_reserve };
        let floor = was.watermarks.get(Mark::Min) + reserve[highest as usize];
        let may_dig = depth != Depth::Normal;
        let [had, has] = [was, is].map(|zone| zone.free - zone.free_movable_only);
        assert!(may_dig || self.setup.others || has >= had || has >= floor, "{request:?} went below {floor}");
    }

    pub(super) fn alloc_bulk(&mut self, order: Order, mobility: Mobility, depth: Depth, count: usize) {
        let mut blocks = vec![Pfn::new(0); count];
        let request = AllocRequest::new(order, mobility).depth(depth);
        let filled = self.machine.alloc_bulk(request, &mut blocks);
        for &pfn in &blocks[..filled] {
            self.words += 1;
            assert_eq!(self.machine.owner(pfn, order), Ok(0));
            self.machine.set_owner(pfn, order, self.words).unwrap();
            self.admit(self.words, Block { pfn, order, mobility }, ZoneKind::Normal);
        }
    }

    pub(super) fn alloc_exact(&mut self, pages: usize, align: Order, mobility: Mobility, depth: Depth) {
        self.words += 1;
        let word = self.words;
        let request = AllocRequest::new(Order::ZERO, mobility).depth(depth).owner(word);
        let Ok(exact) = self.machine.alloc_exact_aligned(pages, align, request) else {
            return;
        };
        let range = exact.into_raw();
        assert_eq!(range.len(), pages);
        assert!(pages == 0 || align.max(Order::covering(pages)).is_aligned(range.start()), "{range}");
        let mobility = if mobility == Mobility::Movable { Mobility::Unmovable } else { mobility };
        for (pfn, order) in aligned_blocks::<G>(range) {
            let block = Block { pfn, order, mobility };
            self.admit(word, block, ZoneKind::Normal);
            self.model.borrow_mut().blocks.remove(&word);
            self.rename(block, Truth::Owned(word));
        }
        if pages > 0 {
            self.exact.push(range);
        }
    }

    pub(super) fn free(&mut self, number: u16) {
        let Some((word, Block { pfn, order, .. })) = self.block(number) else {
            return;
        };
        assert_eq!(self.machine.owner(pfn, order), Ok(word));
        self.machine.free_pages(pfn, order).unwrap();
        self.gone(word);
    }

    /// The block of this owner was freed.
    fn gone(&self, word: u64) {
        let mut model = self.model.borrow_mut();
        let Block { pfn, order, .. } = model.blocks.remove(&word).unwrap();
        model.change(order.block(pfn), Truth::Owned(word), Truth::Pool);
    }

    pub(super) fn free_bulk(&mut self, number: u16, count: usize, bad: u8) {
        let Some((_, Block { order, .. })) = self.block(number) else {
            return;
        };
        let same: Vec<(u64, Pfn)> = {
            let model = self.model.borrow();
            let of_order = model.blocks.iter().filter(|(_, block)| block.order == order);
            of_order.map(|(word, block)| (*word, block.pfn)).take(1 + count).collect()
        };
        let mut pfns: Vec<Pfn> = same.iter().map(|(_, pfn)| *pfn).collect();
        // Another CPU may allocate the block before it is freed again.
        let twice = (bad % 2 == 1 && !self.setup.others).then(|| usize::from(bad / 2) % pfns.len());
        // A block that is freed a second time, after all that are before it in the list.
        let end = twice.map_or(pfns.len(), |index| {
            pfns.insert(index + 1, pfns[index]);
            index + 1
        });
        let result = self.machine.free_bulk(&pfns, order);
        same[..end].iter().for_each(|(word, _)| self.gone(*word));
        match result {
            Ok(()) => assert_eq!(twice, None),
            Err(refused) => {
                self.refused.set(self.refused.get() + 1);
                assert_eq!((refused.freed, twice), (end, Some(end - 1)), "{refused}");
            }
        }
    }

    pub(super) fn free_exact(&mut self, range: PfnRange) {
        let words: Option<Vec<u64>> = {
            let model = self.model.borrow();
            let word = |(pfn, order)| match model.at(pfn) {
                Truth::Owned(word) => {
                    let block = model.blocks[&word];
                    (block.pfn == pfn && block.order == order).then_some(word)
                }
                _ => None,
            };
            aligned_blocks::<G>(range).map(word).collect()
        };
        let foreign = !range.is_empty() && !self.machine.span().covers(range);
        let result = self.free_is_refused_without_a_change(|machine| machine.free_exact(range));
        match (result, words.filter(|_| !foreign)) {
            (Ok(()), Some(words)) => words.into_iter().for_each(|word| self.gone(word)),
            (Err(_), None) => {}
            (result, words) => panic!("{range}, the blocks of {words:?}: {result:?}"),
        }
    }

    /// Frees a part of a block. What is left of it is new blocks, each with an owner of its own.
    pub(super) fn free_part(&mut self, number: u16, from: u16, len: u16) {
        if let Some((_, Block { pfn, order, .. })) = self.block(number) {
            self.free_range(cut(order.block(pfn), from, len).0, false);
        }
    }

    /// The frames of `range` that belong to blocks were freed.
    pub(super) fn parts_of_blocks_are_free(&mut self, range: PfnRange) {
        let mut pfn = range.start();
        while pfn < range.end() {
            let truth = self.model.borrow().at(pfn);
            let Truth::Owned(word) = truth else {
                pfn = Pfn::new(pfn.number() + 1);
                continue;
            };
            let Block { pfn: head, order, mobility } = self.model.borrow_mut().blocks.remove(&word).unwrap();
            let block = order.block(head);
            self.model.borrow_mut().change(block.intersection(range), truth, Truth::Pool);
            let below = PfnRange::new(head, range.start().max(head));
            let above = PfnRange::new(range.end().min(block.end()), block.end());
            for (pfn, order) in [below, above].into_iter().flat_map(aligned_blocks::<G>) {
                // The owner word stays with the first frame of the block.
                let expected = if pfn == head { word } else { 0 };
                assert_eq!(self.machine.owner(pfn, order), Ok(expected), "{pfn}, a part of {block}");
                self.rename(Block { pfn, order, mobility }, truth);
            }
            pfn = block.end();
        }
    }

    pub(super) fn split(&mut self, number: u16, into: Order) {
        let Some((word, Block { pfn, order, mobility })) = self.block(number) else {
            return;
        };
        let changes = self.state();
        match self.machine.split_pages(pfn, order, into) {
            Ok(()) => {
                assert!(into <= order);
                self.model.borrow_mut().blocks.remove(&word);
                for piece in order.block(pfn).iter().step_by(into.pages()) {
                    assert_eq!(self.machine.owner(piece, into), Ok(if piece == pfn { word } else { 0 }));
                    self.rename(Block { pfn: piece, order: into, mobility }, Truth::Owned(word));
                }
            }
            Err(error) => {
                assert_eq!(error, FreeError::OrderTooLarge { order: into, max: order });
                assert_eq!(self.state(), changes, "{error}");
            }
        }
    }

    pub(super) fn owner_word(&self, number: u16, by: u64) {
        if let Some((word, Block { pfn, order, .. })) = self.block(number) {
            assert_eq!(self.machine.fetch_add_owner(pfn, order, by), Ok(word));
            assert_eq!(self.machine.fetch_sub_owner(pfn, order, by), Ok(word + by));
            assert_eq!(self.machine.compare_exchange_owner(pfn, order, word + 1, 0), Ok(Err(word)));
        }
    }

    /// Sets the owner words of a range. The blocks get theirs back.
    pub(super) fn set_range_owner(&self, range: PfnRange) {
        let before = self.state();
        let model = self.model.borrow();
        match self.machine.set_range_owner(range, 1 << 40) {
            Ok(()) => {
                for pfn in range.iter() {
                    match model.at(pfn) {
                        Truth::Owned(word) => {
                            let Block { pfn, order, .. } = model.blocks[&word];
                            assert!(range.covers(order.block(pfn)), "{range}");
                            self.machine.set_owner(pfn, order, word).unwrap();
                        }
                        truth => assert_eq!(truth, Truth::Contig, "{pfn} of {range}"),
                    }
                }
            }
            Err(error) => {
                let expected = match error {
                    FreeError::Foreign { pfn } => !model.span.contains(pfn),
                    FreeError::NotContig { pfn, .. } => {
                        !matches!(model.at(pfn), Truth::Owned(_) | Truth::Contig)
                    }
                    FreeError::BadRange { .. } => true,
                    _ => false,
                };
                assert!(expected, "{range}: {error}");
                assert_eq!(self.state(), before, "{error}");
            }
        }
    }

    pub(super) fn bad_free(&mut self, place: u16, order: Order) {
        let span = self.machine.span();
        let pfn = Pfn::new(span.start().number() + usize::from(place) % (span.len() + 2));
        let held = |block: &Block| block.pfn == pfn && block.order == order;
        // Another CPU may allocate what is there.
        if self.model.borrow().blocks.values().any(held) || self.setup.others {
            return;
        }
        let result = self.free_is_refused_without_a_change(|machine| machine.free_pages(pfn, order));
        let error = result.unwrap_err();
        let model = self.model.borrow();
        if !span.contains(pfn) {
            assert_eq!(error, FreeError::Foreign { pfn });
        } else if order > G::MAX_ORDER {
            assert_eq!(error, FreeError::OrderTooLarge { order, max: G::MAX_ORDER });
        } else if !order.is_aligned(pfn) {
            assert_eq!(error, FreeError::Unaligned { pfn, order });
        } else {
            match (model.at(pfn), error) {
                (Truth::Pool, FreeError::DoubleFree { .. })
                | (Truth::Out, FreeError::Hole { .. } | FreeError::NotManaged { .. })
                | (Truth::Contig, FreeError::Contig { .. } | FreeError::NotHead { .. })
                | (Truth::Bad, FreeError::NotManaged { kind: FrameKind::HwPoison, .. })
                | (Truth::Offline, FreeError::NotManaged { .. } | FreeError::NotHead { .. }) => {}
                (Truth::Owned(word), FreeError::WrongOrder { allocated, .. }) => {
                    assert_eq!(allocated, model.blocks[&word].order);
                }
                (Truth::Owned(word), FreeError::NotHead { head, .. }) => {
                    assert_eq!(head, model.blocks[&word].pfn)
                }
                (truth, error) => panic!("{pfn} is {truth:?}: {error}"),
            }
        }
    }
}
