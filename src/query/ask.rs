//! Who is asked by a program that is run by hand: a server, or backends in this process.

use crate::backend::Backend;
use crate::backend::RunsIn;
use crate::backend::child::Child;
use crate::backend::script::Block;
use crate::backend::script::registry;
use crate::backend::script::start::{NamedBy, switch_of};
use crate::backend::switch::Switch;
use crate::sys::error::{Code, Error};
use nssproto::bytes::decimal_u32;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where the server of an nsss system listens, fixed when nsss is built.
const SOCKET: &str = "/run/service/nsssd/s";

/// Exit code for what the user has wrong, as coreutils and getent have it.
const FAILURE: Code = 1;

/// The backends of `list`, else the server at `socket`, else the usual server, else the local
/// files; and their names. Errors exit 1.
pub fn sources(
    list: Option<&OsStr>,
    socket: Option<&OsStr>,
) -> Result<(Box<Switch>, Vec<Vec<u8>>), Error> {
    if let Some(list) = list {
        return backends(list);
    }
    let path = socket.unwrap_or(OsStr::new(SOCKET));
    match Child::connect(path, true) {
        Ok(server) => {
            let switch = Switch::of(Backend::Child(Box::new(server)));
            Ok((switch, vec![path.as_bytes().to_vec()]))
        }
        // As nsss does: only a failed connect falls back to the files.
        Err(_) if socket.is_none() => backends(OsStr::new("unix")),
        Err(errno) => {
            Err(Error::system("unable to connect to", errno).about(path).with_code(FAILURE))
        }
    }
}

/// `[BITFIELD] BACKEND [ARGUMENT]...; ...`
///
/// The switch, and the names of its backends. Errors exit 1.
fn backends(list: &OsStr) -> Result<(Box<Switch>, Vec<Vec<u8>>), Error> {
    let fail = |what| Error::usage(what).with_code(FAILURE);
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
        let Some(word) = command.first_mut() else {
            return Err(fail("empty service in option -s"));
        };
        let Some(row) = registry::by_service(word.as_bytes()) else {
            return Err(fail("unknown service:").about(word));
        };
        *word = row.name.into();
        names.push(row.name.as_bytes().to_vec());
        blocks.push(Block::new(bits.unwrap_or(0), command));
    }
    // As in glibc: one source is repeated as it is, several make a union.
    let switch = switch_of(&blocks, NamedBy::Short, RunsIn::Caller, blocks.len() > 1);
    Ok((switch.map_err(|e| e.with_code(FAILURE))?, names))
}
