//! nsscache: keeps users, groups and other maps as local files with indexes.
//!
//! Follows Google's nsscache (doc/nsscache.md). More: `check-config`; `index`, `sshkey` and `automount`,
//! which work on the files alone and read no configuration.

mod run;
mod texts;

use self::run::Global;
use crate::directory::folder::Folder;
use crate::directory::maps::{Map, file_name};
use crate::directory::progress::warn;
use crate::directory::temporary::sweep;
use crate::directory::{look, rebuild};
use crate::sys::error::{Error, Exit, Hint};
use crate::sys::output;
use pico_args::Arguments;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: nsscache [-v] [-d] [-c FILE] COMMAND [OPTION]...
Keeps users, groups and other maps of a directory as local files with indexes,
which libnss-cache and nsssd-cache read.

  update        fetch the maps that /etc/nsscache.conf tells of
  status        tell when each was fetched
  verify        look whether all fits together
  repair        verify, and fetch all anew
  check-config  tell what is wrong with nsscache.conf
  watch         stay, and keep the maps current
  export DIR    write the maps as a signed snapshot, for many boards
  index [MAP]...     check files that are there, and write their indexes
  sshkey USER        print a user's public keys: for sshd
  automount MAP KEY  print an entry of an automount map: for autofs
  help COMMAND  its options

  -c FILE, --config-file=FILE  not NSSCACHE_CONFIG, nor /etc/nsscache.conf
  -v, --verbose   tell what is done; -d, --debug: more

Exit codes: 0 good, 1 a map failed, 2 usage, 64 no COMMAND, 70 an unknown one,
75 a source cannot be reached, 200 another process has the lock.
"];

/// As the original: EX_USAGE and EX_SOFTWARE of sysexits.h.
const NO_COMMAND: Exit = Exit::new(64);
const UNKNOWN_COMMAND: Exit = Exit::new(70);

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let help = || Error::usage("").with_hint(Hint::Help);
    let Some(global) = Global::split(args)? else { return Err(help()) };
    let Some((command, rest)) = global.rest.split_first() else {
        output::print(USAGE.concat().as_bytes())?;
        return Ok(NO_COMMAND);
    };
    if let Some(exit) = run::run(command.as_bytes(), rest, &global)? {
        return Ok(exit);
    }
    let args = Arguments::from_vec(rest.to_vec());
    match command.as_bytes() {
        b"help" => match rest {
            [] => Err(help()),
            [name, ..] => texts::print(name.as_bytes()).map(|()| Exit::SUCCESS),
        },
        b"index" => files_only(command, args, index),
        b"sshkey" => files_only(command, args, sshkey),
        b"automount" => files_only(command, args, automount),
        _ => {
            output::print(USAGE.concat().as_bytes())?;
            let error = Error::usage("unknown command").about(command);
            Err(error.with_exit(UNKNOWN_COMMAND))
        }
    }
}

/// A command that reads no configuration, or its help.
fn files_only(
    name: &OsStr,
    mut args: Arguments,
    work: fn(Arguments) -> Result<Exit, Error>,
) -> Result<Exit, Error> {
    if args.contains(["-h", "--help"]) {
        return texts::print(name.as_bytes()).map(|()| Exit::SUCCESS);
    }
    work(args)
}

/// Where the files are.
struct Place {
    dir: Vec<u8>,
    suffix: Vec<u8>,
}

impl Place {
    /// The options that all commands have.
    fn of(args: &mut Arguments) -> Result<Self, Error> {
        let dir = word(args, "-d", "/etc")?;
        let suffix = word(args, "-s", "cache")?;
        if dir.is_empty() || suffix.contains(&b'/') {
            return Err(Error::options("neither -d nor -s may lead elsewhere"));
        }
        Ok(Place { dir, suffix })
    }
}

fn word(args: &mut Arguments, option: &'static str, default: &str) -> Result<Vec<u8>, Error> {
    let take = |text: &OsStr| Ok::<_, String>(text.as_bytes().to_vec());
    let value = args.opt_value_from_os_str(option, take);
    let value = value.map_err(|_| Error::options("missing value of option").about(option))?;
    Ok(value.unwrap_or_else(|| default.into()))
}

/// The words behind the options, which are all known.
fn words(args: Arguments) -> Result<Vec<Vec<u8>>, Error> {
    let mut words: Vec<_> = args.finish().into_iter().map(OsString::into_vec).collect();
    match words.iter().position(|word| word.starts_with(b"-") && word.len() > 1) {
        Some(at) if words.get(at).is_some_and(|word| word == b"--") => {
            words.remove(at);
            Ok(words)
        }
        Some(at) => {
            let word = words.get(at).map_or(OsStr::new(""), |word| OsStr::from_bytes(word));
            Err(Error::options("unknown option").about(word))
        }
        None => Ok(words),
    }
}

fn index(mut args: Arguments) -> Result<Exit, Error> {
    let place = Place::of(&mut args)?;
    let verbose = args.contains("-v");
    let names = words(args)?;
    let mut maps = Vec::new();
    for name in &names {
        let map = Map::by_name(name);
        maps.push(
            map.ok_or_else(|| Error::options("no such map:").about(OsStr::from_bytes(name)))?,
        );
    }
    let folder = Folder::open(&place.dir).map_err(|e| e.with_exit(Exit::FAILURE))?;
    if names.is_empty() {
        for map in Map::ALL.into_iter().filter(|map| !map.keys().is_empty()) {
            let name = file_name(map.name().as_bytes(), &place.suffix);
            if !matches!(folder.stat(&name), Ok(None)) {
                maps.push(map);
            }
        }
        if maps.is_empty() {
            let error = Error::refused("no map is in").about(OsStr::from_bytes(&place.dir));
            return Err(error.with_exit(Exit::FAILURE));
        }
    }
    let mut exit = Exit::SUCCESS;
    sweep(&folder).map_err(|e| e.with_exit(Exit::FAILURE))?;
    for map in maps {
        let name = file_name(map.name().as_bytes(), &place.suffix);
        match rebuild::rebuild(&folder, map, &name) {
            Ok(report) if verbose => {
                let mut line = folder.path_of(&name);
                for (count, what) in [(report.entries, " entries"), (report.bad, " bad lines")] {
                    line.extend_from_slice(if what == " entries" { b": " } else { b", " });
                    line.extend_from_slice(count.to_string().as_bytes());
                    line.extend_from_slice(what.as_bytes());
                }
                line.push(b'\n');
                output::print(&line)?;
            }
            Ok(_) => {}
            // The other maps are no worse for it.
            Err(error) => {
                error.print("nsscache");
                exit = Exit::FAILURE;
            }
        }
    }
    Ok(exit)
}

fn sshkey(mut args: Arguments) -> Result<Exit, Error> {
    let place = Place::of(&mut args)?;
    let words = words(args)?;
    let [user] = words.as_slice() else { return Err(Error::options("sshkey takes a USER")) };
    let folder = Folder::open(&place.dir).map_err(|e| e.with_exit(Exit::FAILURE))?;
    let mut keys = Vec::new();
    let mut warn = |why: nssproto::Malformed| {
        warn(|m| {
            m.text("a key of ").quoted(user).text(" is left out: ").text(why.reason());
        });
    };
    let found = look::keys_of(&folder, &place.suffix, user, &mut keys, &mut warn);
    print_found(found, &keys)
}

fn automount(mut args: Arguments) -> Result<Exit, Error> {
    let place = Place::of(&mut args)?;
    let words = words(args)?;
    let [map, key] = words.as_slice() else {
        return Err(Error::options("automount takes a MAP and a KEY"));
    };
    // It is the name of a file of that directory, and of no other.
    if map.is_empty() || map.contains(&b'/') || map.starts_with(b".") {
        return Err(Error::options("no automount map:").about(OsStr::from_bytes(map)));
    }
    let folder = Folder::open(&place.dir).map_err(|e| e.with_exit(Exit::FAILURE))?;
    let mut entry = Vec::new();
    let found = look::automount(&folder, &place.suffix, map, key, &mut entry);
    print_found(found, &entry)
}

fn print_found(found: Result<bool, Error>, text: &[u8]) -> Result<Exit, Error> {
    if !found.map_err(|e| e.with_exit(Exit::FAILURE))? {
        return Ok(Exit::FAILURE);
    }
    output::print(text)?;
    Ok(Exit::SUCCESS)
}
