//! id: prints users and groups, of a user or of this process.
//!
//! Follows coreutils' id: options and output (doc/id.md). Differs: asks nsss or backends of its
//! own, so that it needs no C library that does; no security contexts.

use super::Applet;
use crate::identity::{Person, Printer, SOURCE};
use crate::options::Spec;
use crate::sys::error::Error;
use nssproto::entry::Db;
use std::ffi::OsString;

const USAGE: &str = "\
Usage: id [-s LIST] [-S SOCKET] [-u | -g | -G] [-n] [-r] [-z] [USER...]

Prints user and groups of each USER, or of this process.

  -u, --user     only the user id
  -g, --group    only the group id
  -G, --groups   all group ids
  -n, --name     names instead of numbers, with -u, -g or -G
  -r, --real     the real ids instead of the effective ones, with -u, -g or -G
  -z, --zero     NUL between entries instead of blanks or lines
  -a             accepted and ignored
  -S SOCKET      ask this nsss server (/run/service/nsssd/s; without one, the
                 local files are asked)
  -s LIST        ask these backends, as getent -s does

Exit codes: 0 good, 1 a user or a name was not found, or wrong usage.
";

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
    let wrong = if options.flag("-Z") {
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
    let mut out = Printer::new("id", &mut options)?;
    out.names = names;
    let end: &[u8] = match (zero, what) {
        (false, _) => b"\n",
        (true, What::Groups) if users.len() > 1 => b"\0\0",
        (true, _) => b"\0",
    };
    if zero {
        out.separator = 0;
    }
    out.print(users, &mut |out, person| {
        match what {
            What::All => all(out, person),
            What::User => out.one(Db::Passwd, if real { person.uid } else { person.euid }),
            What::Group => out.one(Db::Group, if real { person.gid } else { person.egid }),
            What::Groups => out.groups(person),
        }
        out.bytes(end);
    })
}

/// `uid=1(a) gid=2(b) groups=2(b),3(c)`.
fn all(out: &mut Printer, person: &Person<'_>) {
    out.both("uid=", Db::Passwd, person.uid);
    out.both(" gid=", Db::Group, person.gid);
    if person.euid != person.uid {
        out.both(" euid=", Db::Passwd, person.euid);
    }
    if person.egid != person.gid {
        out.both(" egid=", Db::Group, person.egid);
    }
    for (at, gid) in out.all_groups(person, &[person.egid]).into_iter().enumerate() {
        out.both(if at == 0 { " groups=" } else { "," }, Db::Group, gid);
    }
}
