//! nssbox: users and groups for small machines, in one executable. What it does depends on the
//! name that it is called by; `nssbox --help` tells the rest.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

#[cfg(feature = "abort-on-alloc")]
#[global_allocator]
static ALLOCATOR: assert_no_alloc::AllocDisabler = assert_no_alloc::AllocDisabler;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    nssbox::applets::main(&args)
}
