//! Who may ask, and how bytes move: one client on standard input and output, a program for each
//! client of a socket, or all clients of several sockets in one event loop over one switch.
//!
//! What is spoken at a socket is a [`conversation`]; the rest knows no protocol.

pub mod acceptor;
pub mod check;
#[cfg(feature = "share")]
pub mod companion;
pub mod conversation;
pub mod event_loop;
pub mod listener;
pub mod log;
pub mod public;
pub mod schedule;
mod session;
pub mod setup;
#[cfg(feature = "share")]
pub mod share;
pub mod signals;
pub mod sources;
pub mod spawned;
pub mod stdio;
pub mod supervisor;
pub mod worker;

use log::Log;
use std::ffi::CString;

/// How a server presents itself.
pub struct ServerOptions {
    /// Its messages.
    pub log: Log,
    /// A newline on standard output tells that clients can be served.
    pub newline: bool,
    /// Variables that programs do not get.
    pub hidden: &'static [&'static str],
    /// Where this executable was when it started. Another one that takes its place begins with the
    /// sockets at a SIGHUP; `None`: not where it would lack what this one has given up.
    pub executable: Option<CString>,
}
