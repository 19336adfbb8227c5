//! `nsssd-cache`.
#![cfg(feature = "nsssd-cache")]

pub mod bench;
mod damage;
mod libnss;
mod lookups;
mod members;
mod options;
mod ways;
