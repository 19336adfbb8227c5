//! What a run may do, and whose turn it is to write.

use super::failure::Done;
use super::lock::Lock;
use std::sync::{LockResult, MutexGuard};

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whole maps, whatever we have.
    pub full: bool,
    /// An empty map is accepted.
    pub force_write: bool,
    /// A map that shrank too much is accepted.
    pub accept_shrink: bool,
    /// A snapshot is accepted that is older than the last one.
    pub accept_serial: bool,
    /// The most entries that the map had of late: it is measured against them, too.
    pub most_entries: Option<u64>,
}

/// Of the processes and threads that write, one at a time.
pub trait Turns {
    /// Waits until nobody else writes.
    fn turn(&self) -> Done<Turn<'_>>;
}

/// Until it is dropped nobody else writes.
pub struct Turn<'a> {
    /// Of all processes. It is given back first: this process has one.
    pub lock: Lock,
    /// Of the threads of this one.
    pub ours: LockResult<MutexGuard<'a, ()>>,
}
