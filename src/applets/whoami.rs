//! whoami: prints the name of the effective user of this process.
//!
//! Follows coreutils' whoami (doc/id.md). Differs: asks nsss or backends of its own.

use super::{Applet, help};
use crate::options::Spec;
use crate::query::identity::{SOURCE, Style, What, print};
use crate::sys::error::{Code, Error};
use std::ffi::OsString;

const USAGE: &[&str] = &[
    "\
Usage: whoami [-s LIST] [-S SOCKET]

Prints the name of the user who runs it.
",
    help::ASKS,
];

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "whoami", short: "whoami", usage: USAGE, usage_code: 1, main };

const SPEC: Spec = Spec { values: SOURCE, ..Spec::NONE };

fn main(args: &[OsString]) -> Result<Code, Error> {
    let (options, rest) = SPEC.split(args)?;
    if let Some(word) = rest.first() {
        return Err(Error::options("extra operand").about(word));
    }
    print("whoami", Style { what: What::Name, ..Style::NAMES }, options, rest)
}
