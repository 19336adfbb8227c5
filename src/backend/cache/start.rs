//! The backend by its command line.

use super::places::Places;
use crate::backend::unix::{Layout, Unix};
use crate::backend::{Backend, RunsIn, Teller};
use crate::options::{Options, Spec};
use crate::sys::error::Error;
use crate::sys::file::path;
use nssproto::line::Rules;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The options of nsssd-cache.
pub const SPEC: Spec = Spec { values: "ds", ..Spec::NONE };

/// The files by the arguments of nsssd-cache. Words that are no options are ignored, as nsss's
/// daemons do.
pub fn make(options: &Options<'_>, _: RunsIn) -> Result<Backend, Error> {
    let dir = options.word(b'd').unwrap_or(OsStr::new("/etc")).as_bytes();
    let suffix = options.word(b's').unwrap_or(OsStr::new("cache")).as_bytes();
    // In another directory, they would not be those of a map.
    if suffix.contains(&b'/') {
        return Err(Error::usage("no suffix of a file:").about(OsStr::from_bytes(suffix)));
    }
    let wrong =
        |errno| Error::system("unable to use directory", errno).about(OsStr::from_bytes(dir));
    files(dir, suffix).map(Backend::Unix).map_err(wrong)
}

/// The maps passwd, group and shadow of a directory.
fn files(dir: &[u8], suffix: &[u8]) -> Result<Box<Unix>, Errno> {
    let suffix = if suffix.is_empty() { Vec::new() } else { [b".", suffix].concat() };
    // glibc's own service knows these only.
    let is_usual = path(dir)?.to_bytes() == b"/etc" && suffix == b".cache";
    let teller = if is_usual { Teller::Cache } else { Teller::Directory };
    let places = Places::new(dir, &suffix)?;
    let layout =
        Layout { suffix, rules: Some(Rules::Cache), teller, places: Some(Box::new(places)) };
    Unix::with_layout(dir, false, layout)
}
