//! An active address space: its root in CR3, its pages read and written at their own addresses.
//!
//! Contents are checked through these addresses on purpose. A page that migration left mapped to
//! the wrong frame, or a stale translation in a TLB, shows as wrong contents; a check through the
//! direct map would notice neither. The page fault handler is here as well: it makes a CPU wait
//! that touches a page under migration.

#![expect(unsafe_code, reason = "loads CR3")]

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::idt::PageFaultErrorCode;
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

use crate::arch::trap::{self, FaultOutcome};
use crate::space::address_space::{AddressSpace, SpaceError, cpu_bit};
use crate::space::contents::{Contents, Key};
use crate::space::entry::{Entry, EntryState};
use crate::space::frame::mapped_words;
use crate::space::tables::{current_root, find};
use crate::space::vpage::{VPage, WINDOW};

/// Installs the page fault handler. It must be called once, before the first page is mapped.
pub(crate) fn init() {
    trap::set_fault_hook(Some(on_page_fault));
}

/// Proof that a space is active on this CPU. Dropping it loads the previous tables.
#[derive(Debug)]
pub(crate) struct Active<'s> {
    space: &'s AddressSpace,
    before: (PhysFrame, Cr3Flags),
    bit: u64,
    /// The value is valid only on the CPU that made it.
    not_send: PhantomData<*const ()>,
}

impl AddressSpace {
    /// Makes the space active on this CPU.
    pub(crate) fn activate(&self) -> Active<'_> {
        let bit = cpu_bit();
        let before = Cr3::read();
        let root = PhysFrame::containing_address(PhysAddr::new(self.root().start_address()));
        // The bit first, so that every later change of an entry flushes this CPU.
        self.slot().active.fetch_or(bit, Ordering::SeqCst);
        // SAFETY: the root is a copy of the kernel's own table plus the window for user pages, so
        // everything that the kernel uses stays mapped at its address.
        unsafe { Cr3::write(root, before.1) };
        Active { space: self, before, bit, not_send: PhantomData }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        // SAFETY: these are the previous tables of this CPU, which have not been freed.
        unsafe { Cr3::write(self.before.0, self.before.1) };
        // The load flushed all translations of the space, so this CPU needs no more flushes.
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

    /// Compares the contents of `page` with the version that was written last.
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

/// Handles a page fault: an access to a page under migration is retried, any other is an error.
///
/// It takes no lock, because the migration may hold that of the space. The tables cannot be freed
/// meanwhile, because they are active on this CPU. It returns at once instead of waiting, so that
/// interrupts (the shootdown of that same migration) are served between two attempts.
fn on_page_fault(address: VirtAddr, code: PageFaultErrorCode) -> FaultOutcome {
    let Some(page) = VPage::containing(address) else { return FaultOutcome::Unhandled };
    if code.contains(PageFaultErrorCode::PROTECTION_VIOLATION) || !WINDOW.contains(&address) {
        return FaultOutcome::Unhandled;
    }
    let Some(entry) = find(current_root(), page) else { return FaultOutcome::Unhandled };
    match Entry::from_raw(entry.load(Ordering::Acquire)).state() {
        EntryState::Empty => FaultOutcome::Unhandled,
        EntryState::Mapped => FaultOutcome::Handled, // the migration ended after the fault
        EntryState::Migrating => FaultOutcome::Handled,
    }
}
