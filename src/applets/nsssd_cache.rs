//! nsssd-cache: answers nsss requests on standard input from local files with indexes.
//!
//! Follows libnss-cache, as a daemon (doc/nsssd-cache.md). Differs: a damaged index is never
//! believed; ids above 2^31-1 are found by index; the groups of a user have an index.

use super::{daemon, help};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nsssd-cache [-d DIR] [-s SUFFIX]
",
    help::DAEMON,
    "from the
files passwd.cache, group.cache and shadow.cache, and the indexes beside them,
as nsscache writes them. Run it behind nsssd-unix in a nsssd-switch:
  nsssd-switch -m 3 nsssd-unix \"\" 3 nsssd-cache \"\"

  -d DIR     the files are in DIR, not in /etc
  -s SUFFIX  they end with .SUFFIX, not with .cache; empty: with nothing
",
    help::DAEMON_END,
];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    daemon::serve("cache", args)
}
