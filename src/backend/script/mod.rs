//! Which backends a switch has, by the words of a command line.

pub mod grammar;
pub mod registry;
pub mod start;

use crate::sys::error::{Error, Exit};
use crate::sys::message::Message;
use crate::sys::program::by_ourselves;
pub use grammar::Block;
use nssproto::bytes::decimal_u32;
use registry::Names;
use rustix::fs::{Access, access};
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What a map is made of, if there is one.
const NSSMAP: &CStr = c"/etc/nssmap.conf";

/// This machine's own files, by short names. A failure of theirs ends the search: nobody may take a
/// local name meanwhile.
pub fn files_of_this_machine() -> Vec<Block> {
    vec![Block::new(3, vec!["unix".into()])]
}

/// What is asked where nothing else is said: those files, then the map if its configuration is
/// there. Never a socket.
pub fn of_this_machine() -> Vec<Block> {
    let mut blocks = files_of_this_machine();
    if cfg!(feature = "nsssd-map") && access(NSSMAP, Access::EXISTS).is_ok() {
        blocks.push(Block::new(0, vec!["map".into()]));
    }
    blocks
}

/// Reads the words of a script. Errors are usage errors, exit 100. Unquoted words are warned of or
/// refused as EXECLINE_STRICT says.
pub fn parse(words: &[OsString]) -> Result<Vec<Block>, Error> {
    let strict = std::env::var_os("EXECLINE_STRICT");
    let strict = strict.and_then(|s| decimal_u32(s.as_bytes())).unwrap_or(0);
    grammar::parse(words, &mut |unquoted| {
        if strict == 0 {
            return Ok(());
        }
        let kind = if strict > 1 { "fatal" } else { "warning" };
        Message::new("nsssd-switch", kind)
            .text("unquoted argument ")
            .quoted(unquoted.word)
            .text(" at block ")
            .number(unquoted.block as u64)
            .text(" position ")
            .number(unquoted.position as u64)
            .send();
        if strict > 1 { Err(Error::silent(Exit::USAGE)) } else { Ok(()) }
    })
}

/// The same, where commands that are not found are those of this executable, which is called by
/// `names`.
pub fn parse_with(words: &[OsString], names: Names) -> Result<Vec<Block>, Error> {
    let mut blocks = parse(words)?;
    for block in &mut blocks {
        block.command = by_ourselves(std::mem::take(&mut block.command), names);
    }
    Ok(blocks)
}
