//! whoami: prints the name of the effective user of this process.
//!
//! Follows coreutils' whoami (doc/id.md). Differs: asks nsss or backends of its own.

use super::{Applet, help};
use crate::backend::names::Names;
use crate::backend::reach::sources;
use crate::identity::{Printer, SOURCE};
use crate::options::Spec;
use crate::sys::error::Error;
use rustix::process::geteuid;
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

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, rest) = SPEC.split(args)?;
    if let Some(word) = rest.first() {
        return Err(Error::options("extra operand").about(word));
    }
    let (list, socket) = (options.word("-s"), options.word("-S"));
    let mut known = Names::of(sources(list, socket)?.0);
    let mut out = Printer::new("whoami", true, b' ');
    let uid = geteuid().as_raw();
    if out.name_of_user(&mut known, uid) {
        out.byte(b'\n');
    }
    out.finish()
}
