//! groups: prints the names of the groups of a user or of this process.
//!
//! Follows coreutils' groups (doc/id.md). Differs: asks nsss or backends of its own.

use super::{Applet, help};
use crate::backend::names::Names;
use crate::backend::reach::sources;
use crate::identity::{Person, Printer, SOURCE, person};
use crate::options::Spec;
use crate::sys::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

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

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, users) = SPEC.split(args)?;
    let (list, socket) = (options.word("-s"), options.word("-S"));
    let mut known = Names::of(sources(list, socket)?.0);
    let mut out = Printer::new("groups", true, b' ');
    if users.is_empty() {
        out.groups(&mut known, &Person::ourselves());
        out.byte(b'\n');
    }
    for user in users {
        match person(&mut known, user.as_bytes()) {
            Some(person) => {
                out.bytes(user.as_bytes());
                out.bytes(b" : ");
                out.groups(&mut known, &person);
                out.byte(b'\n');
            }
            None => out.nobody(user.as_bytes()),
        }
    }
    out.finish()
}
