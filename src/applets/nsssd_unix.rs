//! nsssd-unix: answers nsss requests on standard input from passwd, group and shadow.
//!
//! Follows nsss's nsssd-unix (doc/nsssd-unix.md). Differs: `-d`, `-v`; what
//! doc/protocols/nsss.md lists in section 10.

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
    settle();
    no_huge_pages();
    let unix = registry::make("unix", args, RunsIn::Daemon)?;
    privilege::become_client(privilege::client()?)?;
    let timeout = privilege::exchange_timeout()?;
    let mut switch = Switch::of(unix);
    stdio::serve(&mut switch, timeout)?;
    Ok(Exit::SUCCESS)
}
