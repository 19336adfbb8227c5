//! Two clocks: one for deadlines, one to compare with the times of files.

use rustix::time::{ClockId, Timespec};
use std::time::Duration;

/// A time of the clock, in milliseconds, that does not come: a deadline that there is not.
pub const NEVER: u64 = u64::MAX;

/// The C library's clock: rustix has its own way to the kernel's page for it, 2.4 KB of code.
#[cfg(target_pointer_width = "64")]
fn now(clock: ClockId) -> Timespec {
    let clock = nix::time::ClockId::from_raw(clock as _);
    // The kernel has both clocks.
    let t = nix::time::clock_gettime(clock).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    Timespec { tv_sec: t.tv_sec(), tv_nsec: t.tv_nsec() }
}

/// There, rustix asks the C library, and by a call that knows times after 2038.
#[cfg(not(target_pointer_width = "64"))]
fn now(clock: ClockId) -> Timespec {
    rustix::time::clock_gettime(clock)
}

/// Milliseconds of the monotonic clock, which began with the machine.
pub fn millis() -> u64 {
    let t = now(ClockId::Monotonic);
    t.tv_sec as u64 * 1000 + u64::from(t.tv_nsec as u32 / 1_000_000)
}

/// Microseconds of the monotonic clock, of which the upper bits are left out: for the difference
/// of two times, up to 71 minutes.
pub fn micros() -> u32 {
    let t = now(ClockId::Monotonic);
    (t.tv_sec as u32).wrapping_mul(1_000_000).wrapping_add(t.tv_nsec as u32 / 1000)
}

/// Microseconds of processor time that this process has had; for differences, as [`micros`].
#[cfg(feature = "share")]
pub fn cpu_micros() -> u32 {
    let t = now(ClockId::ProcessCPUTime);
    (t.tv_sec as u32).wrapping_mul(1_000_000).wrapping_add(t.tv_nsec as u32 / 1000)
}

/// Nanoseconds since the epoch on the coarse real-time clock, which is the one that the kernel
/// stamps files with.
pub fn file_time() -> i64 {
    let t = file_clock();
    since_epoch(t.tv_sec, t.tv_nsec as _)
}

/// Nanoseconds since the epoch. What is further than 292 years away is as far as that.
#[inline(never)]
pub fn since_epoch(seconds: i64, nanos: i64) -> i64 {
    const MOST: i64 = i64::MAX / 1_000_000_000 - 1;
    seconds.clamp(-MOST, MOST) * 1_000_000_000 + nanos.clamp(0, 1_000_000_000)
}

/// Seconds since the epoch on that clock.
#[cfg(any(feature = "nsssd-map", feature = "share"))]
pub fn file_seconds() -> u64 {
    file_clock().tv_sec as u64
}

/// Seconds and nanoseconds since the epoch. A clock that was set before it tells its beginning.
#[cfg(any(feature = "sv", feature = "nsscache"))]
pub fn real_time() -> (u64, u32) {
    let t = now(ClockId::Realtime);
    (u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

fn file_clock() -> Timespec {
    now(ClockId::RealtimeCoarse)
}

/// Milliseconds as poll(2) and epoll_wait(2) want them.
pub fn timespec(millis: u64) -> Timespec {
    // All that is waited for is shorter than 49 days, and 32-bit machines divide so at once.
    let millis = u32::try_from(millis).unwrap_or(u32::MAX);
    Timespec { tv_sec: (millis / 1000).into(), tv_nsec: (millis % 1000 * 1_000_000) as _ }
}

/// The same as std has it, and never none: that would be without end to the kernel.
pub fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).max(Duration::from_millis(1))
}

/// What is left until a time of the clock, for poll(2) and epoll_wait(2); `None`: it does not come.
pub fn time_left(until: u64) -> Option<Timespec> {
    (until != NEVER).then(|| timespec(until.saturating_sub(millis())))
}
