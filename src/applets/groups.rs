//! groups: prints the names of the groups of a user or of this process.
//!
//! Follows coreutils' groups (doc/id.md). Differs: asks nsss or backends of its own.

use super::help;
use crate::query::identity::{self, SPEC, Style, print};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: groups [-s LIST] [-S SOCKET] [USER...]

Prints the names of the groups of each USER, or of this process.
",
    help::ASKS,
];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    identity::main(&SPEC, args, |options| print("groups", Style::NAMES, options))
}
