//! The fuzz targets of nssbox: see README.md.
//!
//! The program has no library but the codecs, so the sources of its other parts are taken in
//! here, at the places that `crate::` paths expect. tests/fuzz_replay.rs does the same.

#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports, reason = "nobody uses all of what is taken in")]

#[path = "../../../src/backend/mod.rs"]
mod backend;
#[path = "../../../src/limits.rs"]
mod limits;
#[path = "../../../src/options.rs"]
mod options;
#[path = "../../../src/server/mod.rs"]
mod server;
#[path = "../../../src/sys/mod.rs"]
mod sys;

#[path = "../../common/naive.rs"]
mod naive;
#[path = "../../common/wire.rs"]
mod wire;
/// Where the naive reader looks for the bytes of the wire.
mod common {
    pub use crate::wire::*;
}

pub mod targets;
