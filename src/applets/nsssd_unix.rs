//! nsssd-unix: answers nsss requests on standard input from passwd, group and shadow.
//!
//! Follows nsss's nsssd-unix (doc/nsssd-unix.md). Differs: `-d`, `-v`; what
//! doc/protocols/nsss.md lists in section 10.

use super::Applet;
use crate::backend::script;
use crate::backend::switch::Switch;
use crate::server::stdio;
use crate::sys::error::Error;
use crate::sys::privilege;
use std::ffi::OsString;

const USAGE: &str = "\
Usage: nsssd-unix [-d DIR] [-v]

Answers one nsss client on standard input and output from the local files
passwd, group and shadow. Run it under a super-server: ipcserver or s6-ipcserver.
As root it becomes the client first (IPCREMOTEEUID, IPCREMOTEEGID).

  -d DIR  the files are in DIR, not in /etc
  -v      name each bad line on standard error

NSSSD_TIMEOUT in the environment: milliseconds for each read or write inside an
exchange, 0 for no limit (the default).
Exit codes: 0 end of the client, 1 no nsss client, 100 usage, 111 system.
";

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "nsssd-unix", short: "unix", usage: USAGE, usage_code: 100, main };

fn main(args: &[OsString]) -> Result<u8, Error> {
    let unix = script::unix(args)?;
    privilege::become_client(privilege::client()?)?;
    let timeout = privilege::exchange_timeout()?;
    let mut switch = Switch::of(unix);
    stdio::serve(&mut switch, timeout)?;
    Ok(0)
}
