//! Running in an address space: its root in CR3, its pages reached at their own addresses.
//!
//! The contents checks of the whole kernel go through here on purpose. A page that migration left
//! mapped to the wrong frame, or a translation that a CPU should have dropped, shows as wrong
//! contents; a check through the physical-memory mapping would see neither. Also the page fault hook,
//! which makes a CPU wait that touches a page in flight. Neighbours:
//! [`address_space`](super::address_space), [`migrate`](super::migrate).
#![expect(unsafe_code, reason = "loads CR3")]

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::idt::PageFaultErrorCode;
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

use super::address_space::{AddressSpace, SpaceError, here};
use super::contents::{Contents, Key};
use super::entry::{Entry, EntryState};
use super::frame::mapped_words;
use super::tables::{current_root, find};
use super::{VPage, WINDOW};
use crate::arch::FaultOutcome;

/// Proof that this CPU runs in a space. Dropping it goes back to the tables from before.
#[derive(Debug)]
pub(crate) struct Active<'s> {
    space: &'s AddressSpace,
    before: (PhysFrame, Cr3Flags),
    bit: u64,
    /// Belongs to the CPU that made it.
    not_send: PhantomData<*const ()>,
}

impl AddressSpace {
    /// Makes this CPU run in the space.
    pub(crate) fn activate(&self) -> Active<'_> {
        let bit = here();
        let before = Cr3::read();
        let root = PhysFrame::containing_address(PhysAddr::new(self.root().start_address()));
        // The bit first: whoever changes an entry from now on flushes this CPU.
        self.slot().active.fetch_or(bit, Ordering::SeqCst);
        // SAFETY: the root is a copy of the kernel's own tables plus the window for user pages, so
        // that everything the kernel uses stays mapped where it is.
        unsafe { Cr3::write(root, before.1) };
        Active { space: self, before, bit, not_send: PhantomData }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        // SAFETY: these are the tables that this CPU ran on before, which nobody frees meanwhile.
        unsafe { Cr3::write(self.before.0, self.before.1) };
        // Now that the load dropped every translation, nobody needs to flush this CPU any more.
        self.space.slot().active.fetch_and(!self.bit, Ordering::SeqCst);
    }
}

impl Active<'_> {
    /// The space that is active.
    pub(crate) fn space(&self) -> &AddressSpace {
        self.space
    }

    /// Writes the next version of the contents of `page`.
    pub(crate) fn write(&self, page: VPage) -> Result<(), SpaceError> {
        let entry = self.space.next_version(page)?;
        self.key(page, entry).fill(mapped_words(page.address()));
        Ok(())
    }

    /// Compares `page` with the version that was written last.
    pub(crate) fn check(&self, page: VPage) -> Result<Contents, SpaceError> {
        let entry = self.space.entry(page);
        if entry == Entry::EMPTY {
            return Err(SpaceError::NotMapped(page));
        }
        Ok(self.key(page, entry).check(mapped_words(page.address())))
    }

    fn key(&self, page: VPage, entry: Entry) -> Key {
        Key::new(self.space.identity(), u64::from(page.number()), entry.version())
    }
}

/// The page fault hook: a page in flight is worth waiting for, anything else is not ours.
///
/// Runs without any lock, since the migration that is waited for may hold the space's. The tables
/// cannot go away: this CPU has them active. Returns at once instead of waiting here, so that
/// interrupts (the shootdown of that same migration) are served between two attempts.
pub(crate) fn on_page_fault(address: VirtAddr, code: PageFaultErrorCode) -> FaultOutcome {
    let Some(page) = VPage::containing(address) else { return FaultOutcome::Unhandled };
    if code.contains(PageFaultErrorCode::PROTECTION_VIOLATION) || !WINDOW.contains(&address) {
        return FaultOutcome::Unhandled;
    }
    let Some(entry) = find(current_root(), page) else { return FaultOutcome::Unhandled };
    match Entry::from_raw(entry.load(Ordering::Acquire)).state() {
        EntryState::Empty => FaultOutcome::Unhandled,
        EntryState::Mapped => FaultOutcome::Handled, // arrived between the fault and this look
        EntryState::Migrating => FaultOutcome::Handled,
    }
}
