//! What the rest asks of the machine: messages, privileges, clocks. Thin wraps of rustix.

pub mod access;
pub mod clock;
pub mod errno;
pub mod error;
pub mod file;
pub mod message;
pub mod output;
pub mod passed;
pub mod privilege;
pub mod program;
pub mod sandbox;
pub mod socket;
pub mod spawn;
pub mod stat;
pub mod stream;
pub mod watch;

use nix::sys::prctl::{get_thp_disable, set_thp_disable};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Zeros for as long as the process lives, which cost no memory before they are written to, nor after
/// for what is not. An allocator clears a small piece at once, and writes what it has to remember in
/// front of a large one, which makes a page of each: so they are cut from one that is large.
pub fn untouched(len: usize) -> &'static mut [u8] {
    static REST: Mutex<&mut [u8]> = Mutex::new(&mut []);
    /// Of them, a server takes about a third.
    const LARGE: usize = 1024 * 1024;
    let mut rest = REST.lock().unwrap_or_else(PoisonError::into_inner);
    if rest.len() < len {
        *rest = vec![0; len.max(LARGE)].leak();
    }
    let (piece, behind) = std::mem::take(&mut *rest).split_at_mut(len);
    *rest = behind;
    piece
}

/// Makes room in an empty list that is needed for the first time while clients are served, and that
/// most processes never need. False: there is none, and whoever wants it has to do without.
pub fn reserve<T>(list: &mut Vec<T>, len: usize) -> bool {
    may_alloc(|| list.try_reserve_exact(len)).is_ok()
}

/// Whether huge pages are off because of us.
static NO_HUGE_PAGES: AtomicBool = AtomicBool::new(false);

/// From now on each page of memory is one of the machine's small ones: where the kernel makes huge
/// ones of its own accord (`always`), each table that is hardly touched would take 2 MiB. Programs
/// that are started are not to inherit it: see [`with_huge_pages`].
pub fn no_huge_pages() {
    // A kernel before 3.15 does not know it.
    if get_thp_disable() == Ok(false) && set_thp_disable(true).is_ok() {
        NO_HUGE_PAGES.store(true, Ordering::Relaxed);
    }
}

/// Does something, such as starting a program, while it is with huge pages as it was before us.
pub fn with_huge_pages<T>(work: impl FnOnce() -> T) -> T {
    let off = NO_HUGE_PAGES.load(Ordering::Relaxed);
    if off {
        let _ = set_thp_disable(false);
    }
    let result = work();
    if off {
        let _ = set_thp_disable(true);
    }
    result
}

/// Inside such a stretch, what has to allocate and gives back: starting a process.
pub fn may_alloc<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(feature = "abort-on-alloc")]
    return assert_no_alloc::permit_alloc(work);
    #[cfg(not(feature = "abort-on-alloc"))]
    work()
}

/// Marks a stretch of code that must not allocate. Checked by builds with the feature
/// `abort-on-alloc`, free otherwise.
pub fn no_alloc<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(feature = "abort-on-alloc")]
    return assert_no_alloc::assert_no_alloc(work);
    #[cfg(not(feature = "abort-on-alloc"))]
    work()
}
