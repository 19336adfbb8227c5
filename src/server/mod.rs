//! Who may ask, and how bytes move: one client on standard input and output, or many of a
//! socket in one event loop.

pub mod conversation;
#[cfg(any(feature = "ipcserver", feature = "nscd"))]
mod drain;
#[cfg(any(feature = "ipcserver", feature = "nscd"))]
pub mod ipc;
#[cfg(feature = "nscd")]
pub mod sources;
pub mod stdio;
