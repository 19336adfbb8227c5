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
pub fn file_time() -> i64 {
    let t = clock_gettime(ClockId::RealtimeCoarse);
    since_epoch(t.tv_sec as i64, t.tv_nsec as i64)
}

/// Nanoseconds since the epoch. What is further than 292 years away is as far as that.
pub fn since_epoch(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Milliseconds as poll(2) and epoll_wait(2) want them.
pub fn timespec(millis: u64) -> Timespec {
    Timespec { tv_sec: (millis / 1000) as i64, tv_nsec: (millis % 1000 * 1_000_000) as _ }
}

/// The earlier of two times, of which each may be none.
pub fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
