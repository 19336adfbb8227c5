//! nsssd-nslcd: answers nsss requests on standard input from a running nslcd.
//!
//! Follows nsss's nsssd-nslcd (doc/nsssd-nslcd.md). Differs: a limit by default, GRP_GETLIST,
//! what doc/protocols/nsss.md lists in section 10.

use super::{daemon, help};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nsssd-nslcd [-t MS] SOCKET
",
    help::DAEMON,
    "from the nslcd
of nss-pam-ldapd that listens at SOCKET, usually /var/run/nslcd/socket. Run it
behind nsssd-unix in a nsssd-switch:
  nsssd-switch 3 nsssd-unix \"\" 0 nsssd-nslcd /var/run/nslcd/socket \"\"
nslcd tells shadow to root only.

  -t MS  nslcd may take so many milliseconds over a whole lookup, or over the
         next entry of an enumeration (5000); 0 for no limit
",
    help::DAEMON_END,
];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    daemon::serve("nslcd", args)
}
