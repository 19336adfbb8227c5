//! id: prints users and groups, of a user or of this process.
//!
//! Follows coreutils' id: options and output (doc/id.md). Differs: asks nsss or backends of its
//! own, so that it needs no C library that does; no security contexts.

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

/// The row of the table.
pub const APPLET: Applet = Applet { name: "id", short: "id", usage: USAGE, usage_code: 1, main };

const SPEC: Spec = Spec {
    flags: "augGnrzZ",
    values: SOURCE,
    alias: &[
        ("--user", 'u'),
        ("--group", 'g'),
        ("--groups", 'G'),
        ("--name", 'n'),
        ("--real", 'r'),
        ("--zero", 'z'),
        ("--context", 'Z'),
    ],
    ..Spec::NONE
};

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    All,
    User,
    Group,
    Groups,
}

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, users) = SPEC.split(args)?;
    let (list, socket) = (options.word("-s"), options.word("-S"));
    let mut what = What::All;
    for (flag, only) in [("-u", What::User), ("-g", What::Group), ("-G", What::Groups)] {
        if options.flag(flag) {
            if what != What::All {
                return Err(Error::options("cannot print \"only\" of more than one choice"));
            }
            what = only;
        }
    }
    let (names, real, zero) = (options.flag("-n"), options.flag("-r"), options.flag("-z"));
    if options.flag("-Z") {
        return Err(Error::options("-Z needs SELinux, which this id does not know"));
    }
    if what == What::All && (names || real) {
        return Err(Error::options("cannot print only names or real IDs in default format"));
    }
    if what == What::All && zero {
        return Err(Error::options("option --zero not permitted in default format"));
    }
    let mut known = Names::of(sources(list, socket)?.0);
    let mut out = Printer::new("id", names, if zero { 0 } else { b' ' });
    let end = if zero { 0 } else { b'\n' };
    let one = |known: &mut Names, out: &mut Printer, person: &Person| {
        match what {
            What::All => all(known, out, person),
            What::User => out.user(known, if real { person.uid } else { person.euid }),
            What::Group => out.group(known, if real { person.gid } else { person.egid }),
            What::Groups => out.groups(known, person),
        }
        out.byte(end);
        if zero && what == What::Groups && users.len() > 1 {
            out.byte(0);
        }
    };
    if users.is_empty() {
        one(&mut known, &mut out, &Person::ourselves());
    }
    for user in users {
        match person(&mut known, user.as_bytes()) {
            Some(person) => one(&mut known, &mut out, &person),
            None => out.nobody(user.as_bytes()),
        }
    }
    out.finish()
}

/// `uid=1(a) gid=2(b) groups=2(b),3(c)`.
fn all(known: &mut Names, out: &mut Printer, person: &Person) {
    out.both("uid=", person.uid, known.uid(person.uid));
    out.both(" gid=", person.gid, known.gid(person.gid));
    if person.euid != person.uid {
        out.both(" euid=", person.euid, known.uid(person.euid));
    }
    if person.egid != person.gid {
        out.both(" egid=", person.egid, known.gid(person.egid));
    }
    for (at, gid) in person.groups(known, out).into_iter().enumerate() {
        out.both(if at == 0 { " groups=" } else { "," }, gid, known.gid(gid));
    }
}
