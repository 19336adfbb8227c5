//! nsssd-unix: answers nsss requests on standard input from passwd, group and shadow.
//!
//! Follows nsss's nsssd-unix (doc/nsssd-unix.md). Differs: `-d`, `-v`; what
//! doc/protocols/nsss.md lists in section 10.

use super::{daemon, help};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nsssd-unix [-d DIR] [-v]
",
    help::DAEMON,
    "from the local
files passwd, group and shadow. Run it under a super-server: ipcserver or
s6-ipcserver.

  -d DIR  the files are in DIR, not in /etc
  -v      name each bad line on standard error
",
    help::DAEMON_END,
];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    daemon::serve("unix", args)
}
