//! groups: prints the names of the groups of a user or of this process.
//!
//! Follows coreutils' groups (doc/id.md). Differs: asks nsss or backends of its own.

use super::{Applet, help};
use crate::options::Spec;
use crate::query::identity::{SOURCE, Style, print};
use crate::sys::error::{Code, Error};
use std::ffi::OsString;

const USAGE: &[&str] = &[
    "\
Usage: groups [-s LIST] [-S SOCKET] [USER...]

Prints the names of the groups of each USER, or of this process.
",
    help::ASKS,
];

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "groups", short: "groups", usage: USAGE, usage_code: 1, main };

const SPEC: Spec = Spec { values: SOURCE, ..Spec::NONE };

fn main(args: &[OsString]) -> Result<Code, Error> {
    let (options, users) = SPEC.split(args)?;
    print("groups", Style::NAMES, options, users)
}
