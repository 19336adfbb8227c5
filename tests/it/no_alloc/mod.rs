//! The daemons do not allocate while they serve.
//!
//! Run with `cargo test --features abort-on-alloc --test it no_alloc::`: in such a build a process
//! that allocates, or frees, between its first request and its end writes
//! `memory allocation … failed` and is killed by SIGABRT. So it is enough here to ask for
//! everything, to get all answers, and to see the exit codes.

mod accounts;
#[cfg(feature = "nsscache")]
mod cache;
mod daemons;
mod map;
mod nslcd;
