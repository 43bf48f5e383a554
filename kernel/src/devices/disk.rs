//! A virtio block device, with several requests in flight.

#![expect(unsafe_code, reason = "the device reads and writes memory while a request is in flight")]

use core::fmt;
use core::mem::MaybeUninit;
use core::slice;

use pageblock::{AllocRequest, PfnRange};
use virtio_drivers::Error;
use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::PciTransport;
use x86_64::PhysAddr;

use crate::devices::device_memory::KernelHal;
use crate::devices::virtio::{self, NoDevice};
use crate::memory::{Block, allocator};
use crate::physical::phys_to_virt;

/// The most requests in flight: the queue has 16 descriptors, and a request takes three.
pub(crate) const DEPTH: usize = 5;

/// The sectors of a page.
const SECTORS: usize = 8;

/// A disk.
pub(crate) struct Disk {
    /// Before the page, so that the device is reset before the page is freed.
    driver: VirtIOBlk<KernelHal, PciTransport>,
    /// A page with the headers and the answers of the requests.
    page: Block<'static>,
    flights: [Option<Flight>; DEPTH],
}

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transfer {
    /// The disk writes to memory.
    Read,
    /// The disk reads memory.
    Write,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    token: u16,
    transfer: Transfer,
    frames: PfnRange,
}

/// Why there is no disk.
#[derive(Debug)]
pub(crate) enum NoDisk {
    /// There is no such device.
    Device(NoDevice),
    /// The device refuses the driver, or there is no memory for its queue.
    Driver(Error),
    /// There is no page for the headers of requests.
    NoPage,
}

impl fmt::Display for NoDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Driver(error) => write!(f, "the disk: {error}"),
            Self::NoPage => f.write_str("no page for the requests of the disk"),
        }
    }
}

impl Disk {
    /// The first disk of the machine. Only the boot CPU's own task may call this.
    pub(crate) fn open() -> Result<Self, NoDisk> {
        let transport = virtio::find(DeviceType::Block).map_err(NoDisk::Device)?;
        let mut driver = VirtIOBlk::new(transport).map_err(NoDisk::Driver)?;
        driver.disable_interrupts();
        let mut page = allocator().alloc(AllocRequest::unmovable()).map_err(|_| NoDisk::NoPage)?;
        for header in headers(&mut page) {
            header.write(Header { request: BlkReq::default(), response: BlkResp::default() });
        }
        Ok(Self { driver, page, flights: [None; DEPTH] })
    }

    /// The number of pages that it has.
    pub(crate) fn pages(&self) -> u64 {
        self.driver.capacity() / SECTORS as u64
    }

    /// Starts a request in that place for one, which must be free: `frames` from or to as many
    /// pages of the disk, from `page` on.
    ///
    /// The caller owns the frames, does not access them before [`poll`](Self::poll) returns the
    /// place, and does not free them.
    pub(crate) fn start(
        &mut self,
        place: usize,
        transfer: Transfer,
        page: u64,
        frames: PfnRange,
    ) -> Result<(), Error> {
        let Header { request, response } = header(&mut self.page, place);
        let sector = page as usize * SECTORS;
        let memory = memory(frames);
        // Nothing accesses the header and the memory before the request has ended: the header is
        // this place's, and the caller promises it of the memory.
        let token = match transfer {
            // SAFETY: as above.
            Transfer::Read => unsafe { self.driver.read_blocks_nb(sector, request, memory, response) },
            // SAFETY: as above.
            Transfer::Write => unsafe { self.driver.write_blocks_nb(sector, request, memory, response) },
        }?;
        self.flights[place] = Some(Flight { token, transfer, frames });
        Ok(())
    }

    /// The place of a request that has ended, and how it has ended. `None` if none has.
    pub(crate) fn poll(&mut self) -> Option<(usize, Result<(), Error>)> {
        let token = self.driver.peek_used()?;
        let of_token = |flight: &Option<Flight>| flight.is_some_and(|flight| flight.token == token);
        let place = self.flights.iter().position(of_token)?;
        let Flight { transfer, frames, .. } = self.flights[place].take()?;
        let Header { request, response } = header(&mut self.page, place);
        let memory = memory(frames);
        let ended = match transfer {
            // SAFETY: these are what was passed when the request was started.
            Transfer::Read => unsafe { self.driver.complete_read_blocks(token, request, memory, response) },
            // SAFETY: as above.
            Transfer::Write => unsafe { self.driver.complete_write_blocks(token, request, memory, response) },
        };
        Some((place, ended))
    }
}

/// The header and the answer of a request.
#[repr(C, align(64))]
struct Header {
    request: BlkReq,
    response: BlkResp,
}

/// The header of the request in that place.
fn header<'p>(page: &'p mut Block<'static>, place: usize) -> &'p mut Header {
    // SAFETY: `open` has written all of them.
    unsafe { headers(page)[place].assume_init_mut() }
}

/// The headers of all requests.
fn headers<'p>(page: &'p mut Block<'static>) -> &'p mut [MaybeUninit<Header>; DEPTH] {
    let address = phys_to_virt(PhysAddr::new(page.start_address()));
    // SAFETY: the page is in the direct map, belongs to the disk, and is large enough.
    unsafe { &mut *address.as_mut_ptr() }
}

/// The bytes of frames. The reference is used only to hand the address and the length to the
/// driver.
fn memory(frames: PfnRange) -> &'static mut [u8] {
    let address = phys_to_virt(PhysAddr::new(frames.start_address()));
    let bytes = (frames.bytes().end - frames.bytes().start) as usize;
    // SAFETY: the frames are in the direct map, and belong to the caller of `start`.
    unsafe { slice::from_raw_parts_mut(address.as_mut_ptr(), bytes) }
}
