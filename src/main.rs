//! nssbox: users and groups for small machines, in one executable. What it does depends on the
//! name that it is called by; `nssbox --help` tells the rest.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(
        feature = "getent",
        feature = "groups",
        feature = "id",
        feature = "ipcserver",
        feature = "nscd",
        feature = "nsssd-map",
        feature = "nsssd-nslcd",
        feature = "nsssd-switch",
        feature = "nsssd-unix",
        feature = "whoami",
        feature = "with-nscd"
    )),
    allow(dead_code, reason = "a build without some applets does not use all that they share")
)]

mod applets;
mod backend;
#[cfg(feature = "getent")]
mod etcdb;
#[cfg(any(feature = "groups", feature = "id", feature = "whoami"))]
mod identity;
mod limits;
mod options;
mod server;
mod sys;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use sys::file::base;

#[cfg(feature = "abort-on-alloc")]
#[global_allocator]
static ALLOCATOR: assert_no_alloc::AllocDisabler = assert_no_alloc::AllocDisabler;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (program, args) = args.split_first().map_or((&[][..], &[][..]), |(p, a)| (p.as_bytes(), a));
    let name = base(program);
    let code = match applets::find(name) {
        Some(applet) => applets::run(applet, args),
        None => applets::nssbox(name, args),
    };
    ExitCode::from(code as u8)
}
