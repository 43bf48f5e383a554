//! Finds virtio devices on PCI bus 0.

use core::fmt;

use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{Command, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, VirtioPciError, virtio_device_type};

use crate::devices::config_ports::ConfigPorts;
use crate::devices::device_memory::KernelHal;

/// Why there is no device.
#[derive(Debug)]
pub(crate) enum NoDevice {
    /// No device of that type is there.
    Absent(DeviceType),
    /// It is there, and cannot be used.
    Unusable(DeviceType, VirtioPciError),
}

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(kind) => write!(f, "this machine has no virtio device of type {kind:?}"),
            Self::Unusable(kind, error) => write!(f, "the virtio device of type {kind:?}: {error}"),
        }
    }
}

/// The first virtio device of that type, ready to be initialised. It is reset when the transport is
/// dropped. Only the boot CPU's own task may call this.
pub(crate) fn find(kind: DeviceType) -> Result<PciTransport, NoDevice> {
    let mut root = PciRoot::new(ConfigPorts);
    let found = root.enumerate_bus(0).find(|(_, info)| virtio_device_type(info) == Some(kind));
    let (function, _) = found.ok_or(NoDevice::Absent(kind))?;
    // Its registers answer, and it may read and write memory.
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command | Command::MEMORY_SPACE | Command::BUS_MASTER);
    PciTransport::new::<KernelHal, _>(&mut root, function).map_err(|error| NoDevice::Unusable(kind, error))
}
