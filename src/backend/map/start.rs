//! What happens once: the configuration, the key and the registry are read and judged, while the
//! process still may, and all that is wrong is told.

use super::config::{Config, Kind, Lines, Problem, Require, Words, tell_line};
use super::groups::Groups;
use super::key::{self, Key};
use super::known::Known;
use super::registry::Registry;
use super::scan::Scan;
use super::{Keyed, Map, sections, single, slow};
use crate::limits::WINDOW;
use crate::options::{Options, Spec};
use crate::sys::error::{Error, code};
use crate::sys::file::{open_path, read_all, read_path};
use crate::sys::message::Message;
use crate::sys::privilege::keep_secret;
use nssproto::bytes::decimal_u32;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
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
const CONFIG: &str = "configuration is writable by others, or another user's, or no file:";
const DENY_FILE: &str = "deny-file is writable by others, or another user's, or no file:";
const REGISTRY: &str = "registry is writable by others, or another user's, or no file:";

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
    pub file: &'static [u8],
    /// As libnss_map does.
    pub compat: bool,
    /// Look at LOGNAME.
    pub logname: bool,
    /// What a single line requires.
    pub require: Require<'static>,
    /// An error in a single line is fatal, too (`-n`).
    pub strict: bool,
}

impl Plan {
    /// Takes the options.
    pub fn take(options: &mut Options) -> Result<Self, Error> {
        let file = options.value("-f").map_or(FILE, lasting);
        let mut plan = Plan { file, ..Plan::default() };
        while let Some(word) = options.value("-r").map(lasting) {
            let colon = word.iter().position(|b| *b == b':');
            let what = word.get(..colon.unwrap_or(word.len())).unwrap_or_default();
            let path = colon.and_then(|at| word.get(at + 1..));
            let wrong = |what| Error::options(what).about(OsStr::from_bytes(word));
            plan.require.add(what, path).map_err(wrong)?;
        }
        plan.compat = options.flag("-c");
        plan.logname = options.flag("-L");
        Ok(plan)
    }
}

/// A word of the command line that is kept until the process ends.
pub fn lasting(word: OsString) -> &'static [u8] {
    word.into_vec().leak()
}

impl Map {
    /// A map by the arguments of nsssd-map. Words that are no options are ignored.
    pub fn by_args(args: &[OsString], host: Host) -> Result<Box<Self>, Error> {
        let (mut options, _) = SPEC.split(args)?;
        Map::open(&mut Plan::take(&mut options)?, host)
    }

    /// Reads everything. Whatever is wrong is told with file and line; the error then says that
    /// this is so, exit 111.
    pub fn open(plan: &mut Plan, host: Host) -> Result<Box<Self>, Error> {
        if plan.logname && host == Host::Daemon {
            return Err(Error::options("a daemon does not look at LOGNAME: -L is for getent -s"));
        }
        // It lives as long as the texts that it was read from.
        let config: &mut Config = Box::leak(Box::default());
        let second = read_config(config, plan)?;
        let mut map = Box::new(Map::new(config));
        map.read_key(plan.file)?;
        map.find_own();
        if plan.logname {
            map.logname = crate::sys::variable("LOGNAME").map(OsString::into_vec);
        }
        map.me = match host {
            Host::Asker => Some((geteuid().as_raw(), getegid().as_raw())),
            _ => client(),
        };
        if map.config.derives() {
            map.known = Known::new(true);
            map.scan = Some(Scan::new(map.config));
        }
        let tells = matches!(host, Host::Daemon | Host::Check);
        if tells {
            tell_open_sections(map.config, plan.file, second);
            map.slow = slow::find(map.config);
        }
        let mut window = vec![0; WINDOW];
        map.read_registry(plan.file, host, &mut window)?;
        map.groups = Groups::new(map.config);
        let read = map.groups.refresh(&mut window);
        read.map_err(|e| fail("unable to read", b"/etc/group", e))?;
        if tells {
            map.groups.tell_missing(map.config, plan.file);
        }
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
            Err(key::Fault::System(errno @ (Errno::ACCESS | Errno::PERM))) => {
                let what = "may not read the key, so derived users cannot be looked up:";
                tell_line(config, line, "warning", what, path);
                self.key = Keyed::Refused(errno);
            }
            Err(key::Fault::System(errno)) => return Err(fail("unable to read key", path, errno)),
            Err(key::Fault::Bad(what)) => {
                tell_line(config, line, "fatal", what, path);
                return Err(wrong_config(config));
            }
        }
        Ok(())
    }

    /// Opens the registry and reads what it has.
    fn read_registry(&mut self, file: &[u8], host: Host, window: &mut [u8]) -> Result<(), Error> {
        let Some((line, path)) = self.config.registry else { return Ok(()) };
        let fail = |errno| fail("unable to use registry", path, errno);
        let create = matches!(host, Host::Asker | Host::Daemon);
        let (mut registry, stat) = match Registry::open(path, create) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            // A process that has dropped its privileges: what needs the registry fails.
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                tell_line(file, line, "warning", "unable to open the registry", b"");
                self.refused = Some(errno);
                return Ok(());
            }
            Err(errno) => return Err(fail(errno)),
        };
        if !super::is_safe(&stat, geteuid().as_raw()) {
            return Err(unusable(REGISTRY, path));
        }
        if matches!(host, Host::Asker | Host::Tool) {
            registry.be_quiet();
        }
        registry.refresh(&mut self.known, window).map_err(fail)?;
        self.registry = Some(registry);
        let mut doubts = false;
        for pin in &self.config.pins {
            let what = if self.known.with_uid(pin.uid).any(|p| p.name() != pin.name) {
                "a pin to a uid that the registry gives to another name:"
            } else if self.known.uid_of(pin.name).is_some_and(|uid| uid != pin.uid) {
                "a pin to another uid than the registry has for the name:"
            } else {
                continue;
            };
            doubts = true;
            if host != Host::Asker {
                tell_line(file, pin.line, "warning", what, pin.name);
            }
        }
        if doubts && host == Host::Check { Err(wrong_config(file)) } else { Ok(()) }
    }

    /// The templates' own names that are users in /etc/passwd.
    fn find_own(&mut self) {
        let text = read_path(b"/etc/passwd");
        for line in Lines(&text.unwrap_or_default()) {
            for section in &self.config.sections {
                let name = section.template.name.before;
                let rest = line.strip_prefix(name);
                if section.kind == Kind::Map && rest.is_some_and(|rest| rest.first() == Some(&b':'))
                {
                    self.own.push(name);
                    break;
                }
            }
        }
    }
}

/// Reads a configuration and what it includes, and tells what is wrong with it. Also whether it
/// is of the second format.
fn read_config(config: &mut Config<'static>, plan: &mut Plan) -> Result<bool, Error> {
    config.compat = plan.compat;
    let Some(text) = read_file(CONFIG, plan.file)? else {
        let mut message = Message::new("nsssd-map", "warning");
        message.text("there is no ").path(plan.file).text(": nobody is found").send();
        return Ok(false);
    };
    let mut problems = Vec::new();
    let first = Lines(text).next().unwrap_or_default();
    let second = first.trim_ascii_end() == sections::FIRST;
    if plan.compat {
        single::compat(text, config);
        if config.sections.is_empty() {
            let what = "no template: nobody is found";
            problems.push(Problem { line: 1, what, word: b"", warning: true });
        }
    } else if !second {
        single::safe(text, config, &mut problems);
    } else if plan.require.is_empty() {
        sections::read(text, config, &mut problems);
    } else {
        let what = "-r is for a single template; this file has its own:";
        return Err(Error::options(what).about(OsStr::from_bytes(plan.file)));
    }
    if let Some(section) = config.sections.first_mut().filter(|_| plan.compat || !second) {
        section.require = std::mem::take(&mut plan.require);
    }
    let mut bad = false;
    for problem in &problems {
        problem.tell(plan.file, if second { "fatal" } else { "warning" });
        bad |= !problem.warning;
    }
    for path in std::mem::take(&mut config.deny_files) {
        bad |= !read_deny_file(path, config)?;
    }
    if bad && (second || plan.strict) { Err(wrong_config(plan.file)) } else { Ok(second) }
}

/// One glob on each line. False if one of them is none.
fn read_deny_file(path: &[u8], config: &mut Config<'static>) -> Result<bool, Error> {
    let Some(text) = read_file(DENY_FILE, path)? else {
        return Err(fail("unable to open", path, Errno::NOENT));
    };
    let mut good = true;
    for (number, line) in (1..).zip(Lines(text)) {
        let word = line.trim_ascii();
        if word.is_empty() || word.starts_with(b"#") {
            continue;
        }
        match super::names::glob_fault(word) {
            Some(what) => {
                tell_line(path, number, "fatal", what, word);
                good = false;
            }
            None => config.deny.push(Words(word)),
        }
    }
    Ok(good)
}

/// A file of root's, or ours, that nobody else can write; `unsafe_file` is told of others. It is
/// kept until the process ends, as what was read of it is. `None` if there is none.
fn read_file(unsafe_file: &'static str, path: &[u8]) -> Result<Option<&'static [u8]>, Error> {
    let wrong = |errno| fail("unable to read", path, errno);
    let file = match open_path(path, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(fail("unable to open", path, errno)),
    };
    if !super::is_safe(&super::look_at(&file).map_err(wrong)?, geteuid().as_raw()) {
        return Err(unusable(unsafe_file, path));
    }
    let text = read_all(file.as_fd(), CONFIG_MAX).map_err(wrong)?;
    // Without the room that was left for more.
    Ok(Some(Box::leak(text.into_boxed_slice())))
}

fn fail(what: &'static str, path: &[u8], errno: Errno) -> Error {
    Error::system(what, errno).about(OsStr::from_bytes(path))
}

fn unusable(what: &'static str, path: &[u8]) -> Error {
    Error::usage(what).with_code(code::SYSTEM).about(OsStr::from_bytes(path))
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
    for section in config.sections.iter().filter(|s| s.kind == Kind::Map && s.require.is_empty()) {
        tell_line(file, section.line, "warning", what, b"");
    }
}

/// The client of a daemon that serves one: as the super-server says, else by its socket. The peer
/// of a socket pair is whoever made the pair, and not the client: only a socket with a name of
/// its own, which was accepted, tells.
fn client() -> Option<(u32, u32)> {
    let id = |name| Some(decimal_u32(crate::sys::variable(name)?.as_bytes()));
    if let Some(uid) = id("IPCREMOTEEUID") {
        return Some((uid?, id("IPCREMOTEEGID")??));
    }
    let name = getsockname(stdin()).ok()?;
    // What has no name is a family of two bytes, or an abstract name of no bytes.
    if name.address_family() != AddressFamily::UNIX || name.addr_len() <= 3 {
        return None;
    }
    let peer = socket_peercred(stdin()).ok()?;
    Some((peer.uid.as_raw(), peer.gid.as_raw()))
}
