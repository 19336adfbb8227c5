//! nsssd-nslcd: answers nsss requests on standard input from a running nslcd.
//!
//! Follows nsss's nsssd-nslcd (doc/nsssd-nslcd.md). Differs: a limit by default, GRP_GETLIST,
//! what doc/protocols/nsss.md lists in section 10.

use super::Applet;
use crate::backend::script;
use crate::backend::switch::{Backend, Switch};
use crate::server::stdio;
use crate::sys::error::Error;
use crate::sys::privilege;
use std::ffi::OsString;

const USAGE: &str = "\
Usage: nsssd-nslcd [-t MS] SOCKET

Answers one nsss client on standard input and output from the nslcd of
nss-pam-ldapd that listens at SOCKET, usually /var/run/nslcd/socket. Run it
behind nsssd-unix in a nsssd-switch. As root it becomes the client first
(IPCREMOTEEUID, IPCREMOTEEGID): nslcd tells shadow to root only.

  -t MS  nslcd may take so many milliseconds over a whole lookup, or over the
         next entry of an enumeration (5000); 0 for no limit

Example: nsssd-switch 3 nsssd-unix \"\" 0 nsssd-nslcd /var/run/nslcd/socket \"\"
NSSSD_TIMEOUT in the environment: milliseconds for each read or write inside an
exchange with the client, 0 for no limit (the default).
Exit codes: 0 end of the client, 1 no nsss client, 100 usage, 111 system.
";

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "nsssd-nslcd", short: "nslcd", usage: USAGE, usage_code: 100, main };

fn main(args: &[OsString]) -> Result<u8, Error> {
    let mut nslcd = script::nslcd(args, None)?;
    privilege::become_client(privilege::client()?)?;
    let timeout = privilege::exchange_timeout()?;
    nslcd.watch_client();
    let mut switch = Switch::of(Backend::Nslcd(Box::new(nslcd)));
    stdio::serve(&mut switch, timeout)?;
    Ok(0)
}
