//! What the rest asks of the machine: messages, privileges, clocks. Thin wraps of rustix.

pub mod access;
pub mod clock;
pub mod error;
pub mod message;
pub mod own;
#[cfg(any(
    feature = "nsssd-map",
    feature = "nsssd-unix",
    feature = "nsssd-switch",
    feature = "ipcserver",
    feature = "nscd"
))]
pub mod privilege;

/// Marks a stretch of code that must not allocate. Checked by builds with the feature
/// `abort-on-alloc`, free otherwise.
pub fn no_alloc<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(feature = "abort-on-alloc")]
    return assert_no_alloc::assert_no_alloc(work);
    #[cfg(not(feature = "abort-on-alloc"))]
    work()
}
