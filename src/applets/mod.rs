//! The table of applets, and what nssbox does by itself: find one, list them, make their links.

use crate::sys::error::{Error, code};
use crate::sys::file::join;
use crate::sys::output;
use crate::sys::spawn::SELF;
use rustix::fs::{AtFlags, CWD, FileType, linkat, lstat, readlink, rename, stat, symlink, unlink};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Exit code for an applet that does not exist.
const UNKNOWN: u8 = 127;

/// One applet.
pub struct Applet {
    /// The name that it is called by.
    pub name: &'static str,
    /// A shorter name for `nssbox NAME`; the same name if there is none.
    pub short: &'static str,
    /// What `--help` prints.
    pub usage: &'static str,
    /// Exit code for a wrong command line.
    pub usage_code: u8,
    /// Does the work; the exit code.
    pub main: fn(&[OsString]) -> Result<u8, Error>,
}

/// A line adds an applet: its module, and its row of the table.
macro_rules! applets {
    ($($module:ident => $feature:literal,)*) => {
        $(#[cfg(feature = $feature)] mod $module;)*
        /// All applets of this build, sorted by name.
        pub const APPLETS: &[&Applet] = &[
            $(#[cfg(feature = $feature)] &$module::APPLET,)*
        ];
    };
}

applets! {
    getent => "getent",
    groups => "groups",
    id => "id",
    ipcserver => "ipcserver",
    nscd => "nscd",
    nsssd_map => "nsssd-map",
    nsssd_nslcd => "nsssd-nslcd",
    nsssd_switch => "nsssd-switch",
    nsssd_unix => "nsssd-unix",
    whoami => "whoami",
    with_nscd => "with-nscd",
}

const USAGE: &str = "\
Usage: nssbox APPLET [ARGUMENT]...
   or: APPLET [ARGUMENT]...      through a link of that name

Users and groups for small machines, in one executable.

  --list             the applets of this build
  --install [-s] DIR make a link for each applet in DIR: hard ones, or with -s
                     symbolic ones
  --help, --version
  APPLET --help      what that applet does
";

/// The applet of this name, short ones included.
pub fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.iter().find(|a| a.name == name || a.short == name).copied()
}

/// Runs an applet, and prints the error that it ends with.
pub fn run(applet: &Applet, args: &[OsString]) -> ExitCode {
    let options = args.iter().take_while(|a| a.as_bytes().starts_with(b"-") && *a != "--");
    if { options }.any(|a| a == "--help") {
        return print(applet.usage);
    }
    match (applet.main)(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.print(applet.name);
            let wrong = error.code == code::USAGE;
            ExitCode::from(if wrong { applet.usage_code } else { error.code })
        }
    }
}

/// nssbox by its own name, or by one that is no applet's.
pub fn nssbox(name: &str, args: &[OsString]) -> ExitCode {
    let Some((first, rest)) = args.split_first() else {
        if name == "nssbox" {
            return print(USAGE);
        }
        return unknown(OsStr::new(name));
    };
    match first.to_str() {
        Some("--help" | "-h") => print(USAGE),
        Some("--version") => print(concat!("nssbox ", env!("CARGO_PKG_VERSION"), "\n")),
        Some("--list") => {
            let names: String = APPLETS.iter().flat_map(|a| [a.name, "\n"]).collect();
            print(&names)
        }
        Some("--install") => match install(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error.print("nssbox");
                ExitCode::from(error.code)
            }
        },
        Some(applet) => match find(applet) {
            Some(applet) => run(applet, rest),
            // By a link that names an applet which this build has not.
            None if !name.starts_with("nssbox") => unknown(OsStr::new(name)),
            None => unknown(first),
        },
        None => unknown(first),
    }
}

fn unknown(name: &OsStr) -> ExitCode {
    Error::usage("no such applet:").about(name).print("nssbox");
    ExitCode::from(UNKNOWN)
}

/// Prints to standard output; 1 if that fails.
fn print(text: &str) -> ExitCode {
    match output::print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `--install [-s] DIR`. A link that is there already is replaced without a gap; a file that is
/// not ours is left alone and named.
fn install(args: &[OsString]) -> Result<(), Error> {
    let (symbolic, dir) = match args {
        [dir] if !dir.as_bytes().starts_with(b"-") => (false, dir),
        [option, dir] if option == "-s" => (true, dir),
        _ => return Err(Error::usage("usage: nssbox --install [-s] DIR")),
    };
    let own = readlink(SELF, Vec::new())
        .map_err(|e| Error::system("unable to find", e).about("my own file"))?;
    for applet in APPLETS {
        let link = join(dir.as_bytes(), applet.name.as_bytes());
        let staged = join(dir.as_bytes(), [".", applet.name, ".new"].concat().as_bytes());
        let (link, staged) = (OsStr::from_bytes(&link), OsStr::from_bytes(&staged));
        let is_link = |mode| FileType::from_raw_mode(mode) == FileType::Symlink;
        if lstat(link).is_ok_and(|there| !is_link(there.st_mode)) && !is_ours(link) {
            return Err(Error::system("unable to replace", Errno::EXIST).about(link));
        }
        let fail = |e| Error::system("unable to make link", e).about(link);
        let _ = unlink(staged);
        let made = match symbolic {
            true => symlink(&own, staged),
            false => linkat(CWD, &own, CWD, staged, AtFlags::empty()),
        };
        made.map_err(fail)?;
        let renamed = rename(staged, link);
        // Renaming a hard link onto another one of the same file leaves both.
        let _ = unlink(staged);
        renamed.map_err(fail)?;
    }
    Ok(())
}

fn is_ours(file: &OsStr) -> bool {
    let id = |path: &OsStr| stat(path).ok().map(|s| (s.st_dev, s.st_ino));
    id(file).is_some() && id(file) == id(OsStr::new(SELF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_are_not_ambiguous() {
        assert!(APPLETS.windows(2).all(|w| w[0].name < w[1].name));
        let mut names: Vec<_> = APPLETS.iter().flat_map(|a| [a.name, a.short]).collect();
        names.sort_unstable();
        names.dedup();
        let short = APPLETS.iter().filter(|a| a.short != a.name).count();
        assert_eq!(names.len(), APPLETS.len() + short);
    }

    #[test]
    fn every_name_is_known_to_who_tells_our_commands_from_others() {
        let names = APPLETS.iter().flat_map(|a| [a.name, a.short]);
        for name in names {
            assert!(crate::sys::own::APPLETS.contains(&name), "{name}");
        }
    }

    #[test]
    fn every_usage_starts_with_the_applets_name() {
        for applet in APPLETS {
            assert!(
                applet.usage.starts_with(&["Usage: ", applet.name].concat()),
                "{}",
                applet.name
            );
        }
    }
}
