//! What happens once: the configuration, the key and the registry are read and judged, while the
//! process still may, and all that is wrong is told.

use super::claim::errno_of;
use super::config::{Config, Require, Section, SectionKind};
use super::evidence::Look;
use super::groups::{self, SectionGroups};
use super::key::{self, Key};
use super::near::Near;
use super::pairs::Pairs;
use super::problem::{Level, Problem, tell_line};
use super::registry::Registry;
use super::scan::Scan;
use super::trust::{Fault, fault};
use super::{Keyed, Map, sections, single, slow};
use crate::backend::gids::Gids;
use crate::backend::text::{Lines, Words, cut};
use crate::backend::{Backend, RunsIn, Shared};
use crate::options::{Options, Spec};
use crate::sys::access::Peer;
use crate::sys::error::{Error, Exit};
use crate::sys::file::{open_path, read_all, read_path};
use crate::sys::message::Message;
use crate::sys::privilege::keep_secret;
use crate::sys::socket;
use crate::sys::stat::fstat;
use nssproto::bytes::decimal_u32;
use nssproto::entry::{Gid, Uid};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, getsockname};
use rustix::process::{getegid, geteuid};
use rustix::stdio::stdin;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where libnss_map has it.
const FILE: &[u8] = b"/etc/nssmap.conf";

/// The largest configuration: more deny lists than anybody has.
const CONFIG_MAX: usize = 4 * 1024 * 1024;

/// What is said of a file that cannot be trusted.
struct Faults {
    no_file: &'static str,
    another_users: &'static str,
    writable: &'static str,
}

macro_rules! faults {
    ($what:literal) => {
        Faults {
            no_file: concat!($what, " is no file:"),
            another_users: concat!($what, " is another user's:"),
            writable: concat!($what, " is writable by others:"),
        }
    };
}

const CONFIG: Faults = faults!("configuration");
const DENY_FILE: Faults = faults!("deny-file");
const REGISTRY: Faults = faults!("registry");

/// The options of nsssd-map that concern answers.
pub const SPEC: Spec = Spec { flags: "cL", values: "fr", ..Spec::NONE };

/// A map by the arguments of nsssd-map. Words that are no options are ignored.
pub fn make(options: &Options<'_>, runs_in: RunsIn) -> Result<Backend, Error> {
    let host = match runs_in {
        RunsIn::Caller => Host::Caller,
        RunsIn::Daemon => Host::Daemon,
    };
    Map::open(Plan::take(options)?, host).map(Backend::Map)
}

/// In whose process the map runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The asker's own: its environment counts.
    Caller,
    /// A daemon's.
    Daemon,
    /// A tool that works on names: it changes nothing, and tells errors only.
    Tool,
    /// The check of a file: it changes nothing, and whatever is doubtful is an error.
    Check,
}

/// What the command line says.
#[derive(Default)]
pub struct Plan {
    /// The configuration.
    pub file: &'static [u8],
    /// As libnss_map does.
    pub compat: bool,
    /// Look at LOGNAME.
    pub logname: bool,
    /// What a single line requires.
    pub require: Require<'static>,
}

impl Plan {
    /// Takes the options.
    pub fn take(options: &Options) -> Result<Self, Error> {
        let file = options.word(b'f').map_or(FILE, |file| lasting(file.as_bytes()));
        let mut plan = Plan { file, ..Plan::default() };
        for word in options.words(b'r') {
            let word = lasting(word.as_bytes());
            let (what, path) = cut(word, b':');
            let wrong = |what| Error::options(what).about(OsStr::from_bytes(word));
            plan.require.add(what, path).map_err(wrong)?;
        }
        plan.compat = options.flag(b'c');
        plan.logname = options.flag(b'L');
        Ok(plan)
    }
}

/// A word of the command line, kept until the process ends.
pub fn lasting(word: &[u8]) -> &'static [u8] {
    word.to_vec().leak()
}

impl Map {
    /// Reads everything. Whatever is wrong is told with file and line; the error then says that
    /// this is so, exit 111.
    pub fn open(plan: Plan, host: Host) -> Result<Box<Self>, Error> {
        if plan.logname && host == Host::Daemon {
            return Err(Error::options("a daemon does not look at LOGNAME: -L is for getent -s"));
        }
        // It lives as long as the texts that it was read from.
        let config: &mut Config = Box::leak(Box::default());
        let second = read_config(config, &plan, host == Host::Check)?;
        if let Some(section) = config.sections.first_mut().filter(|_| !second) {
            section.require = plan.require;
        }
        find_own(config);
        let groups = SectionGroups::new(std::mem::take(&mut config.groups));
        let config = &*config;
        let logname = if plan.logname { std::env::var_os("LOGNAME") } else { None };
        let mut map = Box::new(Map {
            config,
            file: plan.file,
            key: Keyed::Refused(Errno::NOKEY),
            me: match host {
                Host::Caller => Some(Peer::of(geteuid(), getegid())),
                _ => client(),
            },
            logname: logname.map(OsString::into_vec),
            known: Pairs::new(config.derives()),
            scan: config.derives().then(|| Scan::new(config)),
            registry: None,
            refused: None,
            groups,
            slow: false,
            #[cfg(feature = "userdb")]
            tells_keys: false,
            room: Box::default(),
            look: Look::Wait,
            area: Box::default(),
            told: Box::default(),
        });
        map.read_key(plan.file)?;
        let tells = matches!(host, Host::Daemon | Host::Check);
        if tells {
            tell_open_sections(config, plan.file, second);
            map.slow = slow::find(config, &mut Near::new());
        }
        let shared = &mut Shared::new(Gids::NONE);
        map.read_registry(plan.file, host, shared.window.room())?;
        map.groups.check(plan.file, tells, shared).map_err(|outcome| {
            fail("unable to read", groups::FILE, errno_of(outcome).unwrap_or(Errno::IO))
        })?;
        Ok(map)
    }

    /// The key. That it may not be read is no reason to end: other sections may do without.
    fn read_key(&mut self, config: &[u8]) -> Result<(), Error> {
        let Some((line, path)) = self.config.key else { return Ok(()) };
        match Key::read(path) {
            Ok(key) => {
                keep_secret();
                self.key = Keyed::With(key);
            }
            Err(key::KeyError::System(errno @ (Errno::ACCESS | Errno::PERM))) => {
                let what = "may not read the key, so derived users cannot be looked up:";
                tell_line(config, line, Level::Warning, what, path);
                self.key = Keyed::Refused(errno);
            }
            Err(key::KeyError::System(errno)) => {
                return Err(fail("unable to read key", path, errno));
            }
            Err(key::KeyError::Bad(what)) => {
                tell_line(config, line, Level::Fatal, what, path);
                return Err(wrong_config(config));
            }
        }
        Ok(())
    }

    /// Opens the registry and reads what it has.
    fn read_registry(&mut self, file: &[u8], host: Host, window: &mut [u8]) -> Result<(), Error> {
        let Some((line, path)) = self.config.registry else { return Ok(()) };
        let fail = |errno| fail("unable to use registry", path, errno);
        let create = matches!(host, Host::Caller | Host::Daemon);
        let mut registry = match Registry::open(path, create) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            // A process that has dropped its privileges: what needs the registry fails.
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                tell_line(file, line, Level::Warning, "unable to open the registry", b"");
                self.refused = Some(errno);
                return Ok(());
            }
            Err(errno) => return Err(fail(errno)),
        };
        if let Some(found) = registry.fault().map_err(fail)? {
            return Err(not_believed(&REGISTRY, found, path));
        }
        if matches!(host, Host::Caller | Host::Tool) {
            registry.be_quiet();
        }
        registry.refresh(&mut self.known, window).map_err(fail)?;
        self.registry = Some(registry);
        let mut doubts = false;
        for pin in &self.config.pins {
            let what = if self.known.with_uid(pin.uid).next().is_some_and(|p| p.name() != pin.name)
            {
                "a pin to a uid that the registry gives to another name:"
            } else if self.known.uid_of(pin.name).is_some_and(|uid| uid != pin.uid) {
                "a pin to another uid than the registry has for the name:"
            } else {
                continue;
            };
            doubts = true;
            if host != Host::Caller {
                tell_line(file, pin.line, Level::Warning, what, pin.name);
            }
        }
        if doubts && host == Host::Check { Err(wrong_config(file)) } else { Ok(()) }
    }
}

/// The templates' own names that are users in /etc/passwd.
fn find_own(config: &mut Config<'static>) {
    let text = read_path(b"/etc/passwd").unwrap_or_default();
    for line in Lines(&text) {
        let (name, behind) = cut(line, b':');
        let is_own = |s: &&Section| s.kind == SectionKind::Map && s.template.name.before == name;
        if let Some(section) = config.sections.iter().find(is_own).filter(|_| behind.is_some()) {
            config.own.push(section.template.name.before);
        }
    }
}

/// Reads a configuration and what it includes, and tells what is wrong with it. Also whether it
/// was read as of the second format. `strict`: it must be there, and an error in a single line is
/// fatal, too.
fn read_config(config: &mut Config<'static>, plan: &Plan, strict: bool) -> Result<bool, Error> {
    config.compat = plan.compat;
    let Some(text) = read_file(&CONFIG, plan.file)? else {
        if strict {
            return Err(fail("unable to open", plan.file, Errno::NOENT));
        }
        let mut message = Message::warning("nsssd-map");
        message.text("there is no ").path(plan.file).text(": nobody is found").send();
        return Ok(false);
    };
    let mut problems = Vec::new();
    let first = Lines(text).next().unwrap_or_default();
    let second = !plan.compat && first.trim_ascii_end() == sections::FIRST;
    if second {
        if !plan.require.is_empty() {
            let what = "-r is for a single template; this file has its own:";
            return Err(Error::options(what).about(OsStr::from_bytes(plan.file)));
        }
        sections::read(text, config, &mut problems);
    } else if !plan.compat {
        single::safe(text, config, &mut problems);
    } else {
        single::compat(text, config);
        if config.sections.is_empty() {
            Problem::warn(&mut problems, 1, "no template: nobody is found");
        }
    }
    let mut bad = false;
    for Problem { line, what, word, warning } in &problems {
        let level = if *warning || !second { Level::Warning } else { Level::Fatal };
        tell_line(plan.file, *line as u32, level, what, word);
        bad |= !warning;
    }
    let Config { deny, deny_files, .. } = config;
    for path in deny_files {
        bad |= !read_deny_file(path, deny)?;
    }
    if bad && (second || strict) { Err(wrong_config(plan.file)) } else { Ok(second) }
}

/// One glob on each line. False if one of them is none.
fn read_deny_file(path: &[u8], deny: &mut Vec<Words<'static>>) -> Result<bool, Error> {
    let Some(text) = read_file(&DENY_FILE, path)? else {
        return Err(fail("unable to open", path, Errno::NOENT));
    };
    let (mut good, mut number) = (true, 0);
    for line in Lines(text) {
        number += 1;
        let word = line.trim_ascii();
        if word.is_empty() || word.starts_with(b"#") {
            continue;
        }
        match super::names::glob_fault(word) {
            Some(what) => {
                tell_line(path, number, Level::Fatal, what, word);
                good = false;
            }
            None => deny.push(Words(word)),
        }
    }
    Ok(good)
}

/// A file of root's, or ours, that nobody else can write; `faults` are told of others. It is
/// kept until the process ends, as what was read of it is. `None` if there is none.
fn read_file(faults: &Faults, path: &[u8]) -> Result<Option<&'static [u8]>, Error> {
    let wrong = |errno| fail("unable to read", path, errno);
    let file = match open_path(path, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(fail("unable to open", path, errno)),
    };
    let stat = fstat(&file).map_err(wrong)?;
    if let Some(found) = fault(&stat, geteuid().as_raw()) {
        return Err(not_believed(faults, found, path));
    }
    let text = read_all(file.as_fd(), CONFIG_MAX).map_err(wrong)?;
    // Without the room that was left for more.
    Ok(Some(Box::leak(text.into_boxed_slice())))
}

/// A failed system call that concerns this file or word.
pub fn fail(what: &'static str, about: &[u8], errno: Errno) -> Error {
    Error::system(what, errno).about(OsStr::from_bytes(about))
}

fn not_believed(faults: &Faults, fault: Fault, path: &[u8]) -> Error {
    let what = match fault {
        Fault::NoFile => faults.no_file,
        Fault::AnotherUsers => faults.another_users,
        Fault::Writable => faults.writable,
    };
    unusable(what, path)
}

fn unusable(what: &'static str, path: &[u8]) -> Error {
    Error::usage(what).with_exit(Exit::SYSTEM).about(OsStr::from_bytes(path))
}

fn wrong_config(path: &[u8]) -> Error {
    unusable("unable to use configuration", path)
}

/// Says where every name is admitted.
fn tell_open_sections(config: &Config, file: &[u8], second: bool) {
    let what = match (config.compat, second) {
        (true, _) => "every name exists, as with libnss_map (-c)",
        (_, true) => "without require, every well-formed name exists",
        _ => "every well-formed name exists (see -r)",
    };
    for section in
        config.sections.iter().filter(|s| s.kind == SectionKind::Map && s.require.is_empty())
    {
        tell_line(file, section.line, Level::Warning, what, b"");
    }
}

/// The client of a daemon that serves one: as the super-server says, else by its socket. The peer
/// of a socket pair is whoever made the pair, and not the client: only a socket with a name of
/// its own, which was accepted, tells.
fn client() -> Option<Peer> {
    let id = |name| Some(decimal_u32(std::env::var_os(name)?.as_bytes()));
    if let Some(uid) = id("IPCREMOTEEUID") {
        return Some(Peer { uid: Uid(uid?), gid: Gid(id("IPCREMOTEEGID")??) });
    }
    let name = getsockname(stdin()).ok()?;
    // What has no name is a family of two bytes, or an abstract name of no bytes.
    if name.address_family() != AddressFamily::UNIX || name.addr_len() <= 3 {
        return None;
    }
    socket::peer(stdin()).ok()
}
