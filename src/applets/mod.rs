//! The table of applets, and what nssbox does by itself: find one, list them, make their links.

use crate::sys::error::{Code, Error, code};
use crate::sys::file::{base, join, path};
use crate::sys::output::Output;
use crate::sys::own::is_ours;
use crate::sys::spawn::SELF;
use crate::sys::stat::lstat;
use rustix::fs::{AtFlags, CWD, FileType, linkat, readlink, rename, symlink, unlink};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Exit code for an applet that does not exist.
const UNKNOWN: Code = 127;

/// One applet.
pub struct Applet {
    /// The name that it is called by.
    pub name: &'static str,
    /// A shorter name for `nssbox NAME`; the same name if there is none.
    pub short: &'static str,
    /// What `--help` prints, in pieces.
    pub usage: &'static [&'static str],
    /// Exit code for a wrong command line.
    pub usage_code: Code,
    /// Does the work; the exit code.
    pub main: fn(&[OsString]) -> Result<Code, Error>,
}

mod help;

/// A line adds an applet: its module, and its row of the table.
macro_rules! applets {
    ($($module:ident => $feature:literal,)*) => {
        $(#[cfg(feature = $feature)] mod $module;)*
        /// All applets of this build, sorted by name.
        pub const APPLETS: &[Applet] = &[
            $(#[cfg(feature = $feature)] $module::APPLET,)*
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
Usage: nssbox APPLET [ARGUMENT]..., or by a link: APPLET [ARGUMENT]...

Users and groups for small machines. APPLET --help tells what that one does.

  --list              the applets of this build
  --install [-s] DIR  make hard links to them in DIR, with -s symbolic ones
  --help, --version
";

/// What the command line says, argv\[0\] first; the exit code of the process.
pub fn main(args: &[OsString]) -> ExitCode {
    let (program, args) = args.split_first().map_or((&[][..], &[][..]), |(p, a)| (p.as_bytes(), a));
    let name = base(program);
    let code = match find(name) {
        Some(applet) => run(applet, args),
        None => nssbox(name, args),
    };
    ExitCode::from(code as u8)
}

/// The applet of this name, short ones included.
pub fn find(name: &[u8]) -> Option<&'static Applet> {
    APPLETS.iter().find(|a| a.name.as_bytes() == name || a.short.as_bytes() == name)
}

/// Runs an applet, and prints the error that it ends with; the exit code.
pub fn run(applet: &Applet, args: &[OsString]) -> Code {
    let is_option = |word: &&OsString| word.as_bytes().starts_with(b"-") && *word != "--";
    if args.iter().take_while(is_option).any(|word| word == "--help") {
        return print(applet.usage);
    }
    match (applet.main)(args) {
        Ok(code) => code,
        Err(error) => {
            error.print(applet.name);
            if error.code == code::USAGE { applet.usage_code } else { error.code }
        }
    }
}

/// nssbox by its own name, or by one that is no applet's; the exit code.
pub fn nssbox(name: &[u8], args: &[OsString]) -> Code {
    // Words are compared as such, not matched: a pattern would be compared byte by byte.
    let Some((first, rest)) = args.split_first() else {
        return if name == "nssbox".as_bytes() { print(&[USAGE]) } else { unknown(name) };
    };
    if first == "--help" || first == "-h" {
        print(&[USAGE])
    } else if first == "--version" {
        print(&[concat!("nssbox ", env!("CARGO_PKG_VERSION"), "\n")])
    } else if first == "--list" {
        list()
    } else if first == "--install" {
        install(rest).map_or_else(
            |error| {
                error.print("nssbox");
                error.code
            },
            |()| 0,
        )
    } else if let Some(applet) = find(first.as_bytes()) {
        run(applet, rest)
    } else {
        // By a link that names an applet which this build has not, or by nssbox's own.
        unknown(if name.starts_with(b"nssbox") { first.as_bytes() } else { name })
    }
}

fn unknown(name: &[u8]) -> Code {
    Error::usage("no such applet:").about(OsStr::from_bytes(name)).print("nssbox");
    UNKNOWN
}

fn list() -> Code {
    let mut names = String::new();
    for applet in APPLETS {
        names.push_str(applet.name);
        names.push('\n');
    }
    print(&[&names])
}

/// Prints to standard output; 1 if that fails.
fn print(pieces: &[&str]) -> Code {
    let mut out = Output::default();
    let done = pieces.iter().try_for_each(|piece| out.put(piece.as_bytes()));
    done.and_then(|()| out.flush()).is_err().into()
}

/// `--install [-s] DIR`. A link that is there already is replaced without a gap; a file that is
/// not ours is left alone and named.
fn install(args: &[OsString]) -> Result<(), Error> {
    let mut options = pico_args::Arguments::from_vec(args.to_vec());
    let symbolic = options.contains("-s");
    let words = options.finish();
    let dir = match words.as_slice() {
        [dir] if args.last() == Some(dir) && !dir.as_bytes().starts_with(b"-") => dir,
        _ => return Err(Error::usage("usage: nssbox --install [-s] DIR")),
    };
    let own = readlink(SELF, Vec::new())
        .map_err(|e| Error::system("unable to find", e).about("my own file"))?;
    for applet in APPLETS {
        let link = join(dir.as_bytes(), applet.name.as_bytes());
        let staged = join(dir.as_bytes(), &[b".", applet.name.as_bytes(), b".new"].concat());
        let (what, errno) = match put_link(&own, &link, &staged, symbolic) {
            Ok(true) => continue,
            Ok(false) => ("unable to replace", Errno::EXIST),
            Err(errno) => ("unable to make link", errno),
        };
        return Err(Error::system(what, errno).about(OsStr::from_bytes(&link)));
    }
    Ok(())
}

/// Makes a link to `own`, by way of `staged`; false where there is a file that is not ours.
fn put_link(own: &CStr, link: &[u8], staged: &[u8], symbolic: bool) -> Result<bool, Errno> {
    let (link, staged) = (path(link)?, path(staged)?);
    let is_link = |mode| FileType::from_raw_mode(mode) == FileType::Symlink;
    if lstat(&link).is_ok_and(|there| !is_link(there.st_mode)) && !is_ours(&link) {
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
                applet.usage.concat().starts_with(&["Usage: ", applet.name].concat()),
                "{}",
                applet.name
            );
        }
    }
}
