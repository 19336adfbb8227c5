//! The table of applets, and what nssbox does by itself: find one, list them, make their links.

use crate::sys::error::{Error, Exit, Hint, not_made};
use crate::sys::file::{base, join, path};
use crate::sys::output;
use crate::sys::program::{SELF, is_ours};
use crate::sys::stat::lstat;
use rustix::fs::{AtFlags, CWD, linkat, readlink, rename, symlink, unlink};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

mod daemon;
#[cfg(any(feature = "dtcompact", feature = "dthost", feature = "dtstatus"))]
mod filter;
mod help;

/// Exit code for an applet that does not exist.
const UNKNOWN: Exit = Exit::new(127);

/// One applet.
pub struct Applet {
    /// The name that it is called by.
    pub name: &'static str,
    /// Shorter names for `nssbox NAME`.
    pub short: &'static [&'static str],
    /// What it does, in a line.
    about: &'static str,
    /// What `--help` prints, in pieces.
    usage: &'static [&'static str],
    /// Exit code for a wrong command line.
    usage_exit: Exit,
    /// Does the work.
    main: fn(&[OsString]) -> Result<Exit, Error>,
}

/// A row adds an applet: its module, which has `USAGE` and `main`; its name, which is its feature,
/// too; a shorter name, if it has one; its exit code for a wrong command line; what it does.
macro_rules! applets {
    ($($module:ident: $name:literal $(or $short:literal)?, $usage_exit:expr, $about:literal;)*) => {
        $(#[cfg(feature = $name)] mod $module;)*

        /// The applets of this build, sorted by name.
        pub const APPLETS: &[Applet] = &[$(
            #[cfg(feature = $name)]
            Applet {
                name: $name,
                short: &[$($short)?],
                about: $about,
                usage: $module::USAGE,
                usage_exit: $usage_exit,
                main: $module::main,
            },
        )*];

        /// The names of all applets, short ones and those that this build leaves out included: any
        /// other name of the executable takes the applet from its first argument.
        pub const NAMES: &[&str] = &[$($name, $($short,)?)*];
    };
}

applets! {
    dt: "dt", Exit::new(2), "runs a command on many tagged hosts by ssh, as dtools";
    dtcompact: "dtcompact", Exit::new(2), "dt's lines as marks and figures";
    dthost: "dthost", Exit::new(2), "dt's lines under a heading for each host";
    dtstatus: "dtstatus", Exit::new(2), "dt's lines by status";
    // EX_USAGE of sysexits.h, as glibc's argp has it.
    getent: "getent", Exit::new(64), "asks by hand, as glibc's getent";
    groups: "groups", Exit::FAILURE, "the groups of a user";
    id: "id", Exit::FAILURE, "who a user is, as coreutils' id";
    ipcserver: "ipcserver", Exit::USAGE, "super-server: one process for all clients of a socket";
    nscd: "nscd", Exit::USAGE, "answers programs of glibc and musl, as glibc's nscd";
    // The original's: optparse's exit code.
    nsscache: "nsscache", Exit::new(2), "indexes of users and groups in local files, as nsscache";
    nsssd_cache: "nsssd-cache" or "cache", Exit::USAGE, "users of local files with indexes, as libnss-cache";
    nsssd_map: "nsssd-map" or "map", Exit::USAGE, "users that no file lists, from a template";
    nsssd_nslcd: "nsssd-nslcd" or "nslcd", Exit::USAGE, "users of LDAP, through a running nslcd";
    nsssd_switch: "nsssd-switch" or "switch", Exit::USAGE, "asks several backends in order";
    nsssd_unix: "nsssd-unix" or "unix", Exit::USAGE, "users of passwd, group and shadow files";
    sv: "sv", Exit::USAGE, "services of runit, daemontools and s6, as runit's sv";
    svstat: "svstat", Exit::USAGE, "their state, as daemontools' svstat";
    userdb: "userdb", Exit::USAGE, "answers libnss_systemd, as a service of systemd's userdb";
    vsv: "vsv", Exit::FAILURE, "a table of them, as vsv";
    whoami: "whoami", Exit::FAILURE, "the name of the user";
    with_nscd: "with-nscd", Exit::USAGE, "runs a program beside an nscd of its own";
}

/// What follows a name that says which version it is.
const VERSION: &str = concat!(" (nssbox ", env!("CARGO_PKG_VERSION"), ")\n");

const USAGE: &str = "\
Usage: nssbox APPLET [ARGUMENT]..., or by a link: APPLET [ARGUMENT]...
  --list              the names of the applets; --help, --version: also of each
  --install [-s] DIR  make hard links to them in DIR, with -s symbolic ones
";

/// What the command line says, argv\[0\] first; the exit code of the process.
pub fn main(args: &[OsString]) -> ExitCode {
    let (program, args) = args.split_first().map_or((&[][..], &[][..]), |(p, a)| (p.as_bytes(), a));
    let name = base(program);
    let exit = match find(name) {
        Some(applet) => run(applet, args),
        // A link in /etc/init.d.
        #[cfg(feature = "sv")]
        None if !name.starts_with(b"nssbox") && sv::is_script(program) => sv::script(name, args),
        None => nssbox(name, args).unwrap_or_else(|error| {
            error.print("nssbox");
            error.exit
        }),
    };
    ExitCode::from(exit.code())
}

/// The applet of this name, short ones included.
pub fn find(name: &[u8]) -> Option<&'static Applet> {
    let is = |word: &str| word.as_bytes() == name;
    APPLETS.iter().find(|applet| is(applet.name) || applet.short.iter().any(|word| is(word)))
}

/// Runs an applet, and prints what it was asked for, or the error that it ends with; the exit code.
fn run(applet: &Applet, args: &[OsString]) -> Exit {
    let done = (applet.main)(args).or_else(|error| match error.hint {
        Hint::Help => print(applet.usage),
        Hint::Version => print(&[applet.name, VERSION]),
        _ => Err(error),
    });
    done.unwrap_or_else(|error| {
        error.print(applet.name);
        if error.exit == Exit::USAGE { applet.usage_exit } else { error.exit }
    })
}

/// nssbox by its own name, or by one that is no applet's; the exit code.
fn nssbox(name: &[u8], args: &[OsString]) -> Result<Exit, Error> {
    // Words are compared as such, not matched: a pattern would be compared byte by byte.
    let Some((first, rest)) = args.split_first() else {
        return if name == "nssbox".as_bytes() { help() } else { unknown(name) };
    };
    if first == "--help" || first == "-h" || first == "help" {
        help()
    } else if first == "--version" || first == "-V" {
        print(&[concat!("nssbox ", env!("CARGO_PKG_VERSION"), "\n")])
    } else if first == "--list" {
        list()
    } else if first == "--install" {
        install(rest)
    } else if let Some(applet) = find(first.as_bytes()) {
        Ok(run(applet, rest))
    } else {
        // By a link that names an applet which this build has not, or by nssbox's own.
        unknown(if name.starts_with(b"nssbox") { first.as_bytes() } else { name })
    }
}

fn unknown(name: &[u8]) -> Result<Exit, Error> {
    Err(Error::usage("no such applet:").about(OsStr::from_bytes(name)).with_exit(UNKNOWN))
}

fn help() -> Result<Exit, Error> {
    let mut text = String::from(USAGE);
    for applet in APPLETS {
        text.push_str("  ");
        text.push_str(applet.name);
        for _ in applet.name.len()..14 {
            text.push(' ');
        }
        text.push_str(applet.about);
        text.push('\n');
    }
    print(&[&text])
}

fn list() -> Result<Exit, Error> {
    let mut names = String::new();
    for applet in APPLETS {
        names.push_str(applet.name);
        names.push('\n');
    }
    print(&[&names])
}

/// Prints to standard output.
fn print(pieces: &[&str]) -> Result<Exit, Error> {
    output::print(pieces.concat().as_bytes())?;
    Ok(Exit::SUCCESS)
}

/// `--install [-s] DIR`. A link of ours that is there already is replaced without a gap. All that
/// is in the way is left alone and named, and the other links are made.
fn install(args: &[OsString]) -> Result<Exit, Error> {
    let mut options = pico_args::Arguments::from_vec(args.to_vec());
    let symbolic = options.contains("-s");
    let words = options.finish();
    let dir = match words.as_slice() {
        [dir] if args.last() == Some(dir) && !dir.as_bytes().starts_with(b"-") => dir,
        _ => return Err(Error::usage("usage: nssbox --install [-s] DIR")),
    };
    let own = readlink(SELF, Vec::new())
        .map_err(|e| Error::system("unable to find", e).about("my own file"))?;
    let mut exit = Exit::SUCCESS;
    for applet in APPLETS {
        let link = join(dir.as_bytes(), applet.name.as_bytes());
        let staged = join(dir.as_bytes(), &[b".", applet.name.as_bytes(), b".new"].concat());
        let name = OsStr::from_bytes(&link);
        match put_link(&own, &link, &staged, symbolic) {
            Ok(true) => {}
            Ok(false) => {
                let what = "unable to replace what is no link of ours:";
                Error::refused(what).about(name).print("nssbox");
                exit = Exit::FAILURE;
            }
            Err(errno) => return Err(not_made("unable to make link", &link, errno)),
        }
    }
    Ok(exit)
}

/// Makes a link to `own`, by way of `staged`; false where there is what is not ours.
fn put_link(own: &CStr, link: &[u8], staged: &[u8], symbolic: bool) -> Result<bool, Errno> {
    let (link, staged) = (path(link)?, path(staged)?);
    // A link that leads elsewhere, or nowhere, is somebody's, too.
    if lstat(&link).is_ok() && !is_ours(&link) {
        return Ok(false);
    }
    let _ = unlink(&*staged);
    match symbolic {
        true => symlink(own, &*staged),
        false => linkat(CWD, own, CWD, &*staged, AtFlags::empty()),
    }?;
    let renamed = rename(&*staged, &*link);
    // Renaming a hard link onto another one of the same file leaves both.
    let _ = unlink(&*staged);
    renamed.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_are_not_ambiguous() {
        assert!(APPLETS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn every_usage_starts_with_the_applets_name() {
        for Applet { name, usage, .. } in APPLETS {
            assert!(usage.concat().starts_with(&["Usage: ", name, " "].concat()), "{name}");
        }
    }
}
