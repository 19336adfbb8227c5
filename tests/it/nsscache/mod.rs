//! `nsscache`.
#![cfg(feature = "nsscache")]

mod index;
mod look;
mod options;
mod sshd;
