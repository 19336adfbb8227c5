//! What a server says of its sources before it serves: those that are not there at the start, and
//! with `--check` all of them, each of which is tried.

use crate::backend::Backend;
use crate::backend::none::NotStarted;
use crate::backend::script::Block;
use crate::backend::switch::{Answer, Slot, Switch};
use crate::sys::access::Rights;
use crate::sys::clock::NEVER;
use crate::sys::error::{Error, Exit};
use crate::sys::message::{Message, errno_text};
use crate::sys::output::{self, push_decimal};
use nssproto::entry::Uid;
use nssproto::nsss::Request;
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;

/// The option `--check`.
pub const OPTION: u8 = b'X';

/// Does what `--check` is for, in a build that has it.
pub fn answer(work: impl FnOnce() -> Result<Exit, Error>) -> Result<Exit, Error> {
    if cfg!(feature = "diagnosis") { work() } else { Err(Error::lacking("--check")) }
}

/// Milliseconds that a source in another process may take.
const PATIENCE: u32 = 4000;

/// Warns of paths and programs that sources need and that are not there. They may come.
pub fn tell_missing(program: &str, switch: &mut Switch) {
    for slot in switch.slots() {
        each_missing(slot, &mut |path, errno| {
            let mut message = Message::warning(program);
            message.text("a source is not there: ").path(path).text(": ").errno(errno).send();
        });
    }
}

/// What a source needs and is missing.
fn each_missing(slot: &Slot, tell: &mut dyn FnMut(&[u8], Errno)) {
    slot.backend.missing(tell);
    if let Some((name, errno)) = slot.origin.as_ref().and_then(|origin| origin.missing()) {
        tell(name, errno);
    }
}

/// A line for each source of a script, as it is understood.
pub fn lines(blocks: &[Block]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for block in blocks {
        let mut line = Vec::new();
        push_decimal(&mut line, block.bits.into());
        for word in &block.command {
            line.push(b' ');
            line.extend_from_slice(word.as_bytes());
        }
        lines.push(line);
    }
    lines
}

/// Prints a line for each source, and what is wrong with it. Exit 1 if something is.
pub fn run(lines: &[Vec<u8>], switch: &mut Switch) -> Result<Exit, Error> {
    let mut out = Vec::new();
    let mut exit = Exit::SUCCESS;
    switch.revive();
    switch.limit(PATIENCE, NEVER);
    for (at, line) in lines.iter().enumerate() {
        out.extend_from_slice(line);
        let before = out.len();
        if let Some(slot) = switch.slots().get(at) {
            each_missing(slot, &mut |path, errno| {
                out.extend_from_slice(&[b": ", path, b": ", errno_text(errno).as_slice()].concat());
            });
        }
        let missing = out.len() > before;
        let tried = if missing { Err(None) } else { tried(switch, at) };
        if tried.is_err() {
            exit = Exit::FAILURE;
        }
        if !missing {
            out.extend_from_slice(b": ");
            out.extend_from_slice(&match tried {
                Ok(()) => b"good".to_vec(),
                Err(None) => b"it does not answer".to_vec(),
                Err(Some(errno)) => errno_text(errno),
            });
        }
        out.push(b'\n');
    }
    switch.end();
    output::print(&out)?;
    Ok(exit)
}

/// Asks one source for a user.
fn tried(switch: &mut Switch, at: usize) -> Result<(), Option<Errno>> {
    let mut client = switch.new_client(Rights::Own, 1);
    client.limit_to(at..at + 1);
    loop {
        client.budget = u64::MAX;
        let answered = match switch.ask(&mut client, &Request::ByUid(Uid(0)), 0) {
            Answer::Pending => continue,
            Answer::Failed(errno) => Err(Some(Errno::from_raw_os_error(errno.into()))),
            _ => Ok(()),
        };
        let failed = client.has_failed();
        let slot = switch.slots().get(at);
        let dead = slot.is_none_or(|slot| slot.backend.is_dead());
        // Of one that was started and has ended, no call told why.
        let why = match slot {
            Some(Slot { backend: Backend::NotStarted(NotStarted(errno)), .. }) => Some(*errno),
            _ => None,
        };
        let why = why.filter(|errno| *errno != Errno::IO);
        switch.dismiss(&client);
        return if dead || (failed && answered.is_ok()) { Err(why) } else { answered };
    }
}
