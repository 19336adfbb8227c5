//! The script of nsssd-switch: `bitfield backend… ""`, once or more
//! (doc/protocols/nsss.md, section 7), and the backends that it names.

use super::child::Child;
use super::switch::{Backend, Slot, Switch};
use super::unix::Unix;
use crate::limits::BACKENDS;
use crate::options::{Options, Spec};
use crate::sys::error::Error;
use crate::sys::message::Message;
use crate::sys::own;
use nssproto::bytes::decimal_u32;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// One `bitfield backend… ""`.
pub struct Block {
    bits: u8,
    command: Vec<OsString>,
}

/// Reads the words of a script. Errors are usage errors, exit 100. Unquoted words are warned of
/// or refused as EXECLINE_STRICT says.
pub fn parse(mut words: &[OsString]) -> Result<Vec<Block>, Error> {
    let strict = std::env::var_os("EXECLINE_STRICT");
    let strict = strict.and_then(|s| decimal_u32(s.as_bytes())).unwrap_or(0);
    let mut blocks = Vec::new();
    while let Some((bits, rest)) = words.split_first() {
        let bits = decimal_u32(bits.as_bytes())
            .ok_or_else(|| Error::options("bitfield is not a number:").about(bits))?;
        if rest.is_empty() {
            return Err(Error::usage("missing block"));
        }
        let end = rest.iter().position(|w| w.is_empty());
        let (block, behind) = end
            .and_then(|e| rest.split_at_checked(e))
            .ok_or(Error::usage("unterminated block (it ends with an empty word)"))?;
        if block.is_empty() {
            return Err(Error::usage("empty block"));
        }
        if blocks.len() == BACKENDS {
            let what = "too many defined backends (8; for more, let one be another nsssd-switch)";
            return Err(Error::usage(what));
        }
        let words_of = |(at, word)| unquote(word, strict, blocks.len() + 1, at);
        let command = block.iter().enumerate().map(words_of).collect::<Result<_, _>>()?;
        blocks.push(Block { bits: (bits & 7) as u8, command });
        words = behind.get(1..).unwrap_or_default();
    }
    if blocks.is_empty() {
        return Err(Error::options("no defined backends"));
    }
    Ok(blocks)
}

/// Takes the blank away that execline puts in front of each word of a block.
fn unquote(word: &OsString, strict: u32, block: usize, at: usize) -> Result<OsString, Error> {
    if let Some(rest) = word.as_bytes().strip_prefix(b" ") {
        return Ok(OsStr::from_bytes(rest).to_owned());
    }
    if strict > 0 {
        let kind = if strict > 1 { "fatal" } else { "warning" };
        Message::new("nsssd-switch", kind)
            .text("unquoted argument ")
            .quoted(word.as_bytes())
            .text(" at block ")
            .number(block as u64)
            .text(" position ")
            .number(at as u64)
            .send();
    }
    if strict > 1 {
        return Err(Error::usage("EXECLINE_STRICT forbids unquoted arguments"));
    }
    Ok(word.clone())
}

/// How a script's backends are run.
#[derive(Clone, Copy, Default)]
pub struct How {
    /// Milliseconds that a backend may take to answer; `None`: no limit.
    pub timeout: Option<u32>,
    /// Groups of a user are the union over the backends.
    pub merge: bool,
    /// Our own backends are started as programs, too.
    pub spawn: bool,
}

/// The options of nsssd-switch.
pub const SWITCH: Spec =
    Spec { flags: "m", values: "t", groups: &[], long: &["--help", "--spawn"] };

/// Takes the options of nsssd-switch.
pub fn how(options: &mut Options) -> Result<How, Error> {
    let millis = options.number("-t", u64::from(u32::MAX))?.unwrap_or(0) as u32;
    Ok(How {
        timeout: (millis != 0).then_some(millis),
        merge: options.flag("-m"),
        spawn: options.flag("--spawn"),
    })
}

/// Whether every backend of the script can run in this process.
pub fn is_local(blocks: &[Block], how: How) -> bool {
    !how.spawn && blocks.iter().all(|b| in_process(&b.command).is_some())
}

/// The command of a backend that can run in this process: its arguments.
fn in_process(command: &[OsString]) -> Option<&[OsString]> {
    match own::daemon(command)? {
        ("nsssd-unix" | "unix", args) => Some(args),
        // A nested switch may have children of its own.
        _ => None,
    }
}

/// Starts the backends. One that cannot be started has failed for good; wrong options of one
/// that runs in this process are a usage error.
pub fn start(blocks: &[Block], how: How) -> Result<Switch, Error> {
    let mut slots = heapless::Vec::new();
    for block in blocks {
        let own = if how.spawn { None } else { in_process(&block.command) };
        let backend = match own {
            Some(args) => Backend::Unix(Box::new(unix(args)?)),
            None => spawn(&block.command, how.timeout),
        };
        // parse() has counted them.
        let _ = slots.push(Slot { bits: block.bits, backend });
    }
    Ok(Switch::new(slots, how.merge))
}

fn spawn(command: &[OsString], timeout: Option<u32>) -> Backend {
    match Child::spawn(command, timeout) {
        Ok(child) => Backend::Child(Box::new(child)),
        Err(errno) => {
            let program = command.first().map(|p| p.as_bytes()).unwrap_or_default();
            let message = Message::new("nsssd-switch", "warning").text("unable to spawn ");
            message.path(program).text(": ").errno(errno).send();
            Backend::Missing
        }
    }
}

/// The options of nsssd-unix.
pub const UNIX: Spec = Spec { flags: "v", values: "d", groups: &[], long: &["--help"] };

/// The local files by the arguments of nsssd-unix. Words that are no options are ignored, as
/// nsss ignores them.
pub fn unix(args: &[OsString]) -> Result<Unix, Error> {
    let (mut options, _) = UNIX.split(args)?;
    let dir = options.value("-d").unwrap_or_else(|| "/etc".into());
    let wrong = |errno| Error::system("unable to use directory", errno).about(&dir);
    Unix::new(dir.as_bytes(), options.flag("-v")).map_err(wrong)
}
