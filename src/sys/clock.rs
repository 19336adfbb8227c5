//! Two clocks: one for deadlines, one to compare with the times of files.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Milliseconds of the monotonic clock.
pub fn millis() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    (t.tv_sec as u64).saturating_mul(1000) + t.tv_nsec as u64 / 1_000_000
}

/// Nanoseconds of the monotonic clock.
pub fn nanos() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    (t.tv_sec as u64).saturating_mul(1_000_000_000) + t.tv_nsec as u64
}

/// Nanoseconds since the epoch on the coarse real-time clock, which is the one that the kernel
/// stamps files with.
pub fn file_time() -> i128 {
    let t = clock_gettime(ClockId::RealtimeCoarse);
    i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
}

/// Seconds since the epoch on that clock.
#[cfg(feature = "nsssd-map")]
pub fn file_seconds() -> u64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec as u64
}

/// Milliseconds as poll(2) and epoll_wait(2) want them.
pub fn timespec(millis: u64) -> Timespec {
    Timespec { tv_sec: (millis / 1000) as i64, tv_nsec: (millis % 1000 * 1_000_000) as _ }
}
