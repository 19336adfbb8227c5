//! whoami: prints the name of the effective user of this process.
//!
//! Follows coreutils' whoami (doc/id.md). Differs: asks nsss or backends of its own.

use super::help;
use crate::options::Options;
use crate::query::identity::{self, SPEC, Style, What, print};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: whoami [-s LIST] [-S SOCKET]

Prints the name of the user who runs it.
",
    help::ASKS,
];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    identity::main(&SPEC, args, run)
}

fn run(options: &Options<'_>) -> Result<Exit, Error> {
    if let Some(word) = options.rest.first() {
        return Err(Error::options("extra operand").about(word));
    }
    print("whoami", Style { what: What::Name, ..Style::NAMES }, options)
}
