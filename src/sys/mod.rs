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

/// Zeros that cost no memory before they are written to, nor after for what is not. An
/// allocator clears a small piece at once, a large one it gets from the kernel.
pub fn untouched(len: usize) -> Vec<u8> {
    /// What the usual allocators take for large, and a little more.
    const LARGE: usize = 160 * 1024;
    let mut zeros = vec![0; len.max(LARGE)];
    zeros.truncate(len);
    zeros
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
