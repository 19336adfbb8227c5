//! nsssd-switch: answers nsss requests on standard input from several backends in order.
//!
//! Follows nsss's nsssd-switch as documented (doc/nsssd-switch.md). Differs: `-m`, `--spawn`,
//! backends of our own run in process; what doc/protocols/nsss.md lists in section 10.

use super::{NAMES, help};
use crate::backend::script;
use crate::backend::script::start::{SWITCH, Settings, name_refused, start};
use crate::server::signals::settle;
use crate::server::{check, stdio};
use crate::sys::error::{Error, Exit};
use crate::sys::no_huge_pages;
use crate::sys::privilege;
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nsssd-switch [OPTION]... BITFIELD BACKEND... \"\" [BITFIELD ... \"\"]...
",
    help::DAEMON,
    "by asking
backends in order: at most 8 commands, each ended by an empty word.
  nsssd-switch 0 nsssd-unix \"\" 0 nsssd-unix -d /data/etc \"\"

BITFIELD, a sum: when to stop instead of asking the next backend
  1  this one failed for good: could not start, crashed, timed out
  2  it answers with a failure
  4  it has no such entry

  -t MS    a backend fails for good after MS milliseconds (0: never)
  -m       the groups of a user are the union over all backends (at most 4096)
  --spawn  start nssbox's own backends as programs, too
  --min-uid ID  beside nsssd-unix, a BACKEND is not believed about uids below ID
           (1000) and gid 0, unless the word trust is in front of it
",
    help::CHECK,
    "
EXECLINE_STRICT in the environment is understood.
",
    help::DAEMON_END,
];

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    settle();
    no_huge_pages();
    let options = SWITCH.split(args)?;
    let settings = Settings::given(&options, NAMES)?;
    let blocks = script::parse_with(options.rest, NAMES)?;
    if options.flag(check::OPTION) {
        return check::answer(|| {
            check::run(&check::lines(&blocks), &mut *start(&blocks, settings, None)?)
        });
    }
    let client = privilege::client()?;
    let timeout = privilege::exchange_timeout()?;
    // Where there is one for each client, the server tells once.
    let tells = std::env::var_os("IPCREMOTEEUID").is_none();
    if tells {
        name_refused("nsssd-switch", &blocks, settings.named(), settings.min_uid);
    }
    let mut switch = start(&blocks, settings, client)?;
    if tells {
        check::tell_missing("nsssd-switch", &mut switch);
    }
    stdio::serve(&mut switch, timeout)?;
    Ok(Exit::SUCCESS)
}
