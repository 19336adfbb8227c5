//! svstat: tells the state of services, as daemontools' svstat.
//!
//! Follows daemontools 0.76 and, for its services, daemontools-encore 1.10: lines, and the exit code,
//! which is 0 whatever the lines say (doc/sv.md). Differs: services of runit and s6 are told of, too.

use crate::options::Spec;
use crate::supervise::find::Service;
use crate::supervise::run::stamp_of_now;
use crate::supervise::svstat::line;
use crate::sys::error::{Error, Exit};
use crate::sys::output::Output;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: svstat DIRECTORY...

Prints a line for each service: up or down, for how many seconds, and what is
wanted of it. A DIRECTORY is that of a service of daemontools, its encore, runit
or s6.

Exit codes: 0 whatever the lines say, 1 not printed, 100 usage.
"];

const SPEC: Spec = Spec { alias: &[("--help", b'?'), ("--version", b'V')], ..Spec::NONE };

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let given = SPEC.split(args)?;
    let mut out = Output::default();
    for directory in given.rest {
        let mut text = Vec::new();
        line(&mut text, &Service::at(directory.as_bytes()), stamp_of_now());
        out.put(&text)?;
    }
    out.flush()?;
    Ok(Exit::SUCCESS)
}
