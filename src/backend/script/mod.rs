//! Which backends a switch has, by the words of a command line.

pub mod grammar;
pub mod registry;
pub mod start;

use crate::sys::error::{Error, code};
use crate::sys::message::Message;
pub use grammar::Block;
use nssproto::bytes::decimal_u32;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

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
        if strict > 1 { Err(Error::silent(code::USAGE)) } else { Ok(()) }
    })
}
