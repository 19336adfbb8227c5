//! dthost: dt's lines for people, a heading for each host.
//!
//! Follows dtools' dthost. Differs: no text of a host drives the terminal, a last line without its
//! newline counts.

use super::filter;
use crate::fleet::filter::ByHost;
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: dthost [-N]

Reads dt's lines and prints each under a heading, its message line by line.

  -N, --no-color  accepted and ignored: there are no colours

Exit codes: 0 end of input, 1 not read or not written, 2 usage.
"];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    filter::run(&filter::SPEC, args, &|_| Box::new(ByHost))
}
