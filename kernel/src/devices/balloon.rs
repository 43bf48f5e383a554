//! A virtio balloon device, of which this driver uses the queue for free page reporting.
//!
//! Section 5.5 of the virtio specification, version 1.2. The host discards the contents of each
//! buffer on the queue before it returns the buffer. The guest may then use the memory again: it
//! reads as zeros.

#![expect(unsafe_code, reason = "free memory becomes a buffer of a device")]

use core::fmt;
use core::slice;

use heapless::Vec;
use pageblock::PfnRange;
use virtio_drivers::Error;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use x86_64::PhysAddr;

use crate::devices::device_memory::KernelHal;
use crate::devices::virtio::{self, NoDevice};
use crate::physical::phys_to_virt;

/// The blocks of a report: the size of QEMU's queue.
pub(crate) const BLOCKS: usize = 32;

/// `VIRTIO_F_VERSION_1`.
const VERSION_1: u64 = 1 << 32;
/// `VIRTIO_BALLOON_F_STATS_VQ`.
const STATS: u64 = 1 << 1;
/// `VIRTIO_BALLOON_F_FREE_PAGE_HINT`.
const HINTS: u64 = 1 << 3;
/// `VIRTIO_BALLOON_F_REPORTING`.
const REPORTING: u64 = 1 << 5;

/// A balloon device.
pub(crate) struct Balloon {
    transport: PciTransport,
    index: u16,
    queue: VirtQueue<KernelHal, BLOCKS>,
}

/// Why there is no balloon device.
#[derive(Debug)]
pub(crate) enum NoBalloon {
    /// There is no such device.
    Device(NoDevice),
    /// The device does not take reports.
    NoReporting,
    /// The device refuses the driver, or there is no memory for its queue.
    Driver(Error),
}

impl fmt::Display for NoBalloon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::NoReporting => f.write_str("the balloon device takes no reports of free pages"),
            Self::Driver(error) => write!(f, "the balloon device: {error}"),
        }
    }
}

impl Balloon {
    /// The first balloon device of the machine. Only the boot CPU's own task may call this.
    pub(crate) fn open() -> Result<Self, NoBalloon> {
        let mut transport = virtio::find(DeviceType::MemoryBalloon).map_err(NoBalloon::Device)?;
        let started = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(started);
        let features = transport.read_device_features() & (VERSION_1 | STATS | HINTS | REPORTING);
        if features & REPORTING == 0 {
            return Err(NoBalloon::NoReporting);
        }
        transport.write_driver_features(features);
        transport.set_status(started | DeviceStatus::FEATURES_OK);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(NoBalloon::Driver(Error::Unsupported));
        }
        // After the queues to inflate and deflate, and after those of features that there are.
        let index = 2 + [STATS, HINTS].into_iter().filter(|feature| features & feature != 0).count() as u16;
        let mut queue = VirtQueue::new(&mut transport, index, false, false).map_err(NoBalloon::Driver)?;
        queue.set_dev_notify(false);
        transport.finish_init();
        Ok(Self { transport, index, queue })
    }

    /// Tells the host of blocks of a batch, all of which have been handed over, and waits until it
    /// has acknowledged them.
    pub(crate) fn report(&mut self, blocks: &Vec<PfnRange, BLOCKS>) -> Result<(), Error> {
        let mut buffers: [&mut [u8]; BLOCKS] = core::array::from_fn(|_| Default::default());
        for (place, block) in buffers.iter_mut().zip(blocks) {
            *place = buffer(*block);
        }
        let buffers = buffers.get_mut(..blocks.len()).unwrap_or_default();
        self.queue.add_notify_wait_pop(&[], buffers, &mut self.transport).map(drop)
    }
}

/// The memory of a block that has been handed over.
fn buffer(block: PfnRange) -> &'static mut [u8] {
    let address = phys_to_virt(PhysAddr::new(block.start_address()));
    // SAFETY: the direct map covers the block for as long as the kernel runs. Nobody else uses the
    // memory: it is handed over to the host, and no request gets it before the end of its batch.
    unsafe { slice::from_raw_parts_mut(address.as_mut_ptr(), block.len() << 12) }
}

impl Drop for Balloon {
    fn drop(&mut self) {
        self.transport.queue_unset(self.index);
    }
}
