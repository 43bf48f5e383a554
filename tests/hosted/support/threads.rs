//! Threads that wait for each other, and do not wait for ever when one of them has failed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// `std::thread::scope`, compiled once and not for each closure.
pub(crate) fn scope<'env, T>(f: impl for<'scope> FnOnce(&Scope<'scope, 'env>) -> T) -> T {
    fn compiled_once<'env>(f: &mut dyn for<'scope> FnMut(&'scope thread::Scope<'scope, 'env>)) {
        thread::scope(|scope| f(scope));
    }
    let (mut f, mut result) = (Some(f), None);
    compiled_once(&mut |scope| result = f.take().map(|f| f(&Scope(scope))));
    result.expect("it was called")
}

/// What threads of a [`scope`] are started with.
pub(crate) struct Scope<'scope, 'env>(&'scope thread::Scope<'scope, 'env>);

impl<'scope> Scope<'scope, '_> {
    /// `std::thread::Scope::spawn`, compiled once for each type that threads return.
    pub(crate) fn spawn<T: Send + 'scope>(
        &self,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        let work: Box<dyn FnOnce() -> T + Send + 'scope> = Box::new(work);
        self.0.spawn(work)
    }
}

/// A flag that is set when this is dropped, by a panic too, for threads that work until then.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits until a flag is set.
///
/// # Panics
///
/// If it is not after a minute.
pub(crate) fn wait_for(flag: &AtomicBool) {
    let start = Instant::now();
    while !flag.load(Ordering::SeqCst) {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody came");
        thread::yield_now();
    }
}

/// A barrier that breaks when one of those who meet there panics.
pub(crate) struct Meeting {
    of: usize,
    arrivals: AtomicUsize,
    broken: AtomicBool,
}

impl Meeting {
    /// For so many threads.
    pub(crate) fn of(of: usize) -> Self {
        Self { of, arrivals: AtomicUsize::new(0), broken: AtomicBool::new(false) }
    }

    /// Keep what this gives for as long as the thread takes part.
    pub(crate) fn attend(&self) -> Attendance<'_> {
        Attendance(self)
    }
}

/// A thread's place at a [`Meeting`].
pub(crate) struct Attendance<'a>(&'a Meeting);

impl Attendance<'_> {
    /// Waits until all are here.
    ///
    /// # Panics
    ///
    /// If another one has panicked.
    pub(crate) fn wait(&self) {
        let arrival = self.0.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
        let all = arrival.next_multiple_of(self.0.of);
        while self.0.arrivals.load(Ordering::SeqCst) < all {
            assert!(!self.0.broken.load(Ordering::SeqCst), "another thread has failed");
            thread::yield_now();
        }
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, Ordering::SeqCst);
        }
    }
}
