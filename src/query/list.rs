//! Lists of backends, as `-s` has them.

use crate::backend::RunsIn;
use crate::backend::script::start::{NamedBy, switch_of};
use crate::backend::script::{self, Block, registry};
use crate::backend::switch::Switch;
use crate::limits::MIN_UID;
use crate::sys::error::{Error, Exit};
use nssproto::bytes::decimal_u32;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// `[BITFIELD] BACKEND [ARGUMENT]...; ...`
///
/// The switch, and the names of its backends. Errors exit 1.
pub fn backends(list: &OsStr) -> Result<(Box<Switch>, Vec<Vec<u8>>), Error> {
    let fail = |what| Error::usage(what).with_exit(Exit::FAILURE);
    let (mut blocks, mut names) = (Vec::new(), Vec::new());
    for part in list.as_bytes().split(|b| *b == b';') {
        let (mut bits, mut command) = (None, Vec::new());
        for word in part.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if command.is_empty() && bits.is_none() {
                bits = decimal_u32(word);
                if bits.is_some() {
                    continue;
                }
            }
            command.push(OsStr::from_bytes(word).to_owned());
        }
        if command.is_empty() {
            return Err(fail("empty service in option -s"));
        }
        // `files ldap`, as nsswitch.conf and glibc's getent have it: none of ours is an argument.
        let is_service = |word: &OsString| registry::by_service(word.as_bytes()).is_some();
        let each = if command.iter().all(is_service) { 1 } else { command.len() };
        for command in command.chunks(each) {
            let mut block = Block::new(bits.unwrap_or(0), command.to_vec());
            let Some(word) = block.command.first_mut() else { continue };
            let Some(row) = registry::by_service(word.as_bytes()) else {
                return Err(fail("unknown service:").about(word));
            };
            *word = row.name.into();
            names.push(row.name.as_bytes().to_vec());
            blocks.push(block);
        }
    }
    Ok((switch(&blocks)?, names))
}

/// What is asked on a machine without servers, and the names of the backends.
pub fn of_this_machine() -> Result<(Box<Switch>, Vec<Vec<u8>>), Error> {
    let blocks = script::of_this_machine();
    let name = |block: &Block| block.command.first().map(|word| word.as_bytes().to_vec());
    Ok((switch(&blocks)?, blocks.iter().filter_map(name).collect()))
}

fn switch(blocks: &[Block]) -> Result<Box<Switch>, Error> {
    // As in glibc: one source is repeated as it is, several make a union.
    let switch = switch_of(blocks, NamedBy::Short, RunsIn::Caller, blocks.len() > 1, MIN_UID);
    switch.map_err(|e| e.with_exit(Exit::FAILURE))
}
