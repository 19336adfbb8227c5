//! `dt -h COMMAND`; and the one question that dt itself asks.

use crate::fleet::complaint::{Complaint, failure};
use crate::sys::file::open;
use rustix::fs::{Mode, OFlags};
use rustix::io::{read, retry_on_intr, write};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// More about each command.
pub const TOPICS: &[(&str, &str)] = &[
    (
        "ssh",
        "dt PATTERN ssh WORD...\n\
         Runs the words, joined by blanks, by the shell of each host; with -q each word\n\
         reaches it as it is. Standard input is empty (--stdin: ours).\n\
         DTOOLS_SSH: the client (ssh, dbclient); SSHOPTS: options for it, cut at blanks.\n",
    ),
    (
        "sudo",
        "dt PATTERN sudo WORD...\n\
         As ssh, by sudo there. With -i the password is asked for once.\n",
    ),
    (
        "script",
        "dt PATTERN script FILE [WORD...]\n\
         Gives FILE to the interpreter of its first line (#!), else to /bin/sh.\n",
    ),
    (
        "push",
        "dt PATTERN push [-m MODE] [-o OWNER[:GROUP]] FILE DST\n\
         dt PATTERN push --self [--from DIR] DST\n\
         Copies FILE to DST by ssh alone, under another name until its sum is right.\n\
         Who has it already is left alone. Mode and owner that DST has are kept.\n\
         --self sends this executable where the machine is ours, and to others\n\
         DIR/TARGET/nssbox, as build/cross names them.\n",
    ),
    (
        "scp",
        "dt PATTERN scp [OPTION]... SRC... DST\n\
         Copies files there, by scp.\n",
    ),
    (
        "rscp",
        "dt PATTERN rscp [OPTION]... SRC DST\n\
         Copies a file from each host to DST/HOST, or DST.HOST if DST is no folder.\n",
    ),
    (
        "local",
        "dt PATTERN local PROGRAM [WORD...]\n\
         Runs PROGRAM HOST WORD... here, once for each host, without a shell.\n",
    ),
    ("ping", "dt PATTERN ping\nSends one echo request to each host, and tells how long it took.\n"),
    ("list", "dt PATTERN list\nA line for each host of the pattern, and nothing is run.\n"),
    (
        "add",
        "dt PATTERN add [TAG...]\nAdds the hosts, or to known ones the tags, to the database.\n",
    ),
    (
        "tag",
        "dt PATTERN tag [[+]TAG | -TAG]...\n\
         Adds and removes tags in the database; without any, tells them.\n",
    ),
    (
        "ssh-copy-id",
        "dt PATTERN ssh-copy-id KEY...\n\
         Adds the public keys of these files to ~/.ssh/authorized_keys, if they are not there.\n",
    ),
];

/// Longest password.
const LONGEST: usize = 1024;

/// Asks for a password at the terminal, which does not show it; `None`: there is no terminal.
pub fn password() -> Result<Option<Vec<u8>>, Complaint> {
    let Ok(terminal) = open(c"/dev/tty", OFlags::RDWR, Mode::empty()) else { return Ok(None) };
    let failed = |errno| Complaint::usage(failure("ask for", b"a password", errno));
    rustix::fs::fcntl_setfl(&terminal, OFlags::empty()).map_err(failed)?;
    let before = tcgetattr(&terminal).map_err(failed)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(failed)?;
    let _ = write(&terminal, b"type:hidden:dt:sudo::Password: ");
    let mut room = [0; LONGEST];
    let got = retry_on_intr(|| read(&terminal, &mut room));
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
    let _ = write(&terminal, b"\n");
    let line = room.get(..got.map_err(failed)?).unwrap_or_default();
    Ok(Some(line.strip_suffix(b"\n").unwrap_or(line).to_vec()))
}
