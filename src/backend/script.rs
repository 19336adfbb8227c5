//! The script of nsssd-switch: `bitfield backend… ""`, once or more
//! (doc/protocols/nsss.md, section 7), and the backends that it names.

use super::child::Child;
#[cfg(feature = "nsssd-map")]
use super::map::{Map, start::Host};
use super::switch::{Backend, Slot, Switch};
use super::unix::Unix;
use crate::limits::BACKENDS;
use crate::options::{Options, Spec};
use crate::sys::error::{Error, code};
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

impl Block {
    /// A backend by its bitfield and its command.
    pub fn new(bits: u8, command: Vec<OsString>) -> Self {
        Block { bits, command }
    }
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
            return Err(Error::usage(TOO_MANY));
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

const TOO_MANY: &str = "too many defined backends (8; for more, let one be another nsssd-switch)";

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
        return Err(Error::silent(code::USAGE));
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
pub const SWITCH: Spec = Spec { flags: "m", values: "t", long: &["--spawn"], ..Spec::NONE };

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

/// The backends that can run in this process, by their short names. A nested switch may have
/// children of its own, and cannot.
pub const IN_PROCESS: &[&str] = &[
    #[cfg(feature = "nsssd-map")]
    "map",
    "unix",
];

/// The command of a backend that can run in this process: its short name and its arguments.
fn in_process(command: &[OsString]) -> Option<(&str, &[OsString])> {
    let (name, args) = own::applet(command)?;
    let short = name.strip_prefix("nsssd-").unwrap_or(name);
    IN_PROCESS.contains(&short).then_some((short, args))
}

/// In whose process a backend runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The asker's own.
    Asker,
    /// A daemon's.
    Daemon,
}

/// The backend of this short name.
fn own_backend(name: &str, args: &[OsString], whose: Whose) -> Result<Backend, Error> {
    match name {
        "unix" => Ok(Backend::Unix(Box::new(unix(args)?))),
        #[cfg(feature = "nsssd-map")]
        "map" => {
            let host = if whose == Whose::Asker { Host::Asker } else { Host::Daemon };
            match Map::by_args(args, host) {
                Ok(map) => Ok(Backend::Map(Box::new(map))),
                Err(error) if error.code == crate::sys::error::code::USAGE => Err(error),
                // As a program it would end, and the others go on.
                Err(error) => {
                    error.print("nsssd-map");
                    Ok(Backend::Missing)
                }
            }
        }
        _ => {
            let _ = whose;
            Err(Error::usage("no such backend:").about(name))
        }
    }
}

/// Starts the backends. One that cannot be started has failed for good; wrong options of one
/// that runs in this process are a usage error. `drop_rights` comes after those in this process,
/// which may need rights to start, and before all programs.
pub fn start(
    blocks: &[Block],
    how: How,
    drop_rights: impl FnOnce() -> Result<(), Error>,
) -> Result<Switch, Error> {
    let own = |block: &Block| match if how.spawn { None } else { in_process(&block.command) } {
        Some((name, args)) => own_backend(name, args, Whose::Daemon).map(Some),
        None => Ok(None),
    };
    let own: Vec<Option<Backend>> = blocks.iter().map(own).collect::<Result<_, _>>()?;
    drop_rights()?;
    let backends = blocks.iter().zip(own);
    let backends = backends.map(|(block, own)| {
        (block.bits, own.unwrap_or_else(|| spawn(&block.command, how.timeout)))
    });
    let switch = switch_of(backends, how)?;
    switch.guard();
    Ok(switch)
}

/// The same for blocks whose commands are short names of our own backends, in the process of
/// whoever asks.
pub fn start_own(blocks: &[Block], how: How) -> Result<Switch, Error> {
    let own = |block: &Block| {
        let (name, args) = block.command.split_first().ok_or(Error::usage("empty block"))?;
        let name = name.to_str().unwrap_or_default();
        Ok((block.bits, own_backend(name, args, Whose::Asker)?))
    };
    let backends: Vec<(u8, Backend)> = blocks.iter().map(own).collect::<Result<_, Error>>()?;
    switch_of(backends.into_iter(), how)
}

fn switch_of(backends: impl Iterator<Item = (u8, Backend)>, how: How) -> Result<Switch, Error> {
    let mut slots = heapless::Vec::new();
    for (bits, backend) in backends {
        slots.push(Slot { bits, backend }).map_err(|_| Error::usage(TOO_MANY))?;
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
pub const UNIX: Spec = Spec { flags: "v", values: "d", ..Spec::NONE };

/// The local files by the arguments of nsssd-unix. Words that are no options are ignored, as
/// nsss ignores them.
pub fn unix(args: &[OsString]) -> Result<Unix, Error> {
    let (mut options, _) = UNIX.split(args)?;
    let dir = options.value("-d").unwrap_or_else(|| "/etc".into());
    let wrong = |errno| Error::system("unable to use directory", errno).about(&dir);
    Unix::new(dir.as_bytes(), options.flag("-v")).map_err(wrong)
}
