//! dthost: dt's lines for people, a heading for each host.
//!
//! Follows dtools' dthost. Differs: no text of a host drives the terminal, a last line without its
//! newline counts.

use crate::fleet::filter::by_name;
use crate::fleet::stdio;
use crate::options::Spec;
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: dthost [-N]

Reads dt's lines and prints each under a heading, its message line by line.

  -N, --no-color  accepted and ignored: there are no colours

Exit codes: 0 end of input, 1 not read or not written, 2 usage.
"];

const SPEC: Spec = Spec {
    flags: "N",
    alias: &[("--help", b'?'), ("--version", b'V'), ("--no-color", b'N')],
    ..Spec::NONE
};

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let options = SPEC.split(args)?;
    if let Some(word) = options.rest.first() {
        return Err(Error::options("no file is taken:").about(word));
    }
    match by_name(b"host") {
        Some(mut filter) => stdio::run(filter.as_mut()),
        None => Err(Error::lacking("host")),
    }
}
