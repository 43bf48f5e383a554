//! The slots for DIMMs: the registers of QEMU's ACPI memory hotplug.
//!
//! They are I/O ports (`docs/specs/acpi_mem_hotplug.rst` of QEMU), which the methods of the ACPI
//! tables use. This kernel has no interpreter for these methods, and uses the ports itself. It
//! looks at them from time to time and needs no interrupt.

#![expect(unsafe_code, reason = "port I/O")]

use pageblock::PfnRange;
use x86_64::instructions::port::Port;

/// The first port, on the machine `pc`.
const BASE: u16 = 0xa00;
/// The slots that this kernel looks at.
const SLOTS: u32 = 4;

// Ports when they are read, and what they are when they are written.
const ADDRESS_LOW: u16 = BASE;
const ADDRESS_HIGH: u16 = BASE + 4;
const SIZE_LOW: u16 = BASE + 8;
const SIZE_HIGH: u16 = BASE + 12;
const STATUS: u16 = BASE + 20;
const SELECT: u16 = BASE;
const OST_EVENT: u16 = BASE + 4;
const OST_STATUS: u16 = BASE + 8;
const CONTROL: u16 = BASE + 20;

/// In the status: there is a DIMM, it was inserted, it is to be removed.
const ENABLED: u8 = 1;
const INSERTED: u8 = 2;
const REMOVE: u8 = 4;
/// In the control register: the event has been seen, or the DIMM is not in use any more.
const EJECT: u8 = 8;

/// A request to eject, as `_OST` of ACPI reports on it, and that it was refused.
const EVENT_EJECT: u32 = 3;
const STATUS_REFUSED: u32 = 0x81;

/// What the host has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A DIMM was inserted, with these frames.
    Inserted(PfnRange),
    /// The DIMM is to be removed.
    Remove,
}

/// A slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot(u32);

fn read(port: u16) -> u64 {
    // SAFETY: reading these ports has no side effect.
    u64::from(unsafe { Port::<u32>::new(port).read() })
}

fn write(port: u16, value: u32) {
    // SAFETY: the ports select a slot, or report to the host, and do nothing to memory in use.
    unsafe { Port::new(port).write(value) };
}

fn control(bits: u8) {
    // SAFETY: as `Slot::eject` asks for, the slot has no memory in use if it is ejected.
    unsafe { Port::new(CONTROL).write(bits) };
}

fn status() -> u8 {
    // SAFETY: reading the port has no side effect.
    unsafe { Port::new(STATUS).read() }
}

/// The next event that was not acknowledged. Only one task may use the slots.
pub(crate) fn next_event() -> Option<(Slot, Event)> {
    (0..SLOTS).find_map(|slot| {
        write(SELECT, slot);
        let status = status();
        // A machine without slots has no such ports, which read as ones.
        if status & ENABLED == 0 || status == u8::MAX {
            return None;
        }
        if status & INSERTED != 0 {
            let start = read(ADDRESS_LOW) | read(ADDRESS_HIGH) << 32;
            let size = read(SIZE_LOW) | read(SIZE_HIGH) << 32;
            control(INSERTED);
            return Some((Slot(slot), Event::Inserted(PfnRange::inside(start..start + size))));
        }
        (status & REMOVE != 0).then(|| {
            control(REMOVE);
            (Slot(slot), Event::Remove)
        })
    })
}

impl Slot {
    /// Ejects the DIMM, of which nothing may be in use.
    pub(crate) fn eject(self) {
        write(SELECT, self.0);
        control(EJECT);
    }

    /// Tells the host that the DIMM is not ejected.
    pub(crate) fn refuse_to_eject(self) {
        write(SELECT, self.0);
        write(OST_EVENT, EVENT_EJECT);
        write(OST_STATUS, STATUS_REFUSED);
    }
}
