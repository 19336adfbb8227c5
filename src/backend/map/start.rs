//! What happens once: the configuration, the key and the registry are read and judged, while the
//! process still may, and all that is wrong is told.

use super::config::{Config, Problem, Require};
use super::groups::Groups;
use super::key::{self, Key};
use super::known::Known;
use super::registry::{self, Registry};
use super::scan::Scan;
use super::{Keyed, Map, sections, single, slow};
use crate::limits::WINDOW;
use crate::options::{Options, Spec};
use crate::sys::error::{Error, code};
use crate::sys::message::Message;
use nssproto::bytes::decimal_u32;
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketAddrUnix, getsockname};
use rustix::process::{getegid, geteuid};
use rustix::stdio::stdin;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where libnss_map has it.
const FILE: &str = "/etc/nssmap.conf";

/// The largest configuration: more deny lists than anybody has.
const CONFIG_MAX: u64 = 4 * 1024 * 1024;

/// The options of nsssd-map that concern answers.
pub const SPEC: Spec =
    Spec { flags: "cL", values: "fr", repeat: "r", long: &["--help"], ..Spec::NONE };

/// In whose process the map runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The asker's own: its environment counts.
    Asker,
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
    pub file: Vec<u8>,
    /// As libnss_map does.
    pub compat: bool,
    /// Look at LOGNAME.
    pub logname: bool,
    /// What a single line requires.
    pub require: Require,
    /// An error in a single line is fatal, too (`-n`).
    pub strict: bool,
}

impl Plan {
    /// Takes the options.
    pub fn take(options: &mut Options) -> Result<Self, Error> {
        let file = options.value("-f").unwrap_or_else(|| FILE.into()).into_vec();
        let mut require = Require::default();
        while let Some(word) = options.value("-r") {
            let bytes = word.as_bytes();
            let (what, path) = match bytes.iter().position(|b| *b == b':') {
                Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
                None => (bytes, None),
            };
            let wrong = |what| Error::options(what).about(&word);
            require.add(what, path).map_err(wrong)?;
        }
        Ok(Plan {
            file,
            compat: options.flag("-c"),
            logname: options.flag("-L"),
            require,
            strict: false,
        })
    }
}

impl Map {
    /// A map by the arguments of nsssd-map. Words that are no options are ignored.
    pub fn by_args(args: &[OsString], host: Host) -> Result<Self, Error> {
        let (mut options, _) = SPEC.split(args)?;
        Map::open(&Plan::take(&mut options)?, host)
    }

    /// Reads everything. Whatever is wrong is told with file and line; the error then says that
    /// this is so, exit 111.
    pub fn open(plan: &Plan, host: Host) -> Result<Self, Error> {
        if plan.logname && host == Host::Daemon {
            return Err(Error::options("a daemon does not look at LOGNAME: -L is for getent -s"));
        }
        let (config, second) = read_config(plan)?;
        let mut map = Map::new(config, plan, host)?;
        let tells = matches!(host, Host::Daemon | Host::Check);
        if tells {
            tell_open_sections(&map.config, &plan.file, second);
            map.slow = slow::find(&map.config);
        }
        let mut window = vec![0; WINDOW];
        map.read_registry(&plan.file, host, &mut window)?;
        match map.groups.refresh(&mut window) {
            Ok(()) if tells => map.groups.tell_missing(&map.config, &plan.file),
            Ok(()) => {}
            Err(e) => return Err(Error::system("unable to read", e).about("/etc/group")),
        }
        Ok(map)
    }

    fn new(config: Config, plan: &Plan, host: Host) -> Result<Self, Error> {
        let key = match &config.key {
            Some((line, path)) => read_key(path, *line, &plan.file)?,
            None => Keyed::Refused(Errno::NOKEY),
        };
        let logname = plan.logname.then(|| std::env::var_os("LOGNAME")).flatten();
        let derives = config.derives();
        Ok(Map {
            own: names_in_passwd(&config),
            me: match host {
                Host::Asker => Some((geteuid().as_raw(), getegid().as_raw())),
                _ => client(),
            },
            logname: logname.map(OsString::into_vec),
            known: Known::new(derives),
            scan: derives.then(|| Scan::new(&config)),
            registry: None,
            refused: None,
            groups: Groups::new(&config),
            slow: false,
            room: Default::default(),
            area: heapless::Vec::new(),
            told: heapless::Vec::new(),
            key,
            config,
        })
    }

    /// Opens the registry and reads what it has.
    fn read_registry(&mut self, file: &[u8], host: Host, window: &mut [u8]) -> Result<(), Error> {
        let Some((line, path)) = self.config.registry.clone() else { return Ok(()) };
        let fail = |e| Error::system("unable to use registry", e).about(OsStr::from_bytes(&path));
        let create = matches!(host, Host::Asker | Host::Daemon);
        let (mut registry, stat) = match Registry::open(&path, create) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            // A process that has dropped its privileges: what needs the registry fails.
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                Problem::error(line, "unable to open the registry", b"").tell(file, "warning");
                self.refused = Some(errno);
                return Ok(());
            }
            Err(errno) => return Err(fail(errno)),
        };
        if !registry::is_safe(&stat, geteuid().as_raw()) {
            return Err(unsafe_file("registry", &path));
        }
        if matches!(host, Host::Asker | Host::Tool) {
            registry.be_quiet();
        }
        registry.refresh(&mut self.known, window).map_err(fail)?;
        self.registry = Some(registry);
        let mut doubts = false;
        for pin in &self.config.pins {
            let other = self.known.with_uid(pin.uid).any(|p| p.name() != pin.name);
            let moved = self.known.uid_of(&pin.name).is_some_and(|uid| uid != pin.uid);
            let what = match (other, moved) {
                (true, _) => "a pin to a uid that the registry gives to another name:",
                (_, true) => "a pin to another uid than the registry has for the name:",
                _ => continue,
            };
            doubts = true;
            if host != Host::Asker {
                Problem::error(pin.line, what, &pin.name).tell(file, "warning");
            }
        }
        if doubts && host == Host::Check { Err(wrong_config(file)) } else { Ok(()) }
    }
}

/// Reads a configuration and what it includes, and tells what is wrong with it. Also whether it
/// is of the second format.
fn read_config(plan: &Plan) -> Result<(Config, bool), Error> {
    let Some(text) = read_file("configuration", &plan.file)? else {
        let message = Message::new("nsssd-map", "warning").text("there is no ").path(&plan.file);
        message.text(": nobody is found").send();
        return Ok((Config { compat: plan.compat, ..Config::default() }, false));
    };
    let mut problems = Vec::new();
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let second = first.trim_ascii_end() == sections::FIRST;
    let mut config = match (second, plan.compat) {
        (true, false) if !plan.require.is_empty() => {
            return Err(Error::options("-r is for a single template; this file has its own:")
                .about(OsStr::from_bytes(&plan.file)));
        }
        (true, false) => sections::read(&text, &mut problems),
        (false, false) => single::safe(&text, plan.require.clone(), &mut problems),
        (_, true) => {
            let mut config = single::compat(&text);
            match config.sections.first_mut() {
                Some(section) => section.require = plan.require.clone(),
                None => problems.push(Problem::warning(1, "no template: nobody is found")),
            }
            config
        }
    };
    let kind = if second { "fatal" } else { "warning" };
    problems.iter().for_each(|p| p.tell(&plan.file, kind));
    let mut bad = problems.iter().any(|p| !p.warning);
    for (_, path) in std::mem::take(&mut config.deny_files) {
        bad |= !read_deny_file(&path, &mut config)?;
    }
    if bad && (second || plan.strict) {
        return Err(wrong_config(&plan.file));
    }
    Ok((config, second))
}

/// One glob on each line. False if one of them is none.
fn read_deny_file(path: &[u8], config: &mut Config) -> Result<bool, Error> {
    let Some(text) = read_file("deny-file", path)? else {
        let error = Error::system("unable to open", Errno::NOENT);
        return Err(error.about(OsStr::from_bytes(path)));
    };
    let mut good = true;
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        let word = line.trim_ascii();
        if word.is_empty() || word.starts_with(b"#") {
            continue;
        }
        match super::names::glob_fault(word) {
            Some(what) => {
                Problem::error(number, what, word).tell(path, "fatal");
                good = false;
            }
            None => config.deny.push(word.to_vec()),
        }
    }
    Ok(good)
}

/// A file of root's, or ours, that nobody else can write. `None` if there is none.
fn read_file(what: &'static str, path: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let name = OsStr::from_bytes(path);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fail = |errno| Error::system("unable to read", errno).about(name);
    let file = match open(name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(Error::system("unable to open", errno).about(name)),
    };
    let stat = fstat(&file).map_err(fail)?;
    // A FIFO, say, would read as an empty file: a list of nobody who is denied.
    if !registry::is_safe(&stat, geteuid().as_raw()) {
        return Err(unsafe_file(what, path));
    }
    let mut text = Vec::new();
    let mut reader = std::fs::File::from(file).take(CONFIG_MAX + 1);
    let read = reader.read_to_end(&mut text);
    read.map_err(|e| fail(e.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)))?;
    if text.len() as u64 > CONFIG_MAX {
        return Err(fail(Errno::FBIG));
    }
    Ok(Some(text))
}

fn unsafe_file(what: &str, path: &[u8]) -> Error {
    let what = match what {
        "configuration" => "configuration is writable by others, or another user's, or no file:",
        "registry" => "registry is writable by others, or another user's, or no file:",
        _ => "deny-file is writable by others, or another user's, or no file:",
    };
    Error::usage(what).with_code(code::SYSTEM).about(OsStr::from_bytes(path))
}

fn wrong_config(path: &[u8]) -> Error {
    let error = Error::usage("unable to use configuration").with_code(code::SYSTEM);
    error.about(OsStr::from_bytes(path))
}

/// The key. That it may not be read is no reason to end: other sections may do without.
fn read_key(path: &[u8], line: u64, config: &[u8]) -> Result<Keyed, Error> {
    let tell = |what: &str, kind| super::config::tell_line(config, line, kind, what, path);
    match Key::read(path) {
        Ok(key) => {
            super::keep_secret();
            Ok(Keyed::With(key))
        }
        Err(key::Fault::System(errno @ (Errno::ACCESS | Errno::PERM))) => {
            tell("may not read the key, so derived users cannot be looked up:", "warning");
            Ok(Keyed::Refused(errno))
        }
        Err(key::Fault::System(errno)) => {
            Err(Error::system("unable to read key", errno).about(OsStr::from_bytes(path)))
        }
        Err(key::Fault::Bad(what)) => {
            tell(&["the key ", what, ":"].concat(), "fatal");
            Err(wrong_config(config))
        }
    }
}

/// Says where every name is admitted.
fn tell_open_sections(config: &Config, file: &[u8], second: bool) {
    for section in config.sections.iter().filter(|s| s.require.is_empty()) {
        let what = match (config.compat, second) {
            (true, _) => "every name exists, as with libnss_map (-c)",
            (_, true) => "without require, every well-formed name exists",
            _ => "every well-formed name exists (see -r)",
        };
        Problem::warning(section.line, what).tell(file, "warning");
    }
}

/// The templates' own names that are users in /etc/passwd.
fn names_in_passwd(config: &Config) -> Vec<Vec<u8>> {
    let names = config.sections.iter().map(|s| &s.template.name.before);
    let Ok(text) = std::fs::read("/etc/passwd") else { return Vec::new() };
    let users: Vec<&[u8]> =
        text.split(|b| *b == b'\n').filter_map(|l| l.split(|b| *b == b':').next()).collect();
    names.filter(|n| users.contains(&n.as_slice())).cloned().collect()
}

/// The client of a daemon that serves one: as the super-server says, else by its socket. The peer
/// of a socket pair is whoever made the pair, and not the client: only a socket with a name of
/// its own, which was accepted, tells.
fn client() -> Option<(u32, u32)> {
    let id = |name| Some(decimal_u32(std::env::var_os(name)?.as_bytes()));
    if let Some(uid) = id("IPCREMOTEEUID") {
        return Some((uid?, id("IPCREMOTEEGID")??));
    }
    let name = SocketAddrUnix::try_from(getsockname(stdin()).ok()?).ok()?;
    // What has no name reads as an abstract one of no bytes.
    if name.path_bytes().or(name.abstract_name()).is_none_or(<[u8]>::is_empty) {
        return None;
    }
    let peer = socket_peercred(stdin()).ok()?;
    Some((peer.uid.as_raw(), peer.gid.as_raw()))
}
