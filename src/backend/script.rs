//! The script of nsssd-switch: `bitfield backend… ""`, once or more
//! (doc/protocols/nsss.md, section 7), and the backends that it names.

use super::child::{Child, Origin};
#[cfg(feature = "nsssd-map")]
use super::map::{Map, start::Host};
#[cfg(feature = "nsssd-nslcd")]
use super::nslcd::{self, Nslcd};
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
use std::path::Path;

/// One `bitfield backend… ""`.
pub struct Block {
    /// When to stop at the backend; see [`Slot::bits`].
    pub bits: u8,
    /// Its command: a program and its arguments.
    pub command: Vec<OsString>,
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
    #[cfg(feature = "nsssd-nslcd")]
    "nslcd",
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
                Ok(map) => Ok(Backend::Map(map)),
                Err(error) if error.code == crate::sys::error::code::USAGE => Err(error),
                // As a program it would end, and the others go on.
                Err(error) => {
                    error.print("nsssd-map");
                    Ok(Backend::Missing)
                }
            }
        }
        #[cfg(feature = "nsssd-nslcd")]
        "nslcd" => {
            // As nsss's program, a daemon wants to be told.
            let usual = (whose == Whose::Asker).then_some(OsStr::new(nslcd::SOCKET));
            match nslcd(args, usual) {
                Ok(nslcd) => Ok(Backend::Nslcd(Box::new(nslcd))),
                Err(error) if error.code == code::USAGE => Err(error),
                Err(error) => {
                    error.print("nsssd-nslcd");
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
        Some((name, args)) => {
            let mut backend = own_backend(name, args, Whose::Daemon)?;
            backend.serve_one_client(how.timeout);
            Ok(Some(backend))
        }
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
    let own = |block: &Block| Ok((block.bits, own_by_short_name(&block.command, Whose::Asker)?));
    let backends: Vec<(u8, Backend)> = blocks.iter().map(own).collect::<Result<_, Error>>()?;
    switch_of(backends.into_iter(), how)
}

fn own_by_short_name(command: &[OsString], whose: Whose) -> Result<Backend, Error> {
    let (name, args) = command.split_first().ok_or(Error::usage("empty block"))?;
    own_backend(name.to_str().unwrap_or_default(), args, whose)
}

/// What an nscd answers from.
pub enum Sources {
    /// Backends of our own by their short names.
    Own(Vec<Block>),
    /// A script.
    Script(Vec<Block>),
    /// A server of the nsss protocol, at this socket.
    Server(OsString),
}

/// How an nscd asks: groups are merged over all backends.
const NSCD: How = How { timeout: None, merge: true, spawn: false };

impl Sources {
    /// Those that answer at once, each other one as a place that says so; and whether there are
    /// others.
    pub fn near(&self) -> Result<(Switch, bool), Error> {
        let (blocks, short) = match self {
            Sources::Own(blocks) => (blocks.as_slice(), true),
            Sources::Script(blocks) => (blocks.as_slice(), false),
            Sources::Server(_) => return Ok((Switch::of(Backend::Elsewhere), true)),
        };
        let mut others = false;
        let mut start = |block: &Block| {
            let backend = match (short, in_process(&block.command)) {
                (true, _) => own_by_short_name(&block.command, Whose::Daemon)?,
                (false, Some((name, args))) => own_backend(name, args, Whose::Daemon)?,
                (false, None) => Backend::Elsewhere,
            };
            // What can block is asked where it is no harm.
            let far = matches!(backend, Backend::Elsewhere) || backend.may_block();
            others |= far;
            Ok((block.bits, if far { Backend::Elsewhere } else { backend }))
        };
        let backends = blocks.iter().map(&mut start).collect::<Result<Vec<_>, Error>>()?;
        Ok((switch_of(backends.into_iter(), NSCD)?, others))
    }

    /// All of them, where it is no harm to wait. Those in other processes are started when they
    /// are needed, and again when they have failed.
    pub fn far(&self) -> Result<Switch, Error> {
        let mut slots = heapless::Vec::new();
        match self {
            Sources::Server(path) => {
                let origin = Some(Origin::server(path));
                let _ = slots.push(Slot { bits: 0, backend: Backend::Missing, origin });
            }
            Sources::Own(blocks) | Sources::Script(blocks) => {
                for Block { bits, command } in blocks {
                    let (backend, origin) = match (self, in_process(command)) {
                        (Sources::Own(_), _) => (own_by_short_name(command, Whose::Daemon)?, None),
                        (_, Some((name, args))) => (own_backend(name, args, Whose::Daemon)?, None),
                        _ => (Backend::Missing, Some(Origin::program(command))),
                    };
                    let slot = Slot { bits: *bits, backend, origin };
                    slots.push(slot).map_err(|_| Error::usage(TOO_MANY))?;
                }
            }
        }
        Ok(Switch::new(slots, NSCD.merge))
    }

    /// Whether one of them is a program, and not ours or not to be run in process.
    pub fn start_programs(&self) -> bool {
        matches!(self, Sources::Script(blocks)
            if blocks.iter().any(|b| in_process(&b.command).is_none()))
    }

    /// The sources of /etc/nsswitch.conf that are asked, as far as that can be known.
    pub fn covers(&self, service: &str) -> bool {
        let blocks = match self {
            Sources::Own(blocks) | Sources::Script(blocks) => blocks,
            // A server is a switch of its own; at least it has the files.
            Sources::Server(_) => return service == "files",
        };
        blocks.iter().any(|block| {
            // `nsssd-nslcd`, `nssbox nslcd`.
            let words = block.command.iter().take(2).filter_map(|w| Path::new(w).file_name());
            let names = words.filter_map(OsStr::to_str);
            let mut names = names.map(|n| n.strip_prefix("nsssd-").unwrap_or(n));
            names.any(|name| match name {
                "unix" => service == "files",
                "nslcd" => service == "ldap",
                other => service == other,
            })
        })
    }
}

fn switch_of(backends: impl Iterator<Item = (u8, Backend)>, how: How) -> Result<Switch, Error> {
    let mut slots = heapless::Vec::new();
    for (bits, backend) in backends {
        slots.push(Slot { bits, backend, origin: None }).map_err(|_| Error::usage(TOO_MANY))?;
    }
    Ok(Switch::new(slots, how.merge))
}

fn spawn(command: &[OsString], timeout: Option<u32>) -> Backend {
    match Child::spawn(command, timeout) {
        Ok(child) => Backend::Child(Box::new(child)),
        Err(errno) => {
            let program = command.first().map(|p| p.as_bytes()).unwrap_or_default();
            let mut message = Message::new("nsssd-switch", "warning");
            message.text("unable to spawn ");
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

/// The options of nsssd-nslcd.
#[cfg(feature = "nsssd-nslcd")]
pub const NSLCD: Spec = Spec { values: "t", ..Spec::NONE };

/// A running nslcd by the arguments of nsssd-nslcd; `usual` is its socket where none is named.
#[cfg(feature = "nsssd-nslcd")]
pub fn nslcd(args: &[OsString], usual: Option<&OsStr>) -> Result<Nslcd, Error> {
    let (mut options, words) = NSLCD.split(args)?;
    let millis = options.number("-t", u64::from(u32::MAX))?.map(|millis| millis as u32);
    let path = match words {
        [] => usual.ok_or(Error::options("missing socket of nslcd"))?,
        [path] => path,
        [_, more, ..] => return Err(Error::options("a word too many:").about(more)),
    };
    let wrong = |errno| Error::system("unable to use socket", errno).about(path);
    Nslcd::new(path.as_bytes(), millis).map_err(wrong)
}
