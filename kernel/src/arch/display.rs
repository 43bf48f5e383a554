//! QEMU's display device (`-device VGA`): a linear framebuffer, and the mode registers of Bochs.

#![expect(unsafe_code, reason = "port I/O, and the memory of the device")]

use x86_64::PhysAddr;
use x86_64::instructions::port::Port;

use crate::physical::direct_map::phys_to_virt;

/// The vendor and the device in the first PCI register.
const ID: u32 = 0x1111_1234;
/// PCI registers of a device, by their offsets.
const COMMAND: u32 = 0x04;
const FIRST_BAR: u32 = 0x10;
/// The bit of the command register with which a device answers to memory accesses.
const MEMORY_ENABLE: u32 = 1 << 1;
/// Mode registers, by number.
const X_RESOLUTION: u16 = 1;
const Y_RESOLUTION: u16 = 2;
const BITS_PER_PIXEL: u16 = 3;
const ENABLE: u16 = 4;
/// The display is on, with a linear framebuffer.
const ON_AND_LINEAR: u16 = 0x41;

/// The framebuffer of the device, with 32 bits for each pixel.
#[derive(Debug)]
pub(crate) struct Framebuffer {
    /// The address of the first pixel, as an integer, so that any CPU may have the framebuffer.
    base: usize,
    width: u32,
    height: u32,
}

impl Framebuffer {
    /// Finds the device and switches it to a mode of that size. `None` if there is no such device,
    /// or if its memory is not mapped.
    pub(crate) fn find(width: u32, height: u32) -> Option<Self> {
        /// The boot code maps the memory below this address.
        const MAPPED: u32 = 0xffff_f000;
        let slot = (0..32).find(|slot| pci_read(*slot, 0) == ID)?;
        let bar = pci_read(slot, FIRST_BAR) & !0xf;
        if bar == 0 || bar > MAPPED - width * height * 4 {
            return None;
        }
        pci_write(slot, COMMAND, pci_read(slot, COMMAND) | MEMORY_ENABLE);
        set_mode(ENABLE, 0);
        set_mode(X_RESOLUTION, width as u16);
        set_mode(Y_RESOLUTION, height as u16);
        set_mode(BITS_PER_PIXEL, 32);
        set_mode(ENABLE, ON_AND_LINEAR);
        let base = phys_to_virt(PhysAddr::new(bar.into())).as_u64() as usize;
        Some(Self { base, width, height })
    }

    /// Sets a pixel. One outside the display is left out.
    pub(crate) fn set(&mut self, x: u32, y: u32, [red, green, blue]: [u8; 3]) {
        if x >= self.width || y >= self.height {
            return;
        }
        let pixel = self.base as *mut u32;
        let value = u32::from_be_bytes([0, red, green, blue]);
        // SAFETY: the pixel is inside the framebuffer, which is as large as the mode, mapped, and
        // used by nobody else.
        let pixel = unsafe { pixel.add((y * self.width + x) as usize) };
        // SAFETY: the same.
        unsafe { pixel.write_volatile(value) };
    }
}

/// Selects a register of a device on the first bus.
fn select(slot: u32, register: u32) {
    // SAFETY: the address port of PCI. Nothing else in this kernel uses it.
    unsafe { Port::<u32>::new(0xcf8).write(1 << 31 | slot << 11 | register) };
}

fn pci_read(slot: u32, register: u32) -> u32 {
    select(slot, register);
    // SAFETY: reading the selected register has no effect.
    unsafe { Port::<u32>::new(0xcfc).read() }
}

fn pci_write(slot: u32, register: u32, value: u32) {
    select(slot, register);
    // SAFETY: the command register of the display, to which nothing but a bit is added.
    unsafe { Port::<u32>::new(0xcfc).write(value) };
}

fn set_mode(register: u16, value: u16) {
    // SAFETY: the index port of the display, which was found.
    unsafe { Port::<u16>::new(0x1ce).write(register) };
    // SAFETY: its data port.
    unsafe { Port::<u16>::new(0x1cf).write(value) };
}
