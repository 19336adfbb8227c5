//! groups: prints the names of the groups of a user or of this process.
//!
//! Follows coreutils' groups (doc/id.md). Differs: asks nsss or backends of its own.

use super::help;
use crate::options::Spec;
use crate::query::identity::{SOURCE, Style, print};
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

const SPEC: Spec = Spec { values: SOURCE, ..Spec::NONE };

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let options = SPEC.split(args)?;
    print("groups", Style::NAMES, &options)
}
