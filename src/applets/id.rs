//! id: prints users and groups, of a user or of this process.
//!
//! Follows coreutils' id: options and output (doc/id.md). Differs: asks nsss or backends of its
//! own, so that it needs no C library that does; no security contexts.

use super::help;
use crate::options::{Options, Spec};
use crate::query::identity::{self, Style, What, print};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: id [-s LIST] [-S SOCKET] [-u | -g | -G] [-n] [-r] [-z] [USER...]

Prints user and groups of each USER, or of this process.

  -u, --user    only the user id
  -g, --group   only the group id
  -G, --groups  all group ids
  -n, --name    with -u, -g or -G: names instead of numbers
  -r, --real    with them: the real ids instead of the effective ones
  -z, --zero    NUL between entries instead of blanks or lines
  -a            accepted and ignored
",
    help::ASKS,
];

const SPEC: Spec = Spec {
    flags: "augGnrzZ",
    alias: &[
        ("--help", b'?'),
        ("--version", b'V'),
        ("--ask", b'S'),
        ("--user", b'u'),
        ("--group", b'g'),
        ("--groups", b'G'),
        ("--name", b'n'),
        ("--real", b'r'),
        ("--zero", b'z'),
        ("--context", b'Z'),
    ],
    ..identity::SPEC
};

/// Which options say what is printed.
const ONLY: [(u8, What); 3] = [(b'u', What::User), (b'g', What::Group), (b'G', What::Groups)];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    identity::main(&SPEC, args, run)
}

fn run(options: &Options<'_>) -> Result<Exit, Error> {
    let mut what = What::All;
    for (flag, only) in &ONLY {
        if options.flag(*flag) {
            if what != What::All {
                return Err(Error::options("cannot print \"only\" of more than one choice"));
            }
            what = *only;
        }
    }
    let (names, real, zero) = (options.flag(b'n'), options.flag(b'r'), options.flag(b'z'));
    let wrong = if options.flag(b'Z') {
        "-Z needs SELinux, which this id does not know"
    } else if what == What::All && (names || real) {
        "cannot print only names or real IDs in default format"
    } else if what == What::All && zero {
        "option --zero not permitted in default format"
    } else {
        ""
    };
    if !wrong.is_empty() {
        return Err(Error::options(wrong));
    }
    let (separator, end): (u8, &[u8]) = match (zero, what) {
        (false, _) => (b' ', b"\n"),
        (true, What::Groups) if options.rest.len() > 1 => (0, b"\0\0"),
        (true, _) => (0, b"\0"),
    };
    print("id", Style { what, names, real, separator, end }, options)
}
