//! A virtio memory device: a window of physical memory, blocks of which the host lends to the
//! guest.
//!
//! The host sets the size that the guest should have, and the driver plugs and unplugs blocks until
//! it has that. Section 5.15 of the virtio specification, version 1.2. The driver reads the
//! requested size from time to time and needs no interrupt.

use core::fmt;

use pageblock::Pfn;
use virtio_drivers::Error;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use crate::devices::device_memory::KernelHal;
use crate::devices::virtio::{self, NoDevice};

const REQUESTS: u16 = 0;
/// More than the one request that is under way, which takes two descriptors.
const QUEUE_SIZE: usize = 4;

/// `VIRTIO_F_VERSION_1`.
const VERSION_1: u64 = 1 << 32;
/// `VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE`: no block that is not plugged may be read.
const UNPLUGGED_INACCESSIBLE: u64 = 1 << 1;

/// A memory device.
pub(crate) struct MemoryDevice {
    transport: PciTransport,
    queue: VirtQueue<KernelHal, QUEUE_SIZE>,
}

/// The configuration space of the device (`virtio_mem_config`). All sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// The size of a block.
    pub(crate) block: u64,
    /// The physical address of the window.
    pub(crate) start: u64,
    /// The size of the window.
    pub(crate) size: u64,
    /// How much of the window, from its start, may be plugged at present.
    pub(crate) usable: u64,
    /// How much is plugged.
    pub(crate) plugged: u64,
    /// How much the host wants to be plugged.
    pub(crate) requested: u64,
}

/// The host refuses a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    /// It would make the plugged size larger than the requested size, for example.
    Nack,
    /// The host cannot do it at present.
    Busy,
    /// The request is wrong.
    Error,
    /// An answer that the specification does not have.
    Unknown(u16),
    /// The queue of requests does not work.
    Queue(Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nack => f.write_str("the host refuses the request"),
            Self::Busy => f.write_str("the host is busy"),
            Self::Error => f.write_str("the host calls the request wrong"),
            Self::Unknown(answer) => write!(f, "the host answers {answer}, which has no meaning"),
            Self::Queue(error) => write!(f, "the queue of requests: {error}"),
        }
    }
}

/// Why there is no memory device.
#[derive(Debug)]
pub(crate) enum NoMemoryDevice {
    /// There is no such device.
    Device(NoDevice),
    /// The device refuses the driver, or there is no memory for its queue.
    Driver(Error),
}

impl fmt::Display for NoMemoryDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Driver(error) => write!(f, "the memory device: {error}"),
        }
    }
}

/// The types of requests.
#[derive(Clone, Copy)]
enum Request {
    Plug = 0,
    Unplug = 1,
    UnplugAll = 2,
    State = 3,
}

/// The state of a range of blocks, as the host has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// All are plugged.
    Plugged,
    /// None is plugged.
    Unplugged,
    /// Some are plugged.
    Mixed,
}

impl MemoryDevice {
    /// The first memory device of the machine. Only the boot CPU's own task may call this.
    pub(crate) fn open() -> Result<Self, NoMemoryDevice> {
        let transport = virtio::find(DeviceType::Memory).map_err(NoMemoryDevice::Device)?;
        Self::new(transport).map_err(NoMemoryDevice::Driver)
    }

    fn new(mut transport: PciTransport) -> Result<Self, Error> {
        let started = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(started);
        let features = transport.read_device_features() & (VERSION_1 | UNPLUGGED_INACCESSIBLE);
        transport.write_driver_features(features);
        transport.set_status(started | DeviceStatus::FEATURES_OK);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(Error::Unsupported);
        }
        let mut queue = VirtQueue::new(&mut transport, REQUESTS, false, false)?;
        queue.set_dev_notify(false);
        transport.finish_init();
        Ok(Self { transport, queue })
    }

    /// The configuration as it is now, all of it from the same moment.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        // Accesses to the configuration space are of four bytes at most.
        let half = |offset| self.transport.read_config_space::<u32>(offset).map(u64::from);
        let field = |offset| Ok::<u64, Error>(half(offset)? | half(offset + 4)? << 32);
        self.transport.read_consistent(|| {
            Ok(Config {
                block: field(0)?,
                start: field(16)?,
                size: field(24)?,
                usable: field(32)?,
                plugged: field(40)?,
                requested: field(48)?,
            })
        })
    }

    /// Plugs `blocks` blocks from `start` on, all of which must be unplugged.
    pub(crate) fn plug(&mut self, start: Pfn, blocks: u16) -> Result<(), Refused> {
        self.request(Request::Plug, start.start_address(), blocks).map(drop)
    }

    /// Unplugs `blocks` blocks from `start` on, all of which must be plugged. Their contents are
    /// lost.
    pub(crate) fn unplug(&mut self, start: Pfn, blocks: u16) -> Result<(), Refused> {
        self.request(Request::Unplug, start.start_address(), blocks).map(drop)
    }

    /// Unplugs all blocks.
    pub(crate) fn unplug_all(&mut self) -> Result<(), Refused> {
        self.request(Request::UnplugAll, 0, 0).map(drop)
    }

    /// The state of `blocks` blocks from `start` on.
    pub(crate) fn state(&mut self, start: Pfn, blocks: u16) -> Result<State, Refused> {
        match self.request(Request::State, start.start_address(), blocks)? {
            0 => Ok(State::Plugged),
            1 => Ok(State::Unplugged),
            2 => Ok(State::Mixed),
            other => Err(Refused::Unknown(other)),
        }
    }

    /// Makes a request and waits for the answer, which is the state if that was asked for.
    fn request(&mut self, request: Request, address: u64, blocks: u16) -> Result<u16, Refused> {
        // `virtio_mem_req`: the type, padding, the address, the number of blocks, padding.
        let mut message = [0; 24];
        message[..2].copy_from_slice(&(request as u16).to_le_bytes());
        message[8..16].copy_from_slice(&address.to_le_bytes());
        message[16..18].copy_from_slice(&blocks.to_le_bytes());
        // `virtio_mem_resp`: the type, padding, the state.
        let mut answer = [0; 10];
        self.queue
            .add_notify_wait_pop(&[&message], &mut [&mut answer], &mut self.transport)
            .map_err(Refused::Queue)?;
        let [low, high, .., state_low, state_high] = answer;
        match u16::from_le_bytes([low, high]) {
            0 => Ok(u16::from_le_bytes([state_low, state_high])),
            1 => Err(Refused::Nack),
            2 => Err(Refused::Busy),
            3 => Err(Refused::Error),
            other => Err(Refused::Unknown(other)),
        }
    }
}

impl Drop for MemoryDevice {
    fn drop(&mut self) {
        self.transport.queue_unset(REQUESTS);
    }
}
