//! The backends that can run in this process: a row each. A nested switch may have children of its
//! own, and cannot.

#[cfg(feature = "nsssd-cache")]
use crate::backend::cache;
#[cfg(feature = "nsssd-map")]
use crate::backend::map;
#[cfg(feature = "nsssd-nslcd")]
use crate::backend::nslcd;
use crate::backend::unix;
use crate::backend::{Backend, RunsIn};
use crate::options::{Options, Spec};
use crate::sys::error::{Error, Hint};
use crate::sys::program::own_command;
use std::ffi::OsString;

/// A kind of backend.
pub struct Row {
    /// Its short name; its applet is `nsssd-` and that.
    pub name: &'static str,
    /// What nsswitch.conf calls the same source.
    pub service: &'static str,
    /// The options of its command line.
    options: &'static Spec,
    make: Make,
}

/// Makes a backend by its options, and the words behind them.
pub type Make = fn(&Options<'_>, RunsIn) -> Result<Backend, Error>;

/// All of them.
pub const BACKENDS: &[Row] = &[
    #[cfg(feature = "nsssd-cache")]
    Row { name: "cache", service: "cache", options: &cache::SPEC, make: cache::make },
    #[cfg(feature = "nsssd-map")]
    Row { name: "map", service: "map", options: &map::start::SPEC, make: map::start::make },
    #[cfg(feature = "nsssd-nslcd")]
    Row { name: "nslcd", service: "ldap", options: &nslcd::SPEC, make: nslcd::make },
    Row { name: "unix", service: "files", options: &unix::SPEC, make: unix::make },
];

impl Row {
    /// Makes one by the arguments of its applet, where they are part of another command line.
    pub fn make(&self, args: &[OsString], runs_in: RunsIn) -> Result<Backend, Error> {
        let options = self.options.split(args).map_err(|e| e.with_hint(Hint::SeeHelp))?;
        (self.make)(&options, runs_in)
    }
}

/// The row of a short name.
pub fn by_name(name: &[u8]) -> Option<&'static Row> {
    BACKENDS.iter().find(|row| row.name.as_bytes() == name)
}

/// The row of a short name, or of what nsswitch.conf says for it.
pub fn by_service(word: &[u8]) -> Option<&'static Row> {
    by_name(word).or_else(|| BACKENDS.iter().find(|row| row.service.as_bytes() == word))
}

/// The row of an applet.
pub fn by_applet(applet: &str) -> Option<&'static Row> {
    by_name(applet.strip_prefix("nsssd-").unwrap_or(applet).as_bytes())
}

/// The names that this executable is called by, also those that are no backends': `id unix` is not
/// `unix`.
pub type Names = &'static [&'static str];

/// The row of a command that would start our own executable, and the arguments there.
pub fn by_command(command: &[OsString], names: Names) -> Option<(&'static Row, &[OsString])> {
    let (applet, args) = own_command(command, names)?;
    Some((by_applet(applet)?, args))
}

/// Makes the backend of a short name by the arguments of its applet, which runs.
pub fn make(name: &str, args: &[OsString]) -> Result<Backend, Error> {
    match by_name(name.as_bytes()) {
        Some(row) => (row.make)(&row.options.split(args)?, RunsIn::Daemon),
        None => Err(Error::usage("no such backend:").about(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::error::Exit;

    #[test]
    fn rows_are_found_by_each_of_their_names() {
        let unix = |row: Option<&Row>| row.map(|row| row.name) == Some("unix");
        assert!(unix(by_name(b"unix")) && !unix(by_name(b"files")));
        assert!(unix(by_service(b"files")) && unix(by_service(b"unix")));
        assert!(unix(by_applet("nsssd-unix")) && unix(by_applet("unix")));
        assert!(by_applet("nsssd-switch").is_none() && by_service(b"").is_none());
    }

    #[test]
    fn no_two_rows_share_a_name() {
        let names = BACKENDS.iter().flat_map(|row| [row.name, row.service]);
        for name in names {
            let rows = BACKENDS.iter().filter(|row| row.name == name || row.service == name);
            assert_eq!(rows.count(), 1, "{name}");
        }
    }

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for row in BACKENDS {
            let made = row.make(&["-x".into()], RunsIn::Daemon);
            assert_eq!(made.err().map(|error| error.exit), Some(Exit::USAGE), "{}", row.name);
        }
    }
}
