//! The devices that a scenario's guest has, beside those of every guest.

use std::ffi::OsString;
use std::path::PathBuf;

/// A device that a scenario's guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// QEMU's name for it.
    pub name: &'static str,
    /// Its properties, as the rest of QEMU's option `-device`: each after a comma.
    pub properties: &'static str,
    /// Arguments of QEMU that must come before it: what it is connected to, for instance.
    pub before: &'static [&'static str],
}

/// The emulator does not have a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} has no device `{device}`, which this scenario needs: {why}.\n\
     Another QEMU can be given: --qemu PATH, or PAGEBLOCK_QEMU=PATH in the environment.",
    .program.display()
)]
pub struct NoDevice {
    /// The emulator.
    pub program: PathBuf,
    /// QEMU's name for the device.
    pub device: &'static str,
    /// What QEMU says.
    pub why: String,
}

impl Device {
    /// A disk, whose file [`Disk`](crate::disk::Disk) is. `event_idx=off`, because version 0.13 of
    /// `virtio-drivers` compares the indices of the ring without regard to their overflow, and does
    /// not notify the device of some requests after it.
    pub const DISK: Self =
        Self { name: "virtio-blk-pci", properties: ",drive=disk,event_idx=off", before: &[] };

    /// A balloon device that takes reports of free pages. `event_idx=off` as for the disk.
    pub const BALLOON: Self =
        Self { name: "virtio-balloon-pci", properties: ",free-page-reporting=on,event_idx=off", before: &[] };

    /// QEMU's arguments for these devices.
    pub(crate) fn arguments(devices: &[Self]) -> Vec<OsString> {
        let arguments = devices.iter().flat_map(|device| {
            let before = device.before.iter().map(|&argument| argument.into());
            before.chain(["-device".into(), format!("{}{}", device.name, device.properties).into()])
        });
        arguments.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_comes_after_what_it_is_connected_to() {
        let devices = [
            Device { name: "a", properties: ",x=1,y=2", before: &["-object", "memory,id=x"] },
            Device { name: "b", properties: "", before: &[] },
        ];
        let arguments = ["-object", "memory,id=x", "-device", "a,x=1,y=2", "-device", "b"];
        assert_eq!(Device::arguments(&devices), arguments);
    }
}
