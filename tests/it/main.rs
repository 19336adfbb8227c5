//! The black-box tests: each drives the built executable, over files and sockets of its own.
//!
//! One program for all of them, a module for each applet or subject: `cargo test --test it map::`
//! runs those of one. They run at the same time in one process, so none may change what all of it
//! shares: its limits, ids, environment, current directory and umask (tests/own_limits.rs).
//! What they share is in tests/support.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod cache;
#[cfg(feature = "nsscache")]
mod directory;
#[cfg(feature = "dt")]
mod dt;
#[cfg(feature = "nsscache")]
mod engines;
#[cfg(all(feature = "nscd", feature = "ipcserver", feature = "nsssd-switch"))]
mod examples;
mod faults;
mod getent;
mod id;
mod install;
mod ipcserver;
#[cfg(feature = "nsscache")]
mod ldap;
mod lines;
mod login;
mod map;
mod multicall;
#[cfg(feature = "abort-on-alloc")]
mod no_alloc;
mod nscd;
mod nslcd;
mod nsscache;
mod one_answer;
mod options;
#[cfg(feature = "nscd")]
mod packaging;
#[cfg(all(feature = "nscd", feature = "nsssd-map", feature = "nsssd-nslcd"))]
mod pages;
mod privileges;
mod proto;
#[cfg(feature = "sandbox")]
mod sandbox;
mod security;
#[cfg(all(feature = "sv", feature = "svstat", feature = "vsv"))]
mod sv;
mod switch;
mod unix;
#[cfg(feature = "userdb")]
mod userdb;
