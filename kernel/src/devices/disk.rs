//! A virtio block device.

use core::fmt;

use virtio_drivers::Error;
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::PciTransport;

use crate::devices::device_memory::KernelHal;
use crate::devices::virtio::{self, NoDevice};

/// A disk.
pub(crate) type Disk = VirtIOBlk<KernelHal, PciTransport>;

/// Why there is no disk.
#[derive(Debug)]
pub(crate) enum NoDisk {
    /// There is no such device.
    Device(NoDevice),
    /// The device refuses the driver, or there is no memory for its queue.
    Driver(Error),
}

impl fmt::Display for NoDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Driver(error) => write!(f, "the disk: {error}"),
        }
    }
}

/// The first disk of the machine.
pub(crate) fn open() -> Result<Disk, NoDisk> {
    let transport = virtio::find(DeviceType::Block).map_err(NoDisk::Device)?;
    Disk::new(transport).map_err(NoDisk::Driver)
}
