//! The layers of nssbox, each of which knows only those under it; doc/design.md draws them.
//!
//! The program is `nssbox`; this library is for its fuzz targets, tests and benches, and no
//! interface for others. That is `nssproto`, the codecs.

#![forbid(unsafe_code)]
// A build with a few applets needs only parts of what they share.
#![cfg_attr(not(feature = "small"), allow(dead_code))]

pub mod applets;
pub mod backend;
#[cfg(feature = "nsscache")]
pub mod directory;
#[cfg(feature = "dt")]
pub mod fleet;
pub mod limits;
pub mod options;
pub mod query;
pub mod server;
#[cfg(feature = "sv")]
pub mod supervise;
pub mod sys;
