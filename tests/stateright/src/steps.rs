//! The steps of the protocol, and what is left out of it.

use crate::state::{
    CPUS, Cpu, DRAINER, Doing, DrainStep, FRAMES, Frame, ISOLATOR, Record, Seen, State, Store, is_inside,
};

/// A step of the protocol that is left out, to see that the model fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Without {
    Nothing,
    /// A drain does not revoke the owners' access.
    Revoke,
    /// A drain makes no CPU execute a barrier.
    Barrier,
    /// A drain does not wait until the owners have left.
    Wait,
    /// The end of one drain ends the revocations of the others.
    CountOfRevocations,
    /// An owner does not look whether its access is revoked.
    RevokedCheck,
    /// A free does not look whether the pageblock is isolated.
    SlotCheck,
    /// A free looks before it has access.
    SlotAfterAccess,
    /// An isolation does not drain.
    Drain,
    /// An isolation drains before it marks the pageblock.
    MarkBeforeDrain,
    /// A spill uses what the pageblock was before the lock hold.
    TypeInHold,
    /// An undo does not count the pages again.
    CountInUndo,
    /// A free of a block that is being migrated frees it at once.
    PinCheck,
}

/// The steps. Each is one access to a gate, or one hold of the zone lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    /// A store becomes visible to other CPUs.
    StoreIsSeen,
    EnterToFree(Frame),
    ReadSlotFirst(Frame),
    EnterToAlloc,
    EnterToSpill,
    ReadRevoked,
    ReadSlot,
    Push,
    Pop(Frame),
    PopToSpill(Frame),
    Leave,
    /// `free_to_zone`: one hold.
    ZoneFree,
    /// `alloc_from_zone`: one hold.
    ZoneAlloc(Frame),
    ZoneAllocFails,
    /// `refill` of `alloc`, with access to the lists: one hold.
    ZoneRefill(Frame),
    /// `spill`: one hold.
    ZoneSpill,
    /// `isolating` of `isolated_range`: one hold.
    ZoneIsolate,
    DrainBegins,
    Revoke,
    Barrier,
    SeesOwnerOutside,
    /// The list's lock, and one hold of the zone lock.
    EmptyList,
    Resume,
    /// `pin` of `move_block`: one hold.
    ZonePin(Frame),
    ZoneTarget(Frame),
    /// A target from the isolator's own list.
    TargetFromList(Frame),
    NoTarget,
    OwnerMigrates,
    OwnerIsFreeing,
    /// The end of `move_block`: one hold.
    ZoneMoveEnds,
    /// The same, if the target goes to the isolator's own list: `free_pinned` of `free`.
    TargetToList,
    /// `take` of `isolated_range`: one hold.
    ZoneTake,
    /// `free_contig`: one hold.
    ZoneGiveBack,
    /// The end of an isolation: one hold.
    ZoneUndo,
}

impl Step {
    /// The kinds of steps, for the table of what was reached.
    pub(crate) fn name(self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }

    pub(crate) const KINDS: usize = 34;
}

fn frames(bits: u8) -> impl Iterator<Item = Frame> {
    (0..FRAMES).filter(move |frame| bits & 1 << frame != 0)
}

/// The free frames.
fn free(state: &State) -> impl Iterator<Item = Frame> {
    (0..FRAMES).filter(|frame| state.records[*frame] == Record::Free)
}

/// Whether the isolator could go through its own gate. It does so in one step: owners take the way
/// step by step.
fn can_use_own_list(state: &State, cpu: Cpu) -> bool {
    state.revocations[cpu] == 0 && state.stores[cpu].is_empty()
}

/// The steps that a CPU can do next.
pub(crate) fn steps(state: &State, cpu: Cpu, without: Without, out: &mut Vec<(Cpu, Step)>) {
    if !state.stores[cpu].is_empty() {
        out.push((cpu, Step::StoreIsSeen));
    }
    let mut can = |step| out.push((cpu, step));
    match state.doing[cpu] {
        // An owner begins with an empty store buffer: a stronger machine, but fewer states.
        Doing::Nothing if state.stores[cpu].is_empty() => {
            for frame in 0..FRAMES {
                if matches!(state.records[frame], Record::Allocated(c) | Record::Pinned(c) if c == cpu) {
                    can(match without {
                        Without::SlotAfterAccess => Step::ReadSlotFirst(frame),
                        _ => Step::EnterToFree(frame),
                    });
                }
            }
            can(Step::EnterToAlloc);
            if state.lists[cpu] != 0 {
                can(Step::EnterToSpill);
            }
            if cpu == DRAINER {
                can(Step::DrainBegins);
            }
            if cpu == ISOLATOR && !state.isolated {
                can(if without == Without::MarkBeforeDrain { Step::DrainBegins } else { Step::ZoneIsolate });
            }
        }
        Doing::Nothing => {}
        Doing::FreeWithSlot(frame, _) => can(Step::EnterToFree(frame)),
        Doing::Free(_, Seen::Nothing) | Doing::Alloc(Seen::Nothing) | Doing::Spill(Seen::Nothing) => {
            can(Step::ReadRevoked);
        }
        Doing::Free(_, Seen::Access) => can(Step::ReadSlot),
        Doing::Free(_, Seen::NotIsolated) => can(Step::Push),
        Doing::Alloc(Seen::Access) => match state.own_list(cpu) {
            0 => {
                can(Step::Leave);
                free(state).for_each(|frame| can(Step::ZoneRefill(frame)));
            }
            list => frames(list).for_each(|frame| can(Step::Pop(frame))),
        },
        Doing::Spill(Seen::Access) => match state.own_list(cpu) {
            0 => can(Step::Leave),
            list => frames(list).for_each(|frame| can(Step::PopToSpill(frame))),
        },
        Doing::Free(..) | Doing::Alloc(_) | Doing::Spill(_) => can(Step::Leave),
        Doing::Spilling(..) => can(Step::ZoneSpill),
        Doing::FreeToZone(_) => can(Step::ZoneFree),
        Doing::AllocFromZone => {
            let mut none = true;
            for frame in free(state) {
                none = false;
                can(Step::ZoneAlloc(frame));
            }
            if none {
                can(Step::ZoneAllocFails);
            }
        }
        Doing::Drain(DrainStep::Revoke, ..) => can(Step::Revoke),
        Doing::Drain(DrainStep::Barrier, ..) => can(Step::Barrier),
        Doing::Drain(DrainStep::Wait, of, _) => {
            if !state.inside[of] || without == Without::Wait {
                can(Step::SeesOwnerOutside);
            }
        }
        Doing::Drain(DrainStep::Empty, ..) => can(Step::EmptyList),
        Doing::Drain(DrainStep::Resume, ..) => can(Step::Resume),
        Doing::Isolated => {
            for frame in (0..FRAMES).filter(|frame| is_inside(*frame)) {
                match state.records[frame] {
                    Record::Allocated(_) => can(Step::ZonePin(frame)),
                    Record::Isolated => can(Step::ZoneTake),
                    _ => {}
                }
            }
            can(Step::ZoneUndo);
        }
        Doing::Pinned(_) => {
            let outside =
                (0..FRAMES).find(|frame| !is_inside(*frame) && state.records[*frame] == Record::Free);
            can(outside.map_or(Step::NoTarget, Step::ZoneTarget));
            if can_use_own_list(state, cpu) {
                let cached = frames(state.lists[cpu]).find(|frame| !is_inside(*frame));
                cached.into_iter().for_each(|frame| can(Step::TargetFromList(frame)));
            }
        }
        Doing::Migrating(frame, _) => match state.records[frame] {
            Record::Pinned(owner) if !state.is_freeing(owner, frame) => can(Step::OwnerMigrates),
            _ => can(Step::OwnerIsFreeing),
        },
        Doing::Migrated(_, _, moved) => {
            can(Step::ZoneMoveEnds);
            if !moved && can_use_own_list(state, cpu) {
                can(Step::TargetToList);
            }
        }
        Doing::Taken => can(Step::ZoneUndo),
        Doing::GivesBack => can(Step::ZoneGiveBack),
    }
}

/// Does a step.
pub(crate) fn apply(state: &mut State, cpu: Cpu, step: Step, without: Without) {
    let doing = state.doing[cpu];
    state.doing[cpu] = match (step, doing) {
        (Step::StoreIsSeen, doing) => {
            state.flush_one(cpu);
            doing
        }
        (Step::ReadSlotFirst(frame), _) => Doing::FreeWithSlot(frame, state.isolated && is_inside(frame)),
        (Step::EnterToFree(frame), doing) => {
            state.stores[cpu].push(Store::Inside(true));
            match doing {
                Doing::FreeWithSlot(_, true) => Doing::Free(frame, Seen::MustUseZone),
                _ => Doing::Free(frame, Seen::Nothing),
            }
        }
        (Step::EnterToAlloc, _) => {
            state.stores[cpu].push(Store::Inside(true));
            Doing::Alloc(Seen::Nothing)
        }
        (Step::EnterToSpill, _) => {
            state.stores[cpu].push(Store::Inside(true));
            Doing::Spill(Seen::Nothing)
        }
        (Step::ReadRevoked, doing) => {
            let revoked = state.revocations[cpu] > 0 && without != Without::RevokedCheck;
            let seen = if revoked { Seen::MustUseZone } else { Seen::Access };
            match doing {
                Doing::Free(frame, _) => Doing::Free(frame, seen),
                Doing::Alloc(_) => Doing::Alloc(seen),
                _ => Doing::Spill(seen),
            }
        }
        (Step::ReadSlot, Doing::Free(frame, _)) => {
            let checks = !matches!(without, Without::SlotCheck | Without::SlotAfterAccess);
            let isolated = checks && state.isolated && is_inside(frame);
            Doing::Free(frame, if isolated { Seen::MustUseZone } else { Seen::NotIsolated })
        }
        (Step::Push, Doing::Free(frame, _)) => {
            state.stores[cpu].push(Store::Push(frame));
            Doing::Free(frame, Seen::Done)
        }
        (Step::Pop(frame), _) => {
            state.stores[cpu].push(Store::Pop(frame));
            Doing::Alloc(Seen::Done)
        }
        (Step::PopToSpill(frame), _) => {
            state.stores[cpu].push(Store::Pop(frame));
            Doing::Spilling(frame, state.isolated)
        }
        (Step::ZoneSpill, Doing::Spilling(frame, remembered)) => {
            // A lock is a barrier.
            state.flush(cpu);
            let isolated = if without == Without::TypeInHold { remembered } else { state.isolated };
            state.return_to_zone(frame, isolated);
            Doing::Spill(Seen::Done)
        }
        (Step::Leave, doing) => {
            state.stores[cpu].push(Store::Inside(false));
            match doing {
                Doing::Free(frame, Seen::MustUseZone) => Doing::FreeToZone(frame),
                Doing::Alloc(Seen::MustUseZone | Seen::Access) => Doing::AllocFromZone,
                _ => Doing::Nothing,
            }
        }
        (Step::ZoneFree, Doing::FreeToZone(frame)) => {
            state.flush(cpu);
            match state.records[frame] {
                Record::Pinned(_) if without != Without::PinCheck => {
                    state.records[frame] = Record::FreedWhilePinned;
                }
                Record::Allocated(_) | Record::Pinned(_) => state.return_to_zone(frame, state.isolated),
                _ => state.impossible = true,
            }
            Doing::Nothing
        }
        (Step::ZoneAlloc(frame), _) => {
            state.flush(cpu);
            state.counter -= 1;
            state.records[frame] = Record::Allocated(cpu);
            Doing::Nothing
        }
        (Step::ZoneAllocFails, _) => Doing::Nothing,
        (Step::ZoneRefill(frame), doing) => {
            state.flush(cpu);
            state.counter -= 1;
            state.records[frame] = Record::Cached(cpu);
            state.lists[cpu] |= 1 << frame;
            doing
        }
        (Step::ZoneIsolate, doing) => {
            state.flush(cpu);
            state.isolated = true;
            for frame in 0..FRAMES {
                if is_inside(frame) && state.records[frame] == Record::Free {
                    state.records[frame] = Record::Isolated;
                    state.counter -= 1;
                }
            }
            match (doing, without) {
                (_, Without::Drain | Without::MarkBeforeDrain) => Doing::Isolated,
                _ => Doing::Drain(DrainStep::Revoke, 0, true),
            }
        }
        (Step::DrainBegins, _) => Doing::Drain(DrainStep::Revoke, 0, cpu == ISOLATOR),
        (Step::Revoke, Doing::Drain(_, of, isolates)) => {
            state.flush(cpu);
            if without != Without::Revoke {
                state.revocations[of] += 1;
            }
            next(DrainStep::Revoke, of, isolates, DrainStep::Barrier)
        }
        (Step::Barrier, Doing::Drain(_, of, isolates)) => {
            if without != Without::Barrier {
                state.flush(of);
            }
            next(DrainStep::Barrier, of, isolates, DrainStep::Wait)
        }
        (Step::SeesOwnerOutside, Doing::Drain(_, of, isolates)) => {
            next(DrainStep::Wait, of, isolates, DrainStep::Empty)
        }
        (Step::EmptyList, Doing::Drain(_, of, isolates)) => {
            state.clash |= state.has_access(of);
            for frame in frames(state.lists[of]) {
                if !isolates || is_inside(frame) {
                    state.lists[of] &= !(1 << frame);
                    state.return_to_zone(frame, state.isolated);
                }
            }
            next(DrainStep::Empty, of, isolates, DrainStep::Resume)
        }
        (Step::Resume, Doing::Drain(_, of, isolates)) => {
            state.revocations[of] = match without {
                Without::CountOfRevocations => 0,
                _ => state.revocations[of].saturating_sub(1),
            };
            match (of + 1 < CPUS, isolates, without) {
                (true, ..) => Doing::Drain(DrainStep::Resume, of + 1, isolates),
                (false, true, Without::MarkBeforeDrain) => {
                    apply(state, cpu, Step::ZoneIsolate, without);
                    Doing::Isolated
                }
                (false, true, _) => Doing::Isolated,
                (false, false, _) => Doing::Nothing,
            }
        }
        (Step::ZonePin(frame), _) => {
            let Record::Allocated(owner) = state.records[frame] else { unreachable!("it was looked at") };
            state.records[frame] = Record::Pinned(owner);
            Doing::Pinned(frame)
        }
        (Step::ZoneTarget(to), Doing::Pinned(frame)) => {
            state.records[to] = Record::Target;
            state.counter -= 1;
            Doing::Migrating(frame, to)
        }
        (Step::TargetFromList(to), Doing::Pinned(frame)) => {
            state.records[to] = Record::Target;
            state.lists[cpu] &= !(1 << to);
            Doing::Migrating(frame, to)
        }
        (Step::NoTarget, Doing::Pinned(frame)) => {
            unpin(state, frame);
            Doing::Isolated
        }
        (Step::OwnerMigrates, Doing::Migrating(frame, to)) => {
            // The owner's page table has the target from now on.
            let Record::Pinned(owner) = state.records[frame] else { unreachable!("it was looked at") };
            state.records[to] = Record::Allocated(owner);
            state.records[frame] = Record::Moved;
            Doing::Migrated(frame, to, true)
        }
        (Step::OwnerIsFreeing, Doing::Migrating(frame, to)) => Doing::Migrated(frame, to, false),
        (Step::ZoneMoveEnds, Doing::Migrated(frame, to, moved)) => {
            if moved {
                match state.records[frame] {
                    Record::Moved => state.return_to_zone(frame, state.isolated),
                    _ => state.impossible = true,
                }
            } else {
                state.return_to_zone(to, state.isolated);
                unpin(state, frame);
            }
            Doing::Isolated
        }
        (Step::TargetToList, Doing::Migrated(frame, to, _)) => {
            state.records[to] = Record::Cached(cpu);
            state.lists[cpu] |= 1 << to;
            unpin(state, frame);
            Doing::Isolated
        }
        (Step::ZoneTake, _) => {
            for frame in (0..FRAMES).filter(|frame| is_inside(*frame)) {
                state.records[frame] = Record::Taken;
            }
            Doing::Taken
        }
        (Step::ZoneGiveBack, _) => {
            for frame in (0..FRAMES).filter(|frame| is_inside(*frame)) {
                state.return_to_zone(frame, state.isolated);
            }
            Doing::Nothing
        }
        (Step::ZoneUndo, doing) => {
            state.isolated = false;
            for frame in 0..FRAMES {
                if state.records[frame] == Record::Isolated {
                    state.records[frame] = Record::Free;
                    state.counter += u8::from(without != Without::CountInUndo);
                }
            }
            if doing == Doing::Taken { Doing::GivesBack } else { Doing::Nothing }
        }
        (step, doing) => unreachable!("{step:?} while {doing:?}"),
    };
}

/// The same step for the next CPU, or the next step for the first.
fn next(step: DrainStep, of: Cpu, isolates: bool, then: DrainStep) -> Doing {
    match of + 1 < CPUS {
        true => Doing::Drain(step, of + 1, isolates),
        false => Doing::Drain(then, 0, isolates),
    }
}

/// Ends the migration of a block that stays, or that its owner has freed meanwhile.
fn unpin(state: &mut State, frame: Frame) {
    match state.records[frame] {
        Record::Pinned(owner) => state.records[frame] = Record::Allocated(owner),
        Record::FreedWhilePinned => state.return_to_zone(frame, state.isolated),
        _ => state.impossible = true,
    }
}
