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
use crate::sys::error::{Error, Exit};
use crate::sys::message::Message;
#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
use crate::sys::privilege::{Client, become_client};
use crate::sys::program::own_command;
use nssproto::bytes::decimal_u32;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// One `bitfield backend… ""`.
pub struct Block {
    /// When to stop at the backend; see [`Slot::bits`].
    pub bits: u8,
    /// Its command: a program and its arguments.
    pub command: &'static [OsString],
}

impl Block {
    /// A backend by its bitfield and its command, which is kept as long as the process lives.
    pub fn new(bits: u32, command: Vec<OsString>) -> Self {
        Block { bits: (bits & 7) as u8, command: command.leak() }
    }
}

/// Reads the words of a script; what it says is kept as long as the process lives. Errors are usage
/// errors, exit 100. Unquoted words are warned of or refused as EXECLINE_STRICT says.
pub fn parse(words: &[OsString]) -> Result<&'static [Block], Error> {
    let strict = std::env::var_os("EXECLINE_STRICT");
    let strict = strict.and_then(|s| decimal_u32(s.as_bytes())).unwrap_or(0);
    let (mut blocks, mut bits, mut command) = (Vec::new(), None, Vec::new());
    for word in words {
        let Some(number) = bits else {
            bits = decimal_u32(word.as_bytes());
            if bits.is_none() {
                return Err(Error::options("bitfield is not a number:").about(word));
            }
            continue;
        };
        if !word.is_empty() {
            command.push(unquote(word, strict, blocks.len() + 1, command.len())?);
            continue;
        }
        if command.is_empty() || blocks.len() == BACKENDS {
            return Err(Error::usage(if command.is_empty() { "empty block" } else { TOO_MANY }));
        }
        blocks.push(Block::new(number, command));
        (bits, command) = (None, Vec::new());
    }
    match bits {
        Some(_) if command.is_empty() => Err(Error::usage("missing block")),
        Some(_) => Err(Error::usage("unterminated block (it ends with an empty word)")),
        None if blocks.is_empty() => Err(Error::options("no defined backends")),
        None => Ok(blocks.leak()),
    }
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
        return Err(Error::silent(Exit::USAGE));
    }
    Ok(word.clone())
}

/// The names that this executable is called by, also those that are no backends': `id unix` is not
/// `unix`.
pub type Names = &'static [&'static str];

/// How a script's backends are run.
#[derive(Clone, Copy, Default)]
pub struct How {
    /// Milliseconds that a backend may take to answer; `None`: no limit.
    pub timeout: Option<u32>,
    /// Groups of a user are the union over the backends.
    pub merge: bool,
    /// Our own backends are started as programs, too.
    pub spawn: bool,
    /// The names that this executable is called by.
    pub names: Names,
}

/// The options of nsssd-switch.
pub const SWITCH: Spec = Spec { flags: "m", values: "t", long: &["--spawn"], ..Spec::NONE };

/// Takes the options of nsssd-switch.
pub fn how(options: &Options<'_>, names: Names) -> Result<How, Error> {
    let millis = options.number("-t", u64::from(u32::MAX))?.unwrap_or(0) as u32;
    Ok(How {
        timeout: (millis != 0).then_some(millis),
        merge: options.flag("-m"),
        spawn: options.flag("--spawn"),
        names,
    })
}

/// Whether every backend of the script can run in this process.
pub fn is_local(blocks: &[Block], how: How) -> bool {
    !how.spawn && blocks.iter().all(|b| in_process(b.command, how.names).is_some())
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

/// The short name of an applet that is a backend which can run in this process.
pub fn short(applet: &str) -> Option<&'static str> {
    let short = applet.strip_prefix("nsssd-").unwrap_or(applet);
    in_process_as(short.as_bytes())
}

/// The same of a word that may be a short name.
pub fn in_process_as(short: &[u8]) -> Option<&'static str> {
    IN_PROCESS.iter().find(|known| known.as_bytes() == short).copied()
}

/// The command of a backend that can run in this process: its short name and its arguments.
fn in_process(command: &[OsString], names: Names) -> Option<(&'static str, &[OsString])> {
    let (name, args) = own_command(command, names)?;
    Some((short(name)?, args))
}

/// In whose process a backend runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The asker's own.
    Asker,
    /// A daemon's.
    Daemon,
}

/// The backend of this short name.
pub fn own_backend(name: &str, args: &[OsString], whose: Whose) -> Result<Backend, Error> {
    match name {
        "unix" => unix(args),
        #[cfg(feature = "nsssd-map")]
        "map" => {
            let host = if whose == Whose::Asker { Host::Asker } else { Host::Daemon };
            Ok(Backend::Map(Map::by_args(args, host)?))
        }
        #[cfg(feature = "nsssd-nslcd")]
        "nslcd" => {
            // As nsss's program, a daemon wants to be told.
            let usual = (whose == Whose::Asker).then_some(OsStr::new(nslcd::SOCKET));
            Ok(Backend::Nslcd(Box::new(nslcd(args, usual)?)))
        }
        _ => {
            let _ = whose;
            Err(Error::usage("no such backend:").about(name))
        }
    }
}

/// The same for one of several. One that has failed is told and missing: as a program it would
/// end, and the others go on. Only a wrong command line is an error.
fn one_of_several(name: &str, args: &[OsString], whose: Whose) -> Result<Backend, Error> {
    own_backend(name, args, whose).or_else(|error| match error.exit {
        Exit::USAGE => Err(error),
        _ => {
            error.print(&["nsssd-", name].concat());
            Ok(Backend::Missing)
        }
    })
}

/// How the blocks of a list name their backends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// By commands, of which those with these names may be our own.
    Command(Names),
    /// By commands that are started as they are.
    Program,
    /// By our own backends' short names.
    Short,
}

/// A switch of the backends that can run in this process, the others as places that say so. It
/// lives as long as the process.
fn switch_of(
    blocks: &[Block],
    named: Named,
    whose: Whose,
    merge: bool,
) -> Result<&'static mut Switch, Error> {
    let mut slots = Vec::with_capacity(blocks.len());
    for Block { bits, command } in blocks {
        let own = match named {
            Named::Command(names) => in_process(command, names),
            Named::Program => None,
            Named::Short => command
                .split_first()
                .and_then(|(name, args)| Some((in_process_as(name.as_bytes())?, args))),
        };
        if slots.len() == BACKENDS {
            return Err(Error::usage(TOO_MANY));
        }
        let (backend, origin) = match own {
            Some((name, args)) => (one_of_several(name, args, whose)?, None),
            None => (Backend::Elsewhere, Some(Origin::program(command))),
        };
        slots.push(Slot { bits: *bits, backend, origin });
    }
    Ok(Box::leak(Switch::new(slots, merge)))
}

/// Starts the backends. One that cannot be started has failed for good; wrong options of one
/// that runs in this process are a usage error. Rights are given up for `client` after those in
/// this process, which may need rights to start, and before all programs.
#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
pub fn start(
    blocks: &[Block],
    how: How,
    client: Option<Client>,
) -> Result<&'static mut Switch, Error> {
    let named = if how.spawn { Named::Program } else { Named::Command(how.names) };
    let switch = switch_of(blocks, named, Whose::Daemon, how.merge)?;
    become_client(client)?;
    for (slot, block) in switch.slots().iter_mut().zip(blocks) {
        match &mut slot.backend {
            Backend::Elsewhere => slot.backend = spawn(block.command, how.timeout),
            own => own.serve_one_client(how.timeout),
        }
    }
    switch.guard();
    Ok(switch)
}

/// The same for blocks whose commands are short names of our own backends, in the process of
/// whoever asks.
pub fn start_own(blocks: &[Block], how: How) -> Result<&'static mut Switch, Error> {
    switch_of(blocks, Named::Short, Whose::Asker, how.merge)
}

/// What an nscd answers from.
pub enum Sources {
    /// Backends of our own by their short names.
    Own(&'static [Block]),
    /// A script, and the names of this executable.
    Script(&'static [Block], Names),
    /// A server of the nsss protocol, at this socket.
    Server(OsString),
}

impl Sources {
    /// A switch of those in this process, the others as places that say so. Groups are merged over
    /// all backends.
    fn switch(&'static self) -> Result<&'static mut Switch, Error> {
        match self {
            Sources::Own(blocks) => switch_of(blocks, Named::Short, Whose::Daemon, true),
            Sources::Script(blocks, names) => {
                switch_of(blocks, Named::Command(names), Whose::Daemon, true)
            }
            Sources::Server(path) => {
                let origin = Some(Origin::server(path));
                let slot = Slot { bits: 0, backend: Backend::Elsewhere, origin };
                Ok(Box::leak(Switch::new(vec![slot], false)))
            }
        }
    }

    /// Those that answer at once, each other one as a place that says so; and whether there are
    /// others.
    pub fn near(&'static self) -> Result<(&'static mut Switch, bool), Error> {
        let switch = self.switch()?;
        let mut others = false;
        for slot in switch.slots() {
            // What can block is asked where it is no harm.
            if slot.backend.may_block() {
                slot.backend = Backend::Elsewhere;
            }
            others |= matches!(slot.backend, Backend::Elsewhere);
        }
        Ok((switch, others))
    }

    /// All of them, where it is no harm to wait. Those in other processes are started when they
    /// are needed, and again when they have failed.
    pub fn far(&'static self) -> Result<&'static mut Switch, Error> {
        let switch = self.switch()?;
        for slot in switch.slots() {
            if matches!(slot.backend, Backend::Elsewhere) {
                slot.backend = Backend::Missing;
            }
        }
        Ok(switch)
    }

    /// Whether one of them is a program, and not ours or not to be run in process.
    pub fn start_programs(&self) -> bool {
        matches!(self, Sources::Script(blocks, names)
            if blocks.iter().any(|b| in_process(b.command, names).is_none()))
    }
}

fn spawn(command: &[OsString], timeout: Option<u32>) -> Backend {
    match Child::spawn(command, timeout) {
        Ok(child) => Backend::Child(Box::new(child)),
        Err(errno) => {
            let program = command.first().map(|p| p.as_bytes()).unwrap_or_default();
            let mut message = Message::warning("nsssd-switch");
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
pub fn unix(args: &[OsString]) -> Result<Backend, Error> {
    let options = UNIX.split(args)?;
    let dir = options.word("-d").unwrap_or(OsStr::new("/etc"));
    let wrong = |errno| Error::system("unable to use directory", errno).about(dir);
    Unix::new(dir.as_bytes(), options.flag("-v")).map(Backend::Unix).map_err(wrong)
}

/// The options of nsssd-nslcd.
#[cfg(feature = "nsssd-nslcd")]
pub const NSLCD: Spec = Spec { values: "t", ..Spec::NONE };

/// A running nslcd by the arguments of nsssd-nslcd; `usual` is its socket where none is named.
#[cfg(feature = "nsssd-nslcd")]
pub fn nslcd(args: &[OsString], usual: Option<&OsStr>) -> Result<Nslcd, Error> {
    let options = NSLCD.split(args)?;
    let millis = options.number("-t", u64::from(u32::MAX))?.map(|millis| millis as u32);
    let path = match options.rest {
        [] => usual.ok_or_else(|| Error::options("missing socket of nslcd"))?,
        [path] => path,
        [_, more, ..] => return Err(Error::options("a word too many:").about(more)),
    };
    let wrong = |errno| Error::system("unable to use socket", errno).about(path);
    Nslcd::new(path.as_bytes(), millis).map_err(wrong)
}
