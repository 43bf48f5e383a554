//! The host, as the kernel sees it: the balloon device, and the batch that it is being told of.
//!
//! It is under a lock of its own, so that not only the task that reports can end the batch: a
//! request that needs its memory, on any CPU, tells the host and waits for the answer
//! (`Platform::wait_for_report`). Nobody allocates while this lock is held.

use core::sync::atomic::{AtomicUsize, Ordering};

use heapless::Vec;
use pageblock::{PfnRange, ReportBatch, ReportOptions};
use virtio_drivers::Error;

use crate::devices::balloon::{BLOCKS, Balloon};
use crate::memory::allocator;
use crate::memory::platform::{self, ThisMachine};
use crate::sync::Lock;

static HOST: Lock<Option<Host>> = Lock::new(None);
/// The pages that the host has acknowledged.
static ACKNOWLEDGED: AtomicUsize = AtomicUsize::new(0);

struct Host {
    balloon: Balloon,
    out: Option<(ReportBatch<'static, 'static, ThisMachine>, Vec<PfnRange, BLOCKS>)>,
    error: Option<Error>,
}

/// Reports from now on go to that device, and requests wait for them.
pub(super) fn connect(balloon: Balloon) {
    ACKNOWLEDGED.store(0, Ordering::Relaxed);
    *HOST.lock() = Some(Host { balloon, out: None, error: None });
    platform::WAIT_FOR_REPORT.replace(Some(wait));
}

/// Disconnects the device, which gives the memory of its queue back. Returns the error if the host
/// has not acknowledged a batch.
pub(super) fn disconnect() -> Option<Error> {
    platform::WAIT_FOR_REPORT.replace(None);
    HOST.lock().take().and_then(|host| host.error)
}

/// Hands a batch over. Returns its last block, and whether it has as many blocks as a batch can
/// have; `None` if there is nothing to report.
pub(super) fn hand_over() -> Option<(PfnRange, bool)> {
    let mut host = HOST.lock();
    let host = host.as_mut()?;
    let options = ReportOptions::default().blocks(BLOCKS);
    let Ok(Some(mut batch)) = allocator().report_free_pages(options) else {
        return None;
    };
    let mut blocks: Vec<PfnRange, BLOCKS> = Vec::new();
    while !blocks.is_full()
        && let Some(block) = batch.hand_over()
    {
        let _pushed = blocks.push(block);
    }
    let last = blocks.last().copied().map(|last| (last, blocks.is_full()));
    host.out = Some((batch, blocks));
    last
}

/// Tells the host of the batch that is out, if there is one, and ends it when the host has
/// acknowledged it. Returns whether there was one.
pub(super) fn finish() -> bool {
    let mut host = HOST.lock();
    let Some(Host { balloon, out, error }) = &mut *host else { return false };
    let Some((batch, blocks)) = out.take() else { return false };
    match balloon.report(&blocks) {
        Ok(()) => {
            batch.acknowledged();
            let pages = blocks.iter().map(|block| block.len()).sum();
            ACKNOWLEDGED.fetch_add(pages, Ordering::Relaxed);
        }
        // The host may still discard the blocks, so that they stay out.
        Err(failed) => *error = Some(failed),
    }
    true
}

/// Waits for the batch that is out. Returns whether one has come back.
fn wait() -> bool {
    let before = acknowledged();
    finish() || acknowledged() != before
}

/// The pages that the host has acknowledged until now.
pub(super) fn acknowledged() -> usize {
    ACKNOWLEDGED.load(Ordering::Relaxed)
}

/// Whether the host has failed to acknowledge a batch.
pub(super) fn has_failed() -> bool {
    HOST.lock().as_ref().is_some_and(|host| host.error.is_some())
}
