//! The fuzz targets of nssbox: see README.md.

#![forbid(unsafe_code)]

#[path = "../../support/naive.rs"]
#[allow(dead_code, reason = "the targets take what they need")]
mod naive;
pub mod targets;
#[path = "../../support/wire.rs"]
#[allow(dead_code, reason = "the targets take what they need")]
mod wire;
