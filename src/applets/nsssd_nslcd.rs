//! nsssd-nslcd: answers nsss requests on standard input from a running nslcd.
//!
//! Follows nsss's nsssd-nslcd (doc/nsssd-nslcd.md). Differs: a limit by default, GRP_GETLIST,
//! what doc/protocols/nsss.md lists in section 10.

use super::help;
use crate::backend::RunsIn;
use crate::backend::script::registry;
use crate::backend::switch::Switch;
use crate::server::signals::settle;
use crate::server::stdio;
use crate::sys::error::{Error, Exit};
use crate::sys::no_huge_pages;
use crate::sys::privilege;
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
    settle();
    no_huge_pages();
    let mut nslcd = registry::make("nslcd", args, RunsIn::Daemon)?;
    privilege::become_client(privilege::client()?)?;
    let timeout = privilege::exchange_timeout()?;
    nslcd.serve_one_client(None);
    let mut switch = Switch::of(nslcd);
    stdio::serve(&mut switch, timeout)?;
    Ok(Exit::SUCCESS)
}
