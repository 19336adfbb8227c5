//! `nsssd-cache`.
#![cfg(feature = "nsssd-cache")]

mod bench;
mod damage;
mod lookups;
mod members;
mod options;
mod ways;
