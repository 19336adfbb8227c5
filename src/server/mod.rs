//! Who may ask, and how bytes move: one client on standard input and output, or many of a
//! socket in one event loop.

pub mod exchange;
#[cfg(feature = "ipcserver")]
pub mod ipc;
pub mod stdio;
